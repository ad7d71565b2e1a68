"""Silence before the first sound is not sent; soft onsets are kept."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from backend.audio.leading_silence import SilenceTrimmer
from backend.audio.loudness import first_audible

RATE_HZ = 24_000
MS = RATE_HZ // 1000


def noise(ms: int, dbfs: float, seed: int = 0) -> NDArray[np.float32]:
    samples = np.random.default_rng(seed).standard_normal(ms * MS)
    return (samples * 10 ** (dbfs / 20)).astype(np.float32)


def silence(ms: int) -> NDArray[np.float32]:
    return np.zeros(ms * MS, np.float32)


def trim_chunks(*chunks: NDArray[np.float32], silent_s: float = math.inf) -> NDArray[np.float32]:
    """The chunks as a context sends them: nothing is trimmed after the first audible chunk."""
    trimmer, heard = SilenceTrimmer(RATE_HZ), []
    for chunk in chunks:
        out = trimmer.trim(chunk, silent_s)
        silent_s = 0.0 if len(out) else silent_s
        heard.append(out)
    return np.concatenate(heard)


def test_silence_before_the_first_sound_is_trimmed() -> None:
    speech = noise(200, -20)
    heard = trim_chunks(np.concatenate([silence(300), speech]))
    before = first_audible(heard, RATE_HZ)
    assert before is not None
    assert before <= 10 * MS
    assert np.array_equal(heard[-len(speech) :], speech)


@pytest.mark.parametrize("soft_ms", [5, 15, 30])
def test_a_soft_onset_is_kept(soft_ms: int) -> None:
    soft = noise(soft_ms, -56)
    heard = trim_chunks(np.concatenate([silence(300), soft, noise(100, -20)]))
    assert np.array_equal(heard[-(soft_ms + 100) * MS : -100 * MS], soft)


def test_long_noise_is_not_an_onset() -> None:
    heard = trim_chunks(np.concatenate([noise(400, -56), noise(100, -20)]))
    assert len(heard) <= 145 * MS


@given(cuts=st.lists(st.integers(0, 500 * MS), max_size=6), soft_ms=st.integers(0, 30))
def test_chunk_edges_do_not_change_the_result(cuts: list[int], soft_ms: int) -> None:
    soft, speech = noise(soft_ms, -56), noise(100, -20)
    whole = np.concatenate([silence(400 - soft_ms), soft, speech])
    heard = trim_chunks(*np.split(whole, sorted(cuts)))
    assert np.array_equal(heard[-len(speech) :], speech)
    before = first_audible(heard, RATE_HZ)
    assert before is not None
    assert before <= 60 * MS  # at most 45 of soft onset, and a window more where chunks are cut
    kept = heard[: -len(speech)][-len(soft) :] if soft_ms else heard[:0]
    assert np.array_equal(kept, soft[-len(kept) :] if soft_ms else kept)


def test_the_cut_does_not_click() -> None:
    hum = np.full(300 * MS, 10 ** (-50 / 20), np.float32)
    heard = trim_chunks(np.concatenate([hum, noise(100, -20)]))
    assert abs(float(heard[0])) < 1e-4


def test_a_stream_that_stays_silent_is_not_sent() -> None:
    assert len(trim_chunks(silence(100), noise(100, -70), silence(50))) == 0


def test_a_pause_is_shortened_by_the_silence_already_heard() -> None:
    chunk = np.concatenate([silence(300), noise(100, -20)])
    assert len(trim_chunks(chunk, silent_s=0.1)) == 300 * MS
    assert 100 * MS <= len(trim_chunks(chunk, silent_s=5.0)) <= 110 * MS
    assert np.array_equal(trim_chunks(chunk, silent_s=0.0), chunk)


def test_a_pause_is_kept_if_nothing_audible_follows() -> None:
    trimmer = SilenceTrimmer(RATE_HZ)
    assert len(trimmer.trim(silence(300), 0.1)) == 200 * MS
