"""Resuming: one session with the server over many WebSockets.

When a socket breaks or falls silent, another is opened and the session is resumed on it: messages
that the server has not received and audio that the client has not received are sent again. If the
server has lost the session, a new one begins and contexts are restarted. See `session_state`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

from duplex_tts.channel import wire
from duplex_tts.channel.channel_config import ChannelConfig, backoff_delays_s
from duplex_tts.channel.context import Context
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
        # Not a TaskGroup: it lives as long as this channel. `close` cancels and awaits it.
        self._task = asyncio.create_task(self._run(connection), name="duplex-tts-resuming")

    @classmethod
    async def open(cls, config: ChannelConfig) -> ResumingConnection:
        """Connect. Raises what `WebSocketConnection.open` raises."""
        return cls(config, await config.open_websocket())

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
                why = await self._serve(connection)
                self._connection = None
                connection = self._connection = await self._reconnect(why)
        except ClientError as error:
            lost = error
        finally:
            self._mark_lost(lost)

    async def _serve(self, connection: WebSocketConnection) -> ConnectionLost:
        """Read and write until the socket breaks; returns the reason.

        Raises `ClientError` when a reconnect would not help.
        """
        why: ClientError
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read_events(connection))
                tasks.create_task(self._write_messages(connection))
                tasks.create_task(self._watch_peer())
        except* ClientError as group:
            why = _most_severe(group)
        if isinstance(why, ConnectionLost):
            connection.abort()
            return why
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
                return await self._resume_on(await self._config.open_websocket(), outage)
            except ClientError as error:
                if isinstance(error, Refused) and error.code != OVERLOADED:
                    raise
                if await self._fell_back(error, outage):
                    raise
                outage.why = error

    async def _resume_on(
        self, connection: WebSocketConnection, outage: _Outage
    ) -> WebSocketConnection:
        state, health = self._state, self._config.health
        try:
            received = await _request_resume(connection, state.resume_message())
            if received is not None:
                state.resume_session(received)
        except BaseException:
            connection.abort()
            raise
        health.reconnects += 1
        if received is None:
            self.opened_at_s = self._clock()
            state.start_new_session(connection.ready)
        else:
            health.resumes += 1
            away_ms = (self._clock() - outage.since_s) * 1000
            self._config.notify(Resumed(away_ms, outage.attempts))
        return connection

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


async def _request_resume(connection: WebSocketConnection, resume: str) -> int | None:
    """Return how many messages the server has received; None if it does not know the session."""
    await connection.send(resume)
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            reply = await connection.receive()
    except TimeoutError:
        raise ConnectionLost("the server does not answer `resume`") from None
    if isinstance(reply, Error):
        return None
    if not isinstance(reply, Ready) or reply.received is None:
        raise ProtocolError(f"expected the answer to `resume`, got {reply}")
    return reply.received


def _most_severe(group: BaseExceptionGroup[ClientError]) -> ClientError:
    """Return the first error that a reconnect would not fix, else the first of all."""
    errors = [
        _most_severe(error) if isinstance(error, BaseExceptionGroup) else error
        for error in group.exceptions
    ]
    fatal = [error for error in errors if not isinstance(error, ConnectionLost)]
    return (fatal or errors)[0]
