"""How many replicas: grow before the first refusal, shrink only by empty ones.

Runs in Serve's controller, with what the replicas said about themselves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

_GROW_SHARE = 0.7  # of the capacity of all replicas
_GROW_WAIT_S = 0.5  # expected for a first sound; a newcomer is refused at `max_first_wait`
_AIM_SHARE = 0.5  # after growing


def wanted_replicas(stats: Sequence[Mapping[str, float]], current: int) -> int:
    """How many replicas there should be. `stats`: of `load_stats`, oldest replica first; `current`:
    how many there are or begin.

    Serve ends the newest first: so many are spared as hold no session at the end of the list, and
    the last of those stays while the others are busy.
    """
    if not stats:
        return current
    demand = sum(max(each["share"], each["is_full"]) for each in stats)
    waits = min(math.inf if each["is_full"] else each["first_wait_s"] for each in stats)
    if demand > _GROW_SHARE * len(stats) or waits > _GROW_WAIT_S:
        return max(current, len(stats) + 1, math.ceil(demand / _AIM_SHARE))
    return current - _spared(stats, demand)


def _spared(stats: Sequence[Mapping[str, float]], demand: float) -> int:
    spared = 0
    for each in reversed(stats[1:]):
        if each["sessions"] or demand > _AIM_SHARE * (len(stats) - spared - 1):
            break
        spared += 1
    return spared


def choose_replicas(context: Any) -> tuple[int, dict[str, Any]]:
    """Serve's custom policy; Serve keeps to its bounds. `context`: an `AutoscalingContext`."""
    metrics: Mapping[str, Mapping[Any, float]] = context.aggregated_metrics or {}
    names = ("is_full", "first_wait_s", "share", "sessions")
    known = [
        {name: metrics[name][replica] for name in names}
        for replica in context.running_replicas
        if all(replica in metrics.get(name, {}) for name in names)
    ]
    if len(known) < len(context.running_replicas):  # one has not reported yet
        return context.target_num_replicas, {}
    return wanted_replicas(known, context.target_num_replicas), {}
