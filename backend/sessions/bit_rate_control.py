"""Chooses the bit rate of Opus for a line, and how much may be on its way. Plain and synchronous.

Encoded audio cannot be made smaller, and speech is rendered faster than it is heard. So audio is
encoded when the line can take it: one part at a time on a near line, two on a far one. Then a line
that becomes thin holds those at the old rate, not a sentence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from backend.audio.formats import HIGHEST_ADAPTIVE_BITS as HIGHEST_BITS
from backend.audio.formats import LOWEST_ADAPTIVE_BITS as LOWEST_BITS
from backend.sessions.line_meter import LineMeter

UNMEASURED_BITS = 24_000
"""While no probe is answered: the line cannot be measured."""

_HEADER_BYTES = 200  # of a part's message, Ogg page and probe
_FILL, _FILL_DRY = 0.9, 0.7  # of the line's speed; less for a listener with little left to hear,
_TIGHT_FILL = 0.95  # where even the lowest rate hardly fits
_AMPLE_S = 2.0  # that is, with less than this: the line shall be ahead of it
_CAUTIOUS_BITS, _CAUTIOUS_S = 32_000, 1.0  # a listener with less could not wait for a larger part
_PEAK_BITS = 22_000  # of speech at the lowest rate, headers included
_STEP_UP = 2.0  # at most, per answered part
_RESTED_BITS, _RESTED_S = 32_000, 1.0  # the first guess after the line was idle this long
_RESTED_AHEAD_S = 3.0  # which the listener must be able to wait, if it is wrong
_PART_S, _SHORTEST_S, _LONGEST_S = 0.4, 0.3, 0.8
_LEAD_BITS, _MAX_LEAD_S = 20_000, 1.0  # three short parts at the lowest rate
_NEED = 0.6  # a part lasts this share of what the listener has left to hear, at most
_FAR_S = 0.03  # a round trip longer than this would leave the line idle between parts
_STALLED = 0.3  # heard this share of the time or less,
_UNHEARD_S = 1.0  # with more than this on its way,
_REPORT_S = 0.4  # between reports at least so far apart


@dataclass(frozen=True, slots=True)
class Part:
    """How the next part is encoded."""

    seconds: float
    bits_per_s: int
    is_constant: bool


class BitRateControl:
    """One connection's control."""

    def __init__(self, meter: LineMeter) -> None:
        self._meter = meter
        self._bits_per_s = float(LOWEST_BITS)
        self._seen_answers = 0
        self._answered_s = math.inf  # when the line was last found idle
        self._heard = 0.0, -math.inf  # the last reported position, and when
        self._is_stalled = False

    def choose_part(self, ahead_s: float, now_s: float) -> Part:
        """How to encode a part now. `ahead_s`: what the listener has left to hear.

        Long parts have less of headers, as a thin line needs; a listener with little left to hear
        cannot wait for one.
        """
        is_idle = not self._meter.undelivered_bytes and now_s - self._answered_s > _RESTED_S
        if is_idle and ahead_s > _RESTED_AHEAD_S:
            self._bits_per_s = max(self._bits_per_s, _RESTED_BITS)
        speed = self._meter.bits_per_s(now_s) or math.inf
        # Before its first sound a listener loses nothing by a longer part, and then waits longer.
        seconds = _NEED * ahead_s if ahead_s else _PART_S
        seconds = min(max(seconds, _shortest_s(self._meter.fastest_bits_per_s)), self._longest_s)
        ample, calm = min(ahead_s / _AMPLE_S, 1.0), min(ahead_s / _CAUTIOUS_S, 1.0)
        fits = speed * (_FILL_DRY + ample * (_FILL - _FILL_DRY)) - _HEADER_BYTES * 8 / seconds
        most = _CAUTIOUS_BITS + calm * (HIGHEST_BITS - _CAUTIOUS_BITS)
        if not is_idle:
            most = min(most, fits)
        bits_per_s = round(max(min(self._bits_per_s, most), LOWEST_BITS))
        # A constant rate has no peaks for which a listener would wait; but takes more on average.
        is_tight = bits_per_s <= _PEAK_BITS and ahead_s < _CAUTIOUS_S
        return Part(seconds, bits_per_s, is_tight and speed > _PEAK_BITS)

    def lead_s(self, now_s: float) -> float:
        """How long the shortest parts take on this line, and what is on its way before them."""
        speed = self._meter.bits_per_s(now_s)
        return min(_LEAD_BITS / speed, _MAX_LEAD_S) if speed else 0.0

    @property
    def _longest_s(self) -> float:
        return _LONGEST_S if self._bits_per_s < _RESTED_BITS else _PART_S

    def has_room(self, now_s: float) -> bool:
        """Whether another part may be written."""
        meter = self._meter
        if meter.is_blind(now_s) or not meter.undelivered_bytes:
            return True
        if not meter.answers or meter.rtt_s < _FAR_S:
            return False
        part_bytes = self._bits_per_s / 8 * self._longest_s + _HEADER_BYTES
        return meter.undelivered_bytes <= part_bytes

    def update(self, now_s: float) -> None:
        """Follow the meter: after each answer, and now and then while one is awaited."""
        meter = self._meter
        if meter.is_blind(now_s):
            self._bits_per_s = LOWEST_BITS if self._is_stalled else UNMEASURED_BITS
            return
        is_new, self._seen_answers = meter.answers > self._seen_answers, meter.answers
        if is_new:
            self._answered_s = now_s
        speed = meter.bits_per_s(now_s)
        if speed is None:
            return
        fits = min(max(_FILL * speed, LOWEST_BITS), HIGHEST_BITS)
        if fits < self._bits_per_s:
            self._bits_per_s = fits
        elif is_new and meter.has_two_samples:
            self._bits_per_s = min(fits, self._bits_per_s * _STEP_UP)

    def on_played(self, heard_s: float, unheard_s: float, now_s: float) -> None:
        """The client reported its position. `unheard_s`: audio written and not heard.

        A listener that stands still before so much of it waits for the line, or has paused. That
        counts only where probes tell nothing.
        """
        before_s, before_at_s = self._heard
        seconds = now_s - before_at_s
        if seconds < _REPORT_S:
            return
        self._heard = heard_s, now_s
        stands = math.isfinite(seconds) and 0 <= heard_s - before_s < _STALLED * seconds
        self._is_stalled = stands and unheard_s > _UNHEARD_S
        self.update(now_s)


def _shortest_s(speed: float) -> float:
    """The shortest part with so little of headers that the line keeps up with speech."""
    if speed > _PEAK_BITS:
        return _SHORTEST_S
    room = _TIGHT_FILL * speed - LOWEST_BITS
    needed_s = _HEADER_BYTES * 8 / room if room > 0 else _LONGEST_S
    return min(max(needed_s, _SHORTEST_S), _LONGEST_S)
