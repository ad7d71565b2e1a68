"""One listener of one context: what it has to hear, when that ran out, and why."""

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

_HEARD_GAP_S = 0.005  # a listener that was dry for less has not noticed
_SPANS = 100  # without text between two messages of audio; the oldest are dropped beyond


@dataclass(slots=True)
class _Meanwhile:
    """What happened since the audio before; several messages of one piece have it in common."""

    queued: bool = False  # there is audio now
    without_text: deque[Span] = field(default_factory=lambda: deque(maxlen=_SPANS))
    failure: str | None = None
    text_age_s: float = 0.0  # from the last text that came in to its release
    wait_s: float = 0.0  # from releases to their audio,
    busy_s: float = 0.0  # and for how much of that the engine was busy with it


class Listener:
    """Keeps the pacer's clock of one listener, and tells its record how well it is served.

    The context reports what it does; the outbox what it takes in and what is taken from it
    (`outbox.Watcher`). Gaps are those of a live listener without any buffer of its own, and end
    when audio is taken to be written.
    """

    def __init__(self, pacer: Pacer, record: ContextRecord, clock: Callable[[], float]) -> None:
        """`clock`: seconds."""
        self._pacer = pacer
        self._record = record
        self._clock = clock
        self._waits_since_s = math.inf  # for text
        self._asked_s = 0.0  # when the audio that is awaited was: at its release, or with the last
        self._released_s = 0.0
        self._began_s: float | None = None  # when the first words that have audio were released
        self._heard = False
        self._meanwhile = _Meanwhile()
        self._ways: dict[int, tuple[Delivery, _Meanwhile] | None] = {}  # of what is queued: `seq`
        self._taken_s = 0.0  # seconds of audio that were taken to be written
        self._dry_s = math.inf  # when that is all heard
        self._reconnected = False
        self._finishing = False

    # --- what the context does --------------------------------------------------------------------

    def awaits_text(self) -> None:
        """Everything released is rendered: what is spoken next depends on the writer."""
        self._waits_since_s = self._clock()

    def released(self, last_input_s: float) -> None:
        """More may be spoken from now on; its last text came at `last_input_s`."""
        now_s = self._clock()
        if now_s > self._waits_since_s:
            self._since_audio().without_text.append((self._waits_since_s, now_s))
        self._since_audio().text_age_s = now_s - last_input_s
        self._waits_since_s = math.inf
        self._released_s = self._asked_s = now_s

    def rendered(self, samples: int, busy_s: float) -> None:
        """A chunk came, for which the engine was busy for `busy_s`."""
        now_s = self._clock()
        if samples and self._began_s is None:
            self._began_s = self._released_s
        meanwhile = self._since_audio()
        meanwhile.wait_s += now_s - self._asked_s
        meanwhile.busy_s += busy_s
        self._asked_s = now_s
        self._record.rendered(busy_s)

    def failed(self, error: DuplexError) -> None:
        """An utterance failed: what of it was released stays silent."""
        self._since_audio().failure = error.code
        self._record.failed(error)

    def sent(self, audio_s: float, audible_from_s: float | None) -> None:
        """Audio was queued; in it, so far from its start, is the first audible sample."""
        now_s = self._clock()
        starts_s = now_s + self._pacer.ahead_s(now_s)
        if audio_s:
            self._pacer.count_sent(audio_s, now_s)
        if not self._heard and audible_from_s is not None and self._began_s is not None:
            self._heard = True
            self._record.first_sound(starts_s + audible_from_s - self._began_s)

    def played(self, heard_s: float) -> None:
        """The client reports its position."""
        now_s = self._clock()
        self._pacer.set_position(heard_s, now_s)
        if self._taken_s:
            self._dry_s = now_s + max(0.0, self._taken_s - heard_s)

    def finish(self) -> None:
        """What follows is the rest that the encoder held back: nothing is late any more."""
        self._finishing = True

    def _since_audio(self) -> _Meanwhile:
        if self._meanwhile.queued:
            self._meanwhile = _Meanwhile(text_age_s=self._meanwhile.text_age_s)
        return self._meanwhile

    # --- what the outbox does ---------------------------------------------------------------------

    def queued(self, event: Audio) -> None:
        """A message is ready to be written; it may have to wait for room in the outbox."""
        if self._finishing:
            self._ways[event.seq] = None
        elif event.duration_ms:
            meanwhile = self._meanwhile
            meanwhile.queued = True
            way = Delivery(self._clock(), 0.0, tuple(meanwhile.without_text), meanwhile.failure)
            self._ways[event.seq] = way, meanwhile

    def taken(self, event: Audio) -> None:
        """A message was taken to be written."""
        now_s, audio_s = self._clock(), event.duration_ms / 1000
        known = self._ways.pop(event.seq, (Delivery(-math.inf, now_s), _Meanwhile()))  # else: again
        self._record.sent(event.duration_ms)
        if not audio_s:
            return
        if known and self._pacer.pacing.live and now_s - self._dry_s > _HEARD_GAP_S:
            way = replace(known[0], taken_s=now_s, reconnected=self._reconnected)
            self._tell(way, known[1], event.start_ms)
        self._dry_s = audio_s + (now_s if math.isinf(self._dry_s) else max(self._dry_s, now_s))
        self._taken_s += audio_s
        self._reconnected = False

    def returned(self, again: Sequence[Audio]) -> None:
        """The client is back after its connection broke; these will be taken `again`."""
        unheard_ms = sum(event.duration_ms for event in again)
        self._reconnected = True
        self._taken_s -= unheard_ms / 1000
        self._dry_s -= unheard_ms / 1000
        self._record.sent_in_vain(unheard_ms, len(again))

    def ended(self, outcome: str) -> None:
        """Nothing more is taken."""
        self._record.closed(outcome)

    def _tell(self, way: Delivery, meanwhile: _Meanwhile, at_ms: float) -> None:
        gap = explain_gap(self._dry_s, way, self._pacer.pacing.ttfa_goal_s)
        self._record.gap(
            gap,
            at_ms=at_ms,
            text_age_ms=round(meanwhile.text_age_s * 1000, 1),
            queue_ms=round(max(0.0, meanwhile.wait_s - meanwhile.busy_s) * 1000, 1),
            engine_ms=round(meanwhile.busy_s * 1000, 1),
            code=meanwhile.failure,
        )
