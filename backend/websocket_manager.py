"""WebSocket connections of all protocols: admission, receive task, process task, closing.

Messages are interpreted by the connection's `WireProtocol`. A connection holds a session; if it
breaks, the session stays in the registry until the client resumes it. In a cluster, a client that
resumes here a session of another replica is relayed to that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Self, TypeVar

import structlog
from starlette.websockets import WebSocket

from backend.cluster.holder_connection import HolderConnection
from backend.cluster.session_tokens import find_holder
from backend.errors import (
    DuplexError,
    IdleClient,
    KeyLimit,
    Overloaded,
    ResumeFailed,
    SessionEnded,
    SlowClient,
    TakenOver,
    Unauthorized,
)
from backend.events import Audio, Command, Ready, Resume, Start
from backend.protocols.base import CLOSE_POLICY, WireProtocol
from backend.sessions.context_record import endpoint_of
from backend.sessions.line import TICK_S
from backend.sessions.services import Services
from backend.sessions.session import Session, SessionStatus
from backend.sessions.session_registry import Attachment, SessionRegistry
from backend.transport.auth import Access
from backend.transport.relay import open_holder, relay_messages
from backend.transport.resume_access import (
    Caller,
    ResumeAccess,
    announces_resume,
    receive_resume,
    understands_direct,
)
from backend.transport.websocket import CLOSE_GOING_AWAY, PeerGone, WebSocketConnection

log = structlog.get_logger(__name__)

CLOSE_RESTART = 1012
CLOSE_TRY_LATER = 1013
_BURST_S = 0.0005  # a message that comes sooner than this was there already

E = TypeVar("E", bound=BaseException)


class _SessionResumed(Exception):
    """The client resumed an earlier session."""

    def __init__(self, attachment: Attachment) -> None:
        super().__init__()
        self.attachment = attachment


class _SessionRelayed(Exception):
    """The client resumed a session that another replica holds."""

    def __init__(self, holder: HolderConnection) -> None:
        super().__init__()
        self.holder = holder


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
        attachment: Attachment | None = first
        while attachment is not None:
            attachment = await self._run_attached(connection, attachment)

    async def _run_attached(
        self, connection: WebSocketConnection, attachment: Attachment
    ) -> Attachment | None:
        """Run the tasks of a connection until it or the session ends. Returns the attachment of
        another session if the client resumed one on this connection.
        """
        session = attachment.session
        keep, resumed, relayed, error = False, None, None, None
        try:
            async with asyncio.TaskGroup() as tasks:
                # Runs first: `ready` precedes all answers.
                tasks.create_task(self._send_events(connection, session), name="process")
                tasks.create_task(self._receive_commands(connection, session), name="receive")
                tasks.create_task(attachment.wait_revoked(), name="lost")
                connection.start_probes(session.line)
                tasks.create_task(self._watch_line(session), name="line")
        except* _SessionResumed as group:
            (resumed,) = (e.attachment for e in _select_errors(group, _SessionResumed))
        except* _SessionRelayed as group:
            (relayed,) = (e.holder for e in _select_errors(group, _SessionRelayed))
        except* PeerGone as group:
            keep = not any(e.is_clean for e in _select_errors(group, PeerGone))
        except* (TakenOver, SlowClient, IdleClient, SessionEnded, Overloaded) as group:
            (error, *_) = _select_errors(group, DuplexError)
            keep = isinstance(error, TakenOver)
        finally:
            reason = error.code if error else "left"
            is_replaced = resumed is not None or relayed is not None
            self._registry.detach(attachment, keep=keep and not is_replaced, why=reason)
        if relayed is not None:
            await self._relay(connection, relayed)
            return None
        if error is not None:
            log.info("connection.ended", session=session.id, why=error.code)
            # A slow client would not read it; a taken-over one knows.
            send_error = not isinstance(error, SlowClient | TakenOver)
            code = CLOSE_TRY_LATER if isinstance(error, Overloaded) else CLOSE_POLICY
            await connection.close_with_error(error, code, send_error=send_error)
        return resumed

    async def _receive_commands(self, connection: WebSocketConnection, session: Session) -> None:
        """Handle the client's messages. Never waits for speech or for the client to read."""
        while True:
            asked_s = self._services.clock()
            content = await connection.receive_message(
                busy=lambda: session.status().characters_waiting > 0
            )
            if self._services.clock() - asked_s < _BURST_S:  # let answers be written
                await asyncio.sleep(0)
            first, connection.is_silent = connection.is_silent, False
            try:
                commands = connection.protocol.decode(content)
            except DuplexError as error:
                session.refuse_undecodable(error)
                commands = ()
            for command in commands:
                if first and isinstance(command, Resume):
                    await self._relay_resume(command, content, connection, session)
                    if connection.lacks_capacity is None:
                        await self._resume_session(command, session)
                elif connection.lacks_capacity is None:
                    await self._handle_command(command, session)
            if connection.lacks_capacity is not None:
                raise connection.lacks_capacity
            if first:
                self._registry.evict_detached()

    async def _handle_command(self, command: Command, session: Session) -> None:
        if isinstance(command, Start):
            await self._services.look_for_missing(command)
        session.handle_or_refuse(command)

    async def _resume_session(self, request: Resume, new: Session) -> None:
        """Replace the new session by the client's earlier one. Raises `_SessionResumed`."""
        try:
            attachment = await self._registry.resume_session(request, new.owner)
        except ResumeFailed as error:
            new.refuse(error)
        else:
            raise _SessionResumed(attachment)

    async def _relay_resume(
        self,
        request: Resume,
        message: str | bytes,
        connection: WebSocketConnection,
        new: Session,
    ) -> None:
        """Resume the session at its holder, if that is another replica. Raises `_SessionRelayed`;
        returns if the request has to be answered here.
        """
        replicas = self._services.replicas
        if replicas is not None and (report := find_holder(request.token, replicas)) is not None:
            direct = connection.understands_direct
            holder = await open_holder(replicas, report, new.owner, message, direct=direct)
            if holder is not None:
                raise _SessionRelayed(holder)

    async def _relay(self, connection: WebSocketConnection, holder: HolderConnection) -> None:
        self._relayed.add(connection)
        try:
            await relay_messages(connection, holder)
        finally:
            self._relayed.discard(connection)

    async def _send_events(self, connection: WebSocketConnection, session: Session) -> None:
        """Write queued events; waits while the client does not read."""
        while True:
            event = await session.send_queue.get()
            if isinstance(event, Ready) and session.is_resumable and connection.understands_direct:
                event = replace(event, direct=self._resume_access.create_offer(session.owner))
            size_bytes = await connection.send_event(event)
            session.line.on_written(size_bytes, event if isinstance(event, Audio) else None)

    async def _watch_line(self, session: Session) -> None:
        """Look at the line while audio is on its way."""
        while True:
            await session.line.wait_busy()
            await asyncio.sleep(TICK_S)
            session.line.tick()
            session.advise_if_late()

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


def _select_errors(group: BaseExceptionGroup[BaseException], kind: type[E]) -> list[E]:
    """Select the errors of a type; the tasks raise no nested groups."""
    return [e for e in group.exceptions if isinstance(e, kind)]
