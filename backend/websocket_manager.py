"""Connections: who is let in, the receive task and the process task of each, and how they end.

Of every protocol: what a message means is the business of its `WireProtocol`. A connection holds a
session; when it breaks, the session waits in the registry for the client's next one.
"""

from __future__ import annotations

import asyncio
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
from backend.events import Resume
from backend.protocols.base import CLOSE_POLICY, WireProtocol
from backend.sessions.context import Services
from backend.sessions.context_record import endpoint_of
from backend.sessions.session import Session, SessionStatus
from backend.sessions.session_registry import Attachment, SessionRegistry
from backend.transport.auth import Access
from backend.transport.websocket import CLOSE_GOING_AWAY, Connection, PeerGone

log = structlog.get_logger(__name__)

CLOSE_TRY_LATER = 1013

E = TypeVar("E", bound=BaseException)


class _Resumed(Exception):
    """The client goes on with a session that it had before."""

    def __init__(self, attachment: Attachment) -> None:
        super().__init__()
        self.attachment = attachment


class WebSocketManager:
    """All connections: `async with` it for as long as there may be any."""

    def __init__(self, services: Services, access: Access) -> None:
        self._services = services
        self._access = access
        self._registry = SessionRegistry(services)
        self._connections: set[Connection] = set()
        self._draining = False

    async def __aenter__(self) -> Self:
        await self._registry.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._registry.__aexit__(*exception)

    @property
    def accepting(self) -> bool:
        """Whether a new connection would be let in."""
        return not self._draining and self._services.tts.dead is None

    @property
    def queued(self) -> int:
        """Messages that wait to be written, over all sessions."""
        return sum(len(session.send_queue) for session in self._registry)

    @property
    def text_waiting(self) -> int:
        """Characters that are not spoken yet, over all sessions."""
        return sum(status.characters_waiting for status in self.sessions())

    def sessions(self) -> list[SessionStatus]:
        """The sessions in figures, the oldest first; those that wait for their client too."""
        return self._registry.statuses()

    def end(self, session_id: str) -> bool:
        """End a session and hang up (1008); does not wait for it. False: there is none such."""
        return self._registry.end(session_id)

    async def serve(
        self,
        socket: WebSocket,
        protocol: WireProtocol,
        key: str | None,
        *,
        key_follows: bool = False,
        resumable: bool = False,
    ) -> None:
        """Speak with one client until it leaves.

        `key`: the API key that came with the handshake, if one did. `key_follows`: the protocol
        itself demands one in the first message. `resumable`: the session outlives a connection that
        breaks; every message of the protocol makes one command at most.
        """
        connection = Connection(socket, protocol)
        try:
            owner = "" if key_follows else self._access.authorize(key)
            self._admit()
        except DuplexError as error:
            self._services.metrics.count_error(error.code)
            code = CLOSE_POLICY if isinstance(error, Unauthorized) else CLOSE_TRY_LATER
            await connection.deny(error, code)
            return
        await connection.accept()
        self._connections.add(connection)
        self._services.metrics.connection_opened()
        try:
            with self._services.client_slots.take():
                attachment: Attachment | None
                attachment = await self._registry.open(
                    owner, resumable=resumable, endpoint=endpoint_of(socket.scope)
                )
                attachment.session.greet()
                while attachment is not None:
                    attachment = await self._hold(connection, attachment)
        finally:
            self._connections.discard(connection)
            self._services.metrics.connection_closed()

    def _admit(self) -> None:
        if self._draining:
            raise Overloaded("the server is shutting down; connect again in a moment")
        self._services.client_slots.check()
        if not self._registry.detached:  # whoever comes back to one of those is no listener more
            self._services.tts.admit()

    async def _hold(self, connection: Connection, attachment: Attachment) -> Attachment | None:
        """Let the connection hold the session until one of the two is over. Returns the session
        that the client goes on with over this connection, if it is another.
        """
        session = attachment.session
        keep, following, why = False, None, None
        try:
            async with asyncio.TaskGroup() as tasks:
                # The first to run: a session greets before anything is answered.
                tasks.create_task(self._process(connection, session), name="process")
                tasks.create_task(self._receive(connection, session), name="receive")
                tasks.create_task(attachment.lost(), name="lost")
        except* _Resumed as group:
            (following,) = (each.attachment for each in _leaves(group, _Resumed))
        except* PeerGone as group:
            keep = not any(each.goodbye for each in _leaves(group, PeerGone))
        except* (TakenOver, SlowClient, IdleClient, SessionEnded) as group:
            (why, *_) = _leaves(group, DuplexError)
            keep = isinstance(why, TakenOver)
        finally:
            reason = why.code if why else "left"
            self._registry.let_go(attachment, keep=keep and following is None, why=reason)
        if why is not None:
            log.info("connection.ended", session=session.id, why=why.code)
            # The slow one would not read it, and the other is no news to the client.
            tell = not isinstance(why, SlowClient | TakenOver)
            await connection.dismiss(why, CLOSE_POLICY, tell=tell)
        return following

    async def _receive(self, connection: Connection, session: Session) -> None:
        """Read what the client sends. Never waits for speech, nor for the client to read."""
        while True:
            content = await connection.receive(busy=lambda: session.status().characters_waiting > 0)
            first, connection.silent = connection.silent, False
            try:
                commands = connection.protocol.decode(content)
            except DuplexError as error:
                session.misread(error)
                commands = ()
            for command in commands:
                if first and isinstance(command, Resume):
                    await self._resume(command, session)
                else:
                    session.take(command)
            if first:
                self._registry.make_room()
            await asyncio.sleep(0)  # a burst comes without a wait: let its answers go out meanwhile

    async def _resume(self, request: Resume, fresh: Session) -> None:
        """Leave the fresh session for the one that the client had. Raises `_Resumed`."""
        try:
            attachment = await self._registry.resume(request, fresh.owner)
        except ResumeFailed as error:
            fresh.refuse(error)
        else:
            raise _Resumed(attachment)

    async def _process(self, connection: Connection, session: Session) -> None:
        """Write what there is for the client; waits while it does not read."""
        while True:
            await connection.send(await session.send_queue.get())

    async def drain(self) -> None:
        """Let nobody in any more, let running speech end (up to `drain_timeout`), then hang up."""
        self._draining = True
        for session in self._registry.detached:
            self._registry.end(session.id, "shutdown")
        try:
            async with asyncio.timeout(self._services.settings.server.drain_timeout):
                await asyncio.gather(*(each.finished() for each in self._registry.attached))
        except TimeoutError:
            log.warning("drain.timeout", sessions=len(self._registry.attached))
        why = "the server is shutting down"
        await asyncio.gather(*(each.close(CLOSE_GOING_AWAY, why) for each in self._connections))


def _leaves(group: BaseExceptionGroup[BaseException], kind: type[E]) -> list[E]:
    """What a task group's tasks raised; they raise no groups themselves."""
    return [each for each in group.exceptions if isinstance(each, kind)]
