"""Notices a model that repeats itself instead of going on."""

from __future__ import annotations

from collections.abc import Sequence

_PERIODS = range(2, 41)  # tokens
_TIMES = 4
_LEAST_TOKENS = 25  # 1 s: a held vowel may alternate between two tokens for less
_STUCK_TOKENS = 50  # equal ones in a row: 2 s


class LoopDetector:
    """Follows one passage's tokens; the work per token is bounded."""

    def __init__(self) -> None:
        self._read = 0
        self._runs: dict[int, int] = {}  # by period: last tokens equal to those a period before
        self.loop_from: int | None = None  # index of the first repeat, once there is a loop

    def read(self, tokens: Sequence[int]) -> bool:
        """Read the tokens that are new. Whether they end in a loop: a period of 2 to 40 tokens four
        times, or one token for 2 s.
        """
        while self._read < len(tokens) and self.loop_from is None:
            self._read += 1
            self._read_last(tokens[max(0, self._read - _PERIODS.stop) : self._read])
        return self.loop_from is not None

    def _read_last(self, recent: Sequence[int]) -> None:
        last, size = recent[-1], len(recent)
        self._runs = {
            period: self._runs.get(period, 0) + 1
            for period in range(1, size)
            if recent[size - 1 - period] == last
        }
        equal = self._runs.get(1, 0)
        for period, run in self._runs.items():
            needed = max((_TIMES - 1) * period, _LEAST_TOKENS - period)
            if period == 1:
                needed = _STUCK_TOKENS - 1
            elif equal >= period - 1:  # of equal tokens
                continue
            if run >= needed:
                self.loop_from = self._read - run
                return
