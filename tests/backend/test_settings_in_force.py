"""Every key of `bidirectional_streaming` and `latency_optimization` does what it says."""

from __future__ import annotations

from typing import Any

import pytest

from backend.config import BidirectionalStreaming, LatencyOptimization, Settings
from backend.events import Audio, Cancel, End, Flush, Start, Text
from tests.support.engines.troubled_engine import FRUITLESS, TroubledModel
from tests.support.live_server import live_server
from tests.support.scripted_session import ScriptedClient, scripted, settings


def bidirectional(**keys: Any) -> Settings:
    return settings(bidirectional_streaming=keys)


def latency(**keys: Any) -> Settings:
    return settings(latency_optimization=keys)


def first_audio(config: Settings, text: str, wait_s: float = 5.0) -> tuple[float, str] | None:
    """When the text, left unfinished, is first heard, and what of it."""

    async def script(client: ScriptedClient) -> None:
        client.say(Text("a", text))
        await client.wait(wait_s)

    heard = scripted(script, config).log
    for at_s, event in heard:
        if isinstance(event, Audio):
            return round(at_s, 3), text[slice(*event.text)]
    return None


# --- bidirectional_streaming ---------------------------------------------------------------------


def test_enabled_decides_whether_speech_begins_before_the_text_ends() -> None:
    text = "Hello there. How are you? And"
    assert first_audio(bidirectional(enabled=True), text) == (0.0, "Hello there. ")
    assert first_audio(bidirectional(enabled=False), text) is None


@pytest.mark.parametrize("press", [Flush("a"), End("a")])
def test_when_not_enabled_flush_and_end_still_speak(press: Flush | End) -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(Start("a", format="pcm_f32le"), Text("a", "Hello there. And"), press)
        await client.wait(1.0)

    assert scripted(script, bidirectional(enabled=False)).heard() == "Hellothere.And"


@pytest.mark.parametrize("limit", [1, 3])
def test_max_concurrent_tasks_is_the_number_of_contexts_at_once(limit: int) -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(*(Text(f"c{number}", "Hello") for number in range(limit + 1)))
        client.say(Cancel("c0"), Text("another", "Hello"))
        await client.wait(0.0)

    client = scripted(script, bidirectional(max_concurrent_tasks=limit))
    assert client.codes(f"c{limit}") == ["too_many_contexts"]
    assert all(client.codes(f"c{number}") == [] for number in range(limit))
    assert client.codes("another") == []


async def test_task_timeout_is_how_long_the_engine_may_be_at_an_utterance() -> None:
    streaming = {"task_timeout": 0.05}
    async with (
        live_server(TroubledModel(), bidirectional_streaming=streaming) as live,
        live.client() as client,
    ):
        await client.say("text", context="a", text=f"{FRUITLESS}. Then on. ")
        await client.say("end", context="a")
        messages = await client.read_to("done")
    assert [m["code"] for m in messages if m["type"] == "error"] == ["timeout"]
    assert messages[-1]["characters"] == len(f"{FRUITLESS}. Then on. ")


def test_immediate_send_decides_whether_chunks_or_sentences_are_sent() -> None:
    text = "This is the first sentence of all of them. This is the second one of them. "

    async def script(client: ScriptedClient) -> None:
        client.say(Start("a", format="pcm_f32le"))
        for word in text.split():
            client.say(Text("a", f"{word} "))
            await client.wait(0.03)
        client.say(End("a"))
        await client.settled()

    sent = {}
    for immediate in (True, False):
        client = scripted(script, bidirectional(immediate_send=immediate))
        client.assert_sums()
        assert client.heard() == "".join(text.split())
        sent[immediate] = [text[slice(*audio.text)] for audio in client.of(Audio)]
    assert sent[True][0] == "This "
    assert len(sent[True]) > 6
    assert sent[False] == [text[:43], text[43:]]


@pytest.mark.parametrize("size", [1, 4])
def test_queue_size_bounds_the_audio_that_waits_to_be_read(size: int) -> None:
    async def script(client: ScriptedClient) -> None:
        client.reading.clear()
        client.say(Start("a", mode="batch"), Text("a", "One. Two! " * 20), End("a"))
        await client.wait(60.0)
        assert len(client.session.send_queue) == size
        rendered = len(client.tts.releases)
        assert rendered == size + 2, "one was read, one waits for room"

    scripted(script, bidirectional(queue_size=size))


# --- latency_optimization ------------------------------------------------------------------------


@pytest.mark.parametrize(("characters", "at_s"), [(1, 0.0), (4, 0.0), (5, 0.1), (20, 0.1)])
def test_min_text_length_is_what_the_first_speech_waits_for(characters: int, at_s: float) -> None:
    heard = first_audio(latency(min_text_length=characters), "I a b ")
    assert heard is not None
    assert heard[0] == at_s


@pytest.mark.parametrize(("size", "first"), [(1, "One "), (10, "One two three "), (1000, None)])
def test_chunk_size_is_how_much_one_message_speaks_of_a_longer_release(
    size: int, first: str | None
) -> None:
    text = "One two three four five six seven. And"
    heard = first_audio(latency(chunk_size=size), text)
    assert heard == (0.0, first or text[:35])


def test_preemptive_generation_speaks_before_the_sentence_is_complete() -> None:
    text = "Hello there my friend "
    heard = first_audio(latency(preemptive_generation=True), text)
    assert heard is not None
    assert heard[0] == 0.0
    assert first_audio(latency(preemptive_generation=False), text) is None
    complete = first_audio(latency(preemptive_generation=False), "Hello there. And")
    assert complete == (0.0, "Hello there. ")


@pytest.mark.parametrize("threshold_s", [0.05, 0.1, 0.5])
def test_streaming_threshold_is_the_pause_that_releases_what_was_held_back(
    threshold_s: float,
) -> None:
    config = latency(streaming_threshold=threshold_s, lookahead_start=1)
    assert first_audio(config, "Hello ") == (threshold_s, "Hello ")


@pytest.mark.parametrize("timeout_s", [0.3, 0.6, 2.0])
def test_word_timeout_is_the_pause_that_releases_a_whole_last_word(timeout_s: float) -> None:
    assert first_audio(latency(word_timeout=timeout_s), "umbrella") == (timeout_s, "umbrella")
    assert first_audio(latency(word_timeout=timeout_s), "umbrell") is None
    assert first_audio(latency(word_timeout=0), "umbrella") is None


@pytest.mark.parametrize("pause_s", [0.3, 0.9])
def test_phrase_pause_is_the_pause_that_releases_a_phrase_before_it_is_complete(
    pause_s: float,
) -> None:
    config = latency(phrase_pause=pause_s, typing="phrase")
    assert first_audio(config, "How are you and ") == (pause_s, "How are you ")


@pytest.mark.parametrize(
    ("typing", "first"),
    [("auto", "The lamp is on "), ("word", "The lamp is on "), ("phrase", "The lamp ")],
)
def test_typing_is_in_which_pieces_a_growing_sentence_is_spoken(typing: str, first: str) -> None:
    assert first_audio(latency(typing=typing, chunk_size=100), "The lamp is on the ") == (0, first)
    assert first_audio(latency(typing="sentence"), "The lamp is on the ") is None


@pytest.mark.parametrize(("words", "first"), [(0, 3), (1, 3), (2, 2)])
def test_lookahead_start_is_how_many_words_the_first_one_knows(words: int, first: int) -> None:
    heard = first_audio(latency(lookahead_start=words), "Hello there my friend ")
    assert heard is not None
    assert (heard[0], len(heard[1].split())) == (0.0, first)


@pytest.mark.parametrize(("words", "spoken"), [(0, 16), (1, 16), (3, 6)])
def test_lookahead_is_how_many_words_are_known_once_the_listener_is_ahead(
    words: int, spoken: int
) -> None:
    """'Hello ' is heard for 50 ms; after 20 ms of them come three words more."""

    async def script(client: ScriptedClient) -> None:
        client.say(Text("a", "Hello there "))
        await client.wait(0.02)
        client.say(Text("a", "you "), Text("a", "two "))
        await client.wait(0.0)
        assert client.tts.releases[-1].speak_to == spoken

    config = latency(lookahead_start=1, lookahead=words, low_water=1.0, ttfa_goal=0.01)
    scripted(script, config)


@pytest.mark.parametrize(("mark_s", "at_s"), [(0.1, 0.15), (0.2, 0.05), (1.0, 0.0)])
def test_low_water_is_what_the_listener_still_has_when_more_words_are_released(
    mark_s: float, at_s: float
) -> None:
    """25 characters are heard for 250 ms."""

    async def script(client: ScriptedClient) -> None:
        client.say(Text("a", "a" * 25 + " more "))
        await client.wait(0.0)
        client.say(Text("a", "b b b b b "))
        await client.wait(1.0)

    config = latency(low_water=mark_s, lookahead_start=1, streaming_threshold=0.8)
    (_, second, *_) = [at_s for at_s, e in scripted(script, config).log if isinstance(e, Audio)]
    assert second == pytest.approx(at_s)


@pytest.mark.parametrize(("mark_s", "at_s"), [(0.1, 0.15), (0.2, 0.05), (4.0, 0.0)])
def test_high_water_is_what_the_listener_has_when_whole_sentences_wait(
    mark_s: float, at_s: float
) -> None:
    async def script(client: ScriptedClient) -> None:
        client.say(Text("a", f"{'a' * 24}. Second one. And"))
        await client.wait(1.0)

    config = latency(high_water=mark_s)
    (_, second, *_) = [at_s for at_s, e in scripted(script, config).log if isinstance(e, Audio)]
    assert second == pytest.approx(at_s)


@pytest.mark.parametrize("goal_s", [0.05, 0.4])
def test_ttfa_goal_is_the_deadline_of_a_first_sound(goal_s: float) -> None:
    async def script(client: ScriptedClient) -> None:
        await client.wait(1.0)
        client.say(Text("a", "Hello there "))
        await client.wait(0.0)
        assert client.tts.deadlines_s[0] == pytest.approx(1.0 + goal_s)

    scripted(script, latency(ttfa_goal=goal_s))


def test_each_key_is_tested_here() -> None:
    tests = [name for name in globals() if name.startswith("test_")]
    for section in (BidirectionalStreaming, LatencyOptimization):
        for key in section.model_fields:
            assert any(name.startswith(f"test_{key}") for name in tests), key
