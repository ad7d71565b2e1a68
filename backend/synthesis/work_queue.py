"""The queue of utterances: filled by the event loop, emptied by the engine threads.

An utterance is bound to a thread, which holds its state, from its first step on; before that any
idle thread may take it. A release that no thread has taken yet can be replaced.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from backend.engines.base import Release
from backend.synthesis.live_listeners import LiveListeners
from backend.synthesis.render_order import rank_waiting
from backend.synthesis.utterance_handle import UtteranceHandle


@dataclass(frozen=True, slots=True)
class Work:
    """A thread's next work: abort `aborted`, then advance the utterances. Work without either only
    wants the engine to be ready; `unload`: nothing will be spoken for a while.
    """

    utterances: tuple[UtteranceHandle, ...]
    releases: dict[str, Release]  # new ones, by utterance id
    begun: frozenset[str]  # ids that the engine has not seen yet
    aborted: tuple[str, ...]
    unload: bool = False


_PREPARE = Work((), {}, frozenset(), ())
_UNLOAD = Work((), {}, frozenset(), (), unload=True)


class Wake(Protocol):
    """Wakes a waiting thread; see `threading.Condition`."""

    def notify(self) -> None:
        """Wake the thread."""

    def wait(self, timeout: float | None = None) -> object:
        """Wait until `notify`, `timeout` seconds at most."""


@dataclass(eq=False)
class Seat:
    """A thread's registration at the queue."""

    most: int  # utterances that its engine advances in one step
    wake: Wake
    aborted: list[str] = field(default_factory=list)
    idle: bool = False
    leaving: bool = False
    wanted: bool = False  # an utterance will come soon
    used_at_s: float = -math.inf  # when its thread last worked on one, probes not counted


class WorkQueue:
    """Queued utterances. Thread-safe; only `take` blocks."""

    def __init__(self, listeners: LiveListeners, clock: Callable[[], float]) -> None:
        """`clock`: the clock of the deadlines; called from the threads."""
        self._listeners = listeners
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: dict[UtteranceHandle, None] = {}
        self._stepping: set[UtteranceHandle] = set()
        self._seats: list[Seat] = []

    def __len__(self) -> int:
        """Utterances with a release that is not rendered to its end."""
        return len(self._waiting) + len(self._stepping)

    @property
    def waiting(self) -> tuple[UtteranceHandle, ...]:
        """The utterances that no thread is working on."""
        return tuple(self._waiting)

    def join(self, most: int, wake: Wake | None = None) -> Seat:
        """Register a thread; `wake`: for one that calls `poll` instead of `take`."""
        seat = Seat(most, wake or threading.Condition(self._lock))
        with self._lock:
            self._seats.append(seat)
        return seat

    def leave(self, seat: Seat) -> None:
        """Unregister a thread: its `take` returns None."""
        with self._lock:
            seat.leaving = True
            if seat in self._seats:
                self._seats.remove(seat)
            seat.wake.notify()

    # --- on the event loop ------------------------------------------------------------------------

    def offer(self, utterance: UtteranceHandle, release: Release) -> None:
        """Queue the release."""
        with self._lock:
            utterance.release, utterance.is_taken = release, False
            utterance.queued_at_s = self._clock()
            self._mark_queued(utterance, queued=True)
            if not utterance.in_step:
                self._wait(utterance)

    def replace(self, utterance: UtteranceHandle, release: Release) -> bool:
        """Replace the queued release. Returns False if a thread has taken it."""
        with self._lock:
            if utterance.is_taken or utterance.release is None:
                return False
            utterance.release = release
            return True

    def withdraw(self, utterance: UtteranceHandle) -> None:
        """Abort the utterance; the result of a step working on it is discarded."""
        with self._lock:
            utterance.is_closed = True
            self._waiting.pop(utterance, None)
            self._mark_queued(utterance, queued=False)
            seat = utterance.seat
            if seat is not None:
                seat.aborted.append(utterance.utterance.id)
                seat.wake.notify()

    def announce(self) -> None:
        """Have the threads get their engines ready: an utterance will come soon."""
        with self._lock:
            for seat in self._seats:
                seat.wanted = True
                seat.wake.notify()

    def unbind(
        self, handles: Iterable[UtteranceHandle], dropped: Iterable[UtteranceHandle]
    ) -> None:
        """Free the utterances of a lost thread for others; `dropped`: those of its last step."""
        with self._lock:
            for each in dropped:
                self._stepping.discard(each)
                each.is_closed = True
            for each in handles:
                each.start_over()
                each.seat, each.in_step, each.is_taken = None, False, False
                if each.release is not None and not each.is_closed:
                    self._wait(each)

    def _wait(self, utterance: UtteranceHandle) -> None:
        self._waiting[utterance] = None
        seat = utterance.seat or next((each for each in self._seats if each.idle), None)
        if seat is not None:
            seat.idle = False  # the next utterance wakes another thread
            seat.wake.notify()

    # --- on a thread ------------------------------------------------------------------------------

    def take(self, seat: Seat, idle_s: float = math.inf) -> Work | None:
        """Wait for work. Returns None when the thread is to end, and work to `unload` when it has
        had none for `idle_s`; call it then without `idle_s`.
        """
        with self._lock:
            if math.isinf(seat.used_at_s):
                seat.used_at_s = self._clock()
            while not seat.leaving:
                work = self._poll(seat)
                seat.idle = work is None
                if work is not None:
                    return work
                if seat.wanted:
                    seat.wanted, seat.used_at_s = False, self._clock()
                    return _PREPARE
                left_s = seat.used_at_s + idle_s - self._clock()
                if left_s <= 0:
                    return _UNLOAD
                seat.wake.wait(None if math.isinf(left_s) else left_s)
            return None

    def poll(self, seat: Seat) -> Work | None:
        """The next work, or None. Does not wait."""
        with self._lock:
            work = self._poll(seat)
            seat.idle = work is None
            return work

    def _poll(self, seat: Seat) -> Work | None:
        mine = [each for each in self._waiting if each.seat in (None, seat)]
        return self._hand_out(seat, mine) if mine or seat.aborted else None

    def _hand_out(self, seat: Seat, mine: list[UtteranceHandle]) -> Work:
        batched = seat.most > 1
        ranked = rank_waiting(mine, self._listeners, self._clock(), seat, batched=batched)
        chosen = ranked[: seat.most]
        releases, begun = {}, set()
        for each in chosen:
            del self._waiting[each]
            each.in_step = True
            self._stepping.add(each)
            if each.seat is None:
                each.seat = seat
                begun.add(each.utterance.id)
                if each.listener is not None:
                    each.listener.thread = seat
            if not each.is_taken:
                each.is_taken = True
                assert each.release is not None, "only those with a release wait"
                releases[each.utterance.id] = each.for_engine(each.release)
        aborted, seat.aborted = tuple(seat.aborted), []
        return Work(tuple(chosen), releases, frozenset(begun), aborted)

    def give_back(
        self, utterance: UtteranceHandle, audio_s: float, *, caught_up: bool, failed: bool
    ) -> bool:
        """Take an utterance back after a step that rendered `audio_s`. Returns whether its release
        is still the newest one.
        """
        with self._lock:
            utterance.in_step = False
            self._stepping.discard(utterance)
            if utterance.seat is not None and not utterance.is_probe:
                utterance.seat.used_at_s = self._clock()
            if audio_s:
                self._defer(utterance, audio_s)
            newest = utterance.is_taken
            if (caught_up and newest) or failed:
                utterance.release = None
                self._mark_queued(utterance, queued=False)
            elif not utterance.is_closed:
                self._wait(utterance)
            return newest

    @staticmethod
    def _mark_queued(utterance: UtteranceHandle, *, queued: bool) -> None:
        if utterance.listener is not None:
            utterance.listener.is_queued = queued

    def _defer(self, utterance: UtteranceHandle, audio_s: float) -> None:
        """Postpone the deadline by the rendered audio, so that no thread takes the utterance again
        as the most urgent one. The event loop sets the exact deadline once the audio is sent.
        """
        now_s, listener = self._clock(), utterance.listener
        if listener is None:
            utterance.deadline_s += audio_s
            return
        listener.dry_at_s = max(listener.dry_at_s, now_s) + audio_s
        utterance.deadline_s = listener.dry_at_s
