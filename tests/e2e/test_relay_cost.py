"""What resuming costs at the holder's own address and through another replica: two processes."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.e2e.test_killed_replica import replica_processes
from tests.support.end_to_end import FigureTable

pytestmark = pytest.mark.slow

HANDSHAKES, PINGS = 60, 300
MOST_MS = 20.0  # that a relay may add to a round trip, on a busy machine


async def receive(socket: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(await socket.recv())
    return message


async def resume(url: str, ready: dict[str, Any]) -> tuple[ClientConnection, float]:
    """Connect and resume. Returns the connection, and the milliseconds that it took."""
    began_s = time.perf_counter()
    socket = await connect(url, compression=None)
    if url.endswith("/ws/tts"):
        await receive(socket)
    names = {name: ready[name] for name in ("session", "token")}
    await socket.send(json.dumps({"type": "resume", **names, "after": {}}))
    assert (await receive(socket))["session"] == ready["session"]
    return socket, (time.perf_counter() - began_s) * 1000


async def ping(socket: ClientConnection) -> float:
    """Measure a round trip, in milliseconds."""
    began_s = time.perf_counter()
    await socket.send('{"type": "ping", "id": 1, "after": {}}')
    assert (await receive(socket))["type"] == "pong"
    return (time.perf_counter() - began_s) * 1000


async def test_a_relay_costs_a_client_little(tmp_path: Path, figures: FigureTable) -> None:
    with replica_processes(tmp_path, 2, direct=True) as processes:
        holder, other = (f"ws://{address}" for address in processes)
        urls = {
            "a new session": f"{holder}/ws/tts",
            "at the holder": f"{holder}/ws/tts",
            "at its own address": f"{holder}/ws/resume",
            "through another replica": f"{other}/ws/tts",
        }
        opened_ms: dict[str, list[float]] = {name: [] for name in urls}
        pings_ms: dict[str, list[float]] = {name: [] for name in urls}
        first = await connect(f"{holder}/ws/tts", compression=None)
        ready = await receive(first)
        for _ in range(HANDSHAKES):  # in turn, so that all see the same load
            for name, url in urls.items():
                if name == "a new session":
                    began_s = time.perf_counter()
                    socket = await connect(url, compression=None)
                    await receive(socket)
                    opened_ms[name].append((time.perf_counter() - began_s) * 1000)
                else:
                    socket, took_ms = await resume(url, ready)
                    opened_ms[name].append(took_ms)
                for _ in range(PINGS // HANDSHAKES):
                    pings_ms[name].append(await ping(socket))
                if name == "a new session":
                    await socket.close()
                else:
                    socket.transport.abort()  # the session stays
                await asyncio.sleep(0.005)
    for name in urls:
        opened, pinged = (statistics.median(each[name]) for each in (opened_ms, pings_ms))
        figures.add_row(f"{name}: connected, p50", f"{opened:.1f} ms")
        figures.add_row(f"{name}: round trip, p50", f"{pinged:.2f} ms")
    relayed, direct = (
        statistics.median(pings_ms[name])
        for name in ("through another replica", "at its own address")
    )
    assert relayed - direct < MOST_MS
