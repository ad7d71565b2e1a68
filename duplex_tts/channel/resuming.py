"""Resuming: one session with the server over many WebSockets.

When a socket breaks or falls silent, another is opened and the session is resumed on it: messages
that the server has not received and audio that the client has not received are sent again. If the
server has lost the session, a new one begins and contexts are restarted. See `session_state`. In
the same way the session moves to a replica's own address, if the server offers one. See `direct`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

from duplex_tts.channel import wire
from duplex_tts.channel.channel_config import ChannelConfig, backoff_delays_s
from duplex_tts.channel.context import Context
from duplex_tts.channel.direct import RESUME_TIMEOUT_S
from duplex_tts.channel.keepalive import PingResult
from duplex_tts.channel.session_state import OVERLOADED, SessionState
from duplex_tts.channel.websocket import CLOSE_PROTOCOL_ERROR, READY_TIMEOUT_S, WebSocketConnection
from duplex_tts.errors import ClientError, ConnectionLost, NoWebSocket, ProtocolError, Refused
from duplex_tts.events import Error, Ready, Resumed
from duplex_tts.wording import count_noun

TICK_S = 1.0
BLOCKED_TRIES = 3  # failed handshakes in a row before falling back: a single one may just break
UNSENT_LIMIT = 1_000  # unsent messages beyond this make `wait_for_room` wait


@dataclass(slots=True)
class _Outage:
    """The time from the first break until the next message is received."""

    since_s: float
    why: ClientError | None = None  # the latest reason
    delays_s: Iterator[float] = field(default_factory=backoff_delays_s)
    attempts: int = 0
    blocked: int = 0  # latest attempts in a row that ended with `NoWebSocket`


class _DirectOpened(Exception):
    """A connection to a replica's own address is open: the session can move there."""

    def __init__(self, connection: WebSocketConnection) -> None:
        super().__init__()
        self.connection = connection


class ResumingConnection:
    """A `context.Channel` over WebSockets, one session with the server. Created by `open`.

    `lost`: the reason, once it is lost or closed.
    """

    def __init__(self, config: ChannelConfig, connection: WebSocketConnection) -> None:
        self._config = config
        self._clock = asyncio.get_running_loop().time
        self.opened_at_s = self._clock()
        self.lost: ClientError | None = None
        self._state = SessionState(
            connection.ready, self, self._clock, config.health, config.notify
        )
        self._state.capacity_wait_s = config.capacity_wait_s
        self._has_messages, self._has_room = asyncio.Event(), asyncio.Event()
        self._ping_wanted = asyncio.Event()
        self._outage: _Outage | None = None
        self._connection: WebSocketConnection | None = connection
        self._offer = connection.ready.direct  # the latest
        self._last_address: str | None = None  # a replica's own, if the session was there last
        # Not a TaskGroup: it lives as long as this channel. `close` cancels and awaits it.
        self._task = asyncio.create_task(self._run(connection), name="duplex-tts-resuming")

    @classmethod
    async def open(cls, config: ChannelConfig) -> ResumingConnection:
        """Connect. Raises what `WebSocketConnection.open` raises."""
        return cls(config, await config.open_websocket(resumes=False))

    @property
    def ready(self) -> Ready:
        """The server's defaults."""
        return self._state.ready

    @property
    def contexts(self) -> list[Context]:
        """The open contexts."""
        return list(self._state.contexts.values())

    def open_context(self, context: Context) -> None:
        """Open a context. Raises `ValueError` when one with this id is open."""
        self._state.open_context(context)

    @property
    def connected(self) -> bool:
        """Whether it has an open socket now."""
        return self._connection is not None and self.lost is None

    @property
    def is_direct(self) -> bool:
        """Whether its socket goes to a replica's own address."""
        return self._connection is not None and self._connection.address is not None

    def fail_without_progress(self, context: Context) -> None:
        """Fail a context that the server is stuck with."""
        self._state.fail_without_progress(context)

    def detach_contexts(self) -> list[Context]:
        """Remove and return the open contexts, which continue on another channel."""
        contexts = self.contexts
        self._state.contexts.clear()
        return contexts

    def post_command(self, wire_id: str, type_: str, **fields: object) -> None:
        """See `Channel.post_command`."""
        if self.lost is not None:
            raise self.lost
        self._state.send_queue.add_message(wire.encode(type_, context=wire_id, **fields))
        self._has_messages.set()

    async def wait_for_room(self) -> None:
        """See `Channel.wait_for_room`."""
        while self._state.send_queue.unsent > UNSENT_LIMIT and self.lost is None:
            self._has_room.clear()
            await self._has_room.wait()

    async def ping(self) -> float:
        """Measure the round trip in milliseconds; sent again after a reconnect."""
        if self.lost is not None:
            raise self.lost
        result: PingResult = asyncio.get_running_loop().create_future()
        self._send_ping(result)
        return await result

    async def close(self) -> None:
        """Close the connection for good; open contexts raise `ConnectionLost`. Safe to call twice.

        Raises the exception of a bug in its task.
        """
        connection = self._connection
        self._task.cancel()
        await asyncio.wait([self._task])
        self._mark_lost(ConnectionLost("the session is closed"))  # if the task never ran
        if connection is not None:
            await connection.close()
        if not self._task.cancelled() and (bug := self._task.exception()):
            raise bug

    def _mark_lost(self, lost: ClientError) -> None:
        if self.lost is None:
            self.lost = lost
            self._state.fail_all(lost)
            self._has_room.set()

    # --- serving one socket after the other -------------------------------------------------------

    async def _run(self, connection: WebSocketConnection) -> None:
        lost: ClientError = ConnectionLost("the session is closed")
        try:
            while True:
                ended = await self._serve(connection)
                self._connection = None
                if isinstance(ended, WebSocketConnection):
                    connection = await self._move_to(ended)
                else:
                    connection = await self._reconnect(ended)
                self._connection = connection
        except ClientError as error:
            lost = error
        finally:
            self._mark_lost(lost)

    async def _serve(self, connection: WebSocketConnection) -> ConnectionLost | WebSocketConnection:
        """Read and write until the socket breaks; returns the reason. Or until another is open to
        which the session should move; returns that.

        Raises `ClientError` when a reconnect would not help.
        """
        why: ClientError = ConnectionLost("the session moves to a replica's own address")
        direct: WebSocketConnection | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read_events(connection))
                tasks.create_task(self._write_messages(connection))
                tasks.create_task(self._watch_peer())
                tasks.create_task(self._open_offered())
        except* _DirectOpened as opened:
            (move,) = opened.exceptions
            assert isinstance(move, _DirectOpened)
            direct = move.connection
        except* ClientError as group:
            why = _most_severe(group)
        if isinstance(why, ConnectionLost):
            connection.abort()
            return direct or why
        if direct is not None:
            direct.abort()
        await connection.close(CLOSE_PROTOCOL_ERROR)
        raise why

    async def _read_events(self, connection: WebSocketConnection) -> None:
        state = self._state
        while True:
            try:
                state.process_event(await connection.receive())
            except ProtocolError as error:
                # If it was damaged in transit, it arrives intact after the session is resumed.
                if state.violations.is_persistent(error):
                    raise
                state.violations.record(error)
                raise ConnectionLost(str(error)) from error
            self._outage = None
            if state.keepalive.is_urgent:
                self._ping_wanted.set()

    async def _open_offered(self) -> None:
        """Connect to the address that the server offers. Raises `_DirectOpened`; returns if there
        is none, or it cannot be reached.
        """
        offer, self._offer = self._offer, None
        if offer is None or self.is_direct:
            return
        connection = await self._config.direct.open_offered(offer)
        if connection is not None:
            raise _DirectOpened(connection)

    async def _write_messages(self, connection: WebSocketConnection) -> None:
        while True:
            message = self._state.send_queue.next_message()
            if self._state.send_queue.unsent <= UNSENT_LIMIT:
                self._has_room.set()
            if message is None:
                self._has_messages.clear()
                await self._has_messages.wait()
            else:
                await connection.send(message)

    async def _watch_peer(self) -> None:
        """Send pings when due. Raises `ConnectionLost` when the peer is silent."""
        while True:
            now_s, keepalive = self._clock(), self._state.keepalive
            if (silent_s := keepalive.silent_s(now_s)) > self._config.ping_timeout_s:
                raise ConnectionLost(f"the server has been silent for {silent_s:.0f} s")
            if keepalive.is_ping_due(now_s, unconfirmed=self._state.send_queue.unconfirmed > 0):
                self._send_ping()
            self._ping_wanted.clear()
            try:
                async with asyncio.timeout(min(TICK_S, self._config.ping_timeout_s)):
                    await self._ping_wanted.wait()
            except TimeoutError:
                continue

    def _send_ping(self, result: PingResult | None = None) -> None:
        self._state.send_ping(result)
        self._has_messages.set()

    # --- reconnecting -----------------------------------------------------------------------------

    async def _reconnect(self, why: ConnectionLost) -> WebSocketConnection:
        """Open a socket on which the session is resumed or a new one begins.

        Raises `ClientError` when there is none within `give_up_s`.
        """
        outage = self._outage = self._outage or _Outage(self._clock())
        outage.why = why
        try:
            # Around all attempts: a server that accepts and is silent delays each of them.
            async with asyncio.timeout_at(outage.since_s + self._config.give_up_s):
                return await self._retry_connecting(outage)
        except TimeoutError:
            given_up = f"no connection for {self._config.give_up_s:g} s: {outage.why}"
            raise ConnectionLost(f"{given_up}; {self._describe_loss()}") from outage.why

    async def _retry_connecting(self, outage: _Outage) -> WebSocketConnection:
        """Try until it succeeds. Raises `ClientError` when another attempt would not help."""
        while True:
            await asyncio.sleep(next(outage.delays_s))
            outage.attempts += 1
            try:
                return await self._resume_somewhere(outage)
            except ClientError as error:
                if isinstance(error, Refused) and error.code != OVERLOADED:
                    raise
                if await self._fell_back(error, outage):
                    raise
                outage.why = error

    async def _resume_somewhere(self, outage: _Outage) -> WebSocketConnection:
        """Resume at the replica's address where the session was, tried once, else at the server's.
        Raises `ClientError`.
        """
        address, self._last_address = self._last_address, None
        if address is not None:
            direct = await self._config.direct.open_again(address)
            if direct is not None and await self._resume_directly(direct):
                self._count_resumed(outage)
                return direct
        connection = await self._config.open_websocket(resumes=True)
        if await self._resume_on(connection):
            self._count_resumed(outage)
        else:
            self._config.health.reconnects += 1
            self.opened_at_s = self._clock()
            self._state.start_new_session(connection.ready)
        return connection

    async def _move_to(self, direct: WebSocketConnection) -> WebSocketConnection:
        """Resume the session on a connection to a replica's own address; if that fails, reconnect.

        Raises what `_reconnect` raises.
        """
        if await self._resume_directly(direct):
            return direct
        return await self._reconnect(ConnectionLost(f"{direct.address} does not resume"))

    async def _resume_directly(self, direct: WebSocketConnection) -> bool:
        """Resume on it, or abort it and return False."""
        address = direct.address
        assert address is not None, "a connection to a replica's own address"
        try:
            async with asyncio.timeout(RESUME_TIMEOUT_S):
                resumed = await self._resume_on(direct)
        except (ClientError, TimeoutError):  # it may be another machine in this network
            self._config.direct.avoid(address)
            return False
        if not resumed:
            direct.abort()
            return False
        self._last_address = address
        return True

    async def _resume_on(self, connection: WebSocketConnection) -> bool:
        """Resume on it; returns False if the session is unknown there. Aborts it on exceptions.

        Raises `ClientError`.
        """
        try:
            resumed = await _request_resume(connection, self._state.resume_message())
            if resumed is not None:
                self._state.resume_session(resumed.received or 0)
        except BaseException:
            connection.abort()
            raise
        if connection.address is None:
            self._offer = (resumed or connection.ready).direct
        return resumed is not None

    def _count_resumed(self, outage: _Outage) -> None:
        self._config.health.reconnects += 1
        self._config.health.resumes += 1
        away_ms = (self._clock() - outage.since_s) * 1000
        self._config.notify(Resumed(away_ms, outage.attempts))

    async def _fell_back(self, error: ClientError, outage: _Outage) -> bool:
        if not isinstance(error, NoWebSocket):
            outage.blocked = 0
            return False
        outage.blocked += 1
        return outage.blocked >= BLOCKED_TRIES and await self._config.fall_back(error)

    def _describe_loss(self) -> str:
        lost = [
            f"{context.id} after {count_noun(context.heard_to, 'character')}"
            for context in self.contexts
        ]
        return f"lost: {', '.join(lost)}" if lost else "nothing was being spoken"


async def _request_resume(connection: WebSocketConnection, resume: str) -> Ready | None:
    """Return the answer, with `received`; None if the server does not know the session."""
    await connection.send(resume)
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            reply = await connection.receive()
    except TimeoutError:
        raise ConnectionLost("the server does not answer `resume`") from None
    if isinstance(reply, Error):
        if reply.code == OVERLOADED:  # no room here, and the session is not held elsewhere
            raise Refused(reply.code, reply.message, reply.retry_after_ms)
        return None
    if not isinstance(reply, Ready) or reply.received is None:
        raise ProtocolError(f"expected the answer to `resume`, got {reply}")
    return reply


def _most_severe(group: BaseExceptionGroup[ClientError]) -> ClientError:
    """Return the first error that a reconnect would not fix, else the first of all."""
    errors = [
        _most_severe(error) if isinstance(error, BaseExceptionGroup) else error
        for error in group.exceptions
    ]
    fatal = [error for error in errors if not isinstance(error, ConnectionLost)]
    return (fatal or errors)[0]
