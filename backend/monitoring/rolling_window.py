"""Distribution of a value over the last minutes. Synchronous, no I/O."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WINDOW_S = 300.0
_LIMIT = 2000  # values kept; sorting them takes a fraction of a millisecond


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram and quantiles by nearest rank (None without values).

    `counts[i]` values are above `bounds[i - 1]` and at most `bounds[i]`; the extra last count is of
    the values above all bounds.
    """

    count: int
    p50: float | None
    p95: float | None
    max: float | None
    bounds: tuple[float, ...]
    counts: tuple[int, ...]


class RollingWindow:
    """The values observed over the last `WINDOW_S`; oldest dropped beyond 2000."""

    def __init__(self, bounds: Sequence[float], clock: Callable[[], float]) -> None:
        """`bounds`: the histogram's, ascending. `clock`: seconds."""
        self._bounds = tuple(bounds)
        self._clock = clock
        self._values: deque[tuple[float, float]] = deque(maxlen=_LIMIT)  # with their times

    def observe(self, value: float) -> None:
        """Add a value at the current time."""
        self._values.append((self._clock(), value))

    def distribution(self) -> Distribution:
        """The distribution of the window's values."""
        since_s = self._clock() - WINDOW_S
        while self._values and self._values[0][0] < since_s:
            self._values.popleft()
        values = sorted(value for _, value in self._values)
        counts = [0] * (len(self._bounds) + 1)
        for value in values:
            counts[bisect_left(self._bounds, value)] += 1
        return Distribution(
            len(values),
            _quantile(values, 0.5),
            _quantile(values, 0.95),
            _quantile(values, 1.0),
            self._bounds,
            tuple(counts),
        )


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else None
