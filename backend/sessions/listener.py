"""Playback clock of one context's listener: what is left to hear, gaps, and their causes."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from backend.errors import DuplexError
from backend.events import Audio
from backend.monitoring.gap_causes import Delivery, Span, explain_gap
from backend.sessions.context_record import ContextRecord
from backend.text.pacer import Pacer

_MIN_GAP_S = 0.005  # shorter gaps are inaudible
_MAX_SPANS = 100  # without text, between two audio messages; oldest dropped beyond this


@dataclass(slots=True)
class _Interval:
    """What happened since the previous audio; shared by the messages of one span."""

    queued: bool = False  # audio of this interval is queued
    without_text: deque[Span] = field(default_factory=lambda: deque(maxlen=_MAX_SPANS))
    failure: str | None = None
    text_age_s: float = 0.0  # from the last text received to its release
    wait_s: float = 0.0  # from releases to their audio
    busy_s: float = 0.0  # engine time within `wait_s`


class Listener:
    """Updates the pacer's clock and records first sound and gaps of one listener.

    The context calls the handlers for its steps, the send queue those of `send_queue.Watcher`.
    Gaps are those of a live listener without a jitter buffer; they end when audio is taken for
    writing.
    """

    def __init__(self, pacer: Pacer, record: ContextRecord, clock: Callable[[], float]) -> None:
        """`clock`: seconds."""
        self._pacer = pacer
        self._record = record
        self._clock = clock
        self._text_awaited_since_s = math.inf
        self._requested_s = 0.0  # start of the current wait for a chunk: release or last chunk
        self._released_s = 0.0
        self._first_released_s: float | None = None  # of the first words with audio
        self._has_sounded = False
        self._interval = _Interval()
        self._queued: dict[int, tuple[Delivery, _Interval] | None] = {}  # by `seq`
        self._taken_s = 0.0  # audio taken for writing
        self._dry_at_s = math.inf  # when all of that is heard
        self._is_reconnected = False
        self._is_finishing = False

    # --- called by the context --------------------------------------------------------------------

    def on_text_awaited(self) -> None:
        """Everything released is rendered; the context waits for text."""
        self._text_awaited_since_s = min(self._text_awaited_since_s, self._clock())

    def on_released(self, last_input_s: float) -> None:
        """More text was released; the last of it arrived at `last_input_s`."""
        now_s = self._clock()
        if now_s > self._text_awaited_since_s:
            self._current_interval().without_text.append((self._text_awaited_since_s, now_s))
        self._current_interval().text_age_s = now_s - last_input_s
        self._text_awaited_since_s = math.inf
        self._released_s = self._requested_s = now_s

    def on_rendered(self, samples: int, busy_s: float) -> None:
        """A chunk arrived; it took `busy_s` of engine time."""
        now_s = self._clock()
        if samples and self._first_released_s is None:
            self._first_released_s = self._released_s
        interval = self._current_interval()
        interval.wait_s += now_s - self._requested_s
        interval.busy_s += busy_s
        self._requested_s = now_s
        self._record.add_render_time(busy_s)

    def on_failed(self, error: DuplexError) -> None:
        """An utterance failed; the rest of its released text stays silent."""
        self._current_interval().failure = error.code
        self._record.add_error(error)

    def on_sent(self, audio_s: float, audible_from_s: float | None) -> None:
        """Audio was queued; its first audible sample is at `audible_from_s`."""
        now_s = self._clock()
        starts_s = now_s + self._pacer.ahead_s(now_s)
        if audio_s:
            self._pacer.count_sent(audio_s, now_s)
        first_s = self._first_released_s
        if not self._has_sounded and audible_from_s is not None and first_s is not None:
            self._has_sounded = True
            self._record.set_first_sound(starts_s + audible_from_s - first_s)

    @property
    def buffered_s(self) -> float:
        """Audio taken for writing and not heard yet, by the clock or the reported position."""
        return 0.0 if math.isinf(self._dry_at_s) else max(0.0, self._dry_at_s - self._clock())

    def unheard_s(self, heard_s: float) -> float:
        """Audio taken for writing and not heard at this position."""
        return max(0.0, self._taken_s - heard_s)

    def on_played(self, heard_s: float) -> None:
        """The client reported its position."""
        now_s = self._clock()
        self._pacer.set_position(heard_s, now_s)
        if self._taken_s:
            self._dry_at_s = now_s + max(0.0, self._taken_s - heard_s)

    def on_finishing(self) -> None:
        """Only the encoder's rest follows, which cannot be late."""
        self._is_finishing = True

    def _current_interval(self) -> _Interval:
        if self._interval.queued:
            self._interval = _Interval(text_age_s=self._interval.text_age_s)
        return self._interval

    # --- called by the send queue -----------------------------------------------------------------

    def on_queued(self, event: Audio) -> None:
        """See `Watcher`."""
        if self._is_finishing:
            self._queued[event.seq] = None
        elif event.duration_ms:
            interval = self._interval
            interval.queued = True
            way = Delivery(self._clock(), 0.0, tuple(interval.without_text), interval.failure)
            self._queued[event.seq] = way, interval

    def on_taken(self, event: Audio) -> None:
        """See `Watcher`."""
        now_s, audio_s = self._clock(), event.duration_ms / 1000
        replayed = Delivery(-math.inf, now_s), _Interval()
        queued = self._queued.pop(event.seq, replayed)
        self._record.add_sent(event.duration_ms)
        if not audio_s:
            return
        if queued and self._pacer.pacing.live and now_s - self._dry_at_s > _MIN_GAP_S:
            way = replace(queued[0], taken_s=now_s, reconnected=self._is_reconnected)
            self._report_gap(way, queued[1], event.start_ms)
        starts_s = now_s if math.isinf(self._dry_at_s) else max(self._dry_at_s, now_s)
        self._dry_at_s = audio_s + starts_s
        self._taken_s += audio_s
        self._is_reconnected = False

    def on_returned(self, again: Sequence[Audio]) -> None:
        """See `Watcher`."""
        unheard_ms = sum(event.duration_ms for event in again)
        self._is_reconnected = True
        self._taken_s -= unheard_ms / 1000
        self._dry_at_s -= unheard_ms / 1000
        self._record.subtract_unreceived(unheard_ms, len(again))

    def on_ended(self, outcome: str) -> None:
        """See `Watcher`."""
        self._record.log_closed(outcome)

    def _report_gap(self, way: Delivery, interval: _Interval, at_ms: float) -> None:
        gap = explain_gap(self._dry_at_s, way, self._pacer.pacing.ttfa_goal_s)
        self._record.add_gap(
            gap,
            at_ms=at_ms,
            text_age_ms=round(interval.text_age_s * 1000, 1),
            queue_ms=round(max(0.0, interval.wait_s - interval.busy_s) * 1000, 1),
            engine_ms=round(interval.busy_s * 1000, 1),
            code=interval.failure,
        )
