"""The announcement in the network, seen by zeroconf's own browser on the loopback interface."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs
from wyoming.client import AsyncTcpClient
from wyoming.info import Describe, Info

from backend.errors import ConfigError
from tests.support.live_server import live_server, wait_until

zeroconf = pytest.importorskip("zeroconf", reason="needs: pip install 'duplex-tts[discovery]'")
from zeroconf import ServiceStateChange, Zeroconf  # noqa: E402
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf  # noqa: E402

from backend.endpoints import announcement  # noqa: E402
from backend.endpoints.announcement import SERVICE_TYPE, announcing  # noqa: E402

LOOPBACK = "127.0.0.1"
FOUND_S = 20.0

Seen = tuple[str, ServiceStateChange]


@asynccontextmanager
async def browser() -> AsyncIterator[tuple[AsyncZeroconf, asyncio.Queue[Seen]]]:
    """What Home Assistant has: a browser for services of the type; also their changes."""
    seen: asyncio.Queue[Seen] = asyncio.Queue()

    def note(zeroconf: Zeroconf, service_type: str, name: str, state_change: Any) -> None:
        if name.endswith(f"-{PORTS[-1]}.{SERVICE_TYPE}"):
            seen.put_nowait((name, state_change))

    listening = AsyncZeroconf(interfaces=[LOOPBACK])
    browsing = AsyncServiceBrowser(listening.zeroconf, SERVICE_TYPE, handlers=[note])
    try:
        yield listening, seen
    finally:
        await browsing.async_cancel()
        await listening.async_close()


PORTS: list[int] = []


@pytest.fixture
def port() -> int:
    """A free port; the browser notes only its service."""
    with socket.create_server((LOOPBACK, 0)) as free:
        PORTS.append(free.getsockname()[1])
    return PORTS[-1]


async def resolve(listening: AsyncZeroconf, name: str) -> AsyncServiceInfo:
    info = AsyncServiceInfo(SERVICE_TYPE, name)
    assert await info.async_request(listening.zeroconf, FOUND_S * 1000)
    return info


@pytest.mark.slow
async def test_home_assistant_finds_the_server_and_describes_it(port: int) -> None:
    wyoming = {"port": port, "announce": "always"}
    async with asyncio.timeout(FOUND_S), browser() as (listening, seen):
        async with live_server(wyoming=wyoming):
            name, change = await seen.get()
            assert change is ServiceStateChange.Added
            assert socket.gethostname().partition(".")[0] in name
            info = await resolve(listening, name)
            assert (info.parsed_addresses(), info.port) == ([LOOPBACK], port)
            async with AsyncTcpClient(LOOPBACK, port) as client:
                await client.write_event(Describe().event())
                event = await client.read_event()
            assert event is not None
            assert Info.from_event(event).tts[0].supports_synthesize_streaming
        assert await seen.get() == (name, ServiceStateChange.Removed)  # goodbye


@pytest.mark.slow
async def test_it_is_announced_again_at_new_addresses(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcement, "_CHECK_INTERVAL_S", 0.01)
    addresses: list[str] = []  # the network is not up yet
    async with (
        asyncio.timeout(FOUND_S),
        browser() as (listening, seen),
        announcing(lambda: list(addresses), port),
    ):
        addresses.append(LOOPBACK)
        name, _ = await seen.get()
        assert (await resolve(listening, name)).port == port


@pytest.mark.slow
@pytest.mark.parametrize("unusable", [["203.0.113.7"], []], ids=["not of this machine", "none"])
async def test_trouble_with_the_network_is_logged_and_tried_again(
    unusable: list[str], port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcement, "_CHECK_INTERVAL_S", 0.01)
    structlog.reset_defaults()  # logs are silent otherwise
    addresses = unusable.copy()
    with capture_logs() as logs:
        async with announcing(lambda: list(addresses), port):
            await wait_until(lambda: bool(logs), FOUND_S)
            addresses[:] = [LOOPBACK]
            await wait_until(lambda: logs[-1]["event"] == "announcement.made", FOUND_S)
    assert [log["event"] for log in logs].count("announcement.failed") == 1


@pytest.mark.parametrize("name", ["\udcff", "\u00fc" * 60])
async def test_a_machine_whose_name_cannot_be_announced_speaks_all_the_same(
    name: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: name)
    structlog.reset_defaults()  # logs are silent otherwise
    with capture_logs() as logs:
        async with announcing(lambda: [LOOPBACK], port):
            await wait_until(lambda: bool(logs), FOUND_S)
    assert logs[0]["event"] == "announcement.failed"


@pytest.mark.parametrize("wyoming", [{}, {"announce": "never", "host": "0.0.0.0"}])
async def test_loopback_and_unwanted_ports_are_not_announced(
    port: int, wyoming: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcement, "announcing", pytest.fail)
    async with live_server(wyoming={"port": port, **wyoming}, access={"insecure": True}):
        pass


async def test_ports_beyond_loopback_are_announced_at_the_addresses_of_the_machine(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    announced: list[Any] = []

    @asynccontextmanager
    async def note(find_addresses: Any, port: int) -> AsyncIterator[None]:
        announced.append((find_addresses(), port))
        yield

    monkeypatch.setattr(announcement, "announcing", note)
    monkeypatch.setattr("backend.lan.addresses", lambda family: ["192.0.2.2"])
    async with live_server(wyoming={"port": port, "host": "0.0.0.0"}, access={"insecure": True}):
        assert announced == [(["192.0.2.2"], port)]


async def test_without_zeroconf_the_remedy_is_named(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "backend.endpoints.announcement", None)
    structlog.reset_defaults()  # logs are silent otherwise
    exposed = {"port": port, "host": "0.0.0.0"}
    with capture_logs() as logs:
        async with live_server(wyoming=exposed, access={"insecure": True}):
            pass
    (off,) = (log for log in logs if log["event"] == "announcement.off")
    assert "duplex-tts[discovery]" in off["remedy"]
    with pytest.raises(ConfigError, match=r"duplex-tts\[discovery\]"):
        async with live_server(wyoming={"port": port, "announce": "always"}):
            pass
