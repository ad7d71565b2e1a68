"""Drives one utterance of an engine."""

from __future__ import annotations

from collections.abc import Iterator

from backend.engines.base import Chunk, Engine, Release


def render_release(engine: Engine, release: Release) -> Iterator[Chunk]:
    """Extend "u" and step until it has caught up; yields its chunks."""
    engine.extend("u", release)
    while True:
        (chunk,) = engine.step(["u"])
        assert isinstance(chunk, Chunk), chunk
        yield chunk
        if chunk.caught_up:
            return
