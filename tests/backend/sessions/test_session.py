"""A client's contexts, end to end in scripted time: everything but the socket and the threads."""

from __future__ import annotations

import asyncio
import string
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from backend.errors import BadJson, Overloaded
from backend.events import (
    Audio,
    Cancel,
    Cancelled,
    Command,
    Done,
    End,
    Failed,
    Flush,
    Ping,
    Played,
    Pong,
    Ready,
    Resume,
    Retract,
    Retracted,
    Start,
    Text,
)
from backend.protocols.native import encode
from tests.support.engines.inline_tts import InlineTTS
from tests.support.scripted_session import ScriptedClient, scripted, settings

PCM = "pcm_f32le"


def start(context: str = "a", **fields: object) -> Start:
    return Start(context, format=PCM, **fields)  # type: ignore[arg-type]


class FullOnceItSpeaks(InlineTTS):
    """Has no room for a second listener."""

    def check_capacity(self) -> None:
        if self.utterances:
            raise Overloaded("full")


# --- speaking while the text is written ----------------------------------------------------------


def test_greets_with_its_defaults() -> None:
    async def script(client: ScriptedClient) -> None:
        client.session.send_ready()
        await client.settled()

    client = scripted(script)
    (ready,) = client.events
    assert isinstance(ready, Ready)
    assert (ready.voice, ready.sample_rate, ready.format) == ("heart", 24000, "pcm_s16le")
    assert ready.session != ready.token


def test_speaks_the_first_word_while_the_sentence_is_still_written() -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(start(), Text("a", "Hello the"))
        await client.wait(0.01)
        assert client.heard() == "Hello"
        client.say(Text("a", "re my friend"), End("a"))
        await client.settled()

    client = scripted(script)
    client.assert_sums()
    assert client.heard() == "Hellotheremyfriend"
    assert len(client.tts.utterances) == 1, "one sentence, one utterance"


def test_renders_new_words_in_the_context_of_the_whole_sentence() -> None:
    async def script(client: ScriptedClient) -> None:
        for word in ["one", " two", " three", " four", " five"]:
            client.say(Text("a", word))
            await client.wait(0.05)

    releases = scripted(script).tts.releases
    assert len(releases) > 2
    for release, following in pairwise(releases):
        assert following.text.startswith(release.text)
        assert following.speak_to > release.speak_to
        assert len(release.text) > release.speak_to, "the next word is known as far as it is there"


def test_a_pause_releases_what_was_held_back() -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(start(), Text("a", "Hello there "))
        await client.wait(1.0)
        assert client.heard() == "Hellothere"

    lookahead = settings(latency_optimization={"lookahead_start": 1})
    first_s, second_s = (at_s for at_s, _ in scripted(script, lookahead).log)
    assert first_s == 0.0
    assert second_s == pytest.approx(0.1)


def test_flush_speaks_all_that_is_known_and_more_may_follow() -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(start(), Text("a", "Hel"), Flush("a"))
        await client.wait(0.01)
        assert client.heard() == "Hel"
        client.say(Text("a", "lo"), End("a"))
        await client.settled()

    client = scripted(script)
    assert client.heard() == "Hello"
    client.assert_sums()


def test_retract_answers_with_the_offset_from_which_it_could() -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(start(), Text("a", "Hello there my"))
        await client.wait(0.01)  # "Hello there " is spoken
        client.say(Retract("a", 2), Text("a", "you"), End("a"))
        await client.settled()

    client = scripted(script)
    assert client.one(Retracted) == Retracted("a", 12)
    assert client.heard() == "Hellothereyou"


def test_what_the_listener_really_heard_moves_the_pace() -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(start(), Text("a", f"{'word ' * 40}"))
        await client.wait(0.01)
        released = len(client.tts.releases)
        client.say(Text("a", "more words "))
        await client.wait(0.01)
        assert len(client.tts.releases) == released, "the listener has enough"
        client.say(Played("a", 10_000))
        await client.wait(0.01)
        assert len(client.tts.releases) == released + 1

    scripted(script)


def test_an_end_without_text_is_done_at_once() -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(End("a"))
        await client.settled()

    assert scripted(script).events == [Done("a", 0, 0, 0)]


@pytest.mark.parametrize("text", [" ", "\n\n", "🙂", "...", "\u200b", "- ", "```", "***"])
def test_text_without_words_is_accounted_for(text: str) -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(start(), Text("a", text), End("a"))
        await client.settled()

    client = scripted(script)
    client.assert_sums()
    assert client.one(Done).characters == len(text)


def test_offsets_count_code_points() -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(start(), Text("a", "👋🏽 é"), End("a"))
        await client.settled()

    assert scripted(script).one(Done).characters == 4


def test_a_sentence_of_2000_characters_without_a_mark_is_spoken_at_once() -> None:
    text = "word " * 400

    async def script(client: ScriptedClient) -> None:
        client.say(start(), Text("a", text[:1000]))
        await client.wait(0.01)
        assert client.of(Audio)[0].text == (0, 25)
        client.say(Text("a", text[1000:]), End("a"))
        await client.settled()

    client = scripted(script)
    client.assert_sums()
    assert client.heard() == "word" * 400


@pytest.mark.parametrize("name", ["opus", "mp3", "mulaw", "alaw", "pcm_s16le", "pcm_f32le"])
def test_every_format_adds_up(name: str) -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(Start("a", format=name), Text("a", "Hello there. How are you? "), End("a"))
        await client.settled()

    client = scripted(script)
    client.assert_sums()
    done = client.one(Done)
    assert done.characters == 26
    assert done.audio_ms == pytest.approx(10 * len("Hellothere.Howareyou?"), abs=1)


def test_long_audio_is_cut_into_messages_that_fit() -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(start(sample_rate=48000, frames="json", mode="batch"))
        client.say(Text("a", "x" * 3000 + " y. "), End("a"))
        await client.settled()

    client = scripted(script, settings(latency_optimization={"chunk_size": 5000}))
    client.assert_sums()
    assert len(client.of(Audio)) > 10
    assert max(len(encode(audio)) for audio in client.of(Audio)) < 256 * 1024


# --- contexts ------------------------------------------------------------------------------------


def test_contexts_run_side_by_side_each_in_order() -> None:
    names = string.ascii_lowercase[:8]
    words = ["The", "quick", "brown", "fox", "jumps.", "Over", "the", "lazy", "dog.", ""]

    async def script(client: ScriptedClient) -> None:
        client.say(*(start(name) for name in names))
        for word in words:
            for name in names:
                client.say(Text(name, f"{word}{name} "))
            await client.wait(0.02)
        client.say(*(End(name) for name in names))
        await client.settled()

    client = scripted(script, tts=InlineTTS(delay_s=0.01))
    order = [event.context for event in client.events if isinstance(event, Audio)]
    assert order != sorted(order), "side by side"
    for name in names:
        client.assert_sums(name)
        assert client.heard(name) == "".join(f"{word}{name}" for word in words)
        assert client.one(Done, name)


def test_a_slow_reader_stops_his_own_rendering() -> None:
    async def script(client: ScriptedClient) -> None:
        client.reading.clear()
        client.say(start(mode="batch"), Text("a", "word. " * 1000), End("a"))
        await client.wait(60.0)
        assert len(client.session.send_queue) <= 3
        assert len(client.tts.releases) < 10
        client.reading.set()
        await client.settled()

    client = scripted(script, settings(bidirectional_streaming={"queue_size": 3}))
    client.assert_sums()
    assert client.one(Done).characters == 6000


def test_start_takes_effect() -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(start(voice="second", speed=1.5, seed=7, language="en-GB", frames="json"))
        client.say(Text("a", "Hi"), End("a"))
        await client.settled()

    client = scripted(script)
    (utterance,) = client.tts.utterances
    assert (utterance.voice, utterance.speed, utterance.seed) == ("second", 1.5, 7)
    assert utterance.language == "en-GB"
    assert {audio.frames for audio in client.of(Audio)} == {"json"}


def test_one_seed_for_all_of_a_context() -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(start(), Text("a", "One here. Two here. Three here. "), End("a"))
        await client.settled()

    assert len({utterance.seed for utterance in scripted(script).tts.utterances}) == 1


def test_ping_is_answered_while_speech_waits() -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(Text("a", "Hello "), Ping("x"), Ping(5))
        await client.wait(0)

    assert scripted(script).events[:2] == [Pong("x", 1), Pong(5, 1)]


def test_pong_says_how_many_messages_were_handled() -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(Text("a", "Hello "), Ping(1), Flush("never"), Cancel("unknown"), Ping(2))
        client.session.refuse_undecodable(BadJson("not JSON"))
        client.say(Ping(3))
        await client.wait(0)

    pongs = [event for event in scripted(script).events if isinstance(event, Pong)]
    assert [pong.received for pong in pongs] == [1, 3, 4]


def test_resume_is_refused_by_a_session_that_goes_on() -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(start(), Text("a", "Hello "))
        client.say(Resume(client.session.id, client.session.token, {}))
        client.say(Text("a", "there"), End("a"), Ping())
        await client.settled()

    client = scripted(script)
    assert client.codes(None) == ["resume_failed"]
    assert client.heard() == "Hellothere"
    assert next(e for e in client.events if isinstance(e, Pong)).received == 4


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (Start("b", voice="nobody"), "unknown_voice"),
        (Start("b", format="midi"), "bad_format"),
        (Start("b", format="mp3", bit_rate=1), "bad_format"),
        (Start("b", format="wav", bit_rate=64_000), "bad_format"),
        (Start("b", sample_rate=7999), "bad_format"),
        (Start("b", sample_rate=10**400), "bad_format"),
        (Start("b", format="opus", sample_rate=44100), "bad_format"),
        (Start("b", speed=0.1), "bad_message"),
        (Start("b", speed=float("inf")), "bad_message"),
        (Start("b", seed=-1), "bad_message"),
        (Start("b", seed=2**31), "bad_message"),
        (Start("b", language="tlh"), "unsupported"),
        (Retract("b", 0), "unknown_context"),
        (Retract("b", -1), "bad_message"),
        (Played("b", 0), "unknown_context"),
        (Played("b", -1), "bad_message"),
        (Cancel("b"), "unknown_context"),
    ],
)
def test_a_refusal_has_a_code_and_disturbs_nothing(command: Command, code: str) -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(start(), Text("a", "Hello "))
        client.say(command)
        client.say(Text("a", "there"), End("a"))
        await client.settled()

    client = scripted(script)
    assert client.codes("b") == [code]
    assert client.heard() == "Hellothere"
    client.assert_sums()


def test_a_refused_start_uses_its_id_up() -> None:
    """What was sent right behind it must not be spoken in another voice than asked for."""

    async def script(client: ScriptedClient) -> None:
        client.say(start(voice="nobody"), Text("a", "Hello"), start(), End("a"))
        client.say(start("b"), Text("b", "Hi"), End("b"))
        await client.settled()

    client = scripted(script)
    assert client.codes() == ["unknown_voice", *["context_ended"] * 3]
    assert client.of(Audio) == []
    assert client.heard("b") == "Hi"


@pytest.mark.parametrize("late", [Text("a", "x"), Flush("a"), End("a"), Start("a")])
def test_nothing_comes_after_end(late: Command) -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(start(), Text("a", "Hello"), End("a"), late)  # while it is still spoken
        await client.settled()
        client.say(late)  # and when it is done
        await client.settled()

    client = scripted(script)
    first = "context_started" if isinstance(late, Start) else "context_ended"
    assert client.codes() == [first, "context_ended"]
    assert client.heard() == "Hello"
    assert client.one(Done).characters == 5


def test_start_after_text_is_refused_and_changes_nothing() -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(Text("a", "Hello"), start(voice="second"), End("a"))
        await client.settled()

    client = scripted(script)
    assert client.codes() == ["context_started"]
    assert client.tts.utterances[0].voice == "heart"


def test_text_over_the_limit_is_refused_whole() -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(start(), Text("a", "Hello there. "), Text("a", "x" * 100), End("a"))
        await client.settled()

    client = scripted(script, settings(server={"max_text_length": 100}))
    assert client.codes() == ["text_limit"]
    assert client.heard() == "Hellothere."
    assert client.one(Done).characters == 13


def test_there_is_room_again_when_text_is_spoken() -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(start(), Text("a", "x" * 98 + ". "), Flush("a"))
        await client.wait(10)
        client.say(Text("a", "y" * 100), End("a"))
        await client.settled()

    client = scripted(script, settings(server={"max_text_length": 100}))
    assert client.codes() == []
    assert client.one(Done).characters == 200


def test_too_many_contexts() -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(start("a"), start("b"), start("c"), Text("d", "x"))
        client.say(Text("a", "Hello"), End("a"))
        await client.wait(1)
        client.say(Text("e", "Hi"), End("e"), End("b"))
        await client.settled()

    client = scripted(script, settings(bidirectional_streaming={"max_concurrent_tasks": 2}))
    assert (client.codes("c"), client.codes("d")) == (["too_many_contexts"], ["too_many_contexts"])
    assert client.heard() == "Hello"
    assert client.one(Done, "e").characters == 2, "there is room when one is done"


def test_an_overloaded_machine_takes_no_new_context_and_goes_on_with_the_old() -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(start(), Text("a", "Hello there "), start("b"))
        await client.wait(0.1)
        client.say(Text("c", "Hi"), Text("a", "friend"), End("a"), End("b"))
        await client.settled()

    client = scripted(script, tts=FullOnceItSpeaks())
    assert client.codes("c") == ["overloaded"]
    assert client.heard() == "Hellotherefriend"


@pytest.mark.parametrize("end", [End("a"), Cancel("a")])
def test_who_is_in_the_middle_of_a_call_is_not_refused(end: Command) -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(start(), Text("a", "Hello there "), start("b"), Text("b", "Next"), End("b"))
        await client.wait(0.1)
        client.say(end)
        await client.wait(4)
        client.say(start("c"), Text("c", "And on"), End("c"))
        await client.wait(10)
        client.say(start("d"))
        await client.settled()

    client = scripted(script, tts=FullOnceItSpeaks())
    assert client.heard("b") + client.heard("c") == "NextAndon"
    assert client.codes("d") == ["overloaded"], "he has left his place"


def test_a_refused_first_text_opens_nothing() -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(Text("a", "x" * 101), Text("a", "and its rest"), End("a"))
        client.say(Text("b", "Hello there."), End("b"))
        await client.settled()

    client = scripted(script, settings(server={"max_text_length": 100}))
    assert client.codes("a") == ["text_limit", "context_ended", "context_ended"]
    assert {event.context for event in client.events if isinstance(event, Audio)} == {"b"}


def test_batch_has_no_deadline_and_is_never_too_much() -> None:
    class FullTTS(InlineTTS):
        def check_capacity(self) -> None:
            raise Overloaded("full")

    async def script(client: ScriptedClient) -> None:
        client.say(start(mode="batch"), Text("a", "Hello there."), End("a"))
        await client.settled()

    client = scripted(script, tts=FullTTS())
    assert client.codes() == []
    assert client.heard() == "Hellothere."


# --- cancel --------------------------------------------------------------------------------------


def test_cancel_says_how_far_it_got_and_nothing_follows() -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(start(), Text("a", "One two three four five. Six seven. " * 5), End("a"))
        client.say(start("b"), Text("b", "Not disturbed at all. "), End("b"))
        await client.wait(0.035)
        client.say(Cancel("a"))
        await client.settled()

    client = scripted(script, tts=InlineTTS(delay_s=0.01))
    client.assert_sums()
    cancelled = client.one(Cancelled)
    assert 0 < cancelled.text_to < 180
    of_a = [e for e in client.events if not isinstance(e, Ready | Pong) and e.context == "a"]
    assert of_a[-1] is cancelled
    assert client.of(Done) == []
    client.assert_sums("b")
    assert client.heard("b") == "Notdisturbedatall."


def test_cancel_purges_what_is_queued() -> None:
    async def script(client: ScriptedClient) -> None:
        client.reading.clear()
        client.say(start(mode="batch"), Text("a", "One two. Three four. Five six. No"))
        client.say(start("b", mode="batch"), Text("b", "Other. "), End("b"))
        await client.wait(1.0)
        queued = len(client.session.send_queue)
        client.say(Cancel("a"))
        assert len(client.session.send_queue) < queued
        client.reading.set()
        await client.settled()

    client = scripted(script)
    client.assert_sums()
    assert client.one(Cancelled).text_to == 9, "one message had been read"
    assert client.heard() == "Onetwo."
    assert client.heard("b") == "Other."


def test_cancel_before_anything_is_spoken() -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(Text("a", "Hello"), Cancel("a"))
        await client.settled()

    assert scripted(script).events == [Cancelled("a", 0, 0.0)]


def test_cancel_while_delivery_waits_for_room() -> None:
    async def script(client: ScriptedClient) -> None:
        client.reading.clear()
        client.say(start(mode="batch"), Text("a", "One. Two. Three. Four. Five. "), End("a"))
        await client.wait(1.0)
        client.say(Cancel("a"))
        client.reading.set()
        await client.settled()

    client = scripted(script, settings(bidirectional_streaming={"queue_size": 1}))
    client.assert_sums()
    assert client.one(Cancelled).text_to == 5


def test_a_cancelled_id_is_used_up() -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(Text("a", "Hello"), Cancel("a"), Text("a", "again"), Cancel("a"), End("a"))
        await client.settled()

    client = scripted(script)
    assert client.codes() == ["context_ended"] * 3
    assert client.of(Audio) == []


def test_cancel_makes_room_for_another_context() -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(Text("a", "Hello"), Cancel("a"), start("b"), Text("b", "Hi"), End("b"))
        await client.settled()

    client = scripted(script, settings(bidirectional_streaming={"max_concurrent_tasks": 1}))
    assert client.heard("b") == "Hi"


def test_played_may_come_after_the_end() -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(Text("a", "Hello"), End("a"))
        await client.settled()
        client.say(Played("a", 50))
        await client.wait(0)

    assert scripted(script).codes() == []


@given(
    cancel_at_s=st.floats(0, 1),
    engine_delay_s=st.sampled_from([0.0, 0.01, 0.1]),
    read_pause_s=st.sampled_from([0.0, 0.03]),
    queue_size=st.sampled_from([1, 3, 100]),
    immediate=st.booleans(),
    name=st.sampled_from([PCM, "opus", "mulaw"]),
)
@hypothesis_settings(max_examples=100, deadline=None)
def test_cancel_at_any_time_tells_exactly_what_was_delivered(
    cancel_at_s: float,
    engine_delay_s: float,
    read_pause_s: float,
    queue_size: int,
    immediate: bool,
    name: str,
) -> None:
    async def script(client: ScriptedClient) -> None:
        client.read_pause_s = read_pause_s
        for context in ("a", "b"):
            client.say(Start(context, format=name), Text(context, "One two three. Four five. " * 3))
            client.say(End(context))
        await client.wait(cancel_at_s)
        client.say(Cancel("a"))
        await client.settled()

    config = settings(
        bidirectional_streaming={"queue_size": queue_size, "immediate_send": immediate}
    )
    client = scripted(script, config, InlineTTS(delay_s=engine_delay_s))
    client.assert_sums("a")
    client.assert_sums("b")
    assert client.one(Done, "b").characters == 78
    if client.of(Done, "a"):  # it was quicker
        assert client.codes() == ["context_ended"]
    else:
        last = [e for e in client.events if not isinstance(e, Ready | Pong) and e.context == "a"]
        assert isinstance(last[-1], Cancelled)


# --- failures ------------------------------------------------------------------------------------


def test_a_failed_sentence_is_told_accounted_for_and_the_next_is_spoken() -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(start(), Text("a", "First one. Then explode here. Last one. "), End("a"))
        client.say(start("b"), Text("b", "Not disturbed. "), End("b"))
        await client.settled()

    client = scripted(script)
    assert client.codes() == ["engine_failed"]
    client.assert_sums()
    assert client.one(Done).characters == 40
    assert client.heard() == "Firstone.Lastone."
    assert client.heard("b") == "Notdisturbed."


def test_the_rest_of_a_sentence_that_failed_half_way_is_spoken() -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(start(), Text("a", "Hello there explode "))
        await client.wait(1.0)
        client.say(Text("a", "all is well again. Indeed."), End("a"))
        await client.settled()

    client = scripted(script)
    assert "engine_failed" in client.codes()
    client.assert_sums()
    assert client.heard().endswith("alliswellagain.Indeed.")
    assert client.one(Done).characters == 46


def test_a_voice_that_fails_at_every_sentence_still_comes_to_an_end() -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(start(voice="broken"), Text("a", "One here. Two here. Three"), End("a"))
        await client.settled()

    client = scripted(script)
    assert client.codes() == ["voice_unavailable"] * 3
    client.assert_sums()
    assert client.one(Done).characters == 25


def test_a_voice_that_cannot_be_loaded_ends_the_context_with_the_reason() -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(start(voice="remote"), Text("a", "Hello "))
        await client.wait(0.1)
        client.say(Text("a", "there"), start("b"), Text("b", "Hi"), End("b"))
        await client.settled()

    client = scripted(script)
    assert client.codes() == ["voice_unavailable", "context_ended"]
    assert client.heard("b") == "Hi"


def test_a_release_that_takes_too_long_is_given_up() -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(start(), Text("a", "First one. "), Flush("a"))
        await client.wait(5.0)
        client.tts.delay_s = 0.0
        client.say(Text("a", "Second one. "), End("a"))
        await client.settled()

    client = scripted(script, tts=InlineTTS(delay_s=3.0, patience_s=2.0))
    assert client.codes() == ["timeout"]
    assert [at_s for at_s, event in client.log if isinstance(event, Failed)] == [2.0]
    client.assert_sums()
    assert client.heard() == "Secondone."


def test_a_reader_who_does_not_read_is_no_timeout_of_the_engine() -> None:
    async def script(client: ScriptedClient) -> None:
        client.reading.clear()
        client.say(start(mode="batch"), Text("a", "One two. " * 20), End("a"))
        await client.wait(600)
        client.reading.set()
        await client.settled()

    client = scripted(script, settings(bidirectional_streaming={"queue_size": 1}))
    assert client.codes() == []
    assert client.one(Done).characters == 180


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["Well. ", "Hello there ", "explode ", "my. ", "1 ", "Sh", "\n", "."]),
            st.sampled_from([0.0, 0.2, 1.0]),
            st.booleans(),
        ),
        max_size=15,
    )
)
@hypothesis_settings(max_examples=150, deadline=None)
def test_failures_anywhere_lose_no_account(pieces: list[tuple[str, float, bool]]) -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(start())
        for piece, pause_s, flush in pieces:
            client.say(Text("a", piece))
            if flush:
                client.say(Flush("a"))
            await client.wait(pause_s)
        client.say(End("a"))
        await client.settled()

    client = scripted(script)
    client.assert_sums()
    text = "".join(piece for piece, _, _ in pieces)
    assert client.one(Done).characters == len(text)
    said, rest = client.heard(), iter("".join(text.split()))
    assert all(character in rest for character in said)
    if "explode" not in text:
        assert said == "".join(text.split())


# --- leaving -------------------------------------------------------------------------------------


def test_a_session_that_ends_leaves_no_utterance_and_no_context_counted() -> None:
    tts = InlineTTS(delay_s=0.5)

    async def script(client: ScriptedClient) -> None:
        for name in "abc":
            client.say(start(name), Text(name, "Hello there my friend, "))
        await client.wait(0.2)
        assert tts.model.open_utterances == 3

    scripted(script, tts=tts)  # asserts that none is open
    assert b"duplex_tts_contexts 0.0" in tts.metrics.render()


def test_finished_waits_for_the_contexts_and_the_reader() -> None:
    async def script(client: ScriptedClient) -> None:
        client.reading.clear()
        client.say(Text("a", "Hello. "), End("a"))
        waiting = asyncio.create_task(client.session.wait_finished())
        await client.wait(10)
        assert not waiting.done()
        client.reading.set()
        await waiting

    scripted(script)
