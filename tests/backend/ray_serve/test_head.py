"""The head of a cluster ends and comes again while a session speaks; its state is in a folder.

Two nodes of Ray on this machine: the head, and one for the replicas.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from backend.transport.listener import listen
from duplex_tts import Done, Session
from tests.support.repository import ROOT

pytest.importorskip("ray", reason="make install-cluster")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_MARK = "HEAD_TEST"
_WRITTEN = "This is one of the sentences that are spoken meanwhile. "


class TwoNodes:
    """Ray's own program starts the nodes; all its processes carry a mark."""

    def __init__(self, folder: Path) -> None:
        with listen("127.0.0.1", 0) as ray_port, listen("127.0.0.1", 0) as http_port:
            self.address = f"127.0.0.1:{ray_port.getsockname()[1]}"
            self.port = http_port.getsockname()[1]
        self._folder = folder
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "RAY_AUTH_MODE": "disabled",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_gcs_storage": "rocksdb",
            "RAY_gcs_storage_path": str(folder / "state"),
        }
        (folder / "state").mkdir()

    def start_head(self) -> None:
        """Blocks until it runs; with the state of an earlier one, if there was one."""
        # Ray refuses to start where its last address still answers: here by the other node.
        for each in (self._folder / "ray").glob("ray_current_cluster*"):
            each.unlink()
        port = self.address.rpartition(":")[2]
        options = ("--head", f"--port={port}", "--num-cpus=0", f"--temp-dir={self._folder / 'ray'}")
        self._run_ray("head", *options, "--include-dashboard=false")

    def start_worker(self) -> None:
        """Blocks until it runs."""
        self._run_ray("worker", f"--address={self.address}", "--num-cpus=3")

    def _run_ray(self, mark: str, *options: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "ray.scripts.scripts", "start", *options],
            env={**self._environment, _MARK: f"{mark} {self._folder}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            timeout=100,
            check=True,
        )

    def start_program(self) -> subprocess.Popen[str]:
        """Blocks until two replicas are ready."""
        settings = {
            "cluster.replicas": "2",
            "cluster.address": self.address,
            "cluster.host": "127.0.0.1",
            "cluster.cpus_per_replica": "1",
        }
        given = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
        program = subprocess.Popen(
            [sys.executable, str(ROOT / "backend" / "main.py"), "--port", str(self.port), *given],
            env={**self._environment, _MARK: f"program {self._folder}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert program.stdout is not None
        assert any(line.startswith("duplex-tts ready on") for line in program.stdout)
        return program

    def kill(self, mark: str) -> int:
        """Kill all processes of a node, or of the program; returns how many there were."""
        marked = f"{_MARK}={mark} {self._folder}".encode()
        killed = 0
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if marked in (folder / "environ").read_bytes().split(b"\0"):
                    os.kill(int(folder.name), signal.SIGKILL)
                    killed += 1
        return killed


@pytest.fixture
def nodes() -> Iterator[TwoNodes]:
    """Two nodes with the program's two replicas."""
    with TemporaryDirectory(prefix="ray-") as folder:  # a short path: Ray's sockets are in it
        yield from running_nodes(TwoNodes(Path(folder)))


def running_nodes(started: TwoNodes) -> Iterator[TwoNodes]:
    """Start all, and kill all in the end."""
    try:
        started.start_head()
        started.start_worker()
        program = started.start_program()
        yield started
        program.kill()
        program.wait()
    finally:
        while sum(started.kill(mark) for mark in ("program", "head", "worker")):
            time.sleep(0.1)


async def greet(url: str) -> None:
    """A newcomer is served."""
    async with Session.connect(url) as session:
        assert isinstance(await session.speak(_WRITTEN).done(), Done)


async def test_speech_goes_on_while_the_head_is_replaced(nodes: TwoNodes) -> None:
    url = f"http://127.0.0.1:{nodes.port}"
    is_back = asyncio.Event()

    async with Session.connect(url) as session:

        async def write() -> AsyncIterator[str]:
            while not is_back.is_set():
                yield _WRITTEN
                await asyncio.sleep(1)

        hearing = asyncio.create_task(session.speak(write()).done())
        await asyncio.sleep(2)
        assert nodes.kill("head") > 2
        await greet(url)
        await asyncio.to_thread(nodes.start_head)
        is_back.set()
        heard = await hearing
        assert isinstance(heard, Done)
        assert heard.characters % len(_WRITTEN) == 0
        assert session.stats().reconnects == 0
    await greet(url)
