"""Connections: who is let in, the receive task and the process task of each, and how they end."""

from __future__ import annotations

import asyncio

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from backend.context import Services
from backend.errors import DuplexError, Overloaded, SessionEnded, SlowClient
from backend.events import Failed
from backend.protocols import native
from backend.session import Session, SessionStatus

log = structlog.get_logger(__name__)

CLOSE_GOING_AWAY = 1001
CLOSE_POLICY = 1008
CLOSE_TRY_LATER = 1013


class _Left(Exception):
    """The client is gone."""


class WebSocketManager:
    """All connections of the native protocol."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._sessions: dict[Session, WebSocket] = {}
        self._draining = False

    @property
    def accepting(self) -> bool:
        """Whether a new connection would be let in."""
        return not self._draining

    @property
    def queued(self) -> int:
        """Messages that wait to be written, over all connections."""
        return sum(len(session.outbox) for session in self._sessions)

    @property
    def text_waiting(self) -> int:
        """Characters that are not spoken yet, over all connections."""
        return sum(status.characters_waiting for status in self.sessions())

    def sessions(self) -> list[SessionStatus]:
        """The open sessions in figures, the oldest first."""
        return [session.status() for session in self._sessions]

    def end(self, session_id: str) -> bool:
        """End a session and hang up (1008); does not wait for it. False: there is none such."""
        for session in self._sessions:
            if session.id == session_id:
                session.end()
                return True
        return False

    async def serve(self, socket: WebSocket) -> None:
        """Speak with one client until it leaves. Everything of it is freed on return."""
        await socket.accept()
        try:
            self._admit()
        except DuplexError as error:
            self._services.metrics.error(error.code)
            await socket.send_text(str(native.encode(Failed(None, error.code, error.message))))
            await socket.close(CLOSE_TRY_LATER, error.code)
            return
        try:
            async with asyncio.TaskGroup() as tasks:
                session = Session(self._services, tasks)
                self._sessions[session] = socket
                self._services.metrics.connected()
                session.greet()
                tasks.create_task(self._receive(socket, session), name="receive")
                tasks.create_task(self._process(socket, session), name="process")
                tasks.create_task(session.ended(), name="ended")
        except* (_Left, WebSocketDisconnect):
            pass
        except* SlowClient as group:
            log.warning("connection.slow", session=session.id, why=str(group.exceptions[0]))
            await self._close(socket, CLOSE_POLICY, SlowClient.code)
        except* SessionEnded:
            log.info("session.ended", session=session.id)
            await self._close(socket, CLOSE_POLICY, SessionEnded.code)
        finally:
            self._sessions.pop(session, None)
            self._services.metrics.disconnected()

    def _admit(self) -> None:
        limit = self._services.settings.server.max_connections
        if self._draining:
            raise Overloaded("the server is shutting down; connect again in a moment")
        if len(self._sessions) >= limit:
            raise Overloaded(f"{limit} connections are open (max_connections); try again later")
        self._services.tts.admit()

    async def _receive(self, socket: WebSocket, session: Session) -> None:
        """Read what the client sends. Never waits for speech, nor for the client to read."""
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                raise _Left
            received = message.get("text")
            try:
                session.handle(native.decode(message["bytes"] if received is None else received))
            except SlowClient:
                raise
            except DuplexError as error:
                session.refuse(error)
            await asyncio.sleep(0)  # a burst comes without a wait: let its answers go out meanwhile

    async def _process(self, socket: WebSocket, session: Session) -> None:
        """Write what there is for the client; waits while it does not read."""
        while True:
            message = native.encode(await session.outbox.get())
            try:
                if isinstance(message, bytes):
                    await socket.send_bytes(message)
                else:
                    await socket.send_text(message)
            except (WebSocketDisconnect, RuntimeError) as error:  # it left while we wrote
                raise _Left from error

    async def drain(self) -> None:
        """Let nobody in any more, let running speech end (up to `drain_timeout`), then hang up."""
        self._draining = True
        try:
            async with asyncio.timeout(self._services.settings.server.drain_timeout):
                await asyncio.gather(*(session.finished() for session in self._sessions))
        except TimeoutError:
            log.warning("drain.timeout", sessions=len(self._sessions))
        for socket in list(self._sessions.values()):
            await self._close(socket, CLOSE_GOING_AWAY, "the server is shutting down")

    @staticmethod
    async def _close(socket: WebSocket, code: int, reason: str) -> None:
        if socket.application_state is WebSocketState.CONNECTED:
            try:
                async with asyncio.timeout(1):
                    await socket.close(code, reason)
            except (RuntimeError, TimeoutError, WebSocketDisconnect):
                log.debug("connection.already_gone")
