"""Which waiting utterances an engine thread takes next. Plain: no clock, thread or lock.

Its promise: whoever has begun to hear, hears on. A first sound comes before the next sound of
others only where all of those still come in time; else the earliest deadline comes first. Batch
takes what is left.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol, TypeVar

from backend.synthesis.live_listeners import LiveListener, LiveListeners


class Waiting(Protocol):
    """A waiting utterance. `listener`: of its live context. In batch mode it has none, and no
    deadline.
    """

    listener: LiveListener | None
    deadline_s: float
    queued_at_s: float


W = TypeVar("W", bound=Waiting)


def rank_waiting(
    waiting: Iterable[W], listeners: LiveListeners, now_s: float, thread: object
) -> list[W]:
    """The utterances that wait for `thread`, the one to take first at the front."""
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
    first, later = [each for _, _, each in newcomers], [each for _, each in playing]
    if first and later:
        late = sum(deadline_s <= now_s for deadline_s, _ in playing)
        live = first + later if listeners.fits(now_s, late, thread) else later + first
    else:
        live = first + later
    return live + [each for _, each in batch]
