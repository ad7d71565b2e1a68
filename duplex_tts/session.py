"""A conversation with the server: text goes up, speech comes down, several contexts side by side.

    async with Session.connect() as session:
        context = await session.start(voice="heart")
        await context.push("Hello there.")
        await context.end()
        async for event in context:
            ...

One task per session reads the socket and hands each event to its context. A connection that is lost
raises `ConnectionLost` for everybody who waits, after the events that came before.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Generator
from types import TracebackType
from typing import Unpack

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as websocket_connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from duplex_tts import wire
from duplex_tts.address import DEFAULT_URL, websocket_url
from duplex_tts.context import Context, Parameters
from duplex_tts.errors import ClientError, ConnectionLost, ProtocolError, Refused
from duplex_tts.events import Cancelled, Done, Error, Event, Pong, Ready

CLOSE_TIMEOUT_S = 1.0
READY_TIMEOUT_S = 10.0
KEPT_ERRORS = 100


class Session:
    """A connection to the server. Get one with `Session.connect`.

    `ready`: the server's defaults. `errors`: those that concern no open context, the latest
    `KEPT_ERRORS` of them.
    """

    def __init__(self, websocket: ClientConnection, ready: Ready) -> None:
        self.ready = ready
        self.errors: deque[Error] = deque(maxlen=KEPT_ERRORS)
        self._websocket = websocket
        self._contexts: dict[str, Context] = {}
        self._pings: dict[int, asyncio.Future[None]] = {}
        self._ids = itertools.count(1)
        self._lost: ClientError | None = None
        # Not a TaskGroup: it would wrap whatever the caller's block raises in an ExceptionGroup.
        # `close` cancels and awaits the task; `connect` leaves no way to skip it in a block.
        self._reader = asyncio.create_task(self._read(), name="duplex-tts-reader")

    @staticmethod
    def connect(url: str = DEFAULT_URL) -> Connecting:
        """Open a session: `async with Session.connect(url) as session`, or await it and `close`.

        Raises `ConnectionLost` when nobody answers, `Refused` when the server has no room, and
        `ValueError` for what is no address (see `address.websocket_url`).
        """
        return Connecting(websocket_url(url))

    async def start(self, context: str | None = None, **parameters: Unpack[Parameters]) -> Context:
        """Open a context; a fresh id when none is given. An unknown voice is an `Error` event.

        Raises `ValueError` when a context of this id is still open.
        """
        id_ = context if context is not None else f"context-{next(self._ids)}"
        if id_ in self._contexts:
            raise ValueError(f"context {id_!r} is open")
        opened = self._contexts[id_] = Context(id_, self._send)
        await self._send("start", context=id_, **parameters)
        return opened

    async def ping(self) -> float:
        """Milliseconds to the server and back."""
        id_, pong = next(self._ids), asyncio.get_running_loop().create_future()
        self._pings[id_] = pong
        sent_s = time.perf_counter()
        try:
            await self._send("ping", id=id_)
            await pong
        finally:
            self._pings.pop(id_, None)
        return (time.perf_counter() - sent_s) * 1000

    async def close(self) -> None:
        """Close the connection; open contexts raise `ConnectionLost`. Safe to call twice."""
        try:
            await self._websocket.close()
        finally:
            self._reader.cancel()
            await asyncio.wait([self._reader])
        if not self._reader.cancelled() and (bug := self._reader.exception()):
            raise bug

    async def _send(self, type_: str, **fields: object) -> None:
        if self._lost:
            raise self._lost
        try:
            await self._websocket.send(wire.encode(type_, **fields))
        except ConnectionClosed as closed:
            raise self._lost or _connection_lost(closed) from closed

    async def _read(self) -> None:
        lost: ClientError = ConnectionLost("the session is closed")
        try:
            while True:
                self._dispatch(wire.decode(await self._websocket.recv()))
        except ConnectionClosed as closed:
            lost = _connection_lost(closed)
        except ProtocolError as error:
            lost = error
            await self._websocket.close(code=1002)
        finally:
            self._lose(lost)

    def _dispatch(self, event: Event) -> None:
        if isinstance(event, Pong):
            pong = self._pings.get(event.id) if isinstance(event.id, int) else None
            if pong is not None and not pong.done():
                pong.set_result(None)
        elif isinstance(event, Ready):
            raise ProtocolError("`ready` came twice")
        elif (context := self._contexts.get(event.context or "")) is not None:
            # A refused one stays: text on its way may still be answered, to nobody's interest.
            if isinstance(event, Done | Cancelled):
                del self._contexts[context.id]
            context.deliver(event)
        elif isinstance(event, Error):
            self.errors.append(event)
        else:
            raise ProtocolError(f"for a context that is not open: {event}")

    def _lose(self, lost: ClientError) -> None:
        self._lost = lost
        for context in self._contexts.values():
            context.deliver(lost)
        for pong in self._pings.values():
            if not pong.done():
                pong.set_exception(lost)


class Connecting:
    """A session about to be: await it, or enter it as a block that closes it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: Session | None = None

    def __await__(self) -> Generator[object, None, Session]:
        return self._open().__await__()

    async def __aenter__(self) -> Session:
        self._session = await self._open()
        return self._session

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def _open(self) -> Session:
        try:
            websocket = await websocket_connect(
                self._url,
                compression=None,  # speech does not shrink; deflating it costs time
                proxy=None,  # a proxy in the environment does not know this machine's ports
                max_size=wire.MAX_MESSAGE_BYTES,
                close_timeout=CLOSE_TIMEOUT_S,
            )
        except (OSError, WebSocketException, TimeoutError) as error:
            raise ConnectionLost(
                f"no speech server answers at {self._url} ({error}); "
                "start one with `duplex-tts serve` or `make run`"
            ) from error
        try:
            return Session(websocket, await _greeting(websocket))
        except BaseException:
            await websocket.close()
            raise


async def _greeting(websocket: ClientConnection) -> Ready:
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            event = wire.decode(await websocket.recv())
    except ConnectionClosed as closed:
        raise _connection_lost(closed) from closed
    except TimeoutError:
        raise ConnectionLost("what answers there is no speech server: no `ready` came") from None
    if isinstance(event, Error):
        raise Refused(event.code, event.message)
    if not isinstance(event, Ready):
        raise ProtocolError(f"expected `ready`, got {event}")
    return event


def _connection_lost(closed: ConnectionClosed) -> ConnectionLost:
    return ConnectionLost(f"the connection to the server is closed: {closed}")
