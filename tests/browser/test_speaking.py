"""Typing and hearing: the page in a real browser with a real server."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from playwright.async_api import Page, expect

from tests.browser.cable import cable_to
from tests.browser.speaking_page import RAMP_S, SpeakingPage

pytestmark = pytest.mark.asyncio(loop_scope="package")

SENTENCE = "The quick brown fox jumps over the lazy dog, and the dog sleeps on."
ONCE_EACH = "The quick brown fox jumps over a lazy dog, and then it sleeps on."  # no repeated word
HIGHLIGHT_WITHIN_S = 0.060
ONE_FRAME_S = 1 / 60
SILENT_WITHIN_S = 0.050


async def test_played_samples_equal_the_sent_samples_without_gaps(page: Page, url: str) -> None:
    async with cable_to(url) as cable:
        speaking = await SpeakingPage(page).open(cable.url)
        cable.hold()  # rules out gaps from a busy server
        await speaking.text.fill(SENTENCE)
        await speaking.press("Enter")
        await asyncio.sleep(0.5)
        cable.let_flow()
        await speaking.wait_all_heard()
        await speaking.assert_played_is_sent()
        assert len((await speaking.recording()).stretches) == 1
        assert not speaking.complaints


async def test_pauses_in_typing_are_silent_without_a_click(speaking: SpeakingPage) -> None:
    await speaking.type("One two three ")
    await asyncio.sleep(1.5)
    await speaking.type("four five six. ")
    await speaking.press("Enter")
    await speaking.wait_all_heard()
    assert len((await speaking.recording()).stretches) > 1
    await speaking.assert_played_is_sent()


async def test_sound_starts_before_the_sentence_ends(speaking: SpeakingPage) -> None:
    await speaking.type("The quick brown ")
    await speaking.wait_heard()
    await speaking.type("fox jumps.")
    await speaking.press("Enter")
    await speaking.wait_all_heard()
    assert speaking.contexts() == {"page-1": "The quick brown fox jumps."}


async def test_words_are_highlighted_while_heard(speaking: SpeakingPage) -> None:
    """Each within 60 ms, or at the first frame painted on a busy machine."""
    await speaking.text.fill(ONCE_EACH)
    await speaking.press("Enter")
    await speaking.wait_all_heard()
    recording = await speaking.recording()
    (stretch,) = recording.stretches
    start_s = stretch.frame / recording.rate_hz
    lit = await speaking.page.evaluate("Object.fromEntries(tap.lit.map((o) => [o.word, o.heard]))")
    frames_s = np.array(await speaking.page.evaluate("tap.frames"))
    words = [word for header in speaking.messages("audio") for word in header["words"]]
    late_s = []
    for start, end, start_ms, end_ms in words:
        begins_s, ends_s = start_s + start_ms / 1000, start_s + end_ms / 1000
        frame_s = frames_s[frames_s >= begins_s].min(initial=np.inf)
        if frame_s > ends_s - ONE_FRAME_S:
            continue  # no frame was painted during this word
        assert ONCE_EACH[start:end] in lit
        late_s.append(lit[ONCE_EACH[start:end]] - begins_s)
        assert (
            -HIGHLIGHT_WITHIN_S
            <= late_s[-1]
            <= max(HIGHLIGHT_WITHIN_S, frame_s + ONE_FRAME_S - begins_s)
        )
    assert len(late_s) > len(words) / 2
    assert np.median(np.abs(late_s)) <= HIGHLIGHT_WITHIN_S
    assert np.median(await speaking.page.evaluate("tap.painting_ms")) < 1000 * ONE_FRAME_S / 2


async def test_backspace_changes_the_speech(speaking: SpeakingPage) -> None:
    await speaking.type("We shall meet on Tuesday", delay_ms=15)
    await speaking.press(*["Backspace"] * 7)
    await speaking.type("Friday", delay_ms=15)
    await speaking.press("Enter")
    await speaking.wait_all_heard()
    assert speaking.contexts() == {"page-1": "We shall meet on Friday"}
    assert speaking.messages("done")[0]["characters"] == len("We shall meet on Friday")
    await expect(speaking.said).to_have_text(["We shall meet on Friday"])


async def test_deleted_spoken_text_is_restored(speaking: SpeakingPage) -> None:
    await speaking.type("Spoken words ")
    await speaking.wait_heard()
    await speaking.wait_until("tap.dry_at() > 0")
    await speaking.press(*["Backspace"] * 6)
    await expect(speaking.text).to_have_value("Spoken words ")
    await expect(speaking.notice).to_contain_text("spoken already")
    await speaking.type("stay.")
    await speaking.press("Enter")
    await speaking.wait_all_heard()
    await expect(speaking.said).to_have_text(["Spoken words stay."])


async def test_deleting_everything_retracts_unspoken_text(speaking: SpeakingPage) -> None:
    await speaking.text.fill(SENTENCE + " " + SENTENCE)
    await speaking.wait_heard()
    await speaking.text.fill("")
    await speaking.wait_all_heard()
    spoken = speaking.messages("done")[0]["characters"]
    assert 0 < spoken < 2 * len(SENTENCE)
    await expect(speaking.said).to_have_text([(SENTENCE + " " + SENTENCE)[:spoken].strip()])
    await expect(speaking.text).to_have_value("")


async def test_escape_silences_immediately(speaking: SpeakingPage) -> None:
    await speaking.page.evaluate(
        "addEventListener('keydown', ({ key }) => {"
        "  if (key === 'Escape') tap.escaped = tap.context.currentTime }, true)"
    )
    await speaking.text.fill(SENTENCE)
    await speaking.wait_heard()
    await speaking.press("Escape")
    await asyncio.sleep(0.5)
    recording, sent = await speaking.recording(), len(speaking.audio())
    (stretch,) = recording.stretches
    assert stretch.length < sent / 2
    # Measured by the audio clock, to exclude delays of the key event before the page.
    escaped_s = await speaking.page.evaluate("tap.escaped")
    assert recording.silent_from_s() - escaped_s <= SILENT_WITHIN_S
    silent_from = np.flatnonzero(recording.samples)[-1] + 1
    assert silent_from - (stretch.at + stretch.length) <= RAMP_S * recording.rate_hz + 1
    assert [message["type"] for message in speaking.sent].count("cancel") == 1
    await expect(speaking.text).to_have_value(SENTENCE)


async def test_text_can_be_edited_and_repeated_after_escape(speaking: SpeakingPage) -> None:
    await speaking.text.fill(SENTENCE)
    await speaking.wait_heard()
    await speaking.press("Escape")
    await speaking.type(" Yes")
    await speaking.press("Enter")
    await speaking.wait_all_heard()
    assert list(speaking.contexts().values())[1:] == ["on. Yes"]  # from the changed word


async def test_sentence_mode_is_left_to_the_server(speaking: SpeakingPage) -> None:
    await speaking.choose_mode("By sentence")
    await speaking.text.fill("Dr. Smith paid 3.50 for it. And")
    await speaking.wait_heard()
    await speaking.wait_until("tap.dry_at() > 0")
    start = next(message for message in speaking.sent if message["type"] == "start")
    assert start["typing"] == "sentence"
    assert speaking.contexts() == {"page-1": "Dr. Smith paid 3.50 for it. And"}
    spoken = max(header["text"][1] for header in speaking.messages("audio"))
    assert "Dr. Smith paid 3.50 for it. And"[:spoken].strip() == "Dr. Smith paid 3.50 for it."


async def test_on_enter_mode_sends_nothing_before_enter(speaking: SpeakingPage) -> None:
    await speaking.choose_mode("On Enter")
    await speaking.type("Nothing yet. Or is there?")
    assert speaking.contexts() == {}
    await speaking.press("Enter")
    await speaking.wait_all_heard()
    assert speaking.contexts() == {"page-1": "Nothing yet. Or is there?"}


async def test_offsets_are_correct_with_astral_characters(speaking: SpeakingPage) -> None:
    text = "Well 😀 done 𝒳 my friend"
    await speaking.text.fill(text)
    await speaking.press("Enter")
    await speaking.wait_all_heard()
    lit = [each["word"] for each in await speaking.page.evaluate("globalThis.tap.lit")]
    assert [word for word in lit if word.isascii()] == ["Well", "done", "my", "friend"]
    assert speaking.messages("done")[0]["characters"] == len(text)


async def test_texts_are_spoken_in_request_order(speaking: SpeakingPage) -> None:
    await speaking.type("First ", delay_ms=5)
    await speaking.press("Alt+1", "Alt+2")
    await speaking.wait_all_heard(3)
    await expect(speaking.said).to_have_text(["No, thank you.", "Yes, please."])
    contexts = {text: context for context, text in speaking.contexts().items()}
    assert contexts.keys() == {"First ", "Yes, please.", "No, thank you."}
    asked = ("First ", "Yes, please.", "No, thank you.")
    await speaking.assert_played_is_sent([contexts[text] for text in asked])


async def test_new_voice_starts_at_the_next_word_and_missing_voice_is_replaced(
    speaking: SpeakingPage,
) -> None:
    await speaking.type("This is the one ")
    await speaking.wait_heard()
    await speaking.page.get_by_role("button", name="Settings").click()
    await speaking.page.locator("#voices input[value=emma]").check()
    await speaking.page.get_by_role("button", name="Close").click()
    await speaking.type("and only ")
    await expect(speaking.notice).to_contain_text("Heart speaks instead", timeout=15_000)
    await speaking.press("Enter")
    await speaking.wait_all_heard(2)
    starts = {m["context"]: m["voice"] for m in speaking.sent if m["type"] == "start"}
    assert [starts[context] for context in speaking.contexts()] == ["heart", "emma", "heart"]
    spoken = {done["context"]: done["characters"] for done in speaking.messages("done")}
    assert sum(spoken.values()) == len("This is the one and only ")


async def test_playback_position_is_reported(speaking: SpeakingPage) -> None:
    await speaking.text.fill(SENTENCE)
    await speaking.wait_heard()
    await asyncio.sleep(1.5)
    await speaking.press("Enter")
    await speaking.wait_all_heard()
    played = [message["ms"] for message in speaking.sent if message["type"] == "played"]
    assert len(played) >= 3
    assert played == sorted(played)
    assert played[-1] <= speaking.messages("done")[0]["audio_ms"]
