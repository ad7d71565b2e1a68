"""`BitRateControl` on simulated lines, with a scripted clock."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from backend.events import Audio
from backend.sessions.bit_rate_control import UNMEASURED_BITS, BitRateControl
from backend.sessions.line_meter import LineMeter

MESSAGE_BYTES = 190  # beside the packets: header, page, probe
STEP_S = 0.005
FREE = 1e9


@dataclass
class SimulatedLine:
    """Transmits parts one after another; a deep buffer before it takes everything at once.

    `speech_s`: audio rendered ahead of time that waits to be encoded. `parts`: when each arrived,
    its duration and its bit rate.
    """

    bits_per_s: float = FREE
    round_trip_s: float = 0.001
    speech_s: float = 60.0
    now_s: float = 0.0
    parts: list[tuple[float, float, int]] = field(default_factory=list)
    gaps_s: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.meter = LineMeter()
        self.control = BitRateControl(self.meter)
        self._in_transit: list[tuple[float, int, float, int]] = []  # bits left, probe, part
        self._pongs: list[tuple[float, int]] = []
        self._dry_at_s: float | None = None
        self._sent_s = 0.0
        self._pongs.append((self.round_trip_s, self.meter.begin_probe(0.0)))

    @property
    def ahead_s(self) -> float:
        return 0.0 if self._dry_at_s is None else max(0.0, self._dry_at_s - self.now_s)

    def run(self, seconds: float, highest_ahead_s: float = 1e9) -> None:
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self.now_s += STEP_S
            self._transmit()
            self._answer()
            self.control.update(self.now_s)
            while (
                self.speech_s > 0
                and self.ahead_s < highest_ahead_s
                and self.control.has_room(self.now_s)
            ):
                self._write_part()

    def _write_part(self) -> None:
        part = self.control.choose_part(self.ahead_s, self.now_s)
        size_bytes = round(part.bits_per_s * part.seconds / 8) + MESSAGE_BYTES
        audio = Audio("a", 0, self._sent_s * 1000, part.seconds * 1000, (0, 0), (), b"")
        self._sent_s += part.seconds
        self.speech_s -= part.seconds
        self.meter.on_written(size_bytes, self.now_s, audio)
        probe = self.meter.begin_probe(self.now_s)
        self._in_transit.append((size_bytes * 8, probe, part.seconds, part.bits_per_s))

    def _transmit(self) -> None:
        left = self.bits_per_s * STEP_S
        while self._in_transit and left > 0:
            bits, probe, seconds, rate = self._in_transit[0]
            if bits > left:
                self._in_transit[0] = (bits - left, probe, seconds, rate)
                return
            left -= bits
            self._in_transit.pop(0)
            self._pongs.append((self.now_s + self.round_trip_s, probe))
            self._play(seconds, rate)

    def _play(self, seconds: float, rate: int) -> None:
        at_s = self.now_s + self.round_trip_s / 2
        self.parts.append((at_s, seconds, rate))
        if self._dry_at_s is not None and at_s > self._dry_at_s:
            self.gaps_s.append(at_s - self._dry_at_s)
        self._dry_at_s = max(self._dry_at_s or 0.0, at_s) + seconds

    def _answer(self) -> None:
        while self._pongs and self._pongs[0][0] <= self.now_s:
            self.meter.on_answered(self._pongs.pop(0)[1], self.now_s)

    def rates_after(self, at_s: float) -> list[int]:
        return [rate for arrived_s, _, rate in self.parts if arrived_s > at_s]


def test_a_free_line_gets_the_highest_rate_after_a_second_of_audio() -> None:
    line = SimulatedLine()
    line.run(0.2)
    rates = [rate for _, _, rate in line.parts]
    assert rates[0] == 16_000
    assert sum(seconds for _, seconds, rate in line.parts if rate < 64_000) < 2.0
    assert set(rates[10:]) == {64_000}


@pytest.mark.parametrize("round_trip_s", [0.001, 0.1])
@pytest.mark.parametrize("bits_per_s", [24_000, 32_000, 48_000])
def test_a_line_that_is_thin_from_the_start_plays_without_a_gap(
    bits_per_s: int, round_trip_s: float
) -> None:
    line = SimulatedLine(bits_per_s, round_trip_s)
    line.run(40)
    assert sum(line.gaps_s) < 0.02
    assert sum(seconds for _, seconds, _ in line.parts) > 40


def test_what_a_wider_line_takes_is_used() -> None:
    rates = {}
    for bits_per_s in (24_000, 48_000, 96_000):
        line = SimulatedLine(bits_per_s)
        line.run(30)
        late = line.rates_after(10)
        rates[bits_per_s] = sum(late) / len(late)
    assert rates[24_000] < 24_000 < rates[48_000] < 48_000 < rates[96_000]


def test_ten_thin_seconds_make_no_gap_and_the_rate_is_back_within_five() -> None:
    line = SimulatedLine()
    line.run(2, highest_ahead_s=4.0)
    line.bits_per_s = 24_000
    line.run(10, highest_ahead_s=4.0)
    assert max(line.rates_after(5)) < 33_000
    line.bits_per_s = FREE
    line.run(10, highest_ahead_s=4.0)
    assert not line.gaps_s
    assert set(line.rates_after(17)) == {64_000}


def test_a_line_that_is_thin_twice_makes_no_gap() -> None:
    line = SimulatedLine()
    for bits_per_s in (FREE, 24_000, FREE, 24_000, FREE):
        line.bits_per_s = bits_per_s
        line.run(6, highest_ahead_s=4.0)
    assert not line.gaps_s


def test_a_line_that_stalls_holds_one_part() -> None:
    line = SimulatedLine()
    line.run(1, highest_ahead_s=4.0)
    before = line.meter.undelivered_bytes
    line.bits_per_s = 0.0
    line.run(10)
    assert before == 0
    assert line.meter.undelivered_bytes < 64_000 * 0.6 / 8
    line.bits_per_s = 24_000
    line.run(5)
    assert line.meter.undelivered_bytes < 5_000


def test_a_far_line_is_kept_busy() -> None:
    line = SimulatedLine(round_trip_s=0.3)
    line.run(20)
    assert sum(seconds for _, seconds, _ in line.parts) > 30


def test_without_answers_the_rate_is_middling_and_the_lowest_while_the_position_stands() -> None:
    meter = LineMeter()
    control = BitRateControl(meter)
    meter.begin_probe(0.0)
    meter.on_written(1000, 0.0, Audio("a", 0, 0, 400, (0, 0), (), b""))
    control.update(1.0)
    assert not control.has_room(1.0)
    control.update(4.0)
    assert control.has_room(4.0)
    assert control.choose_part(2.0, 4.0).bits_per_s == UNMEASURED_BITS
    control.on_played(1.0, 5.0, 5.0)
    assert control.choose_part(2.0, 5.0).bits_per_s == UNMEASURED_BITS
    control.on_played(1.0, 5.0, 6.0)
    assert control.choose_part(2.0, 6.0).bits_per_s == 16_000
    control.on_played(2.0, 5.0, 7.0)
    assert control.choose_part(2.0, 7.0).bits_per_s == UNMEASURED_BITS


def test_a_paused_listener_on_a_measured_line_changes_nothing() -> None:
    line = SimulatedLine()
    line.run(2, highest_ahead_s=4.0)
    for at_s in (2.0, 3.0, 4.0):
        line.control.on_played(1.0, 5.0, at_s)
    assert line.control.choose_part(2.0, 2.5).bits_per_s == 64_000


def test_parts_are_short_while_the_listener_has_little() -> None:
    line = SimulatedLine()
    line.run(1)
    lengths = [line.control.choose_part(ahead_s, 1.0).seconds for ahead_s in (0.1, 0.6, 5.0)]
    assert lengths == [0.3, pytest.approx(0.36), 0.4]
    assert line.control.choose_part(0.0, 1.0).bits_per_s == 32_000
