"""Measuring how fast text is written."""

from __future__ import annotations

import math

import pytest

from backend.text.writing_speed import WritingSpeed


def speed(*arrivals: tuple[int, float]) -> float:
    """The speed of arrivals of (characters, seconds since the arrival before)."""
    writer, now_s = WritingSpeed(), 0.0
    for characters, gap_s in arrivals:
        now_s += gap_s
        writer.add_arrival(characters, now_s)
    return writer.characters_per_s


def test_speed_is_infinite_for_text_that_arrives_at_once() -> None:
    assert speed() == speed((20_000, 0.0)) == speed((0, 0.0), (0, 1.0)) == math.inf


@pytest.mark.parametrize("keys_per_s", [1.0, 2.5, 5.5, 9.0, 100.0])
def test_speed_of_steady_typing(keys_per_s: float) -> None:
    assert speed(*[(1, 1 / keys_per_s)] * 40) == pytest.approx(keys_per_s)


def test_words_from_a_prediction_bar_do_not_count_as_a_model() -> None:
    assert speed((1, 0.2), (1, 0.2), (7, 0.9), (1, 0.2), (9, 1.2)) < 10


def test_a_long_pause_hardly_lowers_the_speed() -> None:
    assert speed(*[(1, 0.2)] * 10, (1, 8.0), *[(1, 0.2)] * 5) > 3


def test_only_the_last_words_count() -> None:
    assert speed(*[(1, 1.0)] * 40, *[(5, 0.03)] * 8) == pytest.approx(5 / 0.03, rel=0.1)
