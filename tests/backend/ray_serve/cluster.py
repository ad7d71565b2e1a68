"""A cluster of servers with the fake engine, on this machine's own Ray."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import serve
from ray.serve.context import _get_global_client
from ray.serve.schema import ServeDeploySchema
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from backend.cluster.replicas import Load, ReplicaReport
from backend.config import Settings
from backend.engines.base import Chunk, Engine, Failure, Model
from backend.ray_serve import program
from backend.ray_serve.deployment import NAME, create_application, read_given
from backend.ray_serve.directory import ReplicaDirectory
from backend.transport.listener import listen
from tests.support.engines.fake_engine import RATE_HZ, FakeModel
from tests.support.live_server import NativeClient

_NO_LOAD = Load(0.0, 0.0, 0)


def create_fake_model(_: Settings) -> Model:
    """Called in each replica."""
    return FakeModel()


def create_slow_model(_: Settings) -> Model:
    """Some ten listeners fill it."""
    return SlowModel()


def create_unequal_model(marker: str, _: Settings) -> Model:
    """Slow in the first process that calls it, which then writes its id to the file `marker`."""
    if Path(marker).exists():
        return FakeModel()
    Path(marker).write_text(str(os.getpid()))
    return SlowModel()


class SlowModel(FakeModel):
    """Takes a tenth of a second for each second of speech."""

    def create_engine(self) -> Engine:
        engine = super().create_engine()
        step = engine.step

        def step_slowly(urgent: Sequence[str]) -> list[Chunk | Failure]:
            made = step(urgent)
            samples = sum(len(each.pcm) for each in made if isinstance(each, Chunk))
            time.sleep(samples / RATE_HZ / 10)
            return made

        engine.step = step_slowly  # type: ignore[method-assign]
        return engine


def build_fake(given: dict[str, Any]) -> serve.Application:
    """As `deployment.build`, with the fake engine."""
    return create_application(read_given(given), create_fake_model)


def _deploy_file(replicas: int) -> None:
    content = {
        "applications": [
            {
                "name": NAME,
                "route_prefix": "/",
                "import_path": "tests.backend.ray_serve.cluster:build_fake",
                "args": {"engine": {"threads": 1}, "cluster": {"cpus_per_replica": 0.5}},
                "deployments": [{"name": NAME, "num_replicas": replicas}],
            }
        ]
    }
    _get_global_client().deploy_apps(ServeDeploySchema.model_validate(content), _blocking=True)


@dataclass
class Cluster:
    """The running cluster. `deploy` again for more replicas, `update` for a rolling update."""

    port: int
    updates: int = 0

    @property
    def url(self) -> str:
        """Of the proxy."""
        return f"http://127.0.0.1:{self.port}"

    async def update(self) -> None:
        """Replace all replicas, as for other settings."""
        self.updates += 1
        await self.deploy()

    async def deploy(
        self,
        replicas: int = 2,
        create_model: Callable[[Settings], Model] = create_fake_model,
        **sections: Any,
    ) -> None:
        """Deploy and wait until `replicas` have reported and no others."""
        settings = Settings.model_validate(
            {
                "engine": {"threads": 1, "speed": 1 + self.updates / 100},
                "cluster": {"replicas": replicas, "cpus_per_replica": 0.5},
                **sections,
            }
        )
        await asyncio.to_thread(program.deploy, settings, self.port, create_model)
        await self.wait_reports(replicas)

    async def scale(self, replicas: int) -> None:
        """Change the number of replicas alone, as by the file of `cluster-config`."""
        await asyncio.to_thread(_deploy_file, replicas)
        await self.wait_routed(replicas)

    async def wait_routed(self, number: int, within_s: float = 60.0) -> None:
        """Wait until exactly so many report, and the proxy leads to each."""
        expected = {each.id for each in await self.wait_reports(number)}
        async with asyncio.timeout(within_s):
            while expected != await self._find_routed(2 * number):  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.1)

    async def _find_routed(self, connections: int) -> set[str]:
        """The replicas to which the proxy leads so many connections."""
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(self.connect()) for _ in range(connections)]
            return {each.ready["token"].partition(".")[2] for each in clients}

    @asynccontextmanager
    async def connect(self, address: str = "") -> AsyncIterator[NativeClient]:
        """Connect by the proxy, or to a replica's own address; read the first message."""
        url = f"ws://{address or f'127.0.0.1:{self.port}'}/ws/tts"
        async with connect(url, compression=None, max_size=None) as socket_:
            client = NativeClient(socket_)
            client.ready = await client.receive()
            yield client

    async def connect_patiently(self, within_s: float = 60.0) -> None:
        """Wait until the proxy leads to a replica that admits a client."""
        async with asyncio.timeout(within_s):
            while True:
                with suppress(OSError, WebSocketException):
                    async with self.connect() as client:
                        if client.ready["type"] == "ready":
                            return
                await asyncio.sleep(0.1)

    async def reports(self) -> list[ReplicaReport]:
        """What the replicas know of each other, as one of them would be told."""
        observer = ReplicaDirectory("observer", NAME)
        observer.cluster_key = ""

        async def report_nothing() -> ReplicaReport:
            return ReplicaReport("observer", "", _NO_LOAD)

        async with observer.reporting(report_nothing):
            return [each for each in observer.reports() if each.id != "observer"]

    async def wait_reports(
        self, number: int, *, without: str = "", within_s: float = 100.0
    ) -> list[ReplicaReport]:
        """Wait until so many replicas report that they serve, and this one does not."""
        async with asyncio.timeout(within_s):
            while True:
                serving = [each for each in await self.reports() if not each.is_draining]
                if len(serving) == number and without not in {each.id for each in serving}:
                    return serving
                await asyncio.sleep(0.2)


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Start Ray; afterwards end it, by its own means, and see that nothing of it is left."""
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
    settings = Settings.model_validate(
        {"cluster": {"replicas": 3}, "server": {"port": port}, "engine": {"threads": 1}}
    )
    program.start_ray(program.divide_machine(settings))
    try:
        yield Cluster(port)
    finally:
        program.end(settings)
        assert not ray.is_initialized()
        left = [name for _, name in own_processes() if "ray" in name]
        assert not left, left


def own_processes() -> Iterator[tuple[int, str]]:
    """The processes below this one, with their command lines."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = entry.read_text().rpartition(")")[2].split()
            if fields[0] != "Z":
                parents[int(entry.parent.name)] = int(fields[1])
    for process in parents:
        ancestor = process
        while ancestor in parents and ancestor != os.getpid():
            ancestor = parents[ancestor]
        if ancestor == os.getpid() and process != ancestor:
            with suppress(OSError):
                yield process, Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ")


def process_ids(name: str) -> list[int]:
    """The processes whose command line begins with this name: `ray::ProxyActor`."""
    return [process for process, command in own_processes() if command.startswith(name)]


def listening_process(url: str) -> int:
    """The process of a replica, by its own address."""
    port = int(url.rpartition(":")[2])
    for process in process_ids("ray::ServeReplica"):
        table = Path(f"/proc/{process}/net/tcp").read_text().splitlines()[1:]
        inodes = {
            fields[9]
            for fields in map(str.split, table)
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port
        }
        held = set()
        for link in Path(f"/proc/{process}/fd").iterdir():
            with suppress(OSError):
                held.add(os.readlink(link))
        if any(f"socket:[{inode}]" in held for inode in inodes):
            return process
    raise AssertionError(f"nobody listens on {url}")
