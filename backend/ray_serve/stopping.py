"""When Serve wants this replica to end.

Serve tells a replica's code only once no request of its proxies is open, and a WebSocket is one. So
its own flag is watched, an internal one: the package pins the version of ray, and a test stops a
replica under an open WebSocket.
"""

from __future__ import annotations

import asyncio

from ray._private.worker import global_worker

_PERIOD_S = 0.2


async def wait_stopping() -> None:
    """Wait until this replica is to end. Cancel-safe. Call it in a replica's process."""
    actor = global_worker.actors[global_worker.actor_id]
    while not actor._replica_impl._shutting_down:  # noqa: ASYNC110 - a flag, no event
        await asyncio.sleep(_PERIOD_S)
