"""Every key of `bidirectional_streaming` and `latency_optimization` has its effect."""

from __future__ import annotations

from typing import Any

import pytest

from backend.config import BidirectionalStreaming, LatencyOptimization, Settings
from backend.events import Audio, Cancel, End, Flush, Start, Text
from tests.support.engines.troubled_engine import FRUITLESS, TroubledModel
from tests.support.live_server import live_server
from tests.support.scripted_session import ScriptedClient, make_settings, run_script


def bidirectional(**keys: Any) -> Settings:
    return make_settings(bidirectional_streaming=keys)


def latency(**keys: Any) -> Settings:
    return make_settings(latency_optimization=keys)


def first_audio(config: Settings, text: str, wait_s: float = 5.0) -> tuple[float, str] | None:
    """Time and text of the first audio of an unfinished text."""

    async def script(client: ScriptedClient) -> None:
        client.send(Text("a", text))
        await client.wait(wait_s)

    heard = run_script(script, config).log
    for at_s, event in heard:
        if isinstance(event, Audio):
            return round(at_s, 3), text[slice(*event.text)]
    return None


# --- bidirectional_streaming ----------------------------------------------------------------------


def test_enabled_starts_speech_before_the_text_ends() -> None:
    text = "Hello there. How are you? And"
    assert first_audio(bidirectional(enabled=True), text) == (0.0, "Hello there. ")
    assert first_audio(bidirectional(enabled=False), text) is None


@pytest.mark.parametrize("press", [Flush("a"), End("a")])
def test_when_not_enabled_flush_and_end_still_speak(press: Flush | End) -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(Start("a", format="pcm_f32le"), Text("a", "Hello there. And"), press)
        await client.wait(1.0)

    assert run_script(script, bidirectional(enabled=False)).heard_text() == "Hellothere.And"


@pytest.mark.parametrize("limit", [1, 3])
def test_max_concurrent_tasks_limits_open_contexts(limit: int) -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(*(Text(f"c{number}", "Hello") for number in range(limit + 1)))
        client.send(Cancel("c0"), Text("another", "Hello"))
        await client.wait(0.0)

    client = run_script(script, bidirectional(max_concurrent_tasks=limit))
    assert client.codes(f"c{limit}") == ["too_many_contexts"]
    assert all(client.codes(f"c{number}") == [] for number in range(limit))
    assert client.codes("another") == []


async def test_task_timeout_limits_engine_time_without_audio() -> None:
    streaming = {"task_timeout": 0.05}
    async with (
        live_server(TroubledModel(), bidirectional_streaming=streaming) as live,
        live.connect() as client,
    ):
        await client.send("text", context="a", text=f"{FRUITLESS}. Then on. ")
        await client.send("end", context="a")
        messages = await client.receive_until("done")
    assert [m["code"] for m in messages if m["type"] == "error"] == ["timeout"]
    assert messages[-1]["characters"] == len(f"{FRUITLESS}. Then on. ")


def test_immediate_send_sends_chunks_instead_of_sentences() -> None:
    text = "This is the first sentence of all of them. This is the second one of them. "

    async def script(client: ScriptedClient) -> None:
        client.send(Start("a", format="pcm_f32le"))
        for word in text.split():
            client.send(Text("a", f"{word} "))
            await client.wait(0.03)
        client.send(End("a"))
        await client.wait_settled()

    sent = {}
    for immediate in (True, False):
        client = run_script(script, bidirectional(immediate_send=immediate))
        client.assert_sums()
        assert client.heard_text() == "".join(text.split())
        sent[immediate] = [text[slice(*audio.text)] for audio in client.events_of(Audio)]
    assert sent[True][0] == "This "
    assert len(sent[True]) > 6
    assert sent[False] == [text[:43], text[43:]]


@pytest.mark.parametrize("size", [1, 4])
def test_queue_size_limits_queued_audio_messages(size: int) -> None:
    async def script(client: ScriptedClient) -> None:
        client.reading.clear()
        client.send(Start("a", mode="batch"), Text("a", "One. Two! " * 20), End("a"))
        await client.wait(60.0)
        assert len(client.session.send_queue) == size
        rendered = len(client.tts.releases)
        assert rendered == size + 2, "one taken, one waiting for room"

    run_script(script, bidirectional(queue_size=size))


# --- latency_optimization -------------------------------------------------------------------------


@pytest.mark.parametrize(("characters", "at_s"), [(1, 0.0), (4, 0.0), (5, 0.1), (20, 0.1)])
def test_min_text_length_delays_the_first_speech(characters: int, at_s: float) -> None:
    heard = first_audio(latency(min_text_length=characters), "I a b ")
    assert heard is not None
    assert heard[0] == at_s


@pytest.mark.parametrize(("size", "first"), [(1, "One "), (10, "One two three "), (1000, None)])
def test_chunk_size_limits_the_text_of_one_message(size: int, first: str | None) -> None:
    text = "One two three four five six seven. And"
    heard = first_audio(latency(chunk_size=size), text)
    assert heard == (0.0, first or text[:35])


def test_preemptive_generation_speaks_unfinished_sentences() -> None:
    text = "Hello there my friend "
    heard = first_audio(latency(preemptive_generation=True), text)
    assert heard is not None
    assert heard[0] == 0.0
    assert first_audio(latency(preemptive_generation=False), text) is None
    complete = first_audio(latency(preemptive_generation=False), "Hello there. And")
    assert complete == (0.0, "Hello there. ")


@pytest.mark.parametrize("threshold_s", [0.05, 0.1, 0.5])
def test_streaming_threshold_releases_lookahead_words_after_a_pause(
    threshold_s: float,
) -> None:
    config = latency(streaming_threshold=threshold_s, lookahead_start=1)
    assert first_audio(config, "Hello ") == (threshold_s, "Hello ")


@pytest.mark.parametrize("timeout_s", [0.3, 0.6, 2.0])
def test_word_timeout_releases_the_last_word_after_a_pause(timeout_s: float) -> None:
    assert first_audio(latency(word_timeout=timeout_s), "umbrella") == (timeout_s, "umbrella")
    assert first_audio(latency(word_timeout=timeout_s), "umbrell") is None
    assert first_audio(latency(word_timeout=0), "umbrella") is None


@pytest.mark.parametrize("pause_s", [0.3, 0.9])
def test_phrase_pause_releases_an_unfinished_phrase_after_a_pause(
    pause_s: float,
) -> None:
    config = latency(phrase_pause=pause_s, typing="phrase")
    assert first_audio(config, "How are you and ") == (pause_s, "How are you ")


@pytest.mark.parametrize(
    ("typing", "first"),
    [("auto", "The lamp is on "), ("word", "The lamp is on "), ("phrase", "The lamp ")],
)
def test_typing_selects_the_unit_of_unfinished_speech(typing: str, first: str) -> None:
    assert first_audio(latency(typing=typing, chunk_size=100), "The lamp is on the ") == (0, first)
    assert first_audio(latency(typing="sentence"), "The lamp is on the ") is None


@pytest.mark.parametrize(("words", "first"), [(0, 3), (1, 3), (2, 2)])
def test_lookahead_start_is_the_lookahead_of_the_first_word(words: int, first: int) -> None:
    heard = first_audio(latency(lookahead_start=words), "Hello there my friend ")
    assert heard is not None
    assert (heard[0], len(heard[1].split())) == (0.0, first)


@pytest.mark.parametrize(("words", "spoken"), [(0, 16), (1, 16), (3, 6)])
def test_lookahead_applies_once_audio_is_buffered(words: int, spoken: int) -> None:
    """'Hello ' plays for 50 ms; 20 ms into it three more words arrive."""

    async def script(client: ScriptedClient) -> None:
        client.send(Text("a", "Hello there "))
        await client.wait(0.02)
        client.send(Text("a", "you "), Text("a", "two "))
        await client.wait(0.0)
        assert client.tts.releases[-1].speak_to == spoken

    config = latency(lookahead_start=1, lookahead=words, low_water=1.0, ttfa_goal=0.01)
    run_script(script, config)


@pytest.mark.parametrize(("mark_s", "at_s"), [(0.1, 0.15), (0.2, 0.05), (1.0, 0.0)])
def test_low_water_is_the_buffered_audio_at_the_next_release(mark_s: float, at_s: float) -> None:
    """25 characters play for 250 ms."""

    async def script(client: ScriptedClient) -> None:
        client.send(Text("a", "a" * 25 + " more "))
        await client.wait(0.0)
        client.send(Text("a", "b b b b b "))
        await client.wait(1.0)

    config = latency(low_water=mark_s, lookahead_start=1, streaming_threshold=0.8)
    (_, second, *_) = [at_s for at_s, e in run_script(script, config).log if isinstance(e, Audio)]
    assert second == pytest.approx(at_s)


@pytest.mark.parametrize(("mark_s", "at_s"), [(0.1, 0.15), (0.2, 0.05), (4.0, 0.0)])
def test_high_water_is_the_buffered_audio_at_which_sentences_wait(
    mark_s: float, at_s: float
) -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(Text("a", f"{'a' * 24}. Second one. And"))
        await client.wait(1.0)

    config = latency(high_water=mark_s)
    (_, second, *_) = [at_s for at_s, e in run_script(script, config).log if isinstance(e, Audio)]
    assert second == pytest.approx(at_s)


@pytest.mark.parametrize("goal_s", [0.05, 0.4])
def test_ttfa_goal_is_the_deadline_of_the_first_chunk(goal_s: float) -> None:
    async def script(client: ScriptedClient) -> None:
        await client.wait(1.0)
        client.send(Text("a", "Hello there "))
        await client.wait(0.0)
        assert client.tts.deadlines_s[0] == pytest.approx(1.0 + goal_s)

    run_script(script, latency(ttfa_goal=goal_s))


def test_every_key_has_a_test_in_this_file() -> None:
    tests = [name for name in globals() if name.startswith("test_")]
    for section in (BidirectionalStreaming, LatencyOptimization):
        for key in section.model_fields:
            assert any(name.startswith(f"test_{key}") for name in tests), key
