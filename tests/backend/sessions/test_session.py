"""`Session` end to end in scripted time, without socket and threads."""

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
from backend.protocols.native import encode_event
from backend.text.text_buffer import TextBuffer
from tests.support.engines.inline_tts import InlineTTS
from tests.support.scripted_session import ScriptedClient, make_settings, run_script

PCM = "pcm_f32le"


def start(context: str = "a", **fields: object) -> Start:
    return Start(context, format=PCM, **fields)  # type: ignore[arg-type]


class SingleListenerTTS(InlineTTS):
    """Has capacity for one listener."""

    def check_capacity(self, start: Start | None = None) -> None:
        if self.utterances:
            raise Overloaded("full")


# --- speaking while the text is written -----------------------------------------------------------


def test_ready_has_the_defaults() -> None:
    async def script(client: ScriptedClient) -> None:
        client.session.send_ready()
        await client.wait_settled()

    client = run_script(script)
    (ready,) = client.events
    assert isinstance(ready, Ready)
    assert (ready.voice, ready.sample_rate, ready.format) == ("heart", 24000, "pcm_s16le")
    assert ready.session != ready.token


def test_speaks_the_first_word_of_an_unfinished_sentence() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(), Text("a", "Hello the"))
        await client.wait(0.01)
        assert client.heard_text() == "Hello"
        client.send(Text("a", "re my friend"), End("a"))
        await client.wait_settled()

    client = run_script(script)
    client.assert_sums()
    assert client.heard_text() == "Hellotheremyfriend"
    assert len(client.tts.utterances) == 1, "one sentence, one utterance"


def test_releases_contain_the_whole_sentence_so_far() -> None:
    async def script(client: ScriptedClient) -> None:
        for word in ["one", " two", " three", " four", " five"]:
            client.send(Text("a", word))
            await client.wait(0.05)

    releases = run_script(script).tts.releases
    assert len(releases) > 2
    for release, following in pairwise(releases):
        assert following.text.startswith(release.text)
        assert following.speak_to > release.speak_to
        assert len(release.text) > release.speak_to, "the release contains the next word so far"


def test_text_is_read_a_few_times_a_second_while_there_is_enough_to_hear(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reads_s: list[float] = []
    read_slice = TextBuffer.read_slice

    def count_read(text: TextBuffer) -> None:
        if text.is_behind:
            reads_s.append(asyncio.get_running_loop().time())
        read_slice(text)

    async def script(client: ScriptedClient) -> None:
        client.send(start(), Text("a", "These words take some seconds to be said. " * 9 + "And "))
        await client.wait(0.01)
        reads_s.clear()
        for _ in range(50):
            client.send(Text("a", "so "))
            await client.wait(0.02)
        assert len(set(reads_s)) <= 5
        client.send(Flush("a"))
        await client.wait(0.01)
        assert client.heard_text().endswith("so" * 50), "a flush waits for nothing"
        client.send(Retract("a", 0), End("a"))
        await client.wait_settled()

    monkeypatch.setattr(TextBuffer, "read_slice", count_read)
    run_script(script).assert_sums()


def test_a_pause_releases_lookahead_words() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(), Text("a", "Hello there "))
        await client.wait(1.0)
        assert client.heard_text() == "Hellothere"

    lookahead = make_settings(latency_optimization={"lookahead_start": 1})
    first_s, second_s = (at_s for at_s, _ in run_script(script, lookahead).log)
    assert first_s == 0.0
    assert second_s == pytest.approx(0.1)


def test_flush_speaks_all_known_text() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(), Text("a", "Hel"), Flush("a"))
        await client.wait(0.01)
        assert client.heard_text() == "Hel"
        client.send(Text("a", "lo"), End("a"))
        await client.wait_settled()

    client = run_script(script)
    assert client.heard_text() == "Hello"
    client.assert_sums()


def test_retract_answers_with_the_actual_offset() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(), Text("a", "Hello there my"))
        await client.wait(0.01)  # "Hello there " is spoken
        client.send(Retract("a", 2), Text("a", "you"), End("a"))
        await client.wait_settled()

    client = run_script(script)
    assert client.single_event(Retracted) == Retracted("a", 12)
    assert client.heard_text() == "Hellothereyou"


def test_played_updates_the_pacing() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(), Text("a", f"{'word ' * 40}"))
        await client.wait(0.01)
        released = len(client.tts.releases)
        client.send(Text("a", "more words "))
        await client.wait(0.01)
        assert len(client.tts.releases) == released, "enough audio is buffered"
        client.send(Played("a", 10_000))
        await client.wait(0.01)
        assert len(client.tts.releases) == released + 1

    run_script(script)


def test_end_without_text_is_done_at_once() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(End("a"))
        await client.wait_settled()

    assert run_script(script).events == [Done("a", 0, 0, 0)]


@pytest.mark.parametrize("text", [" ", "\n\n", "🙂", "...", "\u200b", "- ", "```", "***"])
def test_text_without_words_is_accounted_for(text: str) -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(), Text("a", text), End("a"))
        await client.wait_settled()

    client = run_script(script)
    client.assert_sums()
    assert client.single_event(Done).characters == len(text)


def test_offsets_count_code_points() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(), Text("a", "👋🏽 é"), End("a"))
        await client.wait_settled()

    assert run_script(script).single_event(Done).characters == 4


def test_a_2000_character_sentence_without_punctuation_is_spoken_at_once() -> None:
    text = "word " * 400

    async def script(client: ScriptedClient) -> None:
        client.send(start(), Text("a", text[:1000]))
        await client.wait(0.01)
        assert client.events_of(Audio)[0].text == (0, 25)
        client.send(Text("a", text[1000:]), End("a"))
        await client.wait_settled()

    client = run_script(script)
    client.assert_sums()
    assert client.heard_text() == "word" * 400


@pytest.mark.parametrize("name", ["opus", "mp3", "mulaw", "alaw", "pcm_s16le", "pcm_f32le"])
def test_message_sums_equal_done_in_every_format(name: str) -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(Start("a", format=name), Text("a", "Hello there. How are you? "), End("a"))
        await client.wait_settled()

    client = run_script(script)
    client.assert_sums()
    done = client.single_event(Done)
    assert done.characters == 26
    assert done.audio_ms == pytest.approx(10 * len("Hellothere.Howareyou?"), abs=1)


def test_long_audio_is_split_into_messages_under_the_limit() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(sample_rate=48000, frames="json", mode="batch"))
        client.send(Text("a", "x" * 3000 + " y. "), End("a"))
        await client.wait_settled()

    client = run_script(script, make_settings(latency_optimization={"chunk_size": 5000}))
    client.assert_sums()
    assert len(client.events_of(Audio)) > 10
    assert max(len(encode_event(audio)) for audio in client.events_of(Audio)) < 256 * 1024


# --- contexts -------------------------------------------------------------------------------------


def test_contexts_run_concurrently_each_in_order() -> None:
    names = string.ascii_lowercase[:8]
    words = ["The", "quick", "brown", "fox", "jumps.", "Over", "the", "lazy", "dog.", ""]

    async def script(client: ScriptedClient) -> None:
        client.send(*(start(name) for name in names))
        for word in words:
            for name in names:
                client.send(Text(name, f"{word}{name} "))
            await client.wait(0.02)
        client.send(*(End(name) for name in names))
        await client.wait_settled()

    client = run_script(script, tts=InlineTTS(delay_s=0.01))
    order = [event.context for event in client.events if isinstance(event, Audio)]
    assert order != sorted(order), "interleaved"
    for name in names:
        client.assert_sums(name)
        assert client.heard_text(name) == "".join(f"{word}{name}" for word in words)
        assert client.single_event(Done, name)


def test_a_slow_reader_stops_its_own_rendering() -> None:
    async def script(client: ScriptedClient) -> None:
        client.reading.clear()
        client.send(start(mode="batch"), Text("a", "word. " * 1000), End("a"))
        await client.wait(60.0)
        assert len(client.session.send_queue) <= 3
        assert len(client.tts.releases) < 10
        client.reading.set()
        await client.wait_settled()

    client = run_script(script, make_settings(bidirectional_streaming={"queue_size": 3}))
    client.assert_sums()
    assert client.single_event(Done).characters == 6000


def test_start_parameters_take_effect() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(voice="second", speed=1.5, seed=7, language="en-GB", frames="json"))
        client.send(Text("a", "Hi"), End("a"))
        await client.wait_settled()

    client = run_script(script)
    (utterance,) = client.tts.utterances
    assert (utterance.voice, utterance.speed, utterance.seed) == ("second", 1.5, 7)
    assert utterance.language == "en"  # as the voice names it
    assert {audio.frames for audio in client.events_of(Audio)} == {"json"}


def test_a_context_uses_one_seed() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(), Text("a", "One here. Two here. Three here. "), End("a"))
        await client.wait_settled()

    assert len({utterance.seed for utterance in run_script(script).tts.utterances}) == 1


def test_ping_is_answered_while_audio_waits() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(Text("a", "Hello "), Ping("x"), Ping(5))
        await client.wait(0)

    assert run_script(script).events[:2] == [Pong("x", 1), Pong(5, 1)]


def test_pong_counts_handled_messages() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(Text("a", "Hello "), Ping(1), Flush("never"), Cancel("unknown"), Ping(2))
        client.session.refuse_undecodable(BadJson("not JSON"))
        client.send(Ping(3))
        await client.wait(0)

    pongs = [event for event in run_script(script).events if isinstance(event, Pong)]
    assert [pong.received for pong in pongs] == [1, 3, 4]


def test_resume_is_refused_within_a_session() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(), Text("a", "Hello "))
        client.send(Resume(client.session.id, client.session.token, {}))
        client.send(Text("a", "there"), End("a"), Ping())
        await client.wait_settled()

    client = run_script(script)
    assert client.codes(None) == ["resume_failed"]
    assert client.heard_text() == "Hellothere"
    assert next(e for e in client.events if isinstance(e, Pong)).received == 4


# --- refusals -------------------------------------------------------------------------------------


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
def test_a_refused_command_has_a_code_and_changes_nothing(command: Command, code: str) -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(), Text("a", "Hello "))
        client.send(command)
        client.send(Text("a", "there"), End("a"))
        await client.wait_settled()

    client = run_script(script)
    assert client.codes("b") == [code]
    assert client.heard_text() == "Hellothere"
    client.assert_sums()


def test_a_refused_start_uses_up_its_id() -> None:
    """Text sent right after it must not be spoken with other parameters."""

    async def script(client: ScriptedClient) -> None:
        client.send(start(voice="nobody"), Text("a", "Hello"), start(), End("a"))
        client.send(start("b"), Text("b", "Hi"), End("b"))
        await client.wait_settled()

    client = run_script(script)
    assert client.codes() == ["unknown_voice", *["context_ended"] * 3]
    assert client.events_of(Audio) == []
    assert client.heard_text("b") == "Hi"


@pytest.mark.parametrize("late", [Text("a", "x"), Flush("a"), End("a"), Start("a")])
def test_commands_after_end_are_refused(late: Command) -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(), Text("a", "Hello"), End("a"), late)  # while being spoken
        await client.wait_settled()
        client.send(late)  # and after `done`
        await client.wait_settled()

    client = run_script(script)
    first = "context_started" if isinstance(late, Start) else "context_ended"
    assert client.codes() == [first, "context_ended"]
    assert client.heard_text() == "Hello"
    assert client.single_event(Done).characters == 5


def test_start_after_text_is_refused_and_changes_nothing() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(Text("a", "Hello"), start(voice="second"), End("a"))
        await client.wait_settled()

    client = run_script(script)
    assert client.codes() == ["context_started"]
    assert client.tts.utterances[0].voice == "heart"


def test_text_over_the_limit_is_refused_whole() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(), Text("a", "Hello there. "), Text("a", "x" * 100), End("a"))
        await client.wait_settled()

    client = run_script(script, make_settings(server={"max_text_length": 100}))
    assert client.codes() == ["text_limit"]
    assert client.heard_text() == "Hellothere."
    assert client.single_event(Done).characters == 13


def test_spoken_text_frees_room() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(), Text("a", "x" * 98 + ". "), Flush("a"))
        await client.wait(10)
        client.send(Text("a", "y" * 100), End("a"))
        await client.wait_settled()

    client = run_script(script, make_settings(server={"max_text_length": 100}))
    assert client.codes() == []
    assert client.single_event(Done).characters == 200


def test_contexts_over_the_limit_are_refused() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start("a"), start("b"), start("c"), Text("d", "x"))
        client.send(Text("a", "Hello"), End("a"))
        await client.wait(1)
        client.send(Text("e", "Hi"), End("e"), End("b"))
        await client.wait_settled()

    client = run_script(script, make_settings(bidirectional_streaming={"max_concurrent_tasks": 2}))
    assert (client.codes("c"), client.codes("d")) == (["too_many_contexts"], ["too_many_contexts"])
    assert client.heard_text() == "Hello"
    assert client.single_event(Done, "e").characters == 2, "a finished context frees a place"


def test_when_overloaded_new_contexts_are_refused_and_old_ones_go_on() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(), Text("a", "Hello there "), start("b"))
        await client.wait(0.1)
        client.send(Text("c", "Hi"), Text("a", "friend"), End("a"), End("b"))
        await client.wait_settled()

    client = run_script(script, tts=SingleListenerTTS())
    assert client.codes("c") == ["overloaded"]
    assert client.heard_text() == "Hellotherefriend"


@pytest.mark.parametrize("end", [End("a"), Cancel("a")])
def test_when_overloaded_the_next_context_of_a_listener_is_admitted(end: Command) -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(), Text("a", "Hello there "), start("b"), Text("b", "Next"), End("b"))
        await client.wait(0.1)
        client.send(end)
        await client.wait(4)
        client.send(start("c"), Text("c", "And on"), End("c"))
        await client.wait(10)
        client.send(start("d"))
        await client.wait_settled()

    client = run_script(script, tts=SingleListenerTTS())
    assert client.heard_text("b") + client.heard_text("c") == "NextAndon"
    assert client.codes("d") == ["overloaded"], "its turn is over"


def test_a_refused_first_text_opens_nothing() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(Text("a", "x" * 101), Text("a", "and its rest"), End("a"))
        client.send(Text("b", "Hello there."), End("b"))
        await client.wait_settled()

    client = run_script(script, make_settings(server={"max_text_length": 100}))
    assert client.codes("a") == ["text_limit", "context_ended", "context_ended"]
    assert {event.context for event in client.events if isinstance(event, Audio)} == {"b"}


def test_batch_is_admitted_when_overloaded() -> None:
    class FullTTS(InlineTTS):
        def check_capacity(self, start: Start | None = None) -> None:
            raise Overloaded("full")

    async def script(client: ScriptedClient) -> None:
        client.send(start(mode="batch"), Text("a", "Hello there."), End("a"))
        await client.wait_settled()

    client = run_script(script, tts=FullTTS())
    assert client.codes() == []
    assert client.heard_text() == "Hellothere."


# --- cancel ---------------------------------------------------------------------------------------


def test_cancel_reports_the_position_and_stops_audio() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(), Text("a", "One two three four five. Six seven. " * 5), End("a"))
        client.send(start("b"), Text("b", "Not disturbed at all. "), End("b"))
        await client.wait(0.035)
        client.send(Cancel("a"))
        await client.wait_settled()

    client = run_script(script, tts=InlineTTS(delay_s=0.01))
    client.assert_sums()
    cancelled = client.single_event(Cancelled)
    assert 0 < cancelled.text_to < 180
    of_a = [e for e in client.events if not isinstance(e, Ready | Pong) and e.context == "a"]
    assert of_a[-1] is cancelled
    assert client.events_of(Done) == []
    client.assert_sums("b")
    assert client.heard_text("b") == "Notdisturbedatall."


def test_cancel_drops_queued_audio() -> None:
    async def script(client: ScriptedClient) -> None:
        client.reading.clear()
        client.send(start(mode="batch"), Text("a", "One two. Three four. Five six. No"))
        client.send(start("b", mode="batch"), Text("b", "Other. "), End("b"))
        await client.wait(1.0)
        queued = len(client.session.send_queue)
        client.send(Cancel("a"))
        assert len(client.session.send_queue) < queued
        client.reading.set()
        await client.wait_settled()

    client = run_script(script)
    client.assert_sums()
    assert client.single_event(Cancelled).text_to == 9, "one message was taken"
    assert client.heard_text() == "Onetwo."
    assert client.heard_text("b") == "Other."


def test_cancel_before_anything_is_spoken() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(Text("a", "Hello"), Cancel("a"))
        await client.wait_settled()

    assert run_script(script).events == [Cancelled("a", 0, 0.0)]


def test_cancel_while_audio_waits_for_room() -> None:
    async def script(client: ScriptedClient) -> None:
        client.reading.clear()
        client.send(start(mode="batch"), Text("a", "One. Two. Three. Four. Five. "), End("a"))
        await client.wait(1.0)
        client.send(Cancel("a"))
        client.reading.set()
        await client.wait_settled()

    client = run_script(script, make_settings(bidirectional_streaming={"queue_size": 1}))
    client.assert_sums()
    assert client.single_event(Cancelled).text_to == 5


def test_a_cancelled_id_is_used_up() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(Text("a", "Hello"), Cancel("a"), Text("a", "again"), Cancel("a"), End("a"))
        await client.wait_settled()

    client = run_script(script)
    assert client.codes() == ["context_ended"] * 3
    assert client.events_of(Audio) == []


def test_cancel_makes_room_for_another_context() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(Text("a", "Hello"), Cancel("a"), start("b"), Text("b", "Hi"), End("b"))
        await client.wait_settled()

    client = run_script(script, make_settings(bidirectional_streaming={"max_concurrent_tasks": 1}))
    assert client.heard_text("b") == "Hi"


def test_played_may_come_after_the_end() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(Text("a", "Hello"), End("a"))
        await client.wait_settled()
        client.send(Played("a", 50))
        await client.wait(0)

    assert run_script(script).codes() == []


@given(
    cancel_at_s=st.floats(0, 1),
    engine_delay_s=st.sampled_from([0.0, 0.01, 0.1]),
    read_pause_s=st.sampled_from([0.0, 0.03]),
    queue_size=st.sampled_from([1, 3, 100]),
    immediate=st.booleans(),
    name=st.sampled_from([PCM, "opus", "mulaw"]),
)
@hypothesis_settings(max_examples=100, deadline=None)
def test_cancel_at_any_time_reports_exactly_the_delivered_audio(
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
            client.send(
                Start(context, format=name), Text(context, "One two three. Four five. " * 3)
            )
            client.send(End(context))
        await client.wait(cancel_at_s)
        client.send(Cancel("a"))
        await client.wait_settled()

    config = make_settings(
        bidirectional_streaming={"queue_size": queue_size, "immediate_send": immediate}
    )
    client = run_script(script, config, InlineTTS(delay_s=engine_delay_s))
    client.assert_sums("a")
    client.assert_sums("b")
    assert client.single_event(Done, "b").characters == 78
    if client.events_of(Done, "a"):  # done before the cancel
        assert client.codes() == ["context_ended"]
    else:
        last = [e for e in client.events if not isinstance(e, Ready | Pong) and e.context == "a"]
        assert isinstance(last[-1], Cancelled)


# --- failures -------------------------------------------------------------------------------------


def test_a_failed_sentence_is_reported_and_the_next_is_spoken() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(), Text("a", "First one. Then explode here. Last one. "), End("a"))
        client.send(start("b"), Text("b", "Not disturbed. "), End("b"))
        await client.wait_settled()

    client = run_script(script)
    assert client.codes() == ["engine_failed"]
    client.assert_sums()
    assert client.single_event(Done).characters == 40
    assert client.heard_text() == "Firstone.Lastone."
    assert client.heard_text("b") == "Notdisturbed."


def test_the_rest_of_a_sentence_is_spoken_after_a_failure() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(), Text("a", "Hello there explode "))
        await client.wait(1.0)
        client.send(Text("a", "all is well again. Indeed."), End("a"))
        await client.wait_settled()

    client = run_script(script)
    assert "engine_failed" in client.codes()
    client.assert_sums()
    assert client.heard_text().endswith("alliswellagain.Indeed.")
    assert client.single_event(Done).characters == 46


def test_a_context_ends_if_every_sentence_fails() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(), Text("a", "One explode. Two explode. Explode explode"), End("a"))
        await client.wait_settled()

    client = run_script(script)
    assert client.codes() == ["engine_failed"] * 3
    client.assert_sums()
    assert client.single_event(Done).characters == 41


def test_a_voice_that_the_engine_refuses_ends_the_context() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(voice="broken"), Text("a", "One here. Two here. Three"), End("a"))
        client.send(start("b"), Text("b", "Hi"), End("b"))
        await client.wait_settled()

    client = run_script(script)
    assert client.codes() == ["voice_unavailable"]
    assert client.heard_text("a") == ""
    assert client.heard_text("b") == "Hi"


def test_an_unavailable_voice_ends_the_context_with_an_error() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(voice="remote"), Text("a", "Hello "))
        await client.wait(0.1)
        client.send(Text("a", "there"), start("b"), Text("b", "Hi"), End("b"))
        await client.wait_settled()

    client = run_script(script)
    assert client.codes() == ["voice_unavailable", "context_ended"]
    assert client.heard_text("b") == "Hi"


def test_a_release_over_the_timeout_fails() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(), Text("a", "First one. "), Flush("a"))
        await client.wait(5.0)
        client.tts.delay_s = 0.0
        client.send(Text("a", "Second one. "), End("a"))
        await client.wait_settled()

    client = run_script(script, tts=InlineTTS(delay_s=3.0, patience_s=2.0))
    assert client.codes() == ["timeout"]
    assert [at_s for at_s, event in client.log if isinstance(event, Failed)] == [2.0]
    client.assert_sums()
    assert client.heard_text() == "Secondone."


def test_a_client_that_does_not_read_causes_no_engine_timeout() -> None:
    async def script(client: ScriptedClient) -> None:
        client.reading.clear()
        client.send(start(mode="batch"), Text("a", "One two. " * 20), End("a"))
        await client.wait(600)
        client.reading.set()
        await client.wait_settled()

    client = run_script(script, make_settings(bidirectional_streaming={"queue_size": 1}))
    assert client.codes() == []
    assert client.single_event(Done).characters == 180


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
def test_spans_tile_the_text_over_any_failures(pieces: list[tuple[str, float, bool]]) -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start())
        for piece, pause_s, flush in pieces:
            client.send(Text("a", piece))
            if flush:
                client.send(Flush("a"))
            await client.wait(pause_s)
        client.send(End("a"))
        await client.wait_settled()

    client = run_script(script)
    client.assert_sums()
    text = "".join(piece for piece, _, _ in pieces)
    assert client.single_event(Done).characters == len(text)
    heard, rest = client.heard_text(), iter("".join(text.split()))
    assert all(character in rest for character in heard)
    if "explode" not in text:
        assert heard == "".join(text.split())


# --- ending ---------------------------------------------------------------------------------------


def test_an_ended_session_leaves_no_utterances_or_contexts() -> None:
    tts = InlineTTS(delay_s=0.5)

    async def script(client: ScriptedClient) -> None:
        for name in "abc":
            client.send(start(name), Text(name, "Hello there my friend, "))
        await client.wait(0.2)
        assert tts.model.open_utterances == 3

    run_script(script, tts=tts)  # asserts that none is open
    assert b"duplex_tts_contexts 0.0" in tts.metrics.render()


def test_wait_finished_waits_for_contexts_and_reader() -> None:
    async def script(client: ScriptedClient) -> None:
        client.reading.clear()
        client.send(Text("a", "Hello. "), End("a"))
        waiting = asyncio.create_task(client.session.wait_finished())
        await client.wait(10)
        assert not waiting.done()
        client.reading.set()
        await waiting

    run_script(script)
