"""A connection and the session that is attached to it: receive task, process task, their end."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TypeVar

import structlog

from backend.cluster.holder_connection import HolderConnection
from backend.cluster.session_tokens import find_holder
from backend.errors import (
    DuplexError,
    IdleClient,
    Overloaded,
    ResumeFailed,
    SessionEnded,
    SlowClient,
    TakenOver,
)
from backend.events import Audio, Command, Ready, Resume, Start
from backend.protocols.base import CLOSE_POLICY
from backend.sessions.line import TICK_S
from backend.sessions.services import Services
from backend.sessions.session_registry import Attachment, SessionRegistry
from backend.transport.relay import open_holder
from backend.transport.resume_access import ResumeAccess
from backend.transport.websocket import CLOSE_TRY_LATER, PeerGone, WebSocketConnection

log = structlog.get_logger(__name__)

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


class Exchange:
    """Passes a client's messages to its session, and the session's events to the client."""

    def __init__(
        self,
        services: Services,
        registry: SessionRegistry,
        resume_access: ResumeAccess,
        connection: WebSocketConnection,
        attachment: Attachment,
    ) -> None:
        self._services = services
        self._registry = registry
        self._resume_access = resume_access
        self._connection = connection
        self._attachment = attachment
        self._session = attachment.session

    async def run(self) -> Attachment | HolderConnection | None:
        """Run the tasks of the connection until it or the session ends. Returns the attachment of
        another session if the client resumed one on this connection, or the connection to that
        session's holder. Otherwise the connection is closed, or gone.
        """
        session = self._session
        keep, resumed, relayed, error = False, None, None, None
        try:
            async with asyncio.TaskGroup() as tasks:
                # Runs first: `ready` precedes all answers.
                tasks.create_task(self._send_events(), name="process")
                tasks.create_task(self._receive_commands(), name="receive")
                tasks.create_task(self._attachment.wait_revoked(), name="lost")
                self._connection.start_probes(session.line)
                tasks.create_task(self._watch_line(), name="line")
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
            self._registry.detach(self._attachment, keep=keep and not is_replaced, why=reason)
        if error is not None:
            log.info("connection.ended", session=session.id, why=error.code)
            # A slow client would not read it; a taken-over one knows.
            send_error = not isinstance(error, SlowClient | TakenOver)
            code = CLOSE_TRY_LATER if isinstance(error, Overloaded) else CLOSE_POLICY
            await self._connection.close_with_error(error, code, send_error=send_error)
        return resumed or relayed

    async def _receive_commands(self) -> None:
        """Handle the client's messages. Never waits for speech or for the client to read."""
        connection, session = self._connection, self._session
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
                    await self._relay_resume(command, content)
                    if connection.lacks_capacity is None:
                        await self._resume_session(command)
                elif connection.lacks_capacity is None:
                    await self._handle_command(command)
            if connection.lacks_capacity is not None:
                raise connection.lacks_capacity
            if first:
                self._registry.evict_detached()

    async def _handle_command(self, command: Command) -> None:
        if isinstance(command, Start):
            await self._services.look_for_missing(command)
        self._session.handle_or_refuse(command)

    async def _resume_session(self, request: Resume) -> None:
        """Replace the new session by the client's earlier one. Raises `_SessionResumed`."""
        try:
            attachment = await self._registry.resume_session(request, self._session.owner)
        except ResumeFailed as error:
            self._session.refuse(error)
        else:
            raise _SessionResumed(attachment)

    async def _relay_resume(self, request: Resume, message: str | bytes) -> None:
        """Resume the session at its holder, if that is another replica. Raises `_SessionRelayed`;
        returns if the request has to be answered here.
        """
        replicas = self._services.replicas
        if replicas is not None and (report := find_holder(request.token, replicas)) is not None:
            direct, owner = self._connection.understands_direct, self._session.owner
            holder = await open_holder(replicas, report, owner, message, direct=direct)
            if holder is not None:
                raise _SessionRelayed(holder)

    async def _send_events(self) -> None:
        """Write queued events; waits while the client does not read."""
        connection, session = self._connection, self._session
        while True:
            event = await session.send_queue.get()
            if isinstance(event, Ready) and session.is_resumable and connection.understands_direct:
                event = replace(event, direct=self._resume_access.create_offer(session.owner))
            size_bytes = await connection.send_event(event)
            session.line.on_written(size_bytes, event if isinstance(event, Audio) else None)

    async def _watch_line(self) -> None:
        """Look at the line while audio is on its way."""
        session = self._session
        while True:
            await session.line.wait_busy()
            await asyncio.sleep(TICK_S)
            session.line.tick()
            session.advise_if_late()


def _select_errors(group: BaseExceptionGroup[BaseException], kind: type[E]) -> list[E]:
    """Select the errors of a type; the tasks raise no nested groups."""
    return [e for e in group.exceptions if isinstance(e, kind)]
