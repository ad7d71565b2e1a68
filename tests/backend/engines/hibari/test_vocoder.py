from __future__ import annotations

import itertools

import numpy as np
import pytest
from hibari import dsp

from backend.engines.hibari.vocoder import BINS, HOP, LAG, FloatArray, StreamingVocoder
from tests.support.same_sound import assert_same_sound

SEED = 3


class SameNoise:
    """Gives the package the vocoder's noise: drawn frame by frame, not bin by bin."""

    def standard_normal(self, shape: tuple[int, int], dtype: type) -> FloatArray:
        n = shape[1] // 2
        drawn = StreamingVocoder(SEED).take_noise(n)
        return np.ascontiguousarray(drawn.T).view(np.float32)


def speechlike(n: int) -> tuple[FloatArray, FloatArray]:
    random = np.random.default_rng(n)
    frames = random.normal(-3, 1, (n, 5 * BINS)).astype(np.float32)
    f0 = (180 + 60 * np.sin(np.arange(n) / 5)).astype(np.float32)
    f0[n // 3 : n // 3 + 4] = 0.5  # unvoiced
    return frames, f0


def render_with_package(frames: FloatArray, f0: FloatArray) -> FloatArray:
    parts = [np.ascontiguousarray(part.T) for part in np.split(frames, 5, axis=1)]
    samples: FloatArray = dsp.synth(*parts, f0, SameNoise())
    return samples


def render_in_pieces(frames: FloatArray, f0: FloatArray, sizes: list[int]) -> FloatArray:
    vocoder = StreamingVocoder(SEED)
    edges = np.cumsum([0, *sizes])
    out = [vocoder.push_frames(frames[a:b], f0[a:b]) for a, b in itertools.pairwise(edges)]
    return np.concatenate([*out, vocoder.finish()])


@pytest.mark.parametrize("n", [1, 2, 3, 5, 60])
def test_frames_in_any_pieces_give_the_packages_sound(n: int) -> None:
    frames, f0 = speechlike(n)
    expected = render_with_package(frames, f0)
    for sizes in ([n], [1] * n, [n // 2, n - n // 2], [7] * (n // 7) + [n % 7]):
        assert_same_sound(render_in_pieces(frames, f0, sizes), expected)


def test_all_frames_but_the_last_are_final_at_once() -> None:
    frames, f0 = speechlike(20)
    vocoder = StreamingVocoder(SEED)
    first = vocoder.push_frames(frames[:12], f0[:12])
    assert len(first) == (12 - LAG) * HOP
    assert_same_sound(first, render_with_package(frames, f0)[: len(first)])


def test_without_frames_there_is_no_sound() -> None:
    assert len(StreamingVocoder(SEED).finish()) == 0


def test_another_seed_gives_other_noise() -> None:
    frames, f0 = speechlike(20)
    first_noise, second_noise = (StreamingVocoder(seed).push_frames(frames, f0) for seed in (1, 2))
    assert not np.allclose(first_noise, second_noise)
