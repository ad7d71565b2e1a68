"""`LineMeter`: what probes and acknowledgements say of a line."""

from __future__ import annotations

import pytest

from backend.events import Audio
from backend.sessions.line_meter import LineMeter


def audio(seq: int, start_ms: float = 0.0, ms: float = 400.0, context: str = "a") -> Audio:
    return Audio(context, seq, start_ms, ms, (0, 0), (), b"")


def write(meter: LineMeter, size_bytes: int, now_s: float, message: Audio | None = None) -> int:
    meter.on_written(size_bytes, now_s, message or audio(0))
    return meter.begin_probe(now_s)


def test_nothing_is_known_before_an_answer() -> None:
    meter = LineMeter()
    write(meter, 1000, 0.0)
    assert meter.bits_per_s(0.1) is None
    assert meter.undelivered_bytes == 1000


def test_the_speed_on_a_busy_line_is_the_bytes_between_two_answers() -> None:
    meter = LineMeter()
    meter.on_answered(meter.begin_probe(0.0), 0.1)
    probes = [write(meter, 1000, 1.0, audio(n)) for n in range(3)]
    meter.on_answered(probes[0], 2.0)
    meter.on_answered(probes[1], 3.0)
    meter.on_answered(probes[2], 4.0)
    assert meter.bits_per_s(4.0) == pytest.approx(8000)
    assert meter.undelivered_bytes == 0


def test_after_an_idle_line_the_round_trip_is_no_transmission() -> None:
    meter = LineMeter()
    meter.on_answered(meter.begin_probe(0.0), 0.2)
    for at_s in (1.0, 3.0):
        meter.on_answered(write(meter, 1000, at_s), at_s + 1.2)
    assert meter.bits_per_s(5.0) == pytest.approx(8000)


def test_of_two_answers_the_slower_counts() -> None:
    """A shaper lets the first bytes after a pause through at once."""
    meter = LineMeter()
    meter.on_answered(meter.begin_probe(0.0), 0.001)
    meter.on_answered(write(meter, 1000, 1.0), 1.001)
    meter.on_answered(write(meter, 1000, 1.001), 2.001)
    meter.on_answered(write(meter, 1000, 3.0), 3.001)
    assert (meter.bits_per_s(3.1) or 0) < 8100


def test_an_overdue_answer_lowers_the_speed() -> None:
    meter = LineMeter()
    meter.on_answered(meter.begin_probe(0.0), 0.01)
    meter.on_answered(write(meter, 1000, 1.0), 1.02)
    fast = meter.bits_per_s(1.02)
    assert fast
    assert fast > 400_000
    write(meter, 1000, 2.0)
    assert meter.bits_per_s(2.05) == fast
    assert meter.bits_per_s(4.0) == pytest.approx(4000, rel=0.02)


def test_an_answer_covers_the_probes_before_it() -> None:
    meter = LineMeter()
    write(meter, 1000, 0.0)
    meter.on_answered(write(meter, 1000, 0.0, audio(1)), 1.0)
    assert meter.open_probes == 0
    meter.on_answered(1, 2.0)  # too late
    meter.on_answered(77, 2.0)  # unknown
    assert meter.answers == 1


def test_answers_between_audio_need_no_probe() -> None:
    meter = LineMeter()
    meter.on_answered(write(meter, 1000, 0.0), 0.1)
    meter.on_written(50, 0.2)
    assert meter.undelivered_bytes == meter.unprobed_bytes == 0
    meter.on_written(1000, 0.3, audio(1))
    assert meter.undelivered_bytes == 1000


def test_the_client_s_own_word_counts_as_well() -> None:
    meter = LineMeter()
    for seq in range(3):
        meter.on_written(1000, 0.0, audio(seq, 400.0 * seq))
    meter.on_received("b", 2, 1.0)
    assert meter.undelivered_bytes == 3000
    meter.on_received("a", 0, 1.0)
    assert meter.undelivered_bytes == 2000
    meter.on_heard("a", 800.0, 1.0)
    assert meter.undelivered_bytes == 1000


def test_a_line_without_answers_is_blind_after_a_while() -> None:
    meter = LineMeter()
    probe = write(meter, 1000, 10.0)
    assert not meter.is_blind(12.9)
    assert meter.is_blind(13.1)
    meter.on_answered(probe, 14.0)
    assert not meter.is_blind(20.0)


def test_a_context_is_late_when_its_listener_waits_for_audio_on_its_way() -> None:
    meter = LineMeter()
    first = write(meter, 1000, 0.0, audio(0, ms=2000))
    meter.on_answered(first, 0.1)
    write(meter, 100_000, 0.2, audio(1, 2000))
    assert meter.late_context(3.0) is None  # heard until 2.1
    assert meter.late_context(3.2) == "a"


def test_a_context_whose_first_audio_does_not_arrive_is_late() -> None:
    meter = LineMeter()
    write(meter, 100_000, 0.0)
    assert meter.late_context(1.4) is None
    assert meter.late_context(1.6) == "a"


def test_a_pause_in_the_text_is_not_late() -> None:
    meter = LineMeter()
    meter.on_answered(write(meter, 1000, 0.0), 0.1)
    assert meter.late_context(60.0) is None
    write(meter, 1000, 60.0, audio(1, 400))
    assert meter.late_context(61.0) is None
