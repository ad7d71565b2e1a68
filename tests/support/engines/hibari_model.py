"""The real embedded voice, loaded once for all tests that need it, and what drives it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from hibari.voices import ASSETS

from backend.engines.base import Chunk, Engine, Pcm, Release, Utterance
from backend.engines.hibari.engine import HibariEngine, HibariModel
from backend.engines.hibari.phonemes import PhonemeReader


@cache
def model() -> HibariModel:
    return HibariModel()


@cache
def reader() -> PhonemeReader:
    alphabet = json.loads((Path(ASSETS) / "vocab.json").read_text(encoding="utf-8"))
    return PhonemeReader(british=False, alphabet=alphabet)


def begin(chunk_characters: int = 25, seed: int = 0, speed: float = 1.0) -> HibariEngine:
    """An engine with the utterance "u" open."""
    engine = model().create_engine()
    engine.begin(Utterance("u", "heart", speed=speed, seed=seed, chunk_characters=chunk_characters))
    return engine


def drive(engine: Engine, release: Release) -> Iterator[Chunk]:
    """Extend "u" and step until it has caught up."""
    engine.extend("u", release)
    while True:
        (chunk,) = engine.step(["u"])
        assert isinstance(chunk, Chunk), chunk
        yield chunk
        if chunk.caught_up:
            return


def whole(text: str, chunk_characters: int = 25, seed: int = 0, speed: float = 1.0) -> list[Chunk]:
    """The chunks of a text that is known as a whole."""
    engine = begin(chunk_characters, seed, speed)
    return list(drive(engine, Release(text, len(text), final=True)))


def streamed(text: str, words: int = 1, lookahead: int = 1, seed: int = 0) -> list[Chunk]:
    """The chunks of a text that arrives `words` at a time."""
    engine = begin(seed=seed)
    ends = [m.end() for m in re.finditer(r"\S+\s*", text)]
    chunks: list[Chunk] = []
    for known in range(words, len(ends), words):
        if known > lookahead:
            release = Release(text[: ends[known - 1]], ends[known - lookahead - 1])
            chunks += drive(engine, release)
    chunks += drive(engine, Release(text, len(text), final=True))
    return chunks


def pcm(chunks: Sequence[Chunk]) -> Pcm:
    return np.concatenate([chunk.pcm for chunk in chunks])


def assert_tiles(chunks: Sequence[Chunk], text: str) -> None:
    position = 0
    for chunk in chunks:
        assert chunk.start == position
        position = chunk.end
    assert position == len(text)
    assert [chunk.caught_up for chunk in chunks][-1]
