"""Distributions over the last minutes."""

from __future__ import annotations

import pytest

from backend.monitoring.rolling_window import WINDOW_S, RollingWindow


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_an_empty_window_has_no_quantiles() -> None:
    distribution = RollingWindow([1.0], Clock()).distribution()
    assert (distribution.count, distribution.p50, distribution.p95, distribution.max) == (
        0,
        None,
        None,
        None,
    )
    assert distribution.counts == (0, 0)


def test_quantiles_are_observed_values() -> None:
    window = RollingWindow([1.0], Clock())
    for value in range(100, 0, -1):  # the order does not matter
        window.observe(value)
    distribution = window.distribution()
    assert (distribution.p50, distribution.p95, distribution.max) == (50, 95, 100)


@pytest.mark.parametrize("value", [0.5, 3.0])
def test_a_single_value_is_every_quantile(value: float) -> None:
    window = RollingWindow([1.0], Clock())
    window.observe(value)
    distribution = window.distribution()
    assert (distribution.p50, distribution.p95, distribution.max) == (value, value, value)


def test_bounds_are_inclusive_and_the_last_count_is_above_all() -> None:
    window = RollingWindow([1.0, 2.0], Clock())
    for value in (0.5, 1.0, 1.5, 2.0, 2.1, 99.0):
        window.observe(value)
    assert window.distribution().counts == (2, 2, 2)


def test_values_older_than_the_window_are_dropped() -> None:
    clock = Clock()
    window = RollingWindow([1.0], clock)
    window.observe(9.0)
    clock.now_s += WINDOW_S
    window.observe(0.5)
    assert window.distribution().max == 9.0
    clock.now_s += 0.1
    distribution = window.distribution()
    assert (distribution.count, distribution.max, distribution.counts) == (1, 0.5, (1, 0))


def test_only_the_latest_2000_values_are_kept() -> None:
    window = RollingWindow([1.0], Clock())
    for _ in range(2000):
        window.observe(9.0)
    for _ in range(2000):
        window.observe(0.5)
    distribution = window.distribution()
    assert (distribution.count, distribution.max) == (2000, 0.5)
