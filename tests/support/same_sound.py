"""Compares sounds with inaudible tolerances: rounding differs between processors."""

from __future__ import annotations

from typing import Any

import numpy as np

ERROR_DB = -80.0  # power of the difference relative to the sound; 16 bits have -98
CLICK_DB = -60.0  # largest sample of the difference, relative to the sound's


def assert_same_sound(sound: Any, expected: Any) -> None:
    """Assert that both sound the same; they must not be silent."""
    sound, expected = np.asarray(sound, np.float64), np.asarray(expected, np.float64)
    assert sound.shape == expected.shape
    assert np.isfinite(sound).all()
    assert np.abs(expected).max() > 0.001, "cannot compare silence"
    error = sound - expected
    assert _ratio_db(_rms(error), _rms(expected)) < ERROR_DB
    assert _ratio_db(np.abs(error).max(), np.abs(expected).max()) < CLICK_DB


def _rms(samples: Any) -> float:
    return float(np.sqrt(np.square(samples).mean()))


def _ratio_db(amplitude: float, reference: float) -> float:
    return float(20 * np.log10(amplitude / reference + 1e-30))
