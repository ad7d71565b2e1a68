"""How words are said: the dialog, by keyboard, with a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Locator, Page, expect

from tests.browser.speaking_page import SpeakingPage
from tests.support.live_server import LiveServer, live_server

pytestmark = pytest.mark.asyncio(loop_scope="package")


@pytest_asyncio.fixture(loop_scope="package")
async def live(tmp_path: Path) -> AsyncIterator[LiveServer]:
    async with live_server(lexicon={"folder": str(tmp_path)}) as live:
        yield live


@pytest_asyncio.fixture(loop_scope="package")
async def speaking(page: Page, live: LiveServer) -> AsyncIterator[SpeakingPage]:
    speaking = await SpeakingPage(page).open(live.http)
    await page.get_by_role("button", name="Settings").click()
    await page.get_by_role("button", name="How words are said").focus()
    await speaking.press("Enter")
    yield speaking
    assert not [each for each in speaking.complaints if "400" not in each]
    await page.goto("about:blank")  # the server waits for open connections


def dialog(speaking: SpeakingPage) -> Locator:
    return speaking.page.get_by_role("dialog", name="How words are said")


def status(speaking: SpeakingPage) -> Locator:
    return speaking.page.locator("#lexicon-status")


def entries(live: LiveServer) -> dict[str, str]:
    file = live.app.state.services.lexicons.get_file(None)
    return {entry.written: entry.said for entry in file.lexicon.entries}


async def add(speaking: SpeakingPage, written: str, said: str) -> None:
    await dialog(speaking).get_by_label("What is written").fill(written)
    await dialog(speaking).get_by_label("How it is said").fill(said)
    await speaking.press("Enter")


async def test_entry_is_added_and_removed_by_keyboard(
    speaking: SpeakingPage, live: LiveServer
) -> None:
    await expect(dialog(speaking).get_by_role("list")).to_have_count(0)
    await add(speaking, "Nguyen", "win")
    await expect(status(speaking)).to_have_text("From now on Nguyen is said “win”.")
    assert entries(live) == {"Nguyen": "win"}
    await expect(dialog(speaking).get_by_role("listitem")).to_contain_text("Nguyen")
    await expect(dialog(speaking).get_by_label("What is written")).to_be_focused()
    await dialog(speaking).get_by_role("button", name="Remove Nguyen").focus()
    await speaking.press("Enter")
    await expect(status(speaking)).to_have_text("Nguyen was removed.")
    assert entries(live) == {}
    await expect(dialog(speaking).get_by_label("How it is said")).to_have_value("win")
    await expect(dialog(speaking).get_by_label("What is written")).to_be_focused()
    await speaking.press("Escape")
    await expect(dialog(speaking)).to_have_count(0)


async def test_entry_is_heard_before_and_after_it_is_added(speaking: SpeakingPage) -> None:
    await add(speaking, "Anna", "ahna")
    await expect(dialog(speaking).get_by_role("listitem")).to_have_count(1)
    await dialog(speaking).get_by_role("button", name="Hear Anna").click()
    await speaking.wait_all_heard()
    await dialog(speaking).get_by_label("What is written").fill("Nguyen")
    await dialog(speaking).get_by_label("How it is said").fill("win")
    await dialog(speaking).get_by_role("button", name="Hear it").click()
    await speaking.wait_all_heard()
    starts = [message["lexicon"] for message in speaking.sent if message["type"] == "start"]
    assert starts == [{"Anna": "ahna"}, {"Nguyen": "win"}]


async def test_unusable_entry_is_refused_with_the_reason(
    speaking: SpeakingPage, live: LiveServer
) -> None:
    await add(speaking, "Nguyen", "w1n")
    await expect(status(speaking)).to_contain_text("Nothing was added: 'Nguyen'")
    assert entries(live) == {}


async def test_axe_finds_no_violations(speaking: SpeakingPage) -> None:
    await add(speaking, "Nguyen", "win")
    await expect(dialog(speaking).get_by_role("listitem")).to_have_count(1)
    found = (await Axe().run(speaking.page)).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []
