"""The history: find, repeat, copy, keep as a phrase, download."""

from __future__ import annotations

import io
import wave

import numpy as np
import pytest
from playwright.async_api import expect

from tests.browser.speaking_page import SpeakingPage

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def more(speaking: SpeakingPage, name: str) -> None:
    """Press a button in the first entry's menu of rarely used actions."""
    entry = speaking.page.locator("#history li").first
    if not await entry.locator("details[open]").count():
        await entry.locator("summary").click()
    await entry.get_by_role("button", name=name).click()


async def test_history_entry_is_found_and_repeated(speaking: SpeakingPage) -> None:
    await speaking.press("Alt+1", "Alt+2")
    await speaking.wait_all_heard(2)
    await speaking.page.get_by_label("Search the history").fill("YES")
    await expect(speaking.said).to_have_text(["Yes, please."])
    await speaking.page.get_by_role("button", name="Say again").click()
    await speaking.wait_all_heard(3)
    assert list(speaking.contexts().values())[-1] == "Yes, please."
    await speaking.page.get_by_label("Search the history").fill("nothing like it")
    await expect(
        speaking.page.get_by_text("Nothing that was said has these words.")
    ).to_be_visible()


async def test_recent_sound_is_downloaded_unchanged(speaking: SpeakingPage) -> None:
    await speaking.press("Alt+1")
    await speaking.wait_all_heard()
    async with speaking.page.expect_download() as download:
        await more(speaking, "Save as WAV")
    with wave.open(io.BytesIO((await (await download.value).path()).read_bytes())) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    np.testing.assert_array_equal(pcm, np.round(speaking.audio() * 32768))


@pytest.mark.parametrize(
    ("name", "magic"), [("MP3", (b"ID3", b"\xff\xfb", b"\xff\xf3")), ("WAV", (b"RIFF",))]
)
async def test_older_entry_is_synthesized_anew_for_download(
    speaking: SpeakingPage, name: str, magic: tuple[bytes, ...]
) -> None:
    await speaking.press("Alt+1")
    await speaking.wait_all_heard()
    await speaking.page.reload()
    await speaking.connected()
    async with speaking.page.expect_download() as download:
        await more(speaking, f"Save as {name}")
    found = await download.value
    assert found.suggested_filename.endswith(name.lower())
    data = (await found.path()).read_bytes()
    assert data.startswith(magic)
    assert len(data) > 2000


async def test_entry_is_copied_and_kept_as_a_phrase(speaking: SpeakingPage) -> None:
    await speaking.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await speaking.press("Alt+1")
    await more(speaking, "Copy")
    await expect(speaking.notice).to_have_text("Copied.")
    assert await speaking.page.evaluate("navigator.clipboard.readText()") == "Yes, please."
    await more(speaking, "Add to phrases")
    await speaking.page.get_by_label("Category", exact=True).fill("Starred")
    await speaking.page.get_by_role("button", name="Save", exact=True).click()
    await expect(speaking.page.get_by_role("tab", name="Starred")).to_have_count(1)


async def test_data_stored_by_an_older_page_is_kept(speaking: SpeakingPage) -> None:
    await speaking.page.evaluate(
        "() => { localStorage.removeItem('duplex-tts.history');"
        "  localStorage.setItem('duplex-tts.said', JSON.stringify(['Old words'])) }"
    )
    await speaking.page.reload()
    await expect(speaking.said).to_have_text(["Old words"])
