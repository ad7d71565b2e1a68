"""The loudness of speech, and its true-peak limit."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import resample_poly

from backend.audio.loudness import (
    TARGET_LUFS,
    Limiter,
    first_audible,
    gain_to_target,
    measure_lufs,
    parse_volume,
)
from backend.errors import BadMessage

RATE_HZ = 24_000


def tone(seconds: float, level: float, hz: float = 997.0) -> NDArray[np.float32]:
    at = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return (level * np.sin(2 * np.pi * hz * at)).astype(np.float32)


def true_peak_dbfs(pcm: NDArray[np.float32]) -> float:
    """True peak at 8x oversampling, twice that of the limiter."""
    return float(20 * np.log10(np.abs(resample_poly(pcm, 8, 1)).max()))


def limit_chunks(pcm: NDArray[np.float32], cuts: list[int]) -> NDArray[np.float32]:
    limiter = Limiter(RATE_HZ)
    return np.concatenate([limiter.limit(chunk) for chunk in np.split(pcm, sorted(cuts))])


# --- loudness ------------------------------------------------------------------------------------


def test_the_loudness_of_a_tone_matches_the_standard() -> None:
    loudness = measure_lufs(tone(3, 10 ** (-20 / 20)), RATE_HZ)
    assert loudness == pytest.approx(-23.0, abs=0.2)  # BS.1770: 3 dB below its peak, about


def test_the_gain_brings_speech_to_the_target_loudness() -> None:
    quiet = tone(3, 0.02)
    gain = gain_to_target(measure_lufs(quiet, RATE_HZ))
    assert measure_lufs(quiet * np.float32(gain), RATE_HZ) == pytest.approx(TARGET_LUFS, abs=0.1)


@pytest.mark.parametrize("pcm", [np.zeros(0), np.zeros(RATE_HZ), np.ones(100)])
def test_silent_or_too_short_audio_is_not_amplified(pcm: NDArray[np.float32]) -> None:
    assert measure_lufs(pcm.astype(np.float32), RATE_HZ) is None
    assert gain_to_target(None) == 1.0


@pytest.mark.parametrize("volume", [-0.1, 2.1, math.nan, math.inf])
def test_a_volume_out_of_range_is_refused(volume: float) -> None:
    with pytest.raises(BadMessage, match="volume: expected 0"):
        parse_volume(volume)


# --- audibility -----------------------------------------------------------------------------------


def test_first_audible_finds_the_first_loud_window() -> None:
    silence = np.full(480, 10 ** (-50 / 20), np.float32)
    assert first_audible(np.concatenate([silence, tone(0.1, 0.1)]), RATE_HZ) == 480
    assert first_audible(silence, RATE_HZ) is None
    assert first_audible(silence[:0], RATE_HZ) is None


# --- peaks ---------------------------------------------------------------------------------------


def test_quiet_audio_passes_unchanged() -> None:
    speech = tone(0.5, 0.7)
    assert limit_chunks(speech, [3000]) is not speech
    assert np.array_equal(limit_chunks(speech, [3000, 3001]), speech)


@given(
    seed=st.integers(0, 1000),
    level=st.floats(0.5, 6.0),
    cuts=st.lists(st.integers(0, 12_000), max_size=5),
)
def test_no_peak_passes_at_any_level_and_chunk_size(
    seed: int, level: float, cuts: list[int]
) -> None:
    generator = np.random.default_rng(seed)
    bursts = np.repeat(generator.random(24) ** 4, 500)
    voice = sum(tone(0.5, 1 / n, 140.0 * n) for n in range(1, 30))
    speech = (level * bursts * voice / np.abs(voice).max()).astype(np.float32)
    heard = limit_chunks(speech, cuts)
    assert len(heard) == len(speech)
    assert np.abs(heard).max() <= 10 ** (-2.29 / 20)
    assert true_peak_dbfs(heard) <= -1.0


def test_the_gain_changes_slowly_and_recovers() -> None:
    speech = tone(1.0, 0.3)
    speech[12_000:12_240] *= 6  # a burst of 10 ms
    heard = limit_chunks(speech, [6000, 11_000])
    audible = np.abs(speech) > 0.05
    gain = heard[audible] / speech[audible]
    assert np.abs(np.diff(gain)).max() < 0.03  # between neighbouring samples: no click
    assert np.array_equal(heard[:11_800], speech[:11_800])
    assert np.allclose(heard[16_000:], speech[16_000:])


def test_limiting_one_second_takes_under_5_ms() -> None:
    loud, limiter = tone(1.0, 2.0), Limiter(RATE_HZ)
    limiter.limit(loud)
    costs_s = []
    for _ in range(5):
        started_s = time.thread_time()
        limiter.limit(loud)
        costs_s.append(time.thread_time() - started_s)
    assert min(costs_s) < 0.005  # on the event loop
