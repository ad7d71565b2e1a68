from __future__ import annotations

import numpy as np
import pytest

from backend.engines.hibari.score import rows_at


@pytest.mark.parametrize("speed", [0.5, 0.7, 1.4, 2.0])
def test_the_speed_is_kept_over_many_phonemes_and_none_is_dropped(speed: float) -> None:
    duration = np.random.default_rng(1).uniform(0.2, 6.0, 200).astype(np.float32)
    plain, rows = rows_at(1.0, duration), rows_at(speed, duration)
    assert rows.min() >= 1
    assert rows.sum() * speed == pytest.approx(plain.sum(), abs=3)


def test_speed_1_rounds_like_the_package() -> None:
    duration = np.array([0.2, 0.6, 1.5, 2.5, 3.49], np.float32)
    assert rows_at(1.0, duration).tolist() == [1, 1, 2, 2, 3]
