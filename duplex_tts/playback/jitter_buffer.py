"""Jitter buffer: how long to delay audio so that late arrivals are not heard as gaps.

The caller passes the time (seconds, any origin).
"""

from __future__ import annotations

LEAST_S = 0.02
MOST_S = 0.4
CALM_S = 30.0


class JitterBuffer:
    """A delay that grows to the measured lateness, and is halved after `CALM_S` without any."""

    def __init__(self, least_s: float = LEAST_S, most_s: float = MOST_S) -> None:
        self._least_s = least_s
        self._most_s = most_s
        self._target_s = least_s
        self._calm_since_s = float("-inf")

    def report_lateness(self, late_s: float, now_s: float) -> None:
        """Record audio that arrived `late_s` after a listener without a buffer had run dry."""
        needed_s = min(late_s + self._least_s, self._most_s)
        self._target_s = max(self.target_s(now_s), needed_s)
        self._calm_since_s = now_s

    def target_s(self, now_s: float) -> float:
        """Delay of the next audio."""
        while self._target_s > self._least_s and now_s - self._calm_since_s >= CALM_S:
            self._target_s = max(self._target_s / 2, self._least_s)
            self._calm_since_s += CALM_S
        return self._target_s
