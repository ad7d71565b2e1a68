"""Renders are as large as fits into the longest wait."""

from __future__ import annotations

from backend.engines.chatterbox.device.render_times import RenderTimes


def test_without_a_measurement_nothing_is_limited() -> None:
    assert RenderTimes().most_rows(5000) > 1000


def test_rows_fit_into_the_longest_wait() -> None:
    times = RenderTimes.fit(0.006, 0.021, rows=16, length=300)  # 5 ms, and 1 ms a row
    assert times.most_rows(300) == 35
    assert times.most_rows(600) == 17
    assert times.most_rows(3000) == 3


def test_one_row_is_always_rendered() -> None:
    assert RenderTimes.fit(0.2, 0.2, rows=1, length=300).most_rows(3000) == 1
    assert RenderTimes.fit(0.5, 3.0, rows=16, length=300).most_rows(300) == 1


def test_noise_in_the_measurement_limits_nothing_wrongly() -> None:
    assert RenderTimes.fit(0.010, 0.009, rows=16, length=300).most_rows(300) > 1000
