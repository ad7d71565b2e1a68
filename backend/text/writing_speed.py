"""How fast a context's text is being written. Plain and synchronous."""

from __future__ import annotations

import math
from collections import deque
from statistics import median

_WINDOW = 30  # characters: the last five words, about
_LONGEST_GAP_S = 1.5  # a longer one is a thought, not a speed,
_GAPS = 4.0  # but for a writer who needs that long for every key: so many of its usual ones


class WritingSpeed:
    """Characters a second, over the last words; a model's tokens and a person's keys alike."""

    def __init__(self) -> None:
        self._arrivals: deque[tuple[int, float]] = deque()  # characters, seconds since the last
        self._characters = 0  # of these
        self._last_s: float | None = None

    def push(self, characters: int, now_s: float) -> None:
        """Text came in."""
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
        """Between two pieces, be they keys or words; 0 while nothing is known of it."""
        return median(gap_s for _, gap_s in self._arrivals) if self._arrivals else 0.0

    @property
    def characters_per_s(self) -> float:
        """Infinite while nothing is known of it: a text that came in one piece."""
        longest_s = max(_LONGEST_GAP_S, _GAPS * self.usual_gap_s)
        seconds = sum(min(gap_s, longest_s) for _, gap_s in self._arrivals)
        return self._characters / seconds if seconds else math.inf
