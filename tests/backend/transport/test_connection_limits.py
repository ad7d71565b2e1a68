"""Connection limits by address and by file descriptors."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
import uvloop

from backend.config import Settings
from backend.errors import ConfigError
from backend.transport import connection_limits
from backend.transport.connection_limits import AddressLimit, fit_descriptors
from tests.support.live_server import live_server
from tests.support.repository import ROOT

MAIN = ROOT / "backend" / "main.py"


def test_spellings_of_an_address_are_counted_as_one() -> None:
    limit = AddressLimit(2)
    assert limit.try_acquire("192.0.2.1")
    assert limit.try_acquire("::ffff:192.0.2.1")
    assert not limit.try_acquire("192.0.2.1")
    assert limit.try_acquire("192.0.2.2")
    limit.release("192.0.2.1")
    assert limit.try_acquire("192.0.2.1")


def test_an_ipv6_64_network_is_counted_as_one_address() -> None:
    limit = AddressLimit(1)
    assert limit.try_acquire("2001:db8:0:1::1")
    assert not limit.try_acquire("2001:db8:0:1:ffff::2")
    assert limit.try_acquire("2001:db8:0:2::1")
    assert limit.try_acquire("fe80::1%eth0")
    assert limit.try_acquire("no address"), "of a socket without network address"


# --- file descriptors -----------------------------------------------------------------------------


class Limits:
    """Stand-in for module `resource`."""

    RLIMIT_NOFILE, RLIM_INFINITY = resource.RLIMIT_NOFILE, resource.RLIM_INFINITY

    def __init__(self, soft: int, hard: int) -> None:
        self.now = (soft, hard)

    def getrlimit(self, _: int) -> tuple[int, int]:
        return self.now

    def setrlimit(self, _: int, limits: tuple[int, int]) -> None:
        assert limits[0] <= limits[1] or limits[1] == self.RLIM_INFINITY
        self.now = limits


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], Limits]:
    def install(soft: int, hard: int) -> Limits:
        limits = Limits(soft, hard)
        monkeypatch.setitem(sys.modules, "resource", limits)
        monkeypatch.setattr(connection_limits, "_count_descriptors", lambda: 20)
        return limits

    return install


def test_the_descriptor_limit_is_raised_as_needed(limits: Callable[[int, int], Limits]) -> None:
    machine = limits(256, 1 << 20)
    settings, most = fit_descriptors(Settings())
    assert settings == Settings()
    assert most == 2100
    assert machine.now == (2100 + 64 + 20, 1 << 20)


def test_few_descriptors_lower_max_connections(limits: Callable[[int, int], Limits]) -> None:
    machine = limits(100, 256)
    settings, most = fit_descriptors(Settings())
    assert machine.now == (256, 256)
    assert most == 256 - 64 - 20
    assert settings.server.max_connections == most * 3 // 4
    small = Settings.model_validate({"server": {"max_connections": 5}})
    assert fit_descriptors(small)[0] == small


def test_too_few_descriptors_stop_the_start_with_the_remedy(
    limits: Callable[[int, int], Limits],
) -> None:
    limits(64, 64)
    with pytest.raises(ConfigError, match="ulimit -n"):
        fit_descriptors(Settings())


@contextmanager
def serving_with(descriptors: int, folder: Path) -> Iterator[str]:
    """The real server with this many descriptors; yields its address."""

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    arguments = [sys.executable, str(MAIN), "--port", "0"]
    with subprocess.Popen(
        arguments, cwd=folder, stdout=subprocess.PIPE, text=True, preexec_fn=few
    ) as program:
        assert program.stdout is not None
        try:
            yield program.stdout.readline().split()[-1]
        finally:
            program.send_signal(signal.SIGTERM)


@pytest.mark.slow
def test_300_idle_connections_do_not_lock_out_clients(tmp_path: Path) -> None:
    with serving_with(256, tmp_path) as url, ExitStack() as silent:
        host, port = url.removeprefix("http://").split(":")
        for _ in range(300):
            silent.enter_context(socket.create_connection((host, int(port))))
        for _ in range(3):
            assert httpx.get(f"{url}/healthz", timeout=5).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_the_server_recovers_from_descriptor_exhaustion(
    factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def play() -> float:
        async with live_server() as live, live.connect() as client:
            host, port = live.address.split(":")
            late = [socket.socket() for _ in range(3)]
            with no_descriptor_left():
                for each in late:  # accepted by the kernel, not yet by the server
                    each.connect((host, int(port)))
                assert await client.speak_text("a", "Hello there. ") == "Hellothere."
                used_s = [await measure_processor_s(over_s=0.1) for _ in range(10)]
            for each in late:
                each.close()
            async with httpx.AsyncClient(base_url=live.http) as http:
                assert (await http.get("/healthz", timeout=10)).status_code == 200
            return statistics.median(used_s)

    with asyncio.Runner(loop_factory=factory) as runner:
        # Python's own loop tries 2,048 times, then waits for a second: most of the time it is idle.
        assert runner.run(play()) < 0.02


async def measure_processor_s(over_s: float) -> float:
    began_s = time.thread_time()
    await asyncio.sleep(over_s)
    return time.thread_time() - began_s


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            os.dup(0)
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
