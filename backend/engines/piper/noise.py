"""The noise of a voice, by seed and position: the same wherever a sentence is cut."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

_STEPS = 2048  # of noise: 24 s of frames; no sentence hears a repetition
_SEED_STEP = 617  # between the noise of one seed and the next; coprime to the above


def take_noise(seed: int, channels: int, positions: NDArray[np.int64]) -> FloatArray:
    """Normal noise [n, channels] at `positions`."""
    rows: FloatArray = _draw_noise(channels)[(seed * _SEED_STEP + positions) % _STEPS]
    return rows


@lru_cache(8)
def _draw_noise(channels: int) -> FloatArray:
    # Drawn once: new noise for each utterance would cost as much as the text's encoding.
    return np.random.default_rng(channels).standard_normal((_STEPS, channels), dtype=np.float32)
