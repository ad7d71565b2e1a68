"""When a cluster grows and shrinks. Plain: no clock, no loop."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from backend.cluster.replicas import Load


@dataclass(frozen=True, slots=True)
class ScalingRule:
    """`up_share`: of the capacity of all replicas, expected to be taken when a new replica could be
    ready: above it one is started. `up_wait_s`: also above this forecast wait. `start_s`: until a
    replica is ready. `trend_s`: the growth of the last so many seconds is expected to go on.
    `down_share`: one replica is emptied once the others would have less than this taken, for
    `down_after_s`.
    """

    start_s: float
    up_share: float = 0.7
    up_wait_s: float = 0.3
    trend_s: float = 10.0
    down_share: float = 0.5
    down_after_s: float = 60.0
    least: int = 1
    most: int = 1000


class Autoscaler:
    """Says how many replicas are wanted; call it about once a second."""

    def __init__(self, rule: ScalingRule) -> None:
        self._rule = rule
        self._history: deque[tuple[float, float]] = deque()  # time, replicas' worth of load
        self._calm_since_s: float | None = None

    def wanted(self, now_s: float, loads: Sequence[Load], coming: int) -> int:
        """`loads`: of the replicas that take sessions; `coming`: started, not ready yet."""
        rule, have = self._rule, len(loads) + coming
        taken = sum(each.share for each in loads)
        expected = self._expect(now_s, taken)
        wanted = math.ceil(expected / rule.up_share - 1e-9)
        waits_s = [each.first_wait_s for each in loads]
        if waits_s and min(waits_s) > rule.up_wait_s and not coming:
            wanted = max(wanted, have + 1)
        if wanted < have:
            wanted = have - self._may_shrink(now_s, max(taken, expected), have)
        else:
            self._calm_since_s = None
        return min(rule.most, max(rule.least, wanted))

    def _expect(self, now_s: float, taken: float) -> float:
        """The load when a replica that is started now will be ready."""
        rule, history = self._rule, self._history
        history.append((now_s, taken))
        while history[0][0] < now_s - rule.trend_s:
            history.popleft()
        (then_s, then) = history[0]
        growth = (taken - then) / (now_s - then_s) if now_s > then_s + rule.trend_s / 2 else 0.0
        return taken + max(0.0, growth) * rule.start_s

    def _may_shrink(self, now_s: float, load: float, have: int) -> bool:
        rule = self._rule
        if have <= 1 or load / (have - 1) > rule.down_share:
            self._calm_since_s = None
            return False
        if self._calm_since_s is None:
            self._calm_since_s = now_s
        if now_s < self._calm_since_s + rule.down_after_s:
            return False
        self._calm_since_s = now_s
        return True
