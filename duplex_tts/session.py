"""A conversation with the server that lasts a whole call.

    async with Session.connect() as session:
        async for audio in session.speak("Hello there."):
            play(audio.data)

One WebSocket carries everything that is spoken. When it breaks, another takes its place and nobody
hears of it; when it grows old, it is replaced between two utterances; where there can be none,
speech comes over HTTP.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from functools import partial
from types import TracebackType
from typing import Any, Unpack

from duplex_tts.channel.address import DEFAULT_URL, websocket_url
from duplex_tts.channel.context import Arrival, Context, Parameters
from duplex_tts.channel.failover import Failover
from duplex_tts.channel.reassembly import AudioForm
from duplex_tts.channel.resuming import ResumingConnection
from duplex_tts.errors import ConnectionLost
from duplex_tts.events import Error, Ready
from duplex_tts.options import Options, Stats, Transport
from duplex_tts.text_stream import Text, pieces
from duplex_tts.utterance import Utterance

KEPT_UTTERANCES = 100


class Session:
    """See `connect`. Use it from one event loop."""

    def __init__(self, url: str, key: str | None, options: Options) -> None:
        self._failover = Failover(url, key, options)
        self._turns = asyncio.Semaphore(options.max_in_flight)
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_flight: dict[Utterance, None] = {}  # in the order of `speak`
        self._ids = itertools.count(1)
        self._utterances = 0
        self._ttfa_ms: deque[float] = deque(maxlen=KEPT_UTTERANCES)
        self._closed = False

    @staticmethod
    def connect(
        url: str = DEFAULT_URL, key: str | None = None, options: Options | None = None
    ) -> Connecting:
        """Open a session: `async with Session.connect(url) as session`, or await it and `close`.

        Do it ahead of need: what is spoken later costs no handshake. `key`: the server's API key,
        where it has any. Raises `ConnectionLost` when nobody answers, `Refused` when the server has
        no room or wants another key, and `BadAddress`.
        """
        return Connecting(websocket_url(url), key, options or Options())

    @property
    def ready(self) -> Ready:
        """The server's defaults: voice, format, sample rate."""
        assert self._failover.channel is not None, "a session is open before it is used"
        return self._failover.channel.ready

    @property
    def errors(self) -> deque[Error]:
        """The latest errors that concern no open context."""
        return self._failover.health.errors

    # --- speaking ---------------------------------------------------------------------------------

    def speak(self, text: Text, **parameters: Unpack[Parameters]) -> Utterance:
        """Say something; returns at once, the speech comes to the utterance.

        `text`: a string, or what yields strings or OpenAI-style chunks as a model writes them.
        Utterances are spoken in the order of the calls. Raises `TypeError` for what is no text and
        for a parameter that there is not, `ConnectionLost` when the session is closed.
        """
        if self._closed:
            raise ConnectionLost("the session is closed")
        _check(parameters)
        utterance = Utterance(f"utterance-{next(self._ids)}", parameters)
        self._in_flight[utterance] = None
        self._start_task(self._drive(utterance, pieces(text)), utterance.id)
        return utterance

    def cancel(self) -> None:
        """Be silent: cancel all that is being spoken or waits for its turn. Does not wait."""
        for utterance in list(self._in_flight):
            utterance.cancel()

    async def start(self, context: str | None = None, **parameters: Unpack[Parameters]) -> Context:
        """Open a context, the low level: a stream of text with commands and events of its own.

        A fresh id when none is given. An unknown voice is an `Error` event. Raises `ValueError`
        when a context of this id is still open, `TypeError` for a parameter that there is not, and
        what `connect` raises when the session was lost and cannot be opened again.
        """
        _check(parameters)
        return await self._enter(context or f"context-{next(self._ids)}", parameters)

    async def ping(self) -> float:
        """Milliseconds to the server and back. Raises `ConnectionLost` while there is no
        WebSocket to ask over.
        """
        channel = await self._failover.current()
        if not isinstance(channel, ResumingConnection):
            raise ConnectionLost("speech comes over HTTP: there is no connection to ask over")
        return await channel.ping()

    def stats(self) -> Stats:
        """The session in figures, now."""
        failover, now_s = self._failover, asyncio.get_running_loop().time()
        channel, health = failover.channel, failover.health
        transport: Transport = "down"
        if channel is not None and channel.lost is None:
            transport = "websocket" if isinstance(channel, ResumingConnection) else "http"
        return Stats(
            transport=transport,
            age_s=now_s - channel.opened_at_s if channel else 0.0,
            utterances=self._utterances,
            in_flight=sum(not utterance.finished for utterance in self._in_flight),
            bytes_in=failover.traffic.bytes_in,
            bytes_out=failover.traffic.bytes_out,
            reconnects=health.reconnects,
            resumes=health.resumes,
            restarts=health.restarts,
            replaced=failover.replaced,
            ping_ms=health.ping_ms,
            ttfa_ms=tuple(self._ttfa_ms),
        )

    async def close(self) -> None:
        """Close the connection; what is in flight raises `ConnectionLost`. Safe to call twice."""
        self._closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._failover.close()

    async def open(self) -> None:
        """Connect; `connect` does it. Raises what that raises."""
        await self._failover.current()
        self._start_task(self._failover.look_after(), "duplex-tts-keeper")

    async def _drive(self, utterance: Utterance, text: AsyncIterator[str]) -> None:
        """Let an utterance have its turn, and see it to its end."""
        try:
            async with self._turns:
                if utterance.finished:
                    return
                take = partial(self._take, utterance)
                context = await self._enter(utterance.id, utterance.parameters, take)
                writing = self._start_task(_write(utterance, context, text), utterance.id)
                await utterance.out_of_the_way()
            await utterance.over()
            writing.cancel()
        except Exception as error:  # noqa: BLE001 - whoever waits for the utterance gets it
            utterance.end(error)
        finally:
            utterance.end(ConnectionLost("the session is closed"))  # unless it has ended before
            self._in_flight.pop(utterance, None)

    def _take(self, utterance: Utterance, arrival: Arrival) -> None:
        silent = utterance.ttfa_ms is None
        utterance.take(arrival)
        if silent and utterance.ttfa_ms is not None:
            self._ttfa_ms.append(utterance.ttfa_ms)

    async def _enter(
        self, id_: str, parameters: Parameters, take: Callable[[Arrival], None] | None = None
    ) -> Context:
        channel = await self._failover.current()
        context = Context(id_, parameters, _usual(channel.ready), take)
        channel.enter(context)
        self._utterances += 1
        return context

    def _start_task(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _write(utterance: Utterance, context: Context, text: AsyncIterator[str]) -> None:
    try:
        await utterance.speak(context, text)
    except Exception as error:  # noqa: BLE001 - the text's own: whoever waits gets it
        utterance.end(error)
        if not context.over:
            context.cancel_now()


def _usual(ready: Ready) -> AudioForm:
    return AudioForm(ready.format, ready.sample_rate)


def _check(parameters: Parameters) -> None:
    if unknown := set(parameters) - set(Parameters.__annotations__):
        known = ", ".join(Parameters.__annotations__)
        raise TypeError(f"no parameter {unknown.pop()!r}; there are {known}")


class Connecting:
    """A session about to be: await it, or enter it as a block that closes it."""

    def __init__(self, url: str, key: str | None, options: Options) -> None:
        self._arguments = url, key, options
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
        session = Session(*self._arguments)
        try:
            await session.open()
        except BaseException:
            await session.close()
            raise
        return session
