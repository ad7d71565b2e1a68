"""Which samples are accepted as recordings of voices, and the errors for others."""

from __future__ import annotations

import numpy as np
import pytest

from backend.audio.recordings import FloatArray, mix_to_mono
from backend.errors import BadMessage

RATE_HZ = 16_000


def refusal(samples: FloatArray) -> str:
    if samples.ndim == 1:
        samples = samples[:, None]
    with pytest.raises(BadMessage) as caught:
        mix_to_mono(samples.astype(np.float32), RATE_HZ)
    return caught.value.message


def tone(seconds: float) -> FloatArray:
    wave = np.sin(np.arange(round(seconds * RATE_HZ)) * 0.05)
    return np.asarray(0.3 * wave, np.float32)


@pytest.mark.parametrize("seconds", [5.0, 30.0])
def test_the_shortest_and_longest_durations_are_accepted(seconds: float) -> None:
    assert len(mix_to_mono(tone(seconds)[:, None], RATE_HZ)) == seconds * RATE_HZ


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, "0.0 s"), (4.9, "4.9 s long"), (30.1, "longer")]
)
def test_recordings_too_short_or_too_long_are_refused(seconds: float, expected: str) -> None:
    message = refusal(tone(seconds))
    assert "5 to 30 s" in message
    assert expected in message


TONE = tone(6)
SPEECHLESS = {
    "zeros": (0 * TONE, "is silent"),
    "far beyond full scale": (np.full(96_000, 3e38, np.float32), "times full scale"),
    "integers as real numbers": (TONE * 32_768, "times full scale"),
    "a single sample beyond": (np.where(np.arange(96_000) == 9, -1e9, TONE), "times full scale"),
    "channels whose sum overflows": (np.full((96_000, 2), 3e38, np.float32), "times full scale"),
    "one sample is not a number": (np.where(np.arange(96_000) == 9, np.nan, TONE), "not numbers"),
    "infinities that cancel": (np.tile(np.array([np.inf, -np.inf]), (96_000, 1)), "not numbers"),
    "a constant": (np.full(96_000, 0.5, np.float32), "is silent"),
    "a click": (np.where(np.arange(96_000) == 9, np.float32(0.9), np.float32(0)), "of sound"),
    "a short word": (np.where(np.arange(96_000) < 8_000, TONE, np.float32(0)), "0.5 s of sound"),
    "noise of a converter": (TONE * np.float32(1e-4), "is silent"),
    "channels that cancel": (np.stack([TONE, -TONE], axis=1), "cancel each other"),
}


@pytest.mark.parametrize("case", SPEECHLESS)
def test_a_recording_without_a_voice_is_refused_with_the_reason(case: str) -> None:
    samples, expected = SPEECHLESS[case]
    assert expected in refusal(np.asarray(samples))


@pytest.mark.parametrize("gain", [1.0, 3.4, 10.0])
def test_a_recording_slightly_too_loud_is_scaled_down(gain: float) -> None:
    mono = mix_to_mono(TONE[:, None] * np.float32(gain), RATE_HZ)
    assert np.abs(mono).max() == pytest.approx(min(1.0, 0.3 * gain), abs=1e-3)


def test_one_silent_channel_is_accepted() -> None:
    assert np.abs(mix_to_mono(np.stack([TONE, 0 * TONE], axis=1), RATE_HZ)).max() > 0.1
