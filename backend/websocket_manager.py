"""WebSocket connections of all protocols: admission, receive task, process task, closing.

Messages are interpreted by the connection's `WireProtocol`. A connection holds a session; if it
breaks, the session stays in the registry until the client resumes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Self, TypeVar

import structlog
from starlette.websockets import WebSocket

from backend.errors import (
    DuplexError,
    IdleClient,
    Overloaded,
    ResumeFailed,
    SessionEnded,
    SlowClient,
    TakenOver,
    Unauthorized,
)
from backend.events import Audio, Resume, Start
from backend.protocols.base import CLOSE_POLICY, WireProtocol
from backend.sessions.context_record import endpoint_of
from backend.sessions.line import TICK_S
from backend.sessions.services import Services
from backend.sessions.session import Session, SessionStatus
from backend.sessions.session_registry import Attachment, SessionRegistry
from backend.transport.auth import Access
from backend.transport.websocket import CLOSE_GOING_AWAY, PeerGone, WebSocketConnection

log = structlog.get_logger(__name__)

CLOSE_TRY_LATER = 1013

E = TypeVar("E", bound=BaseException)


class _SessionResumed(Exception):
    """The client resumed an earlier session."""

    def __init__(self, attachment: Attachment) -> None:
        super().__init__()
        self.attachment = attachment


class WebSocketManager:
    """Owns all connections: `async with` it while any may exist."""

    def __init__(self, services: Services, access: Access) -> None:
        self._services = services
        self._access = access
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
        with self._services.key_slots.open_holder() as key_slot:
            try:
                owner = "" if key_follows else self._access.authorize(key)
                self._check_admission()
                key_slot.take(self._access.limited_owner(owner))
            except DuplexError as error:
                self._services.metrics.count_error(error.code)
                code = CLOSE_POLICY if isinstance(error, Unauthorized) else CLOSE_TRY_LATER
                await connection.deny(error, code)
                return
            await connection.accept()
            self._connections.add(connection)
            self._services.metrics.connection_opened()
            try:
                with self._services.client_slots.take_slot():
                    attachment: Attachment | None
                    attachment = await self._registry.open_session(
                        owner, resumable=resumable, endpoint=endpoint_of(socket.scope)
                    )
                    attachment.session.send_ready()
                    while attachment is not None:
                        attachment = await self._run_attached(connection, attachment)
            finally:
                self._connections.discard(connection)
                self._services.metrics.connection_closed()

    def _check_admission(self) -> None:
        if self._is_draining:
            raise Overloaded("the server is shutting down; connect again in a moment")
        self._services.client_slots.check_free()
        if not self._registry.detached:  # a resuming client needs no further capacity
            self._services.tts.check_capacity()

    async def _run_attached(
        self, connection: WebSocketConnection, attachment: Attachment
    ) -> Attachment | None:
        """Run the tasks of a connection until it or the session ends. Returns the attachment of
        another session if the client resumed one on this connection.
        """
        session = attachment.session
        keep, resumed, error = False, None, None
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
        except* PeerGone as group:
            keep = not any(e.is_clean for e in _select_errors(group, PeerGone))
        except* (TakenOver, SlowClient, IdleClient, SessionEnded) as group:
            (error, *_) = _select_errors(group, DuplexError)
            keep = isinstance(error, TakenOver)
        finally:
            reason = error.code if error else "left"
            self._registry.detach(attachment, keep=keep and resumed is None, why=reason)
        if error is not None:
            log.info("connection.ended", session=session.id, why=error.code)
            # A slow client would not read it; a taken-over one knows.
            send_error = not isinstance(error, SlowClient | TakenOver)
            await connection.close_with_error(error, CLOSE_POLICY, send_error=send_error)
        return resumed

    async def _receive_commands(self, connection: WebSocketConnection, session: Session) -> None:
        """Handle the client's messages. Never waits for speech or for the client to read."""
        while True:
            content = await connection.receive_message(
                busy=lambda: session.status().characters_waiting > 0
            )
            first, connection.is_silent = connection.is_silent, False
            try:
                commands = connection.protocol.decode(content)
            except DuplexError as error:
                session.refuse_undecodable(error)
                commands = ()
            for command in commands:
                if isinstance(command, Start):
                    await self._services.look_for_missing(command)
                if first and isinstance(command, Resume):
                    await self._resume_session(command, session)
                else:
                    session.handle_or_refuse(command)
            if first:
                self._registry.evict_detached()
            await asyncio.sleep(0)  # in a burst, let answers be written

    async def _resume_session(self, request: Resume, new: Session) -> None:
        """Replace the new session by the client's earlier one. Raises `_SessionResumed`."""
        try:
            attachment = await self._registry.resume_session(request, new.owner)
        except ResumeFailed as error:
            new.refuse(error)
        else:
            raise _SessionResumed(attachment)

    async def _send_events(self, connection: WebSocketConnection, session: Session) -> None:
        """Write queued events; waits while the client does not read."""
        while True:
            event = await session.send_queue.get()
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
        """Admit no one, let running speech end (up to `drain_timeout`), close all connections."""
        self._is_draining = True
        for session in self._registry.detached:
            self._registry.end_session(session.id, "shutdown")
        try:
            async with asyncio.timeout(self._services.settings.server.drain_timeout):
                await asyncio.gather(
                    *(session.wait_finished() for session in self._registry.attached)
                )
        except TimeoutError:
            log.warning("drain.timeout", sessions=len(self._registry.attached))
        reason = "the server is shutting down"
        await asyncio.gather(
            *(peer.close_socket(CLOSE_GOING_AWAY, reason) for peer in self._connections)
        )


def _select_errors(group: BaseExceptionGroup[BaseException], kind: type[E]) -> list[E]:
    """Select the errors of a type; the tasks raise no nested groups."""
    return [e for e in group.exceptions if isinstance(e, kind)]
