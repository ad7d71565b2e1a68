"""Synthetic recordings to learn voices from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile


def recording(path: Path, seconds: float = 6.0, rate_hz: int = 24_000, seed: int = 1) -> Path:
    """Write an amplitude-modulated tone with noise in the format of the path's suffix."""
    random = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    tone = np.sin(2 * np.pi * (110 + 30 * seed) * t) * (1.2 + np.sin(2 * np.pi * 3 * t))
    soundfile.write(path, 0.2 * tone + 0.01 * random.standard_normal(len(t)), rate_hz)
    return path
