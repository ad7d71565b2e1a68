import pytest

from duplex_tts.playback.jitter_buffer import CALM_S, LEAST_S, MOST_S, JitterBuffer


def test_the_initial_delay_is_minimal() -> None:
    assert JitterBuffer().target_s(0.0) == LEAST_S


def test_the_delay_grows_to_the_largest_lateness() -> None:
    jitter_buffer = JitterBuffer()
    jitter_buffer.report_lateness(0.1, now_s=5.0)
    assert jitter_buffer.target_s(5.0) == pytest.approx(0.1 + LEAST_S)
    jitter_buffer.report_lateness(0.03, now_s=6.0)
    assert jitter_buffer.target_s(6.0) == pytest.approx(0.1 + LEAST_S)
    jitter_buffer.report_lateness(0.2, now_s=7.0)
    assert jitter_buffer.target_s(7.0) == pytest.approx(0.2 + LEAST_S)


def test_the_delay_is_limited_after_an_outage() -> None:
    jitter_buffer = JitterBuffer()
    jitter_buffer.report_lateness(30.0, now_s=5.0)
    assert jitter_buffer.target_s(5.0) == MOST_S


def test_the_delay_is_halved_after_each_calm_period() -> None:
    jitter_buffer = JitterBuffer()
    jitter_buffer.report_lateness(0.18, now_s=0.0)
    assert jitter_buffer.target_s(CALM_S - 1) == pytest.approx(0.2)
    assert jitter_buffer.target_s(CALM_S) == pytest.approx(0.1)
    assert jitter_buffer.target_s(2 * CALM_S) == pytest.approx(0.05)
    assert jitter_buffer.target_s(100 * CALM_S) == LEAST_S
