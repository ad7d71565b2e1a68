"""Sounds like speech to the measures of recordings: syllables with a pitch, and pauses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
RATE_HZ = 16_000
SYLLABLE_S = 0.2
PAUSE_S = 0.3  # after each phrase
PHRASE_S = 1.5


def speech(seconds: float, seed: int = 0, peak: float = 0.3) -> Samples:
    """Phrases of syllables around 130 Hz at `RATE_HZ`, which begin and end with a sound."""
    random = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    pitch_hz = 130 + 20 * np.sin(2 * np.pi * 0.7 * t + seed)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ
    # Harmonics that fall off: a sharp wave with few samples near its peak, as of a voice.
    wave = sum(np.cos(n * phase) * 0.8**n for n in range(1, 20))
    syllables = 0.3 + 0.7 * np.abs(np.sin(np.pi * t / SYLLABLE_S))
    spoken = t % (PHRASE_S + PAUSE_S) < PHRASE_S
    sound = wave * syllables * spoken + 1e-4 * random.standard_normal(len(t))
    return np.asarray(peak * sound / np.abs(sound).max(), np.float32)


def noise(seconds: float, rms: float, seed: int = 0) -> Samples:
    """White noise at `RATE_HZ`."""
    random = np.random.default_rng(seed)
    return np.asarray(rms * random.standard_normal(round(seconds * RATE_HZ)), np.float32)


def silence(seconds: float) -> Samples:
    """Digital silence at `RATE_HZ`."""
    return np.zeros(round(seconds * RATE_HZ), np.float32)
