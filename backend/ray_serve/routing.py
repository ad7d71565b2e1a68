"""Chooses the replica of a new connection: the one with most room now.

Runs in Serve's proxies. A replica's figures come with a delay, so what was routed to it since is
added. A full replica comes last: its own admission then refuses at once, with a time to come again.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from statistics import median

from ray.serve.request_router import (
    FIFOMixin,
    PendingRequest,
    ReplicaID,
    RequestRouter,
    RunningReplica,
)

STATS_S = 0.5
"""Time between two reports of a replica."""
_DELAY_S = 1.5  # until a connection shows in the figures
_LEAST_COST = 0.01  # share of a listener, where none is known yet
_CHANCE = 1.5  # replicas on equal machines differ by less in the cost that they measure
_SILENT_SHARE = 0.1  # of a listener: a session that does not speak now may speak later


class RecentChoices:
    """What was routed lately, by replica. Plain."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._chosen: dict[ReplicaID, deque[float]] = {}

    def add(self, replica: ReplicaID) -> None:
        """Count a choice."""
        self._chosen.setdefault(replica, deque()).append(self._clock())

    def count(self, replica: ReplicaID) -> int:
        """How many connections went to the replica that its figures do not show yet."""
        chosen = self._chosen.get(replica, deque())
        while chosen and chosen[0] < self._clock() - _DELAY_S:
            chosen.popleft()
        return len(chosen)


def usual_cost(stats: Iterable[Mapping[str, float]]) -> float:
    """The share of its capacity that a listener takes at a replica, as most of them say."""
    costs = [each["cost"] for each in stats if each.get("cost")]
    return max(_LEAST_COST, median(costs)) if costs else _LEAST_COST


def expected_load(stats: Mapping[str, float], recent: int, usual: float) -> tuple[float, float]:
    """What a replica's load will be with the connections on their way to it; the least comes first.
    `stats`: of `load_stats`; empty before its first report. `usual`: what a listener costs at most
    replicas: a replica near that counts as equal to them, or chance would send it more listeners.
    """
    cost = max(_LEAST_COST, stats.get("cost", 0.0))
    listeners = stats.get("share", 0.0) / cost + recent
    silent = stats.get("sessions", 0.0) + recent
    if usual / _CHANCE < cost < usual * _CHANCE:
        cost = usual
    share = cost * (listeners + silent * _SILENT_SHARE)
    return stats.get("is_full", 0.0), share + stats.get("first_wait_s", 0.0)


class RoomRouter(FIFOMixin, RequestRouter):
    """Ranks the replicas by `expected_load`."""

    def initialize_state(self, **_: object) -> None:
        """See `RequestRouter`."""
        self._recent = RecentChoices()

    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,
    ) -> list[list[RunningReplica]]:
        """The replicas one by one, the one with most room first."""
        usual = usual_cost(each.routing_stats for each in candidate_replicas)

        def rank(replica: RunningReplica) -> tuple[float, float]:
            recent = self._recent.count(replica.replica_id)
            return expected_load(replica.routing_stats, recent, usual)

        ranked = sorted(candidate_replicas, key=rank)
        if ranked:
            self._recent.add(ranked[0].replica_id)
        return [[each] for each in ranked]
