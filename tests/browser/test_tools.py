"""Tools: attention sound, large view, reading aloud, suggestions, typing notice, switches."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from playwright.async_api import expect

from tests.browser.speaking_page import SpeakingPage

pytestmark = pytest.mark.asyncio(loop_scope="package")

THREE = "The first sentence is here. Then comes the second one. And the third is the last."


async def press(speaking: SpeakingPage, name: str) -> None:
    await speaking.page.get_by_role("button", name=name, exact=True).click()


async def test_attention_sound_needs_no_server(speaking: SpeakingPage) -> None:
    await press(speaking, "Attention")
    await expect(speaking.text).to_be_focused()
    await speaking.wait_heard()
    await speaking.wait_until("tap.dry_at() > 0")
    recording = await speaking.recording()
    (stretch,) = recording.stretches
    assert 0.2 < stretch.length / recording.rate_hz < 1
    assert np.abs(np.diff(recording.samples)).max() < 0.1  # no click
    assert speaking.contexts() == {}
    await expect(speaking.said).to_have_count(0)


@pytest.mark.parametrize("how", ["Escape", "Close"])
async def test_large_view_shows_and_rotates_the_text(speaking: SpeakingPage, how: str) -> None:
    await speaking.choose_mode("On Enter")
    await speaking.text.fill("Please speak slowly")
    await press(speaking, "Show large")
    text = speaking.page.locator("#large-text")
    await expect(text).to_have_text("Please speak slowly")
    size = await text.evaluate("(each) => parseFloat(getComputedStyle(each).fontSize)")
    assert size > 60
    await press(speaking, "Turn round")
    assert await text.evaluate("(each) => getComputedStyle(each).rotate") == "180deg"
    await (speaking.press(how) if how == "Escape" else press(speaking, how))
    await expect(speaking.text).to_be_focused()
    await speaking.page.wait_for_timeout(100)  # typing is slower than this
    await speaking.page.keyboard.type("!")
    await expect(speaking.text).to_have_value("Please speak slowly!")


async def test_reading_starts_at_the_caret_and_keeps_the_text(speaking: SpeakingPage) -> None:
    await speaking.choose_mode("On Enter")
    await speaking.text.fill(THREE)
    at = THREE.index("Then")
    await speaking.text.evaluate("(area, at) => area.setSelectionRange(at, at)", at)
    await press(speaking, "Read aloud")
    await speaking.wait_all_heard()
    assert list(speaking.contexts().values()) == [THREE[THREE.index("Then") :]]
    await expect(speaking.text).to_have_value(THREE)
    await expect(speaking.said).to_have_count(0)


async def test_reading_pauses_resumes_and_skips_sentences(speaking: SpeakingPage) -> None:
    await speaking.choose_mode("On Enter")
    await speaking.text.fill(THREE)
    await press(speaking, "Read aloud")
    await speaking.wait_heard()
    await press(speaking, "Pause")
    await asyncio.sleep(0.3)
    stands = await speaking.page.evaluate("tap.context.currentTime")
    await asyncio.sleep(0.5)
    assert await speaking.page.evaluate("tap.context.currentTime") == stands
    await press(speaking, "Go on")
    await speaking.wait_until(f"tap.context.currentTime > {stands}")
    await press(speaking, "Forward by a sentence")
    await press(speaking, "Forward by a sentence")
    await press(speaking, "Back by a sentence")
    await asyncio.sleep(0.3)
    starts = [text.split()[0] for text in speaking.contexts().values()]
    assert starts == ["The", "Then", "And", "Then"]


async def test_dropped_text_file_is_spoken_on_request(speaking: SpeakingPage) -> None:
    await speaking.page.evaluate(
        """(text) => {
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([text], "a.txt", { type: "text/plain" }));
          const options = { dataTransfer, bubbles: true, cancelable: true };
          document.getElementById("text").dispatchEvent(new DragEvent("drop", options));
        }""",
        THREE,
    )
    await expect(speaking.text).to_have_value(THREE)
    await asyncio.sleep(0.3)
    assert speaking.contexts() == {}
    await press(speaking, "Read aloud")
    await speaking.wait_heard()
    assert list(speaking.contexts().values()) == [THREE]


async def test_suggestions_come_from_earlier_texts(speaking: SpeakingPage) -> None:
    await speaking.choose_mode("On Enter")
    for text in ("My physiotherapist comes today", "My physiotherapist is kind"):
        await speaking.text.fill(text)
        await speaking.press("Enter")
    await speaking.press("Escape")
    await speaking.type("my phy", delay_ms=5)
    suggestions = speaking.page.get_by_role("group", name="Suggestions").get_by_role("button")
    await expect(suggestions.first).to_have_text("physiotherapist")
    await suggestions.first.click()
    await expect(speaking.text).to_have_value("my physiotherapist ")
    await expect(speaking.text).to_be_focused()
    await expect(suggestions).to_have_text(["comes", "is"])
    await speaking.press("Alt+Shift+2")
    await expect(speaking.text).to_have_value("my physiotherapist is ")


async def test_typing_notice_is_optional(speaking: SpeakingPage) -> None:
    await speaking.choose_mode("On Enter")
    await speaking.page.get_by_role("button", name="Settings").click()
    await expect(speaking.page.get_by_label("I am still typing")).to_have_value("0")
    await speaking.page.get_by_label("I am still typing").fill("5")
    await speaking.page.get_by_role("button", name="Close").click()
    await speaking.type("This takes me quite a long while", delay_ms=180)
    await speaking.wait_heard()
    assert set(speaking.contexts().values()) == {"I am still typing."}
    await expect(speaking.said).to_have_count(0)
    await asyncio.sleep(6)  # typing has stopped
    said = len(speaking.contexts())
    await asyncio.sleep(6)
    assert len(speaking.contexts()) == said


async def scanned(speaking: SpeakingPage) -> list[str]:
    shown: list[str] = await speaking.page.evaluate(
        "[...document.querySelectorAll('[data-scanned]')]"
        ".map((each) => each.innerText.split('\\n')[0])"
    )
    return shown


async def scan_with(speaking: SpeakingPage, switches: int, seconds: str = "0.5") -> None:
    await speaking.page.get_by_role("button", name="Settings").click()
    await speaking.page.get_by_label("Next after").fill(seconds)
    await speaking.page.get_by_label("Scan with").fill(str(switches))
    await speaking.page.get_by_role("button", name="Close").click()


async def test_two_switch_scanning_selects_a_phrase(speaking: SpeakingPage) -> None:
    await scan_with(speaking, 2)
    while "Yes, please." not in await scanned(speaking):
        await speaking.press(" ")
    await speaking.press("Enter")
    assert await scanned(speaking) == ["Yes, please."]
    await speaking.press(" ")
    assert await scanned(speaking) == ["No, thank you."]
    await speaking.press("Enter")
    await speaking.wait_heard()
    assert list(speaking.contexts().values()) == ["No, thank you."]
    await expect(speaking.text).to_have_value("")


async def test_one_switch_scanning_advances_automatically(speaking: SpeakingPage) -> None:
    await scan_with(speaking, 1)
    marked = "document.querySelector('[data-scanned]')?.closest('#phrases')"
    await speaking.wait_until(f"{marked} !== undefined && {marked} !== null")
    await speaking.press("Enter")
    await speaking.wait_until("document.querySelectorAll('[data-scanned]').length === 1")
    await speaking.press(" ")
    await speaking.wait_heard()
    assert len(speaking.contexts()) == 1


async def test_large_buttons_setting_is_60_pixels_and_persists(speaking: SpeakingPage) -> None:
    await speaking.page.get_by_role("button", name="Settings").click()
    await speaking.page.get_by_role("checkbox", name="Large buttons").check()
    await speaking.page.reload()
    await speaking.connected()
    heights = await speaking.page.evaluate(
        "[...document.querySelectorAll('main button, header button')]"
        ".filter((each) => each.checkVisibility()).map((each) => each.offsetHeight)"
    )
    assert min(heights) >= 60
