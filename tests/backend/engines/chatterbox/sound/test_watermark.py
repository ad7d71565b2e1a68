"""The watermark: detected, inaudible at seams, on by default."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backend.config import ChatterboxSettings
from backend.engines.base import Chunk, Pcm, Release, Utterance
from backend.engines.chatterbox.model import ChatterboxModel
from backend.engines.chatterbox.sound.watermark import Watermark
from tests.support.chatterbox.tiny import quiet, tiny

RATE_HZ = 24_000


@pytest.fixture(scope="module")
def mark() -> Watermark:
    with quiet():
        return Watermark(torch.device("cpu"))


def speech(seconds: float) -> Pcm:
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    swell = 0.5 + 0.5 * np.sin(2 * np.pi * 3 * t)
    tones = sum(np.sin(2 * np.pi * 150 * k * t) / k for k in range(1, 20))
    breath = 0.2 * np.random.default_rng(1).standard_normal(len(t))
    return (0.1 * (swell * tones + breath)).astype(np.float32)


def mark_all(mark: Watermark, sounds: list[Pcm]) -> list[Pcm]:
    marked = mark.apply([torch.from_numpy(sound) for sound in sounds])
    assert None not in marked
    return [each.numpy() for each in marked if each is not None]


def test_separately_marked_chunks_are_detected_together(mark: Watermark) -> None:
    sound = speech(4)
    cuts = np.cumsum([int(each * RATE_HZ) for each in (0.4, 0.8, 1.6)])
    parts = mark_all(mark, np.split(sound, cuts)[:3])
    parts += mark_all(mark, np.split(sound, cuts)[3:])
    marked = np.concatenate(parts)
    assert [len(part) for part in parts] == [len(part) for part in np.split(sound, cuts)]
    with torch.inference_mode():
        found = mark.perth.get_watermark(marked, sample_rate=RATE_HZ)
        nothing = mark.perth.get_watermark(sound, sample_rate=RATE_HZ)
    assert found > 0.9 > 0.5 > nothing
    assert np.square(marked - sound).mean() < 0.1 * np.square(sound).mean()


def test_watermark_leaves_chunk_edges_unchanged(mark: Watermark) -> None:
    sound = speech(1)
    (marked,) = mark_all(mark, [sound])
    assert marked[0] == sound[0]
    assert marked[-1] == sound[-1]


def test_too_short_chunk_is_not_marked(mark: Watermark) -> None:
    for count in (0, 1, 500, 2399):
        sound = torch.from_numpy(speech(1)[:count])
        assert mark.apply([sound])[0] is sound


def test_out_of_memory_skips_only_chunks_that_do_not_fit(
    mark: Watermark, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mark_little(rows: torch.Tensor) -> torch.Tensor:
        if rows.size(1) > RATE_HZ:
            raise torch.OutOfMemoryError("no memory")
        return torch.zeros_like(rows)

    monkeypatch.setattr(mark, "_compute_mark", mark_little)
    sounds = [torch.from_numpy(speech(seconds)) for seconds in (0.5, 2, 0.7)]
    assert [each is None for each in mark.apply(sounds)] == [False, True, False]


def test_mark_is_that_of_perth_at_its_own_rate(mark: Watermark) -> None:
    """Perth resamples to 32 kHz and back, so the rest of the sound is not compared."""
    sound = speech(2)
    (marked,) = mark_all(mark, [sound])
    with torch.inference_mode():
        theirs = mark.perth.apply_watermark(sound, sample_rate=RATE_HZ)[: len(sound)] - sound
    ours, inner = marked - sound, slice(RATE_HZ // 4, -RATE_HZ // 4)
    correlation = np.corrcoef(ours[inner], theirs[inner])[0, 1]
    assert correlation > 0.9


def test_chunks_are_marked_together_as_alone(mark: Watermark) -> None:
    sounds = [speech(seconds) for seconds in (0.25, 1.0, 0.5)]
    together = mark_all(mark, sounds)
    alone = [mark_all(mark, [sound])[0] for sound in sounds]
    for one, other, sound in zip(together, alone, sounds, strict=True):
        assert np.square(one - other).mean() < 0.1 * np.square(one - sound).mean()


def test_watermark_is_on_by_default(tmp_path: Path) -> None:
    audio = {}
    for watermark in (None, True, False):
        chosen: dict[str, Any] = {} if watermark is None else {"watermark": watermark}
        with quiet():
            engine = ChatterboxModel(
                tiny(turbo=True), ChatterboxSettings(slots=1, **chosen), tmp_path
            ).create_engine()
        engine.begin(Utterance("a", "default"))
        engine.extend("a", Release("Hello.", 6, final=True))
        chunks: list[Chunk] = []
        while not (chunks and chunks[-1].caught_up):
            chunks += [each for each in engine.step(["a"]) if isinstance(each, Chunk)]
        audio[watermark] = np.concatenate([chunk.pcm for chunk in chunks])
    assert np.array_equal(audio[None], audio[True])
    assert not np.array_equal(audio[None], audio[False])
