"""The engine of docs/adding-an-engine.md keeps the contract, and the real server speaks with it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from backend.engines.base import Chunk, Release, Utterance
from backend.errors import UnknownVoice
from backend.text.words import word_ends
from examples.tone_engine import RATE_HZ, ToneEngine, ToneModel
from tests.support.live_server import live_server

TEXT = "Hello there, my friend: 3 of us are here. "


def render(releases: Sequence[Release], utterance: Utterance | None = None) -> list[Chunk]:
    """All chunks of an utterance with these releases."""
    engine = ToneEngine()
    engine.begin(utterance or Utterance("u", "low"))
    chunks: list[Chunk] = []
    for release in releases:
        engine.extend("u", release)
        caught_up = False
        while not caught_up:
            (chunk,) = engine.step(["u"])
            assert isinstance(chunk, Chunk)
            chunks.append(chunk)
            caught_up = chunk.caught_up
    return chunks


def concatenate(chunks: Sequence[Chunk]) -> np.ndarray:
    return np.concatenate([chunk.pcm for chunk in chunks])


def test_word_by_word_sounds_like_the_whole_text() -> None:
    ends = word_ends(TEXT)
    known = [*ends[1:], len(TEXT)]  # one word of lookahead
    growing = [
        Release(TEXT[:until], end, final=end == len(TEXT))
        for end, until in zip(ends, known, strict=True)
    ]
    whole = [Release(TEXT, len(TEXT), final=True)]
    assert np.array_equal(concatenate(render(growing)), concatenate(render(whole)))


def test_spans_tile_the_text_and_words_tile_the_sound() -> None:
    chunks = render([Release(TEXT, len(TEXT), final=True)])
    assert [chunk.start for chunk in chunks[1:]] == [chunk.end for chunk in chunks[:-1]]
    assert (chunks[0].start, chunks[-1].end) == (0, len(TEXT))
    words = [word for chunk in chunks for word in chunk.words]
    assert [word.start_ms for word in words[1:]] == [word.end_ms for word in words[:-1]]
    total_ms = 1000 * len(concatenate(chunks)) / RATE_HZ
    assert words[-1].end_ms == pytest.approx(total_ms)


def test_a_final_release_without_a_letter_is_silent_and_accounted_for() -> None:
    (chunk,) = render([Release("... ", 4, final=True)])
    assert (len(chunk.pcm), chunk.start, chunk.end, chunk.caught_up) == (0, 0, 4, True)


def test_twice_the_speed_takes_half_the_time() -> None:
    releases = [Release(TEXT, len(TEXT), final=True)]
    normal = len(concatenate(render(releases)))
    fast = len(concatenate(render(releases, Utterance("u", "low", speed=2.0))))
    assert fast == pytest.approx(normal / 2, rel=0.01)


def test_an_unknown_voice_is_refused_and_an_unknown_utterance_may_be_aborted() -> None:
    engine = ToneEngine()
    with pytest.raises(UnknownVoice):
        engine.begin(Utterance("u", "nobody"))
    engine.abort("u")


async def test_the_server_speaks_with_it_while_the_text_is_written() -> None:
    async with live_server(ToneModel()) as live, live.connect() as client:
        await client.send("start", context="a", format="pcm_f32le", voice="high")
        for word in TEXT.split(" "):
            await client.send("text", context="a", text=f"{word} ")
        await client.send("end", context="a")
        messages = await client.receive_until("done", "a")
    audio = [message for message in messages if message["type"] == "audio"]
    assert audio[0]["text"][0] == 0
    assert messages[-1]["characters"] == len(TEXT) + 1
    pcm = np.frombuffer(b"".join(message["data"] for message in audio), "<f4")
    assert np.abs(pcm).max() > 0.1
