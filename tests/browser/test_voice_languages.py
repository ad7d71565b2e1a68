"""Voices of many languages: grouped, searched, on a desktop and on a phone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from backend.events import Voice
from tests.browser.speaking_page import SpeakingPage
from tests.support.engines.fake_engine import FakeModel
from tests.support.live_server import live_server

pytestmark = pytest.mark.asyncio(loop_scope="package")

SIZES = {"desktop": (1280, 860), "phone": (390, 844)}
NAMES = (
    *("ar_JO-kareem-medium", "de_DE-thorsten-high", "de_DE-eva_k-x_low", "pt_BR-faber-medium"),
    *("pt_PT-tugão-medium", "zh_CN-huayan-medium", "hi_IN-rohan-medium", "tr_TR-dfki-medium"),
)


class Polyglots(FakeModel):
    def voices(self) -> tuple[Voice, ...]:
        piper = tuple(
            Voice(name, name[:5].replace("_", "-"), name.rsplit("-", 1)[1], ready=True)
            for name in NAMES
        )
        english = tuple(replace(voice, language="en") for voice in super().voices())
        return *english, *piper


@pytest_asyncio.fixture(loop_scope="package", params=SIZES)
async def speaking(page: Page, request: pytest.FixtureRequest) -> AsyncIterator[SpeakingPage]:
    width, height = SIZES[request.param]
    await page.set_viewport_size({"width": width, "height": height})
    async with live_server(Polyglots()) as live:
        speaking = await SpeakingPage(page).open(live.http)
        await page.get_by_role("button", name="Settings").click()
        yield speaking
        if folder := os.environ.get("SCREENSHOTS"):
            await page.screenshot(path=Path(folder) / f"{request.node.name}.png")
        assert not speaking.complaints
        await page.goto("about:blank")  # the server waits for open connections


async def test_languages_have_their_own_names(speaking: SpeakingPage) -> None:
    heads = speaking.page.locator("#voices summary span")
    names = await heads.all_inner_texts()
    assert names[0] == "English"  # the browser's language
    assert set(names) >= {"Deutsch", "العربية", "Português", "中文", "हिन्दी", "Türkçe"}
    assert await heads.nth(names.index("العربية")).get_attribute("lang") == "ar"
    german = speaking.page.locator("#voices details", has_text="Deutsch")
    await expect(german.locator("summary small")).to_have_text("German · 2")
    await expect(german.locator("ul")).to_be_hidden()
    await german.locator("summary").click()
    await german.get_by_role("radio", name="Thorsten").check()
    await speaking.page.reload()
    await speaking.connected()
    chosen = speaking.page.locator("#voices input:checked")
    await expect(chosen).to_have_value("de_DE-thorsten-high")
    await speaking.page.get_by_role("button", name="Settings").click()
    await expect(chosen).to_be_visible()  # its language is open


async def test_regions_are_told_apart(speaking: SpeakingPage) -> None:
    portuguese = speaking.page.locator("#voices details", has_text="Português")
    await portuguese.locator("summary").click()
    await expect(portuguese.locator("label small")).to_have_text(
        ["Brazil · medium", "Portugal · medium"]
    )


@pytest.mark.parametrize(
    ("sought", "found"),
    [
        ("german", ["Eva k", "Thorsten"]),
        ("deutsch thor", ["Thorsten"]),
        ("العربية", ["Kareem"]),
        ("brazil", ["Faber"]),
        ("tr", ["Dfki"]),
        ("klingon", []),
    ],
)
async def test_voices_are_found_by_language_and_name(
    speaking: SpeakingPage, sought: str, found: list[str]
) -> None:
    find = speaking.page.get_by_role("searchbox", name="Find a voice or a language")
    await find.fill(sought)
    visible = speaking.page.locator("#voices li:visible label span")
    await expect(visible).to_have_count(len(found))
    names = [(await text.inner_text()).split("\n")[0] for text in await visible.all()]
    assert sorted(names) == found
    assert await find.get_attribute("aria-invalid") == str(not found).lower()
    await find.fill("")
    await expect(speaking.page.locator("#voices details[open]")).to_have_count(1)


async def test_sample_is_in_the_language_of_the_voice(speaking: SpeakingPage) -> None:
    await speaking.page.get_by_role("searchbox", name="Find a voice").fill("thorsten")
    await speaking.page.get_by_role("button", name="Sample of Thorsten").click()
    async with asyncio.timeout(20):
        while not any("So klinge ich" in message.get("text", "") for message in speaking.sent):
            await speaking.page.wait_for_timeout(20)


async def test_axe_finds_no_serious_violations_in_the_list(speaking: SpeakingPage) -> None:
    await speaking.page.locator("#voices summary").nth(1).click()
    found = (await Axe().run(speaking.page)).response["violations"]
    assert [each["id"] for each in found if each["impact"] in {"serious", "critical"}] == []
