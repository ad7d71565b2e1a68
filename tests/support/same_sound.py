"""Whether a listener could tell two sounds apart; rounding, which differs between processors, he
cannot.
"""

from __future__ import annotations

from typing import Any

import numpy as np

ERROR_DB = -80.0  # power of the difference, under that of the sound: 16 bits have -98
CLICK_DB = -60.0  # its largest sample, under the largest of the sound


def assert_same_sound(sound: Any, expected: Any) -> None:
    """Both of one shape, and not silent."""
    sound, expected = np.asarray(sound, np.float64), np.asarray(expected, np.float64)
    assert sound.shape == expected.shape
    assert np.isfinite(sound).all()
    assert np.abs(expected).max() > 0.001, "silence is like anything soft"
    error = sound - expected
    assert _db(_rms(error), _rms(expected)) < ERROR_DB
    assert _db(np.abs(error).max(), np.abs(expected).max()) < CLICK_DB


def _rms(samples: Any) -> float:
    return float(np.sqrt(np.square(samples).mean()))


def _db(amplitude: float, of: float) -> float:
    return float(20 * np.log10(amplitude / of + 1e-30))
