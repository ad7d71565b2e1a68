"""The live listeners, and whether one more can be admitted. Plain.

The event loop changes them and engine threads read them; each read is one atomic copy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from backend.errors import Overloaded
from backend.synthesis.render_costs import RenderCosts

_FULL_SHARE = 0.95  # of the threads' wall-clock time, which includes other processes' load
_HORIZON_S = 1.0  # deadlines up to here are protected
_SILENT_S = 5.0  # a listener that is dry for longer waits for text and is no load
_OPENING_S = 2.0  # after its opening, or text, a newcomer is expected to speak for this long
_RETRY_S = 5.0  # suggested to clients while the machine is full
_MARGIN = 1.3  # for the variance of render costs
_DELIVERY_S = 0.02  # from the end of a render to the client, on a busy machine
_LATE_SHARE = 0.2  # of the recent chunks: with more of them late the machine is too slow
_LATE_SMOOTHING = 0.05  # weight of a new chunk
_LATE_FADES_S = 10.0  # to 1/e: a late burst is forgotten, even without new chunks


class LiveListener:
    """The listener of one live context, as the threads see it."""

    __slots__ = ("active_s", "costs", "dry_at_s", "is_queued", "priority", "thread")

    def __init__(self, priority: int = 0, costs: RenderCosts | None = None) -> None:
        self.priority = priority  # among newcomers; the lowest comes first
        self.costs = costs  # of its engine; None: those of the threads' first engine
        self.thread: object = None  # holds the state of its utterance
        self.active_s = -math.inf  # when its context was opened, or last got text
        self.is_queued = False  # a release waits for a thread, or is being rendered
        self.dry_at_s = -math.inf  # when playback runs dry; -inf before the first sound

    @property
    def has_heard(self) -> bool:
        """Whether its first sound has been sent."""
        return self.dry_at_s > -math.inf


class LiveListeners:
    """All listeners of live contexts that the same threads serve, whichever their engine, and
    admission. `costs`: of the threads' first engine. `outside_load`: how many threads' worth of the
    cores engines with threads of their own take, at a time.
    """

    def __init__(self, threads: int, max_first_wait_s: float = math.inf, *, batched: bool) -> None:
        """`max_first_wait_s`: a newcomer is refused when its first sound is expected later.
        `batched`: the engine advances many utterances in one step.
        """
        self._threads = threads
        self._max_first_wait_s = max_first_wait_s
        self._batched = batched
        self.costs = RenderCosts()
        self.outside_load: Callable[[float], float] = _no_load
        self._all: dict[LiveListener, None] = {}
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

    def count_deadline(self, now_s: float, *, late: bool) -> None:
        """Count a chunk for a listener that had begun to hear."""
        self._late = self._late_now(now_s) + _LATE_SMOOTHING * (late - self._late_now(now_s))
        self._late_at_s = now_s

    def _late_now(self, now_s: float) -> float:
        return self._late * math.exp((self._late_at_s - now_s) / _LATE_FADES_S)

    # --- admission -------------------------------------------------------------------------------

    def check_capacity(self, now_s: float, costs: RenderCosts | None = None) -> None:
        """Raises `Overloaded` if one more would break others' deadlines or wait too long. `costs`:
        of the engine that it needs, by default the first one.

        Each takes its engine's RTF of one thread, and the sum must fit (utilisation test for
        earliest deadline first: Liu and Layland, 1973). A machine that is late is full whatever the
        sum says. One listener more costs an engine that batches hardly anything, until it is late.
        """
        newcomers, playing = self._present(now_s)
        outside = self.outside_load(now_s)
        if not newcomers and not playing and not outside:
            return
        demand = self._sum_rtf(newcomers + playing) + (costs or self.costs).expected_rtf + outside
        bounded = not self._batched or outside > 0
        full = bounded and demand > _FULL_SHARE * self._threads
        if full or self._late_now(now_s) > _LATE_SHARE:
            raise _overloaded("the machine serves as many listeners as it can", _RETRY_S)
        wait_s = self.first_wait_s(now_s, costs)
        if wait_s > self._max_first_wait_s:
            raise _overloaded(f"the first sound would take {wait_s:.1f} s", wait_s)

    def demand(self, now_s: float) -> float:
        """How many threads the present listeners keep busy."""
        newcomers, playing = self._present(now_s)
        return self._sum_rtf(newcomers + playing)

    def busy_share(self, now_s: float) -> float:
        """How much of the threads' time the present listeners take, 1 at most."""
        return min(1.0, self.demand(now_s) / self._threads)

    @property
    def cost(self) -> float:
        """Share of the capacity that a listener takes; 0 before the first audio."""
        return self.costs.rtf / (self._threads * _FULL_SHARE)

    def share(self, now_s: float) -> float:
        """Share of the capacity that the listeners take; 1 or more: late, or full."""
        late = self._late_now(now_s) / _LATE_SHARE
        return max(late, self.demand(now_s) / (self._threads * _FULL_SHARE))

    def _sum_rtf(self, listeners: list[LiveListener]) -> float:
        return sum((each.costs or self.costs).expected_rtf for each in listeners)

    def first_wait_s(self, now_s: float, costs: RenderCosts | None = None) -> float:
        """Expected wait of a newcomer for its first sound."""
        newcomers, playing = self._present(now_s)
        if self._batched:
            return (costs or self.costs).first_s if newcomers else 0.0
        busy = self._sum_rtf(newcomers + playing) + self.outside_load(now_s)
        free = 1 - busy / self._threads
        before_s = sum((each.costs or self.costs).first_s for each in newcomers)
        return before_s / (self._threads * max(0.05, free))

    def _present(self, now_s: float) -> tuple[list[LiveListener], list[LiveListener]]:
        """The newcomers and the playing listeners."""
        newcomers, playing = [], []
        for each in tuple(self._all):
            if each.has_heard:
                if each.dry_at_s > now_s - _SILENT_S:
                    playing.append(each)
            elif each.is_queued or each.active_s > now_s - _OPENING_S:
                newcomers.append(each)
        return newcomers, playing

    def fits(
        self, now_s: float, late: int, thread: object, newcomer: LiveListener | None = None
    ) -> bool:
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
            (each.dry_at_s, each.thread is thread, (each.costs or self.costs).later_s)
            for each in tuple(self._all)
            if now_s < each.dry_at_s < until_s
        ]
        costs = (newcomer and newcomer.costs) or self.costs
        needed_s = here_s = costs.first_s * _MARGIN
        for due_s, is_here, cost_s in sorted(dues):
            needed_s += cost_s * _MARGIN
            here_s += cost_s * _MARGIN * is_here
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
        return max(0, int(left_s / (self.costs.first_s * _MARGIN)) - due)


def _no_load(_: float) -> float:
    return 0.0


def _overloaded(why: str, retry_after_s: float) -> Overloaded:
    return Overloaded(f"{why}; try again in {max(1, round(retry_after_s))} s", retry_after_s)
