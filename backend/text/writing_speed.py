"""Measures how fast a context's text is being written. Pure."""

from __future__ import annotations

import math
from collections import deque
from statistics import median

_WINDOW = 30  # characters: the last five words, about
_LONGEST_GAP_S = 1.5  # longer gaps are pauses and count as this long,
_GAPS = 4.0  # or, for a slow writer, as this many of its median gaps


class WritingSpeed:
    """Characters per second over the last words, for a model's tokens and a person's keys."""

    def __init__(self) -> None:
        self._arrivals: deque[tuple[int, float]] = deque()  # characters, seconds since the last
        self._characters = 0  # of these
        self._last_s: float | None = None

    def add_arrival(self, characters: int, now_s: float) -> None:
        """Record that text arrived."""
        if not characters:
            return
        if self._last_s is not None:
            self._arrivals.append((characters, now_s - self._last_s))
            self._characters += characters
        self._last_s = now_s
        while self._arrivals and self._characters - self._arrivals[0][0] >= _WINDOW:
            self._characters -= self._arrivals.popleft()[0]

    @property
    def usual_gap_s(self) -> float:
        """Median time between two arrivals (keys or words); 0 while unknown."""
        return median(gap_s for _, gap_s in self._arrivals) if self._arrivals else 0.0

    @property
    def characters_per_s(self) -> float:
        """Infinite while unknown: the text arrived at once."""
        longest_s = max(_LONGEST_GAP_S, _GAPS * self.usual_gap_s)
        seconds = sum(min(gap_s, longest_s) for _, gap_s in self._arrivals)
        return self._characters / seconds if seconds else math.inf
