"""Drafts, edits, undo and waiting text: no loss, and no speech without a request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.browser.cable import Cable, cable_to
from tests.browser.speaking_page import SpeakingPage

pytestmark = pytest.mark.asyncio(loop_scope="package")

AWAY_S = 5.0  # after this time entered text waits for a decision
DEVICE_VOICE = """
globalThis.spokenHere = [];
Object.defineProperty(globalThis, "speechSynthesis", { value: {
  speak: (utterance) => { spokenHere.push(utterance.text); setTimeout(() => utterance.onstart()); },
  cancel: () => {},
} });
"""


async def wait_spoken(speaking: SpeakingPage) -> int:
    """Wait until speech has ended. Returns the characters heard of the first context."""
    await speaking.wait_until("tap.dry_at() > 0")
    return max(int(header["text"][1]) for header in speaking.messages("audio"))


async def test_draft_survives_reload_and_is_spoken_on_request(speaking: SpeakingPage) -> None:
    await speaking.choose_mode("On Enter")
    await speaking.text.fill("I would like some coffee")
    await speaking.page.reload()
    await speaking.connected()
    await expect(speaking.text).to_have_value("I would like some coffee")
    await speaking.choose_mode("As I type")
    await speaking.press("End")
    await speaking.type(" please")
    await asyncio.sleep(0.5)
    assert speaking.contexts() == {}
    await speaking.press("Enter")
    await speaking.wait_all_heard()
    assert list(speaking.contexts().values()) == ["I would like some coffee please"]


async def test_heard_part_of_a_draft_is_not_repeated_after_reload(speaking: SpeakingPage) -> None:
    await speaking.text.fill("One two three. ")
    assert await wait_spoken(speaking) == len("One two three. ")
    await speaking.page.reload()
    await speaking.connected()
    sent = len(speaking.sent)
    await speaking.press("Control+End")
    await speaking.type("Four five.")
    await speaking.press("Enter")
    await speaking.wait_until("tap.loud()")
    said = "".join(m["text"] for m in speaking.sent[sent:] if m["type"] == "text")
    assert said.strip() == "Four five."
    await expect(speaking.said).to_have_text(["One two three. Four five."])


async def test_heard_text_is_marked_after_reload_in_mid_sentence(speaking: SpeakingPage) -> None:
    await speaking.type("The weather is nice today, and we go to the park.", delay_ms=10)
    await speaking.wait_until("tap.lit.some(({ word }) => word.startsWith('today'))")
    await speaking.page.reload()
    await speaking.connected()
    await speaking.wait_until(
        "[...CSS.highlights.get('heard')].some((each) => each.endOffset >= 20)"
    )


async def test_editing_an_entry_is_silent_and_restores_the_draft(speaking: SpeakingPage) -> None:
    await speaking.press("Alt+1")
    await speaking.wait_all_heard()
    await speaking.choose_mode("On Enter")
    await speaking.text.fill("My draft")
    await speaking.choose_mode("As I type")
    await speaking.press("Escape")
    before = len(speaking.contexts())
    await speaking.page.get_by_role("button", name="Edit").click()
    await expect(speaking.text).to_have_value("Yes, please.")
    await expect(speaking.text).to_be_focused()
    await speaking.press(*["Backspace"] * len(" please."))
    await speaking.type(" of course.")
    await asyncio.sleep(0.5)
    assert len(speaking.contexts()) == before
    await speaking.press("Enter")
    await expect(speaking.text).to_have_value("My draft")
    assert list(speaking.contexts().values())[-1] == "Yes, of course."
    await speaking.press("Control+a", "Delete")
    await expect(speaking.text).to_have_value("")


async def test_draft_set_aside_survives_reload(speaking: SpeakingPage) -> None:
    await speaking.press("Alt+1")
    await speaking.choose_mode("On Enter")
    await speaking.text.fill("My draft")
    await speaking.page.get_by_role("button", name="Edit").click()
    await speaking.page.reload()
    await speaking.connected()
    await expect(speaking.text).to_have_value("Yes, please.")
    await speaking.page.get_by_role("button", name="Clear", exact=True).click()
    await expect(speaking.text).to_have_value("My draft")


async def test_undone_clear_is_not_spoken_automatically(speaking: SpeakingPage) -> None:
    await speaking.choose_mode("On Enter")
    await speaking.text.fill("A long and precious text")
    await speaking.page.get_by_role("button", name="Clear", exact=True).click()
    await expect(speaking.text).to_have_value("")
    await expect(speaking.text).to_be_focused()
    await speaking.page.get_by_role("button", name="Undo").click()
    await expect(speaking.text).to_have_value("A long and precious text")
    await speaking.press("Control+z", "Control+Shift+z")
    assert speaking.contexts() == {}


async def test_clearing_the_history_can_be_undone(speaking: SpeakingPage) -> None:
    await speaking.press("Alt+1", "Alt+2")
    await expect(speaking.said).to_have_count(2)
    await speaking.page.get_by_role("button", name="Clear history").click()
    await expect(speaking.said).to_have_count(0)
    await speaking.page.get_by_role("button", name="Undo").click()
    await expect(speaking.said).to_have_text(["No, thank you.", "Yes, please."])
    await speaking.page.reload()
    await expect(speaking.said).to_have_count(2)


# --- spoken text is fixed -------------------------------------------------------------------------


async def test_text_typed_before_spoken_words_moves_behind_them(speaking: SpeakingPage) -> None:
    await speaking.text.fill("I saw the cat. ")
    await wait_spoken(speaking)
    await speaking.press("Home")
    await speaking.type("Please ")
    await expect(speaking.text).to_have_value("I saw the cat. Please ")
    await expect(speaking.notice).to_contain_text("spoken already")


async def test_correction_of_a_spoken_word_is_said_only_on_request(speaking: SpeakingPage) -> None:
    await speaking.text.fill("I saw the cat. ")
    await wait_spoken(speaking)
    await speaking.page.evaluate(
        "() => { const area = document.getElementById('text'); area.setRangeText('THE', 6, 9);"
        "  area.dispatchEvent(new InputEvent('input',"
        "    { inputType: 'insertReplacementText', data: 'THE' })) }"
    )
    await expect(speaking.text).to_have_value("I saw the cat. ")
    await speaking.page.get_by_role("button", name="Say “THE” as a correction").click()
    await expect(speaking.text).to_have_value("I saw the cat. THE")
    await expect(speaking.text).to_be_focused()


async def test_undo_and_redo_change_only_unspoken_text(speaking: SpeakingPage) -> None:
    await speaking.text.fill("I saw the cat. ")
    await wait_spoken(speaking)
    await speaking.choose_mode("On Enter")
    await speaking.text.focus()
    await speaking.press("Control+End")
    await speaking.type("And dogs", delay_ms=5)
    await speaking.press("Control+z")
    await expect(speaking.text).to_have_value("I saw the cat. And ")
    await speaking.press("Control+z", "Control+z", "Control+z", "Control+z")
    await expect(speaking.text).to_have_value("I saw the cat. ")
    for _ in range(4):
        await speaking.press("Control+Shift+z")
    await expect(speaking.text).to_have_value("I saw the cat. And dogs")


async def test_unreadable_script_is_not_marked_as_heard(speaking: SpeakingPage) -> None:
    await speaking.choose_mode("On Enter")
    await speaking.text.fill("Hello 你好 world.")
    await speaking.press("Enter")
    marked = (
        "(name) => [...CSS.highlights.get(name)].map((range) =>"
        " range.startContainer.data.slice(range.startOffset, range.endOffset)).join('')"
    )
    await speaking.wait_until("[...CSS.highlights.get('heard')].length > 0")
    await speaking.wait_all_heard()
    assert await speaking.page.evaluate(marked, "unread") == "你好"
    assert "你好" not in await speaking.page.evaluate(marked, "heard")
    await speaking.text.fill("你好")
    await speaking.press("Enter")
    await expect(speaking.notice).to_contain_text("cannot read")
    await expect(speaking.page.locator("#history li").first).to_contain_text("Not spoken")


# --- while the server is away ---------------------------------------------------------------------


@pytest_asyncio.fixture(loop_scope="package")
async def cable(url: str) -> AsyncIterator[Cable]:
    async with cable_to(url) as cable:
        yield cable


@pytest_asyncio.fixture(loop_scope="package")
async def away(page: Page, cable: Cable) -> SpeakingPage:
    """The page, some time after its server became unreachable."""
    await page.add_init_script(DEVICE_VOICE)
    speaking = await SpeakingPage(page).open(cable.url)
    cable.cut()
    await asyncio.sleep(AWAY_S + 1)
    return speaking


async def test_text_entered_while_away_waits_for_a_decision(
    away: SpeakingPage, cable: Cable
) -> None:
    await away.type("Is anybody there?")
    await away.press("Enter", "Alt+1")
    waiting = away.page.get_by_role("region", name="Waiting")
    await expect(waiting.locator("p")).to_have_text(["Is anybody there?", "Yes, please."])
    await expect(away.said).to_have_count(0)
    await away.type("half a draft")
    cable.mend()
    await away.connected()
    await asyncio.sleep(1)
    assert away.contexts() == {}
    await expect(away.text).to_have_value("half a draft")
    await waiting.get_by_role("button", name="Say it: Is anybody there?").click()
    await away.wait_heard()
    await expect(away.said).to_have_text(["Is anybody there?"])
    await waiting.get_by_role("button", name="Keep").click()
    await expect(away.said).to_have_text(["Yes, please.", "Is anybody there?"])
    await expect(waiting).to_be_hidden()


async def test_read_aloud_requested_while_away_is_not_read_later(
    away: SpeakingPage, cable: Cable
) -> None:
    await away.type("Some text")
    await away.page.get_by_role("button", name="Read aloud").click()
    await expect(away.notice).to_contain_text("that is not spoken")
    cable.mend()
    await away.connected()
    await asyncio.sleep(1)
    assert away.contexts() == {}
    await expect(away.text).to_have_value("Some text")


async def test_device_voice_speaks_waiting_text(away: SpeakingPage) -> None:
    await away.type("Help me please")
    await away.press("Enter")
    await away.page.get_by_role("button", name="Say it now with this device's voice").click()
    await expect(away.page.get_by_role("region", name="Waiting")).to_be_hidden()
    assert await away.page.evaluate("spokenHere") == ["Help me please"]
    await expect(away.said).to_have_text(["Help me please"])


async def test_waiting_text_survives_reload_and_discard_can_be_undone(
    away: SpeakingPage, cable: Cable
) -> None:
    await away.press("Alt+2")
    cable.mend()
    await away.page.reload()
    await away.connected()
    waiting = away.page.get_by_role("region", name="Waiting")
    await waiting.get_by_role("button", name="Discard").click()
    await expect(waiting).to_be_hidden()
    await away.page.get_by_role("button", name="Undo").click()
    await expect(waiting.locator("p")).to_have_text(["No, thank you."])
    assert away.contexts() == {}


async def test_text_begun_before_the_server_went_away_waits_too(page: Page, cable: Cable) -> None:
    speaking = await SpeakingPage(page).open(cable.url)
    text = "The quick brown fox jumps over the lazy dog, and the dog sleeps on. " * 4
    cable.cut_after(60_000)
    await speaking.text.fill(text)
    await speaking.press("Enter")
    await cable.broken.wait()
    waiting = page.get_by_role("region", name="Waiting").locator("p")
    await expect(waiting).to_have_count(1)
    rest, said = await waiting.inner_text(), await speaking.said.inner_text()
    assert (said + " " + rest).split() == text.split()
    cable.mend()
    await speaking.connected()
    await asyncio.sleep(1)
    assert len(speaking.contexts()) == 1
