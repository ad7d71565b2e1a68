"""Connections: who is let in, the receive task and the process task of each, and how they end.

Of every protocol: what a message means is the business of its `WireProtocol`.
"""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import structlog
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from backend.access import Access
from backend.context import Services
from backend.errors import (
    DuplexError,
    IdleClient,
    Overloaded,
    SessionEnded,
    SlowClient,
    Unauthorized,
)
from backend.events import Failed
from backend.protocols.base import CLOSE_POLICY, Close, Message, WireProtocol
from backend.session import Session, SessionStatus

log = structlog.get_logger(__name__)

CLOSE_GOING_AWAY = 1001
CLOSE_TRY_LATER = 1013


class _Left(Exception):
    """The client is gone."""


class WebSocketManager:
    """All connections."""

    def __init__(self, services: Services, access: Access) -> None:
        self._services = services
        self._access = access
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

    async def serve(
        self,
        socket: WebSocket,
        protocol: WireProtocol,
        key: str | None,
        *,
        key_follows: bool = False,
    ) -> None:
        """Speak with one client until it leaves. Everything of it is freed on return.

        `key`: the API key that came with the handshake, if one did. `key_follows`: the protocol
        itself demands one in the first message.
        """
        try:
            if not key_follows:
                self._access.authorize(key)
            self._admit()
        except DuplexError as error:
            self._services.metrics.error(error.code)
            await self._deny(socket, protocol, error)
            return
        await socket.accept()
        try:
            async with asyncio.TaskGroup() as tasks:
                session = Session(self._services, tasks)
                self._sessions[session] = socket
                self._services.metrics.connected()
                session.greet()
                tasks.create_task(self._receive(socket, protocol, session), name="receive")
                tasks.create_task(self._process(socket, protocol, session), name="process")
                tasks.create_task(session.ended(), name="ended")
        except* (_Left, WebSocketDisconnect):
            pass
        except* (SlowClient, IdleClient, SessionEnded) as group:
            ended = group.exceptions[0]
            assert isinstance(ended, DuplexError)
            log.info("connection.ended", session=session.id, why=ended.code)
            if not isinstance(ended, SlowClient):  # who would not read it
                await self._say_last(socket, protocol, ended)
            await self._close(socket, CLOSE_POLICY, ended.code)
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

    async def _deny(self, socket: WebSocket, protocol: WireProtocol, error: DuplexError) -> None:
        refusal = protocol.deny(error)
        if refusal is not None:
            headers = {"content-type": "application/json", **refusal.headers}
            await socket.send_denial_response(Response(refusal.body, refusal.status, headers))
            return
        await socket.accept()
        await self._say_last(socket, protocol, error)
        code = CLOSE_POLICY if isinstance(error, Unauthorized) else CLOSE_TRY_LATER
        await self._close(socket, code, error.code)

    async def _receive(self, socket: WebSocket, protocol: WireProtocol, session: Session) -> None:
        """Read what the client sends. Never waits for speech, nor for the client to read."""
        while True:
            message = await self._next_message(socket, protocol, session)
            if message["type"] == "websocket.disconnect":
                raise _Left
            received = message.get("text")
            try:
                received = message["bytes"] if received is None else received
                for command in protocol.decode(received):
                    session.handle(command)
            except SlowClient:
                raise
            except DuplexError as error:
                session.refuse(error)
            await asyncio.sleep(0)  # a burst comes without a wait: let its answers go out meanwhile

    async def _next_message(
        self, socket: WebSocket, protocol: WireProtocol, session: Session
    ) -> MutableMapping[str, Any]:
        while True:
            try:
                async with asyncio.timeout(protocol.idle_timeout_s):
                    return await socket.receive()
            except TimeoutError:
                if not session.status().characters_waiting:
                    raise IdleClient(
                        f"nothing came for {protocol.idle_timeout_s:g} s; the connection is closed"
                    ) from None

    async def _process(self, socket: WebSocket, protocol: WireProtocol, session: Session) -> None:
        """Write what there is for the client; waits while it does not read."""
        while True:
            for message in protocol.encode(await session.outbox.get()):
                await self._write(socket, message)

    async def _write(self, socket: WebSocket, message: Message) -> None:
        try:
            match message:
                case bytes():
                    await socket.send_bytes(message)
                case str():
                    await socket.send_text(message)
                case Close():
                    await self._close(socket, message.code, message.reason)
                    raise _Left
        except (WebSocketDisconnect, RuntimeError) as error:  # it left while we wrote
            raise _Left from error

    async def _say_last(
        self, socket: WebSocket, protocol: WireProtocol, error: DuplexError
    ) -> None:
        """Tell why before the connection is closed, to whoever still reads."""
        try:
            async with asyncio.timeout(1):
                for message in protocol.encode(Failed(None, error.code, error.message)):
                    await self._write(socket, message)
        except (TimeoutError, _Left):
            log.debug("connection.already_gone")

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
