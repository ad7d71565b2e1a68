"""What is typed is what is heard: the page in a real browser, before a real server."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from playwright.async_api import Page, expect

from tests.browser.cable import cable_to
from tests.browser.speaking_page import RAMP_S, SpeakingPage

pytestmark = pytest.mark.asyncio(loop_scope="package")

SENTENCE = "The quick brown fox jumps over the lazy dog, and the dog sleeps on."
ONCE_EACH = "The quick brown fox jumps over a lazy dog, and then it sleeps on."  # no word twice
HIGHLIGHT_WITHIN_S = 0.060
ONE_FRAME_S = 1 / 60
SILENT_WITHIN_S = 0.050


async def test_what_is_played_is_what_the_server_sent_without_a_gap(page: Page, url: str) -> None:
    async with cable_to(url) as cable:
        speaking = await SpeakingPage(page).open(cable.url)
        cable.hold()  # then no busy server is to blame for a gap
        await speaking.text.fill(SENTENCE)
        await speaking.press("Enter")
        await asyncio.sleep(0.5)
        cable.let_flow()
        await speaking.heard_all()
        await speaking.assert_played_is_sent()
        assert len((await speaking.recording()).stretches) == 1
        assert not speaking.complaints


async def test_pauses_of_a_slow_writer_are_silence_without_a_click(speaking: SpeakingPage) -> None:
    await speaking.type("One two three ")
    await asyncio.sleep(1.5)
    await speaking.type("four five six. ")
    await speaking.press("Enter")
    await speaking.heard_all()
    assert len((await speaking.recording()).stretches) > 1
    await speaking.assert_played_is_sent()


async def test_sound_begins_before_the_sentence_is_finished(speaking: SpeakingPage) -> None:
    await speaking.type("The quick brown ")
    await speaking.loud()
    await speaking.type("fox jumps.")
    await speaking.press("Enter")
    await speaking.heard_all()
    assert speaking.contexts() == {"page-1": "The quick brown fox jumps."}


async def test_words_light_up_while_they_are_heard(speaking: SpeakingPage) -> None:
    """Each within 60 ms, or with the first frame that a busy machine lets the browser paint."""
    await speaking.text.fill(ONCE_EACH)
    await speaking.press("Enter")
    await speaking.heard_all()
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
            continue  # not one frame was painted while it sounded
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


async def test_backspace_changes_what_is_said(speaking: SpeakingPage) -> None:
    await speaking.type("We shall meet on Tuesday", delay_ms=15)
    await speaking.press(*["Backspace"] * 7)
    await speaking.type("Friday", delay_ms=15)
    await speaking.press("Enter")
    await speaking.heard_all()
    assert speaking.contexts() == {"page-1": "We shall meet on Friday"}
    assert speaking.messages("done")[0]["characters"] == len("We shall meet on Friday")
    await expect(speaking.said).to_have_text(["We shall meet on Friday"])


async def test_what_is_spoken_comes_back_when_it_is_deleted(speaking: SpeakingPage) -> None:
    await speaking.type("Spoken words ")
    await speaking.loud()
    await speaking.shown("tap.dry_at() > 0")
    await speaking.press(*["Backspace"] * 6)
    await expect(speaking.text).to_have_value("Spoken words ")
    await expect(speaking.notice).to_contain_text("spoken already")
    await speaking.type("stay.")
    await speaking.press("Enter")
    await speaking.heard_all()
    await expect(speaking.said).to_have_text(["Spoken words stay."])


async def test_deleting_everything_leaves_unsaid_what_was_not_spoken(
    speaking: SpeakingPage,
) -> None:
    await speaking.text.fill(SENTENCE + " " + SENTENCE)
    await speaking.loud()
    await speaking.text.fill("")
    await speaking.heard_all()
    spoken = speaking.messages("done")[0]["characters"]
    assert 0 < spoken < 2 * len(SENTENCE)
    await expect(speaking.said).to_have_text([(SENTENCE + " " + SENTENCE)[:spoken].strip()])
    await expect(speaking.text).to_have_value("")


async def test_escape_is_silence_at_once(speaking: SpeakingPage) -> None:
    await speaking.page.evaluate(
        "addEventListener('keydown', ({ key }) => {"
        "  if (key === 'Escape') tap.escaped = tap.context.currentTime }, true)"
    )
    await speaking.text.fill(SENTENCE)
    await speaking.loud()
    await speaking.press("Escape")
    await asyncio.sleep(0.5)
    recording, sent = await speaking.recording(), len(speaking.audio())
    (stretch,) = recording.stretches
    assert stretch.length < sent / 2
    # By the audio clock: how long the machine keeps the key to itself is not the page's doing.
    escaped_s = await speaking.page.evaluate("tap.escaped")
    assert recording.silent_from_s() - escaped_s <= SILENT_WITHIN_S
    silent_from = np.flatnonzero(recording.samples)[-1] + 1
    assert silent_from - (stretch.at + stretch.length) <= RAMP_S * recording.rate_hz + 1
    assert [message["type"] for message in speaking.sent].count("cancel") == 1
    await expect(speaking.text).to_have_value(SENTENCE)


async def test_after_escape_the_text_may_be_changed_and_said_again(speaking: SpeakingPage) -> None:
    await speaking.text.fill(SENTENCE)
    await speaking.loud()
    await speaking.press("Escape")
    await speaking.type(" Yes")
    await speaking.press("Enter")
    await speaking.heard_all()
    assert list(speaking.contexts().values())[1:] == ["on. Yes"]  # from the word that was changed


async def test_sentences_are_the_server_s_business(speaking: SpeakingPage) -> None:
    await speaking.mode("By sentence")
    await speaking.text.fill("Dr. Smith paid 3.50 for it. And")
    await speaking.loud()
    await speaking.shown("tap.dry_at() > 0")
    start = next(message for message in speaking.sent if message["type"] == "start")
    assert start["typing"] == "sentence"
    assert speaking.contexts() == {"page-1": "Dr. Smith paid 3.50 for it. And"}
    spoken = max(header["text"][1] for header in speaking.messages("audio"))
    assert "Dr. Smith paid 3.50 for it. And"[:spoken].strip() == "Dr. Smith paid 3.50 for it."


async def test_on_enter_nothing_is_sent_before(speaking: SpeakingPage) -> None:
    await speaking.mode("On Enter")
    await speaking.type("Nothing yet. Or is there?")
    assert speaking.contexts() == {}
    await speaking.press("Enter")
    await speaking.heard_all()
    assert speaking.contexts() == {"page-1": "Nothing yet. Or is there?"}


async def test_offsets_survive_characters_outside_the_basic_plane(speaking: SpeakingPage) -> None:
    text = "Well 😀 done 𝒳 my friend"
    await speaking.text.fill(text)
    await speaking.press("Enter")
    await speaking.heard_all()
    lit = [each["word"] for each in await speaking.page.evaluate("globalThis.tap.lit")]
    assert [word for word in lit if word.isascii()] == ["Well", "done", "my", "friend"]
    assert speaking.messages("done")[0]["characters"] == len(text)


async def test_texts_are_spoken_in_order_of_asking(speaking: SpeakingPage) -> None:
    await speaking.type("First ", delay_ms=5)
    await speaking.press("Alt+1", "Alt+2")
    await speaking.heard_all(3)
    await expect(speaking.said).to_have_text(["No, thank you.", "Yes, please."])
    contexts = {text: context for context, text in speaking.contexts().items()}
    assert contexts.keys() == {"First ", "Yes, please.", "No, thank you."}
    asked = ("First ", "Yes, please.", "No, thank you.")
    await speaking.assert_played_is_sent([contexts[text] for text in asked])


async def test_another_voice_speaks_from_the_next_word_and_a_missing_one_is_replaced(
    speaking: SpeakingPage,
) -> None:
    await speaking.type("This is the one ")
    await speaking.loud()
    await speaking.page.get_by_role("button", name="Settings").click()
    await speaking.page.locator("#voices input[value=emma]").check()
    await speaking.page.get_by_role("button", name="Close").click()
    await speaking.type("and only ")
    await expect(speaking.notice).to_contain_text("Heart speaks instead", timeout=15_000)
    await speaking.press("Enter")
    await speaking.heard_all(2)
    starts = {m["context"]: m["voice"] for m in speaking.sent if m["type"] == "start"}
    assert [starts[context] for context in speaking.contexts()] == ["heart", "emma", "heart"]
    spoken = {done["context"]: done["characters"] for done in speaking.messages("done")}
    assert sum(spoken.values()) == len("This is the one and only ")


async def test_the_listener_s_position_is_reported(speaking: SpeakingPage) -> None:
    await speaking.text.fill(SENTENCE)
    await speaking.loud()
    await asyncio.sleep(1.5)
    await speaking.press("Enter")
    await speaking.heard_all()
    played = [message["ms"] for message in speaking.sent if message["type"] == "played"]
    assert len(played) >= 3
    assert played == sorted(played)
    assert played[-1] <= speaking.messages("done")[0]["audio_ms"]
