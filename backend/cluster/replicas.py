"""The replicas of a cluster, as each of them sees the others.

A replica is a whole server process with an address of its own. A server that runs alone has none:
`Services.replicas` is None then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Load:
    """How busy a replica is.

    `first_wait_s`: expected wait of a newcomer for its first sound; infinite: it refuses.
    `share`: the part of its capacity that its listeners use; above 1 its renders are late.
    `free_slots`: further sessions that it accepts.
    """

    first_wait_s: float
    share: float
    free_slots: int


@dataclass(frozen=True, slots=True)
class ReplicaReport:
    """What a replica says of itself, about once a second. `url`: its own address, reachable from
    the other replicas ("http://10.0.0.7:8001"). `status`: the body of its `GET /v1/status`.
    """

    id: str
    url: str
    load: Load
    is_draining: bool = False
    status: Mapping[str, object] = field(default_factory=dict)


class Replicas(Protocol):
    """All replicas, this one included."""

    own_id: str

    cluster_key: str
    """Proves to another replica that a request comes from a replica: sent as a bearer key."""

    offers_direct: bool
    """Whether clients may connect to a replica's own address."""

    def find(self, replica_id: str) -> ReplicaReport | None:
        """The latest report of a replica; None if it is unknown or gone. Does not block."""

    def reports(self) -> list[ReplicaReport]:
        """The latest reports of all living replicas, oldest replica first. Does not block."""
