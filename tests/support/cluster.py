"""Several servers in one process that know each other, as replicas do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from backend.cluster.replicas import Load, ReplicaReport
from backend.config import Settings
from tests.support.engines.fake_engine import FakeModel
from tests.support.live_server import LiveServer, live_replica

CLUSTER_KEY = "the-key-of-the-cluster-of-a-test"
TEXT = "Well, this is a text of some length. It has two sentences, or three. Not more."
KEYS = {"api_keys": "the-key-of-alice,the-key-of-bob"}
EAGER: dict[str, Any] = {
    "latency_optimization": {"high_water": 60},  # nothing is played: do not wait
    "server": {"drain_timeout": 0},
}
_IDLE = Load(first_wait_s=0.0, share=0.0, free_slots=100)


@dataclass
class KnownReplicas:
    """What one replica knows; `shared` is the same for all, unless a test changes it."""

    own_id: str
    shared: dict[str, ReplicaReport] = field(default_factory=dict)
    cluster_key: str = CLUSTER_KEY
    offers_direct: bool = False

    def find(self, replica_id: str) -> ReplicaReport | None:
        return self.shared.get(replica_id)

    def reports(self) -> list[ReplicaReport]:
        return list(self.shared.values())


@dataclass
class Cluster:
    """`servers`: by id, "0", "1" and so on. `replicas`: what each knows."""

    servers: dict[str, LiveServer]
    replicas: dict[str, KnownReplicas]
    reports: dict[str, ReplicaReport]

    def __getitem__(self, number: int) -> LiveServer:
        return self.servers[str(number)]

    def set_draining(self, number: int) -> None:
        """Report a replica as draining."""
        self.reports[str(number)] = replace(self.reports[str(number)], is_draining=True)

    def remove(self, number: int) -> None:
        """Report a replica no longer."""
        del self.reports[str(number)]

    def kill(self, number: int) -> None:
        """Fall silent as by `kill -9`: its sockets are reset, without a close frame."""
        server = self[number].server
        for listener in server.servers:
            listener.close()
        for connection in list(server.server_state.connections):
            connection.transport.abort()


@asynccontextmanager
async def live_cluster(
    size: int = 2,
    *,
    direct: bool = False,
    model: Callable[[], Any] = FakeModel,
    **sections: Any,
) -> AsyncIterator[Cluster]:
    """Serve with `size` replicas while the block runs. `direct`: they offer their addresses."""
    config = Settings.model_validate({"engine": {"threads": 1}, **sections})
    reports: dict[str, ReplicaReport] = {}
    replicas = {
        str(number): KnownReplicas(str(number), reports, offers_direct=direct)
        for number in range(size)
    }
    async with AsyncExitStack() as stack:
        servers = {
            id_: await stack.enter_async_context(live_replica(config, model(), known))
            for id_, known in replicas.items()
        }
        reports |= {id_: ReplicaReport(id_, server.http, _IDLE) for id_, server in servers.items()}
        yield Cluster(servers, replicas, reports)
