"""A conversation over as many sockets as it takes.

When a socket breaks or falls silent another one is opened, and the session resumed on it; what was
said and not received, what was spoken and not heard, comes again. See `state`.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from duplex_tts.channel import wire
from duplex_tts.channel.context import Context
from duplex_tts.channel.keepalive import Answer
from duplex_tts.channel.session_state import Health, SessionState
from duplex_tts.channel.websocket import CLOSE_PROTOCOL_ERROR, READY_TIMEOUT_S, Connection
from duplex_tts.errors import ClientError, ConnectionLost, NoWebSocket, ProtocolError, Refused
from duplex_tts.events import Error, Ready, Resumed, SessionEvent
from duplex_tts.wording import counted

TICK_S = 1.0
FIRST_DELAY_S, LONGEST_DELAY_S = 0.05, 3.0
BLOCKED_TRIES = 3  # a handshake may break, too: only more of them mean that there is no way
WAITING_LIMIT = 1_000  # messages that wait to be written before those who can wait do

_BUSY = frozenset({"overloaded"})


@dataclass(frozen=True, slots=True)
class Service:
    """How a link reaches the server, how long it tries, and whom it tells.

    `give_up_s`: without a connection for so long, it is lost. `ping_timeout_s`: a peer that is
    silent for so long after a ping is gone. `tell` must not raise. `detour`: whether the contexts
    have gone another way, when no WebSocket gets through any more.
    """

    dial: Callable[[], Awaitable[Connection]]
    ping_timeout_s: float
    give_up_s: float
    health: Health
    tell: Callable[[SessionEvent], None]
    detour: Callable[[NoWebSocket], Awaitable[bool]]


def delays_s() -> Iterator[float]:
    """How long to wait before each try: not, then exponentially longer, with jitter."""
    yield 0.0
    for exponent in itertools.count():
        yield min(FIRST_DELAY_S * 2 ** min(exponent, 10), LONGEST_DELAY_S) * random.uniform(0.5, 1)


@dataclass(slots=True)
class _Outage:
    """From the first break until something comes again."""

    since_s: float
    why: ClientError | None = None  # the latest reason
    delays_s: Iterator[float] = field(default_factory=delays_s)
    attempts: int = 0
    blocked: int = 0  # of them, the latest ones at which something answered that lets none through


class ResumingConnection:
    """A channel (see `context.Channel`) that is one session with the server. Get it with `open`.

    `lost`: why it is over, once it is.
    """

    def __init__(self, service: Service, connection: Connection) -> None:
        self._service = service
        self._clock = asyncio.get_running_loop().time
        self.opened_at_s = self._clock()
        self.lost: ClientError | None = None
        self._state = SessionState(
            connection.ready, self, self._clock, service.health, service.tell
        )
        self._some, self._room, self._attention = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._outage: _Outage | None = None
        self._connection: Connection | None = connection
        # Not a TaskGroup: it lives as long as the link does. `close` cancels and awaits it.
        self._task = asyncio.create_task(self._run(connection), name="duplex-tts-link")

    @classmethod
    async def open(cls, service: Service) -> ResumingConnection:
        """Connect. Raises what `Connection.open` raises."""
        return cls(service, await service.dial())

    @property
    def ready(self) -> Ready:
        """The server's defaults."""
        return self._state.ready

    @property
    def contexts(self) -> list[Context]:
        """The open ones."""
        return list(self._state.contexts.values())

    def enter(self, context: Context) -> None:
        """Open a context. Raises `ValueError` when one of this id is open."""
        self._state.enter(context)

    @property
    def connected(self) -> bool:
        """Whether there is a socket now."""
        return self._connection is not None and self.lost is None

    def give_up(self, context: Context) -> None:
        """Go on without a context that the server is stuck with."""
        self._state.give_up(context)

    def release(self) -> list[Context]:
        """Let go of the open contexts: they go on elsewhere."""
        contexts = self.contexts
        self._state.contexts.clear()
        return contexts

    def post(self, wire_id: str, type_: str, **fields: object) -> None:
        """See `Channel.post`. Raises why the link is lost."""
        if self.lost is not None:
            raise self.lost
        self._state.send_queue.add(wire.encode(type_, context=wire_id, **fields))
        self._some.set()

    async def room(self) -> None:
        """See `Channel.room`."""
        while self._state.send_queue.waiting > WAITING_LIMIT and self.lost is None:
            self._room.clear()
            await self._room.wait()

    async def ping(self) -> float:
        """Milliseconds to the server and back; over a new connection when this one breaks."""
        if self.lost is not None:
            raise self.lost
        answer: Answer = asyncio.get_running_loop().create_future()
        self._ping(answer)
        return await answer

    async def close(self) -> None:
        """Close the connection for good; open contexts raise `ConnectionLost`. Safe to call twice.

        Raises what a bug in here raised.
        """
        connection = self._connection
        self._task.cancel()
        await asyncio.wait([self._task])
        self._lose(ConnectionLost("the session is closed"))  # a task that never ran has not
        if connection is not None:
            await connection.close()
        if not self._task.cancelled() and (bug := self._task.exception()):
            raise bug

    def _lose(self, lost: ClientError) -> None:
        if self.lost is None:
            self.lost = lost
            self._state.lose(lost)
            self._room.set()

    # --- one socket after the other ---------------------------------------------------------------

    async def _run(self, connection: Connection) -> None:
        lost: ClientError = ConnectionLost("the session is closed")
        try:
            while True:
                why = await self._serve(connection)
                self._connection = None
                connection = self._connection = await self._reconnected(why)
        except ClientError as error:
            lost = error
        finally:
            self._lose(lost)

    async def _serve(self, connection: Connection) -> ConnectionLost:
        """Speak over this socket until it breaks; returns why it did.

        Raises `ClientError` when another one would not help.
        """
        why: ClientError
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(connection))
                tasks.create_task(self._write(connection))
                tasks.create_task(self._watch())
        except* ClientError as group:
            why = _most_severe(group)
        if isinstance(why, ConnectionLost):
            connection.abort()
            return why
        await connection.close(CLOSE_PROTOCOL_ERROR)
        raise why

    async def _read(self, connection: Connection) -> None:
        state = self._state
        while True:
            try:
                state.take(await connection.receive())
            except ProtocolError as error:
                # Damaged on the way? Then it comes again, unharmed, when the session is resumed.
                if state.suspicion.meant(error):
                    raise
                state.suspicion.add(error)
                raise ConnectionLost(str(error)) from error
            self._outage = None
            if state.keepalive.urgent:
                self._attention.set()

    async def _write(self, connection: Connection) -> None:
        while True:
            message = self._state.send_queue.next()
            if self._state.send_queue.waiting <= WAITING_LIMIT:
                self._room.set()
            if message is None:
                self._some.clear()
                await self._some.wait()
            else:
                await connection.send(message)

    async def _watch(self) -> None:
        """Acknowledge what comes; notice a peer that is silent."""
        while True:
            now_s, keepalive = self._clock(), self._state.keepalive
            if (silent_s := keepalive.silent_s(now_s)) > self._service.ping_timeout_s:
                raise ConnectionLost(f"the server has been silent for {silent_s:.0f} s")
            if keepalive.due(now_s, unconfirmed=self._state.send_queue.unconfirmed > 0):
                self._ping()
            self._attention.clear()
            try:
                async with asyncio.timeout(min(TICK_S, self._service.ping_timeout_s)):
                    await self._attention.wait()
            except TimeoutError:
                continue

    def _ping(self, answer: Answer | None = None) -> None:
        self._state.ping(answer)
        self._some.set()

    # --- from one to the next ---------------------------------------------------------------------

    async def _reconnected(self, why: ConnectionLost) -> Connection:
        """Another socket, on which the session has been resumed or begun anew.

        Raises `ClientError` when there is none in time.
        """
        outage = self._outage = self._outage or _Outage(self._clock())
        outage.why = why
        try:
            # Around everything: one that accepts and is silent takes longer than one that is gone.
            async with asyncio.timeout_at(outage.since_s + self._service.give_up_s):
                return await self._redialled(outage)
        except TimeoutError:
            given_up = f"no connection for {self._service.give_up_s:g} s: {outage.why}"
            raise ConnectionLost(f"{given_up}; {self._at_stake()}") from outage.why

    async def _redialled(self, outage: _Outage) -> Connection:
        """Try, until it works or another try would not help: then it raises `ClientError`."""
        while True:
            await asyncio.sleep(next(outage.delays_s))
            outage.attempts += 1
            try:
                return await self._go_on(await self._service.dial(), outage)
            except ClientError as error:
                if isinstance(error, Refused) and error.code not in _BUSY:
                    raise
                if await self._has_detour(error, outage):
                    raise
                outage.why = error

    async def _go_on(self, connection: Connection, outage: _Outage) -> Connection:
        state, health = self._state, self._service.health
        try:
            received = await _ask(connection, state.resume())
            if received is not None:
                state.resumed(received)
        except BaseException:
            connection.abort()
            raise
        health.reconnects += 1
        if received is None:
            self.opened_at_s = self._clock()
            state.start_over(connection.ready)
        else:
            health.resumes += 1
            away_ms = (self._clock() - outage.since_s) * 1000
            self._service.tell(Resumed(away_ms, outage.attempts))
        return connection

    async def _has_detour(self, error: ClientError, outage: _Outage) -> bool:
        if not isinstance(error, NoWebSocket):
            outage.blocked = 0
            return False
        outage.blocked += 1
        return outage.blocked >= BLOCKED_TRIES and await self._service.detour(error)

    def _at_stake(self) -> str:
        """What an end of the link loses, in words."""
        lost = [
            f"{context.id} after {counted(context.heard_to, 'character')}"
            for context in self.contexts
        ]
        return f"lost: {', '.join(lost)}" if lost else "nothing was being spoken"


async def _ask(connection: Connection, resume: str) -> int | None:
    """How many messages the server has received; None when it does not know the session."""
    await connection.send(resume)
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            answer = await connection.receive()
    except TimeoutError:
        raise ConnectionLost("the server does not answer `resume`") from None
    if isinstance(answer, Error):
        return None
    if not isinstance(answer, Ready) or answer.received is None:
        raise ProtocolError(f"expected the answer to `resume`, got {answer}")
    return answer.received


def _most_severe(group: BaseExceptionGroup[ClientError]) -> ClientError:
    """Of what ended a connection, what another one would not mend; else the first."""
    errors = [
        _most_severe(error) if isinstance(error, BaseExceptionGroup) else error
        for error in group.exceptions
    ]
    fatal = [error for error in errors if not isinstance(error, ConnectionLost)]
    return (fatal or errors)[0]
