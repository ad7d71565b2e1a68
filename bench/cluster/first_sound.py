"""What a replica and Serve's proxy add to the first sound."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from statistics import median
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect

from bench.harness.report import Figure

GOAL_MS = 3.0
_TEXT = "Hello there."
_PAUSE_S = 0.05  # between two: the machine comes to rest


async def measure(urls: Mapping[str, str], rounds: int) -> list[Figure]:
    """The first sound at each server, over that of the first one. `urls`: by name; a replica of
    the second one is also measured at its own address. Rounds are interleaved.
    """
    async with AsyncExitStack() as stack:
        single, proxied = [await stack.enter_async_context(_open(url)) for url in urls.values()]
        offer = json.loads(await proxied.recv())["direct"]["url"]
        direct = await stack.enter_async_context(_open(f"http://{urlsplit(offer).netloc}"))
        await asyncio.gather(single.recv(), direct.recv())
        places = {"single": single, "direct": direct, "proxy": proxied}
        found: dict[str, list[float]] = {name: [] for name in places}
        for number in range(rounds):
            for name, websocket in places.items():
                found[name].append(await _first_sound_ms(websocket, f"{name}-{number}"))
                await asyncio.sleep(_PAUSE_S)
    base_ms = median(found["single"])
    note = f"p50 of {rounds}; one server {base_ms:.1f} ms"
    return [
        Figure(
            f"first sound, {label}: more", median(found[name]) - base_ms, GOAL_MS, True, " ms", note
        )
        for name, label in (("direct", "a replica's own address"), ("proxy", "Serve's proxy"))
    ]


def _open(url: str) -> connect:
    return connect(f"ws{url[4:]}/ws/tts?direct=1", compression=None, max_size=None)


async def _first_sound_ms(websocket: ClientConnection, context: str) -> float:
    """Speak; returns when the first audio came. Reads to the end."""
    started_s, first_s = time.perf_counter(), None
    for type_, fields in (("start", {}), ("text", {"text": _TEXT}), ("end", {})):
        await websocket.send(json.dumps({"type": type_, "context": context, **fields}))
    while True:
        message = await websocket.recv()
        if isinstance(message, bytes):
            first_s = first_s or time.perf_counter()
        elif json.loads(message)["type"] == "done":
            break
    assert first_s is not None, "no sound"
    return (first_s - started_s) * 1000
