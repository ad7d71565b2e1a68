"""Notices a model that repeats itself instead of going on."""

from __future__ import annotations

from collections.abc import Sequence

_PERIODS = range(2, 41)  # tokens
_TIMES = 4
_LEAST_TOKENS = 25  # 1 s: a held vowel may alternate between two tokens for less
_STUCK_TOKENS = 50  # equal ones in a row: 2 s


class LoopDetector:
    """Follows one passage's tokens; the work per token is bounded.

    A loop is a period of 2 to 40 tokens said four times and for a second, or one token for two.
    `loop_from`: index of the first repeat, once there is a loop. `suspected_from`: the same while
    a period has been said twice.
    """

    def __init__(self) -> None:
        self._read = 0
        self._runs: dict[int, int] = {}  # by period: last tokens equal to those a period before
        self.loop_from: int | None = None
        self.suspected_from: int | None = None

    def read(self, tokens: Sequence[int]) -> bool:
        """Read the tokens that are new. Whether there is a loop."""
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
        self.loop_from = self._first_repeat(_TIMES, _LEAST_TOKENS)
        if self._runs.get(1, 0) >= _STUCK_TOKENS - 1:
            self.loop_from = self._read - self._runs[1]
        self.suspected_from = self._first_repeat(2, _LEAST_TOKENS // 2)

    def _first_repeat(self, times: int, tokens: int) -> int | None:
        """Where a period said so many times, for so many tokens, is first repeated."""
        if not self._runs:
            return None
        equal = self._runs.get(1, 0)
        runs = [
            run
            for period, run in self._runs.items()
            # Not a period of equal tokens.
            if equal < period - 1 and run >= max((times - 1) * period, tokens - period)
        ]
        return self._read - max(runs) if runs else None
