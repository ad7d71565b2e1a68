"""The spread of what was observed lately."""

from __future__ import annotations

import pytest

from backend.monitoring.rolling_window import WINDOW_S, RollingWindow


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_nothing_observed_has_no_quantiles() -> None:
    spread = RollingWindow([1.0], Clock()).distribution()
    assert (spread.count, spread.p50, spread.p95, spread.max) == (0, None, None, None)
    assert spread.counts == (0, 0)


def test_quantiles_are_values_that_were_observed() -> None:
    recent = RollingWindow([1.0], Clock())
    for value in range(100, 0, -1):  # the order does not matter
        recent.observe(value)
    spread = recent.distribution()
    assert (spread.p50, spread.p95, spread.max) == (50, 95, 100)


@pytest.mark.parametrize("value", [0.5, 3.0])
def test_a_single_value_is_every_quantile(value: float) -> None:
    recent = RollingWindow([1.0], Clock())
    recent.observe(value)
    spread = recent.distribution()
    assert (spread.p50, spread.p95, spread.max) == (value, value, value)


def test_a_value_counts_up_to_its_bound_and_above_all_bounds_at_last() -> None:
    recent = RollingWindow([1.0, 2.0], Clock())
    for value in (0.5, 1.0, 1.5, 2.0, 2.1, 99.0):
        recent.observe(value)
    assert recent.distribution().counts == (2, 2, 2)


def test_what_is_older_than_the_window_is_forgotten() -> None:
    clock = Clock()
    recent = RollingWindow([1.0], clock)
    recent.observe(9.0)
    clock.now_s += WINDOW_S
    recent.observe(0.5)
    assert recent.distribution().max == 9.0
    clock.now_s += 0.1
    spread = recent.distribution()
    assert (spread.count, spread.max, spread.counts) == (1, 0.5, (1, 0))


def test_memory_is_bounded_and_the_latest_values_stay() -> None:
    recent = RollingWindow([1.0], Clock())
    for _ in range(2000):
        recent.observe(9.0)
    for _ in range(2000):
        recent.observe(0.5)
    spread = recent.distribution()
    assert (spread.count, spread.max) == (2000, 0.5)
