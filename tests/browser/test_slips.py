"""Mistakes and unusual input: each is reported, undoable or harmless."""

from __future__ import annotations

import base64
import os

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.speaking_page import SpeakingPage
from tests.browser.test_drafts import wait_spoken
from tests.browser.test_phrases import add, tiles
from tests.support.live_server import live_server

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def press(speaking: SpeakingPage, name: str) -> None:
    await speaking.page.get_by_role("button", name=name, exact=True).click()


async def correct(speaking: SpeakingPage) -> None:
    """Replace a spoken word as a phone's keyboard does."""
    await speaking.text.fill("I saw the cat. ")
    await wait_spoken(speaking)
    await speaking.page.evaluate(
        "() => { const area = document.getElementById('text'); area.setRangeText('THE', 6, 9);"
        "  area.dispatchEvent(new InputEvent('input',"
        "    { inputType: 'insertReplacementText', data: 'THE' })) }"
    )
    await expect(speaking.notice).to_contain_text("spoken already")


async def test_correction_is_offered_for_the_current_text_only(speaking: SpeakingPage) -> None:
    await correct(speaking)
    await speaking.press("Enter")
    await expect(speaking.notice).to_be_empty()


async def test_undo_offer_ends_with_its_target(speaking: SpeakingPage) -> None:
    await speaking.choose_mode("On Enter")
    for undone_by in ("Control+z", "x"):
        await speaking.text.fill("A long and precious text")
        await press(speaking, "Clear")
        await expect(speaking.notice).to_contain_text("Cleared.")
        await speaking.press(undone_by)
        await expect(speaking.notice).to_be_empty()


async def test_undoing_a_cleared_edit_sets_the_draft_aside_again(speaking: SpeakingPage) -> None:
    await speaking.choose_mode("On Enter")
    await speaking.press("Alt+1")
    await speaking.text.fill("My draft")
    await speaking.page.locator("#history").get_by_role("button", name="Edit").click()
    await speaking.type(" And much more.", delay_ms=5)
    await press(speaking, "Clear")
    await expect(speaking.text).to_have_value("My draft")
    await press(speaking, "Undo")
    await expect(speaking.text).to_have_value("Yes, please. And much more.")
    await press(speaking, "Clear")
    await expect(speaking.text).to_have_value("My draft")


async def test_undoing_a_cleared_history_keeps_newer_entries(speaking: SpeakingPage) -> None:
    await speaking.press("Alt+1")
    await speaking.page.get_by_label("Search the history").fill("zzz")
    await press(speaking, "Clear history")
    await expect(speaking.text).to_be_focused()
    await speaking.press("Alt+2")
    await expect(speaking.said).to_have_text(["No, thank you."])
    await press(speaking, "Undo")
    await expect(speaking.said).to_have_text(["No, thank you.", "Yes, please."])
    await expect(speaking.page.locator("#history-empty")).to_be_hidden()


async def test_text_heard_before_a_stop_stays_in_history_after_clear(
    speaking: SpeakingPage,
) -> None:
    await speaking.text.fill("One two three. ")
    await wait_spoken(speaking)
    await speaking.press("Escape")
    await press(speaking, "Clear")
    await expect(speaking.said).to_have_text(["One two three."])


async def test_spaces_are_never_underlined(speaking: SpeakingPage) -> None:
    await speaking.text.fill("The weather is nice today. ")
    await speaking.wait_until("tap.lit.some(({ word }) => word.startsWith('today'))")
    await speaking.wait_until("[...CSS.highlights.get('now')].length === 0")
    assert await speaking.page.evaluate("[...CSS.highlights.get('coming')].length") == 0


async def test_abbreviations_are_unique_and_phrases_not_empty(speaking: SpeakingPage) -> None:
    dialog = speaking.page.get_by_role("dialog", name="New phrase")
    await add(speaking, "Time for you.", short="TY")
    await expect(dialog).to_be_visible()
    why = await dialog.get_by_label("Abbreviation").evaluate("each => each.validationMessage")
    assert "Thank you very much!" in why
    await dialog.get_by_label("Abbreviation").fill("")
    await dialog.get_by_label("Its words").fill("   ")
    await dialog.get_by_role("button", name="Save").click()
    await expect(dialog).to_be_visible()


async def test_enter_says_the_found_phrase_and_no_match_is_reported(speaking: SpeakingPage) -> None:
    find = speaking.page.get_by_label("Find a phrase")
    await find.fill("break")
    await expect(tiles(speaking.page)).to_have_text(["I need a break."])
    await find.press("Enter")
    await expect(speaking.said).to_have_text(["I need a break."])
    await find.fill("zzz")
    await expect(speaking.page.get_by_text("No phrase has these words.")).to_be_visible()


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ("ty.", "Thank you very much."),
        ("omw, and", "I am on my way, and"),
        ("omw And", "I am on my way. And"),
    ],
)
async def test_phrase_ends_with_one_punctuation_mark(
    speaking: SpeakingPage, typed: str, text: str
) -> None:
    await speaking.choose_mode("On Enter")
    await speaking.type(typed, delay_ms=5)
    await expect(speaking.text).to_have_value(text)


async def test_too_short_tap_is_reported(speaking: SpeakingPage) -> None:
    await speaking.page.get_by_role("button", name="Settings").click()
    await speaking.page.get_by_label("Hold to say").fill("1")
    await press(speaking, "Close")
    await speaking.page.locator("#phrases button").first.click()
    await expect(speaking.notice).to_have_text("Hold it for 1 s.")


async def test_file_from_a_newer_page_is_reported(speaking: SpeakingPage) -> None:
    await speaking.page.get_by_role("button", name="Settings").click()
    await speaking.page.get_by_label("or load one").set_input_files(
        {
            "name": "x.json",
            "mimeType": "application/json",
            "buffer": b'{"kind": "duplex-tts", "version": 2}',
        }
    )
    await expect(speaking.page.locator("#import-status")).to_contain_text("a later version")


async def test_punctuation_alone_is_not_spoken_and_is_reported(speaking: SpeakingPage) -> None:
    await speaking.text.fill("!!! ... ?")
    await speaking.press("Enter")
    await expect(speaking.page.locator("#history li")).to_contain_text("Not spoken")


@pytest.mark.parametrize("begun", ["ter", "terrible", "terrible "])
async def test_only_text_typed_after_clear_is_heard(speaking: SpeakingPage, begun: str) -> None:
    await speaking.type(begun, delay_ms=5)
    await press(speaking, "Clear")
    await speaking.type("I love you dearly.", delay_ms=5)
    await speaking.press("Enter")
    await expect(speaking.said).to_have_text(["I love you dearly."])
    await speaking.wait_until("tap.lit.some(({ word }) => word.startsWith('dearly'))")
    lit = {one["word"] for one in await speaking.page.evaluate("tap.lit")}
    assert lit >= {"love"}
    assert not lit & {"ter", "terrible"}


async def test_changing_the_typing_mode_does_not_speak_existing_text(
    speaking: SpeakingPage,
) -> None:
    await speaking.choose_mode("On Enter")
    await speaking.text.fill("Hello my dear friend, how are you")
    await speaking.choose_mode("As I type")
    await expect(speaking.page.locator("#hint-text")).to_contain_text("when you press Speak")
    assert speaking.contexts() == {}
    await speaking.press("Enter")
    await speaking.wait_all_heard()
    assert list(speaking.contexts().values()) == ["Hello my dear friend, how are you"]


async def test_pause_is_reported_and_needs_speech(speaking: SpeakingPage) -> None:
    await press(speaking, "Pause")
    await expect(speaking.notice).to_have_text("Nothing is being said.")
    await speaking.text.fill("A sentence that is long enough to be paused in its middle. ")
    await speaking.wait_heard()
    await press(speaking, "Pause")
    await expect(speaking.notice).to_contain_text("Paused")
    await speaking.press("Alt+1")
    await expect(speaking.notice).to_contain_text("Paused")
    await press(speaking, "Go on")
    await expect(speaking.notice).to_be_empty()


async def test_missing_browser_storage_is_reported(speaking: SpeakingPage) -> None:
    await speaking.page.evaluate(
        "() => { Storage.prototype.setItem = () => { throw new DOMException('full') } }"
    )
    await speaking.press("Alt+1")
    await expect(speaking.notice).to_contain_text("This browser keeps nothing")


async def test_phrases_of_two_tabs_are_merged(speaking: SpeakingPage, url: str) -> None:
    other = SpeakingPage(await speaking.page.context.new_page())
    await other.open(url)
    await add(other, "Of the other tab.")
    await expect(tiles(speaking.page).last).to_have_text("Of the other tab.")
    await add(speaking, "Of this tab.")
    await speaking.page.reload()
    await expect(tiles(speaking.page).last).to_have_text("Of this tab.")
    await expect(tiles(speaking.page).filter(has_text="Of the other tab.")).to_have_count(1)


async def test_missing_key_is_reported_as_not_heard(page: Page) -> None:
    async with live_server(access={"api_keys": "a-key-of-a-test-which-nobody-has"}) as live:
        await page.goto(live.http)
        await page.get_by_role("button", name="Not now").click()
        await expect(page.locator("#notice")).to_contain_text("Nothing is heard before the key")
        await page.locator("#text").fill("Hello")
        await page.keyboard.press("Enter")
        await expect(page.locator("#waiting p")).to_have_text(["Hello"])
        await expect(page.locator("#notice")).to_contain_text("Nothing is heard before the key")
        await page.locator("#notice").get_by_role("button", name="Enter it").click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        await page.goto("about:blank")


DROP = """(bytes) => {
  const dataTransfer = new DataTransfer();
  const sound = Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt());
  dataTransfer.items.add(new File([sound], "a.txt", { type: "text/plain" }));
  const options = { dataTransfer, bubbles: true, cancelable: true };
  document.getElementById("text").dispatchEvent(new DragEvent("drop", options));
}"""


@pytest.mark.parametrize(
    ("data", "text"),
    [("Café".encode("latin-1"), "Café"), ("Café".encode(), "Café"), (os.urandom(3000), "")],
    ids=["latin-1", "utf-8", "binary"],
)
async def test_dropped_file_is_decoded_by_its_encoding(
    speaking: SpeakingPage, data: bytes, text: str
) -> None:
    await speaking.page.evaluate(DROP, base64.b64encode(data).decode())
    await expect(speaking.text).to_have_value(text)
    await expect(speaking.notice).to_contain_text("Read aloud" if text else "Only a text file")


@pytest.mark.parametrize("size", ["1", "2.5"])
async def test_caret_is_visible_when_the_keyboard_opens(
    browser: Browser, url: str, size: str
) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    async with await browser.new_context(**phone) as profile:  # type: ignore[arg-type]
        speaking = await SpeakingPage(await profile.new_page()).open(url)
        await speaking.choose_mode("On Enter")
        style = "document.documentElement.style"
        await speaking.page.evaluate(f"{style}.setProperty('--text-size', {size})")
        await speaking.text.fill("A short sentence, one of many. " * 14)
        await speaking.page.set_viewport_size({"width": 390, "height": 500})
        await speaking.wait_until(
            "(() => { const paper = document.getElementById('paper');"
            "  return paper.scrollTop + paper.clientHeight > paper.scrollHeight - 20 })()"
        )


async def test_slider_is_draggable_with_large_text(speaking: SpeakingPage) -> None:
    await speaking.page.set_viewport_size({"width": 390, "height": 844})
    await speaking.page.evaluate("document.documentElement.style.fontSize = '200%'")
    await speaking.page.get_by_role("button", name="Settings").click()
    widths = await speaking.page.evaluate(
        "[...document.querySelectorAll('input[type=range]')].map((each) => each.clientWidth)"
    )
    assert min(widths) > 200


async def test_switches_reach_sliders_and_end_scanning(speaking: SpeakingPage) -> None:
    scan = speaking.page.get_by_label("Scan with")
    await speaking.page.get_by_role("button", name="Settings").click()
    await scan.fill("2")
    await expect(speaking.page.locator("#hint-text")).to_contain_text("Switches are on")
    for _ in range(60):
        marked = speaking.page.locator("[data-scanned]")
        ids = await marked.evaluate_all("all => all.map((each) => each.id)")
        if ids == ["switches"]:
            break
        await speaking.press("Enter" if "switches" in ids else " ")
    await speaking.press("Enter")
    await expect(scan).to_have_value("0")


async def test_unavailable_voice_is_reported_in_the_voice_list(speaking: SpeakingPage) -> None:
    await speaking.page.get_by_role("button", name="Settings").click()
    await press(speaking, "Sample of Emma")
    said = speaking.page.get_by_role("dialog", name="Settings").get_by_role("status")
    await expect(said.filter(has_text="Emma could not be fetched; Heart speaks")).to_be_visible()
    await expect(speaking.notice).to_be_empty()
