"""WebSocket connections of all protocols: admission, their sessions, closing.

Messages are interpreted by the connection's `WireProtocol`. A connection holds a session; if it
breaks, the session stays in the registry until the client resumes it. In a cluster, a client that
resumes here a session of another replica is relayed to that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Self

import structlog
from starlette.websockets import WebSocket

from backend.cluster.holder_connection import HolderConnection
from backend.errors import DuplexError, KeyLimit, Overloaded, ResumeFailed, Unauthorized
from backend.protocols.base import CLOSE_POLICY, WireProtocol
from backend.sessions.context_record import endpoint_of
from backend.sessions.services import Services
from backend.sessions.session import SessionStatus
from backend.sessions.session_registry import Attachment, SessionRegistry
from backend.transport.auth import Access
from backend.transport.exchange import Exchange
from backend.transport.relay import relay_messages
from backend.transport.resume_access import (
    Caller,
    ResumeAccess,
    announces_resume,
    receive_resume,
    understands_direct,
)
from backend.transport.websocket import (
    CLOSE_GOING_AWAY,
    CLOSE_RESTART,
    CLOSE_TRY_LATER,
    PeerGone,
    WebSocketConnection,
)

log = structlog.get_logger(__name__)


class WebSocketManager:
    """Owns all connections: `async with` it while any may exist."""

    def __init__(self, services: Services, access: Access) -> None:
        self._services = services
        self._access = access
        self._resume_access = ResumeAccess(services, access)
        self._relayed: set[WebSocketConnection] = set()
        self._registry = SessionRegistry(services)
        self._connections: set[WebSocketConnection] = set()
        self._is_draining = False

    async def __aenter__(self) -> Self:
        await self._registry.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._registry.__aexit__(*exception)

    @property
    def is_accepting(self) -> bool:
        """Whether new connections are admitted."""
        return not self._is_draining and self._services.tts.fatal_error is None

    @property
    def queued_messages(self) -> int:
        """Messages queued for writing, over all sessions."""
        return sum(len(session.send_queue) for session in self._registry)

    @property
    def waiting_characters(self) -> int:
        """Characters not spoken yet, over all sessions."""
        return sum(status.characters_waiting for status in self.sessions())

    @property
    def sessions_by_key(self) -> Mapping[str, int]:
        """Connections and speaking requests by owner: see `KeySlots.counts`."""
        return self._services.key_slots.counts

    def sessions(self) -> list[SessionStatus]:
        """Figures of all sessions, detached ones included, oldest first."""
        return self._registry.statuses()

    def end_session(self, session_id: str) -> bool:
        """End a session and close its connection (1008), without waiting. False if unknown."""
        return self._registry.end_session(session_id)

    async def serve(
        self,
        socket: WebSocket,
        protocol: WireProtocol,
        key: str | None,
        *,
        key_follows: bool = False,
        resumable: bool = False,
    ) -> None:
        """Serve one client until it disconnects.

        `key`: the API key of the handshake, if any. `key_follows`: the protocol requires one in
        its first message instead. `resumable`: the session outlives a broken connection; requires
        a protocol that decodes each message to at most one command. The line to such a client is
        measured, too.
        """
        connection = WebSocketConnection(socket, protocol, measures_line=resumable)
        connection.understands_direct = resumable and understands_direct(socket)
        with self._services.key_slots.open_holder() as key_slot:
            try:
                owner = "" if key_follows else self._access.authorize(key)
                connection.lacks_capacity = self._check_admission(
                    resumes=resumable and announces_resume(socket)
                )
                key_slot.take(self._access.limited_owner(owner))
            except DuplexError as error:
                self._services.metrics.count_error(error.code)
                code = CLOSE_POLICY if isinstance(error, Unauthorized) else CLOSE_TRY_LATER
                await connection.deny(error, code)
                return
            await connection.accept()
            with self._count_connection(connection):
                attachment = await self._registry.open_session(
                    owner, resumable=resumable, endpoint=endpoint_of(socket.scope)
                )
                attachment.session.send_ready()
                await self._run_attachments(connection, attachment)

    async def serve_resuming(
        self, socket: WebSocket, protocol: WireProtocol, caller: Caller
    ) -> None:
        """Serve a client whose first message resumes a session of this replica, and no other."""
        is_relay = caller.owner is not None
        connection = WebSocketConnection(socket, protocol, measures_line=not is_relay)
        connection.understands_direct = caller.understands_direct
        with self._services.key_slots.open_holder() as key_slot:
            try:
                if self._is_draining:
                    raise ResumeFailed("the server is shutting down; use a new session")
                owner = self._resume_access.authorize(caller)
                if not is_relay:  # the replica that relays has counted its client
                    key_slot.take(self._access.limited_owner(owner))
            except DuplexError as error:
                self._services.metrics.count_error(error.code)
                code = CLOSE_TRY_LATER if isinstance(error, KeyLimit) else CLOSE_POLICY
                await connection.deny(error, code)
                return
            await connection.accept()
            with self._count_connection(connection):
                attachment = await self._resume_first(connection, owner)
                if attachment is not None:
                    await self._run_attachments(connection, attachment)

    async def _resume_first(self, connection: WebSocketConnection, owner: str) -> Attachment | None:
        """Resume what the first message asks for. Otherwise closes the connection."""
        try:
            request = await receive_resume(connection)
            return await self._registry.resume_session(request, owner)
        except PeerGone:
            return None
        except DuplexError as error:
            self._services.metrics.count_error(error.code)
            await connection.close_with_error(error, CLOSE_POLICY)
            return None

    @contextmanager
    def _count_connection(self, connection: WebSocketConnection) -> Iterator[None]:
        """Hold a client slot while the block runs; `drain` closes the connection."""
        self._connections.add(connection)
        self._services.metrics.connection_opened()
        try:
            with self._services.client_slots.take_slot():
                yield
        finally:
            self._connections.discard(connection)
            self._services.metrics.connection_closed()

    def _check_admission(self, *, resumes: bool) -> Overloaded | None:
        """Raises `Overloaded`. Returns it where the client may stay only if its session is held by
        another replica. `resumes`: it announces a `resume`.
        """
        if self._is_draining:
            raise Overloaded("the server is shutting down; connect again in a moment")
        self._services.client_slots.check_free()
        if self._registry.detached:  # a resuming client needs no further capacity
            return None
        try:
            self._services.tts.check_capacity()
        except Overloaded as error:
            if resumes and self._services.replicas is not None:
                return error
            raise
        return None

    async def _run_attachments(self, connection: WebSocketConnection, first: Attachment) -> None:
        """Run a connection with its session, and with each that is resumed on it."""
        following: Attachment | HolderConnection | None = first
        while isinstance(following, Attachment):
            following = await self._run_attached(connection, following)
        if following is not None:
            await self._relay(connection, following)

    async def _run_attached(
        self, connection: WebSocketConnection, attachment: Attachment
    ) -> Attachment | HolderConnection | None:
        services, registry = self._services, self._registry
        exchange = Exchange(services, registry, self._resume_access, connection, attachment)
        return await exchange.run()

    async def _relay(self, connection: WebSocketConnection, holder: HolderConnection) -> None:
        self._relayed.add(connection)
        try:
            await relay_messages(connection, holder)
        finally:
            self._relayed.discard(connection)

    async def drain(self) -> None:
        """Admit no one, let running speech end (up to `drain_timeout`), close all connections: in a
        cluster with 1012, "connect again", as another replica answers.
        """
        self._is_draining = True
        # Their sessions go on at their holders; another replica may relay them.
        await self._close_connections(self._relayed)
        for session in self._registry.detached:
            self._registry.end_session(session.id, "shutdown")
        try:
            async with asyncio.timeout(self._services.settings.server.drain_timeout):
                await asyncio.gather(
                    *(session.wait_finished() for session in self._registry.attached)
                )
        except TimeoutError:
            log.warning("drain.timeout", sessions=len(self._registry.attached))
        await self._close_connections(self._connections)

    async def _close_connections(self, connections: set[WebSocketConnection]) -> None:
        code = CLOSE_GOING_AWAY if self._services.replicas is None else CLOSE_RESTART
        reason = "the server is shutting down"
        await asyncio.gather(*(peer.close_socket(code, reason) for peer in connections))
