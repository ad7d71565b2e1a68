"""`Context`: releases to the engine, and their audio."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from backend.events import (
    Audio,
    Cancel,
    Done,
    End,
    Event,
    Failed,
    Flush,
    Flushed,
    Mode,
    Priority,
    Retract,
    Start,
    Text,
)
from backend.sessions.pacer_setup import create_pacing
from backend.text.pacer import Pacing
from tests.support.engines.fake_engine import FakeModel
from tests.support.engines.inline_tts import InlineTTS
from tests.support.scripted_session import ScriptedClient, make_settings, run_script


def test_pacing_is_created_from_the_settings() -> None:
    keys = {
        "min_text_length": 1,
        "preemptive_generation": False,
        "streaming_threshold": 0.2,
        "word_timeout": 0.3,
        "phrase_pause": 0.4,
        "typing": "word",
        "lookahead_start": 4,
        "lookahead": 5,
        "low_water": 0.6,
        "high_water": 7.0,
        "ttfa_goal": 0.8,
    }
    config = make_settings(bidirectional_streaming={"enabled": False}, latency_optimization=keys)
    model = FakeModel(incremental=False)
    model.info = replace(model.info, min_clause_length=9)
    start = Start("a", mode="batch")
    assert create_pacing(config, start, model) == Pacing(
        min_text_length=1,
        lookahead_start=4,
        lookahead=5,
        idle_s=0.2,
        word_timeout_s=0.3,
        phrase_pause_s=0.4,
        typing="word",
        low_water_s=0.6,
        high_water_s=7.0,
        ttfa_goal_s=0.8,
        live=False,
        duplex=False,
        preemptive=False,
        incremental=False,
        min_clause_length=9,
        is_whole_word=model.is_whole_word,
    )
    assert create_pacing(config, replace(start, typing="sentence"), model).typing == "sentence"


def test_a_non_incremental_engine_is_given_clauses() -> None:
    async def script(client: ScriptedClient) -> None:
        for word in ["Well,", "then,", "my", "dear", "old", "friend,", "good", "day.", ""]:
            client.send(Text("a", f"{word} "))
            await client.wait(0.03)
        client.send(End("a"))
        await client.wait_settled()

    client = run_script(script, tts=InlineTTS(FakeModel(incremental=False)))
    spoken = [release.text[: release.speak_to] for release in client.tts.releases]
    assert spoken[0] == "Well, then, my dear old friend, ", "a clause is not a word or two"
    assert spoken[1].startswith("Well, then, my dear old friend, good day.")
    assert len(spoken) == 2
    client.assert_sums()


def heard_without_end(mode: Mode, wait_s: float) -> str:
    """Speech heard of finished sentences (10 s of audio) and an unfinished one."""
    text = "x" * 499 + ". " + "y" * 499 + ". And then "

    async def script(client: ScriptedClient) -> None:
        client.send(Start("a", format="pcm_f32le", mode=mode), Text("a", text))
        await client.wait(wait_s)

    return run_script(script).heard_text()


def test_stream_mode_does_not_wait_for_playback() -> None:
    assert len(heard_without_end("live", 0.5)) == 500
    assert len(heard_without_end("stream", 0.5)) == len(heard_without_end("batch", 0.5)) == 1000


def test_stream_mode_speaks_an_unfinished_sentence_before_the_buffer_is_empty() -> None:
    assert heard_without_end("stream", 11).endswith("Andthen")
    assert len(heard_without_end("batch", 11)) == 1000


def test_after_a_pause_all_text_is_spoken_including_spaces() -> None:
    waiting = []

    async def script(client: ScriptedClient) -> None:
        for piece in ("Take 5 ", " ", " "):  # the engine stops before a number and what follows
            client.send(Text("a", piece))
            await client.wait(60.0)
            waiting.append(client.session.status().characters_waiting)

    run_script(script)
    assert waiting == [0, 0, 0]


def test_word_offsets_and_times_are_relative_to_the_context() -> None:
    text = "One two. Three  four. "

    async def script(client: ScriptedClient) -> None:
        client.send(Text("a", text), End("a"))
        await client.wait_settled()

    words = [word for audio in run_script(script).events_of(Audio) for word in audio.words]
    assert [text[word.start : word.end] for word in words] == ["One", "two.", "Three", "four."]
    assert [(word.start_ms, word.end_ms) for word in words] == [
        (0, 30),
        (30, 70),
        (70, 120),
        (120, 170),
    ]


def test_times_continue_over_collected_sentences() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(Start("a", format="pcm_f32le"), Text("a", "One two three "))
        await client.wait(0.05)
        client.send(Text("a", "four. Five six. "), End("a"))
        await client.wait_settled()

    config = make_settings(bidirectional_streaming={"immediate_send": False})
    client = run_script(script, config)
    words = [word for audio in client.events_of(Audio) for word in audio.words]
    starts_ms = [word.start_ms for word in words]
    assert starts_ms == [0, 30, 60, 110, 160, 200]


def test_a_final_release_makes_the_engine_reach_the_end() -> None:
    """The fake engine does not stop at a digit unless it must."""

    async def script(client: ScriptedClient) -> None:
        client.send(Start("a", format="pcm_f32le"), Text("a", "It costs 3 "))
        await client.wait(1.9)
        assert client.heard_text() == "Itcosts"
        await client.wait(0.2)
        assert client.heard_text() == "Itcosts3"
        client.send(Text("a", "or 4 "), Flush("a"))
        await client.wait(0.01)
        assert client.heard_text() == "Itcosts3or4"

    run_script(script)


def test_speech_waits_for_the_voice() -> None:
    class SlowVoice(InlineTTS):
        async def load_voice(self, voice: str) -> float:
            await asyncio.sleep(2.0)
            return 1.0

    async def script(client: ScriptedClient) -> None:
        client.send(Text("a", "Hello. "), End("a"))
        await client.wait_settled()

    ((at_s, _), _) = run_script(script, tts=SlowVoice()).log
    assert at_s == 2.0


def test_text_received_during_a_release_is_spoken_next() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(Text("a", "Hello there "))
        await client.wait(0.05)
        client.send(Text("a", "my dear friend "))
        await client.wait(1.0)

    client = run_script(script, tts=InlineTTS(delay_s=0.1))
    spoken = [(release.text, release.speak_to) for release in client.tts.releases[:2]]
    assert spoken == [("Hello there ", 6), ("Hello there my dear friend ", 20)]


def test_flush_is_answered_after_all_earlier_audio() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(Text("a", "Good morning. How are "), Flush("a"))
        await client.wait(3)
        client.send(Flush("a"), Text("a", "you?"), Flush("a"), End("a"))
        await client.wait_settled()

    client = run_script(script)
    story = [e for e in client.events if isinstance(e, Audio | Flushed | Done)]
    at = [n for n, event in enumerate(story) if isinstance(event, Flushed)]
    assert [story[n].to for n in at] == [22, 22, 26]  # type: ignore[union-attr]
    assert max(e.text[1] for e in story[: at[0]] if isinstance(e, Audio)) == 22
    assert all(isinstance(e, Flushed | Done) or e.text[0] >= 22 for e in story[at[0] :])
    assert isinstance(story[-1], Done)


def streams_of(events: list[Event]) -> list[bytes]:
    """The bytes of each stream, up to each `Flushed` and the end."""
    streams = [b""]
    for event in events:
        if isinstance(event, Audio):
            streams[-1] += event.data
        elif isinstance(event, Flushed):
            streams.append(b"")
    return streams


@pytest.mark.parametrize("format_", ["wav", "mp3", "flac", "opus", "pcm_s16le"])
def test_a_flush_that_ends_the_stream_gives_whole_files(format_: str) -> None:
    texts = ["One.\n", "Two, longer.\n", "Three."]

    async def speak_apart(client: ScriptedClient) -> None:
        for number, text in enumerate(texts):
            name = str(number)
            client.send(Start(name, format=format_, mode="stream"), Text(name, text), End(name))
            await client.wait_settled()

    async def speak_in_one(client: ScriptedClient) -> None:
        client.send(Start("a", format=format_, mode="stream"))
        for text in texts[:-1]:
            client.send(Text("a", text), Flush("a", ends_stream=True))
        client.send(Text("a", texts[-1]), End("a"))
        await client.wait_settled()
        client.assert_sums()

    apart = run_script(speak_apart)
    whole = [
        b"".join(audio.data for audio in apart.events_of(Audio, str(n))) for n in range(len(texts))
    ]
    streams = streams_of(run_script(speak_in_one).events)
    if format_ == "opus":  # its streams have random serial numbers
        assert [(s[:4], len(s)) for s in streams] == [(w[:4], len(w)) for w in whole]
    else:
        assert streams == whole


def test_a_flush_that_ends_the_stream_may_have_no_audio() -> None:
    async def script(client: ScriptedClient) -> None:
        ends = [Flush("a", ends_stream=True)] * 3
        client.send(Start("a", format="wav"), *ends, Text("a", " "), *ends, End("a"))
        await client.wait_settled()

    client = run_script(script)
    assert [event.to for event in client.events_of(Flushed)] == [0, 0, 0, 1, 1, 1]
    assert not any(audio.data for audio in client.events_of(Audio))


def test_flush_of_retracted_text_is_answered() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(Text("a", "One two"), Flush("a"), Retract("a", 0))
        await client.wait(1)
        client.send(End("a"))
        await client.wait_settled()

    assert [event.to for event in run_script(script).events_of(Flushed)] == [7]


@pytest.mark.slow
def test_too_many_flushes_are_refused_and_accepted_ones_answered() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(Text("a", "One two"), *[Flush("a")] * 10_001, End("a"))
        await client.wait_settled()

    client = run_script(script)
    assert len(client.events_of(Flushed)) == 10_000
    assert [event.code for event in client.events_of(Failed)] == ["text_limit"]
    assert len(client.events_of(Done)) == 1


@pytest.mark.parametrize(
    ("priority", "rank"), [("interactive", 0), (None, 1), ("normal", 1), ("background", 2)]
)
def test_priority_ranks_the_listener_while_the_context_is_open(
    priority: Priority | None, rank: int
) -> None:
    ranks: list[list[int]] = []

    async def script(client: ScriptedClient) -> None:
        client.send(Start("a", priority=priority), Start("b", mode="batch"))
        ranks.append([each.priority for each in client.tts.listeners])
        client.send(Cancel("a"), Cancel("b"))
        await client.wait(0.1)
        ranks.append([each.priority for each in client.tts.listeners])

    run_script(script)
    assert ranks == [[rank], []]


# --- silence and loudness -------------------------------------------------------------------------


def spoken_after_pauses(mode: Mode, pause_s: float) -> list[float]:
    """Durations of two sentences, each rendered with 300 ms of leading silence."""

    async def script(client: ScriptedClient) -> None:
        client.send(Start("a", mode=mode), Text("a", "Hello. "), Flush("a"))
        await client.wait(0.065 + pause_s)
        client.send(Text("a", "There. "), End("a"))
        await client.wait_settled()

    client = run_script(script, tts=InlineTTS(FakeModel(lead_ms=300)))
    client.assert_sums()
    return [round(audio.duration_ms) for audio in client.events_of(Audio)]


def test_silence_is_trimmed_before_the_first_sound_only() -> None:
    for mode in get_args(Mode):
        first_ms, second_ms = spoken_after_pauses(mode, pause_s=0.0)
        assert first_ms == 60 + 5  # margin kept before the onset
        assert second_ms == 360


def test_leading_silence_is_trimmed_after_a_live_pause() -> None:
    assert spoken_after_pauses("live", pause_s=0.1)[1] == 260
    assert spoken_after_pauses("live", pause_s=9.0)[1] == 65


def test_stream_and_batch_keep_the_pauses() -> None:
    assert spoken_after_pauses("stream", pause_s=9.0)[1] == 360
    assert spoken_after_pauses("batch", pause_s=9.0)[1] == 360


def test_word_times_shift_with_trimmed_silence() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(Text("a", "One two. "), End("a"))
        await client.wait_settled()

    client = run_script(script, tts=InlineTTS(FakeModel(lead_ms=300)))
    words = [word for audio in client.events_of(Audio) for word in audio.words]
    assert [(word.start_ms, word.end_ms) for word in words] == [(5, 35), (35, 75)]


def loudest(volume: float | None, gain: float = 1.0) -> float:
    class Louder(InlineTTS):
        async def load_voice(self, voice: str) -> float:
            return gain

    async def script(client: ScriptedClient) -> None:
        client.send(Start("a", format="pcm_f32le", volume=volume), Text("a", "aaaa "), End("a"))
        await client.wait_settled()

    data = b"".join(audio.data for audio in run_script(script, tts=Louder()).events_of(Audio))
    return float(np.abs(np.frombuffer(data, "<f4")).max())


def test_volume_scales_and_peaks_are_limited() -> None:
    normal = loudest(None)
    assert loudest(1.0) == normal
    assert loudest(0.5) == pytest.approx(normal / 2)
    assert loudest(0.0) == 0.0
    assert loudest(2.0) == pytest.approx(2 * normal)
    assert loudest(2.0, gain=10.0) == pytest.approx(10 ** (-2.3 / 20))


def test_the_voice_gain_is_applied() -> None:
    assert loudest(None, gain=2.0) == pytest.approx(2 * loudest(None))


def test_a_volume_out_of_range_is_refused() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(Start("a", volume=2.5))
        await client.wait(0.1)

    assert run_script(script).codes() == ["bad_message"]
