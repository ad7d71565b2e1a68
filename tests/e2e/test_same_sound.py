"""`assert_same_sound`, which other tests use."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.same_sound import assert_same_sound

TONE = 0.1 * np.sin(np.arange(24_000) / 9)


def test_rounding_is_tolerated() -> None:
    assert_same_sound(TONE, TONE)
    assert_same_sound(TONE.astype(np.float32), TONE)
    assert_same_sound(TONE + 1.5e-7, TONE)


def test_audible_differences_are_refused() -> None:
    click = TONE.copy()
    click[12_000] += 0.001
    noise = TONE + 2e-5 * np.random.default_rng(1).standard_normal(len(TONE))
    for other in (click, noise, 1.001 * TONE, np.roll(TONE, 1), np.full_like(TONE, np.nan)):
        with pytest.raises(AssertionError):
            assert_same_sound(other, TONE)
    with pytest.raises(AssertionError):
        assert_same_sound(TONE[:-1], TONE)
    with pytest.raises(AssertionError, match="silence"):
        assert_same_sound(0 * TONE, 0 * TONE)
