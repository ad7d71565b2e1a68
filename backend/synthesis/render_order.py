"""The order in which engine threads take utterances. Plain: no clock, thread or lock.

Its promise: a listener that has begun to hear gets no gap. A first sound precedes the next sounds
of others only if all of those still meet their deadlines; else the earliest deadline comes first.
Batch jobs come last.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol, TypeVar

from backend.synthesis.live_listeners import LiveListener, LiveListeners


class Waiting(Protocol):
    """A queued utterance. `listener`: of its live context; a batch job has none and no deadline."""

    listener: LiveListener | None
    deadline_s: float
    queued_at_s: float


_ENOUGH_S = 1.0  # of unheard audio: a step may then leave the utterance out

W = TypeVar("W", bound=Waiting)


def rank_waiting(
    waiting: Iterable[W],
    listeners: LiveListeners,
    now_s: float,
    thread: object,
    *,
    batched: bool = False,
) -> list[W]:
    """Order the utterances that wait for `thread`, the first to take at the front.

    `batched`: the engine advances all of them in one step, whose time grows with their number:
    while a first sound is due, utterances with more than `_ENOUGH_S` unheard are left out.
    """
    newcomers: list[tuple[int, float, W]] = []
    playing: list[tuple[float, W]] = []
    batch: list[tuple[float, W]] = []
    for each in waiting:
        listener = each.listener
        if listener is None and math.isinf(each.deadline_s):
            batch.append((each.queued_at_s, each))
        elif listener is None or listener.has_heard:
            playing.append((each.deadline_s, each))
        else:
            newcomers.append((listener.priority, each.queued_at_s, each))
    newcomers.sort(key=lambda entry: entry[:2])
    playing.sort(key=lambda entry: entry[0])
    batch.sort(key=lambda entry: entry[0])
    first = [each for _, _, each in newcomers]
    if batched and first:
        due = [each for due_s, each in playing if due_s < now_s + _ENOUGH_S]
        return due + first[: listeners.room(now_s, len(due)) if due else None]
    later, left = [each for _, each in playing], [each for _, each in batch]
    late = sum(due_s <= now_s for due_s, _ in playing)
    if first and later and not listeners.fits(now_s, late, thread, first[0].listener):
        return later + first + left
    return first + later + left
