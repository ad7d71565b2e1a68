"""The real embedded voice, loaded once for all tests, and functions that drive it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from hibari.voices import ASSETS

from backend.engines.base import Chunk, Pcm, Release, Utterance
from backend.engines.hibari.engine import HibariEngine, HibariModel
from backend.engines.hibari.phonemes import PhonemeReader
from tests.support.engines.rendering import render_release


@cache
def shared_model() -> HibariModel:
    return HibariModel()


@cache
def load_reader() -> PhonemeReader:
    alphabet = json.loads((Path(ASSETS) / "vocab.json").read_text(encoding="utf-8"))
    return PhonemeReader(british=False, alphabet=alphabet)


def begin_utterance(chunk_characters: int = 25, seed: int = 0, speed: float = 1.0) -> HibariEngine:
    """Create an engine with the open utterance "u"."""
    engine = shared_model().create_engine()
    engine.begin(Utterance("u", "heart", speed=speed, seed=seed, chunk_characters=chunk_characters))
    return engine


def render(text: str, chunk_characters: int = 25, seed: int = 0, speed: float = 1.0) -> list[Chunk]:
    """Render a text known as a whole."""
    engine = begin_utterance(chunk_characters, seed, speed)
    return list(render_release(engine, Release(text, len(text), final=True)))


def render_words(text: str, words: int = 1, lookahead: int = 1, seed: int = 0) -> list[Chunk]:
    """Render a text that arrives `words` at a time."""
    engine = begin_utterance(seed=seed)
    ends = [m.end() for m in re.finditer(r"\S+\s*", text)]
    chunks: list[Chunk] = []
    for known in range(words, len(ends), words):
        if known > lookahead:
            release = Release(text[: ends[known - 1]], ends[known - lookahead - 1])
            chunks += render_release(engine, release)
    chunks += render_release(engine, Release(text, len(text), final=True))
    return chunks


def join(chunks: Sequence[Chunk]) -> Pcm:
    return np.concatenate([chunk.pcm for chunk in chunks])


def assert_tiles(chunks: Sequence[Chunk], text: str) -> None:
    position = 0
    for chunk in chunks:
        assert chunk.start == position
        position = chunk.end
    assert position == len(text)
    assert [chunk.caught_up for chunk in chunks][-1]
