"""Relays a client's WebSocket to the replica that holds its session."""

from __future__ import annotations

import asyncio
from typing import Never

import structlog

from backend.cluster.holder_connection import HolderClosed, HolderConnection, HolderUnavailable
from backend.cluster.replicas import ReplicaReport, Replicas
from backend.transport.websocket import PeerGone, WebSocketConnection

log = structlog.get_logger(__name__)


async def open_holder(
    replicas: Replicas, holder: ReplicaReport, owner: str, resume: str | bytes, *, direct: bool
) -> HolderConnection | None:
    """Resume a session at its holder: see `HolderConnection.open`. Returns None if that fails."""
    key = replicas.cluster_key
    try:
        return await HolderConnection.open(holder, key, owner, str(resume), direct=direct)
    except HolderUnavailable as error:
        log.info("relay.failed", holder=holder.id, why=str(error))
        return None


async def relay_messages(client: WebSocketConnection, holder: HolderConnection) -> None:
    """Pass messages on unchanged, both ways, until one side closes; then close the other alike.

    At most a few messages wait in between: a client that does not read stops its own session at the
    holder. If the client's connection breaks, its session can be resumed. Cancel-safe.
    """
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_relay_to_client(client, holder))
            tasks.create_task(_relay_to_holder(client, holder))
    except* PeerGone as group:
        if any(isinstance(gone, PeerGone) and gone.is_clean for gone in group.exceptions):
            await holder.close()
    except* HolderClosed as group:
        (closed, *_) = group.exceptions
        assert isinstance(closed, HolderClosed)
        await client.close_socket(closed.code, closed.reason)
    finally:
        holder.abort()


async def _relay_to_client(client: WebSocketConnection, holder: HolderConnection) -> Never:
    await client.send_message(holder.ready)
    while True:
        await client.send_message(await holder.receive())


async def _relay_to_holder(client: WebSocketConnection, holder: HolderConnection) -> Never:
    while True:
        await holder.send(await client.receive_message(busy=lambda: True))
        await asyncio.sleep(0)  # in a burst, let answers be written
