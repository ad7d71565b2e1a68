"""`Session` in scripted time, without socket and threads: speaking, contexts, ending."""

from __future__ import annotations

import asyncio
import string
from itertools import pairwise

import pytest

from backend.errors import BadJson
from backend.events import (
    Audio,
    Cancel,
    Done,
    End,
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
from tests.support.scripted_session import ScriptedClient, make_settings, run_script, start

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
