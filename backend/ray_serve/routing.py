"""Chooses the replica of a new connection: the one with most room now.

Runs in Serve's proxies. A replica's figures come with a delay, so what was routed to it since is
added. A full replica comes last: its own admission then refuses at once, with a time to come again.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping

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
_SESSION_COST = 0.001  # of one that does not speak now: it decides between equals


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


def expected_load(stats: Mapping[str, float], recent: int) -> tuple[float, float]:
    """What a replica's load will be with the connections on their way to it; the least comes first.
    `stats`: of `load_stats`; empty before its first report.
    """
    cost = max(_LEAST_COST, stats.get("cost", 0.0))
    sessions = stats.get("sessions", 0.0) + recent
    share = stats.get("share", 0.0) + recent * cost + sessions * _SESSION_COST
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
        ranked = sorted(
            candidate_replicas,
            key=lambda each: expected_load(each.routing_stats, self._recent.count(each.replica_id)),
        )
        if ranked:
            self._recent.add(ranked[0].replica_id)
        return [[each] for each in ranked]
