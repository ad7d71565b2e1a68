"""The live listeners, their costs, and whether one more can be admitted. Plain.

The event loop changes them and engine threads read them; each read is one atomic copy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from backend.errors import Overloaded

_FULL_SHARE = 0.95  # of the threads' wall-clock time, which includes other processes' load
_HORIZON_S = 1.0  # deadlines up to here are protected
_SILENT_S = 5.0  # a listener that is dry for longer waits for text and is no load
_OPENING_S = 2.0  # after its opening, or text, a newcomer is expected to speak for this long
_RETRY_S = 5.0  # suggested to clients while the machine is full
_RTF_SMOOTHING = 0.01  # weight of a new step: a first word costs twice what a sentence does
_COST_SMOOTHING = 0.05
_MARGIN = 1.3  # for the variance of render costs
_DELIVERY_S = 0.02  # from the end of a render to the client, on a busy machine
_COST_S = 0.012  # assumed before the first render
_LATE_SHARE = 0.2  # of the recent chunks: with more of them late the machine is too slow
_LATE_SMOOTHING = 0.05  # weight of a new chunk
_LATE_FADES_S = 10.0  # to 1/e: a late burst is forgotten, even without new chunks


class LiveListener:
    """The listener of one live context, as the threads see it."""

    __slots__ = ("active_s", "dry_at_s", "is_queued", "priority", "thread")

    def __init__(self, priority: int = 0) -> None:
        self.priority = priority  # among newcomers; the lowest comes first
        self.thread: object = None  # holds the state of its utterance
        self.active_s = -math.inf  # when its context was opened, or last got text
        self.is_queued = False  # a release waits for a thread, or is being rendered
        self.dry_at_s = -math.inf  # when playback runs dry; -inf before the first sound

    @property
    def has_heard(self) -> bool:
        """Whether its first sound has been sent."""
        return self.dry_at_s > -math.inf


class LiveListeners:
    """All listeners of live contexts, what they cost, and admission."""

    def __init__(self, threads: int, max_first_wait_s: float = math.inf, *, batched: bool) -> None:
        """`max_first_wait_s`: a newcomer is refused when its first sound is expected later.
        `batched`: the engine advances many utterances in one step.
        """
        self._threads = threads
        self._max_first_wait_s = max_first_wait_s
        self._batched = batched
        self._all: dict[LiveListener, None] = {}
        self._first_s = self._later_s = _COST_S  # thread time of a render
        self._busy_s = self._audio_s = 0.0  # running sums that fade: their ratio is the RTF
        self._late = 0.0  # running share of chunks that came after their deadline
        self._late_at_s = 0.0  # the time of `_late`

    def __iter__(self) -> Iterator[LiveListener]:
        return iter(tuple(self._all))

    def add(self, listener: LiveListener, now_s: float) -> None:
        """Add the listener of a new context."""
        listener.active_s = now_s
        self._all[listener] = None

    def remove(self, listener: LiveListener) -> None:
        """Remove a listener; no effect if unknown."""
        self._all.pop(listener, None)

    # --- what rendering costs ---------------------------------------------------------------------

    @property
    def rtf(self) -> float:
        """Recent compute time per second of audio; 0 before the first audio."""
        return self._busy_s / self._audio_s if self._audio_s else 0.0

    def count_step(self, busy_s: float, audio_s: float) -> None:
        """Count an engine step."""
        self._busy_s += _RTF_SMOOTHING * (busy_s - self._busy_s)
        self._audio_s += _RTF_SMOOTHING * (audio_s - self._audio_s)

    def count_render(self, cost_s: float, *, first: bool) -> None:
        """Count a rendered chunk. `first`: it is a listener's first sound."""
        if first:
            self._first_s += _COST_SMOOTHING * (cost_s - self._first_s)
        else:
            self._later_s += _COST_SMOOTHING * (cost_s - self._later_s)

    def count_deadline(self, now_s: float, *, late: bool) -> None:
        """Count a chunk for a listener that had begun to hear."""
        self._late = self._late_now(now_s) + _LATE_SMOOTHING * (late - self._late_now(now_s))
        self._late_at_s = now_s

    def _late_now(self, now_s: float) -> float:
        return self._late * math.exp((self._late_at_s - now_s) / _LATE_FADES_S)

    # --- admission -------------------------------------------------------------------------------

    def check_capacity(self, now_s: float) -> None:
        """Raises `Overloaded` if one more would break others' deadlines or wait too long.

        Each takes RTF of one thread, and the sum must fit (utilisation test for earliest deadline
        first: Liu and Layland, 1973). A machine that is late is full whatever the sum says. One
        listener more costs an engine that batches hardly anything, until it is late.
        """
        newcomers, playing = self._count(now_s)
        if not newcomers + playing:
            return
        demand = (newcomers + playing + 1) * self.rtf
        full = not self._batched and demand > _FULL_SHARE * self._threads
        if full or self._late_now(now_s) > _LATE_SHARE:
            raise _overloaded("the machine serves as many listeners as it can", _RETRY_S)
        wait_s = self.first_wait_s(now_s)
        if wait_s > self._max_first_wait_s:
            raise _overloaded(f"the first sound would take {wait_s:.1f} s", wait_s)

    def first_wait_s(self, now_s: float) -> float:
        """Expected wait of a newcomer for its first sound."""
        newcomers, playing = self._count(now_s)
        if self._batched:
            return self._first_s if newcomers else 0.0
        free = 1 - (playing + newcomers) * self.rtf / self._threads
        return newcomers * self._first_s / (self._threads * max(0.05, free))

    @property
    def cost(self) -> float:
        """Share of the capacity that a playing listener takes; 0 before the first audio."""
        return self.rtf / (self._threads * _FULL_SHARE)

    def share(self, now_s: float) -> float:
        """Share of the capacity that the listeners take; 1 or more: late, or full."""
        late = self._late_now(now_s) / _LATE_SHARE
        return max(late, sum(self._count(now_s)) * self.cost)

    def _count(self, now_s: float) -> tuple[int, int]:
        """Number of newcomers and of playing listeners."""
        newcomers = playing = 0
        for each in tuple(self._all):
            if each.has_heard:
                playing += each.dry_at_s > now_s - _SILENT_S
            else:
                newcomers += each.is_queued or each.active_s > now_s - _OPENING_S
        return newcomers, playing

    def fits(self, now_s: float, late: int, thread: object) -> bool:
        """Whether a newcomer's render on `thread` now leaves every playing listener its deadline.
        `late`: the number of playing utterances that wait and are due already.

        With threads that serve the earliest deadline first all are met if what is due by each
        deadline fits into the time until then (demand bound; Baruah et al., 1990): over all
        threads, and on this one, which alone has the state of its utterances.
        """
        if late:
            return False
        until_s = now_s + _HORIZON_S
        dues = [
            (each.dry_at_s, each.thread is thread)
            for each in tuple(self._all)
            if now_s < each.dry_at_s < until_s
        ]
        needed_s = here_s = self._first_s * _MARGIN
        for due_s, is_here in sorted(dues):
            needed_s += self._later_s * _MARGIN
            here_s += self._later_s * _MARGIN * is_here
            left_s = due_s - now_s - _DELIVERY_S
            if needed_s > self._threads * left_s or (is_here and here_s > left_s):
                return False
        return True

    def room(self, now_s: float, due: int) -> int | None:
        """How many newcomers a step that advances `due` playing utterances has room for, if it is
        to end before the next deadline; 0 while a listener waits dry, None for any number.
        """
        dues_s = [
            each.dry_at_s
            for each in tuple(self._all)
            if each.has_heard and (each.is_queued or each.dry_at_s > now_s)
        ]
        if not dues_s:
            return None
        left_s = min(dues_s) - now_s - _DELIVERY_S
        return max(0, int(left_s / (self._first_s * _MARGIN)) - due)


def _overloaded(why: str, retry_after_s: float) -> Overloaded:
    return Overloaded(f"{why}; try again in {max(1, round(retry_after_s))} s", retry_after_s)
