"""Speech over HTTP, a sentence at a time: where a proxy lets no WebSocket through.

The same contexts, another channel. A request that breaks is as a server that has forgotten: what
was not heard of the context is said again, in requests of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

import httpx

from duplex_tts.channel import wire
from duplex_tts.channel.address import authorization, http_url
from duplex_tts.channel.context import REFUSALS, Context
from duplex_tts.channel.reassembly import moved
from duplex_tts.channel.resuming import Service, delays_s
from duplex_tts.channel.sentences import Sentences
from duplex_tts.channel.websocket import Traffic
from duplex_tts.errors import ClientError, ConnectionLost, ProtocolError, Refused
from duplex_tts.events import Audio, Cancelled, Done, Error, Ready, Retracted

SPEECH_PATH, VOICES_PATH = "/v1/speech", "/v1/voices"
OPEN_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 60.0
SAMPLE_RATE_HZ, FORMAT = 24_000, "pcm_s16le"  # what the server speaks when it is not told

_SPOILED = frozenset({"engine_failed", "timeout"})  # one sentence; the next one is spoken


@dataclass(frozen=True, slots=True)
class HttpAccess:
    """How the server is reached over HTTP."""

    address: str
    client: httpx.AsyncClient
    traffic: Traffic

    @classmethod
    def at(cls, address: str, key: str | None, traffic: Traffic, give_up_s: float) -> HttpAccess:
        """For the server of this WebSocket address."""
        connect_s = min(OPEN_TIMEOUT_S, give_up_s)
        timeout = httpx.Timeout(READ_TIMEOUT_S, connect=connect_s)
        # As for WebSockets: a proxy in the environment does not know this machine's ports.
        client = httpx.AsyncClient(timeout=timeout, headers=authorization(key), trust_env=False)
        return cls(address, client, traffic)


class HttpChannel:
    """A channel (see `context.Channel`) that asks for each sentence. Get it with `open`.

    `lost`: that it is closed, once it is.
    """

    def __init__(self, http: HttpAccess, service: Service, ready: Ready) -> None:
        self.ready = ready
        self.lost: ClientError | None = None
        self.opened_at_s = asyncio.get_running_loop().time()
        self._http = http
        self._service = service
        self._legs: dict[str, _Leg] = {}
        self._suffixes = itertools.count(2)

    @classmethod
    async def open(cls, http: HttpAccess, service: Service) -> HttpChannel:
        """See whether the server answers over HTTP. Raises `ConnectionLost`."""
        try:
            url = http_url(http.address, VOICES_PATH)
            response = await http.client.get(url, timeout=OPEN_TIMEOUT_S)
            voice = str(response.raise_for_status().json()["default"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise ConnectionLost(f"nor does the server answer over HTTP ({error!r})") from error
        return cls(http, service, Ready("", "", voice, SAMPLE_RATE_HZ, FORMAT))

    @property
    def connected(self) -> bool:
        """Each request is a connection of its own, with a limit of its own."""
        return self.lost is None

    def give_up(self, context: Context) -> None:
        """Go on without a context that the server is stuck with."""
        for leg in [each for each in self._legs.values() if each.context is context]:
            context.give_up()
            self._forget(leg)

    @property
    def contexts(self) -> list[Context]:
        """The open ones."""
        return [leg.context for leg in self._legs.values()]

    def enter(self, context: Context) -> None:
        """Open a context. Raises `ValueError` when one of this id is open."""
        if any(each.id == context.id for each in self.contexts):
            raise ValueError(f"context {context.id!r} is open")
        leg = self._leg(context, context.id)
        leg.task = asyncio.create_task(self._speak(leg), name=f"duplex-tts-http {context.id}")
        context.attach(self, leg.wire_id)

    def adopt(self, context: Context) -> None:
        """Go on with a context that another channel has lost."""
        leg = self._leg(context, f"{context.id}~{next(self._suffixes)}")
        leg.task = asyncio.create_task(self._speak(leg), name=f"duplex-tts-http {context.id}")
        self._restart(leg)

    def post(self, wire_id: str, type_: str, **fields: Any) -> None:
        """See `Channel.post`. Raises why the channel is closed."""
        if self.lost is not None:
            raise self.lost
        if (leg := self._legs.get(wire_id)) is None:
            return
        leg.take(type_, fields)
        if type_ == "cancel":
            self._forget(leg)

    async def room(self) -> None:
        """There always is some: contexts do not run far ahead of their speech."""

    async def close(self) -> None:
        """Stop speaking; open contexts raise `ConnectionLost`. Safe to call twice."""
        self.lost = self.lost or ConnectionLost("the session is closed")
        legs = list(self._legs.values())
        for leg in legs:
            leg.context.lose(self.lost)
            self._forget(leg)
        await asyncio.gather(*(leg.task for leg in legs if leg.task), return_exceptions=True)

    def _leg(self, context: Context, wire_id: str) -> _Leg:
        leg = self._legs[wire_id] = _Leg(self._http, context, wire_id)
        return leg

    def _forget(self, leg: _Leg) -> None:
        if self._legs.pop(leg.wire_id, None) and leg.task:
            leg.task.cancel()

    def _restart(self, leg: _Leg) -> None:
        restarted = leg.context.restart(self, leg.wire_id)
        if restarted is None:
            self._forget(leg)
            return
        self._service.health.restarts += 1
        self._service.tell(restarted)

    async def _speak(self, leg: _Leg) -> None:
        """Speak a context to its end, as often as it takes."""
        clock = asyncio.get_running_loop().time
        heard_to, since_s, delays = -1, 0.0, delays_s()
        try:
            while why := await leg.speak():
                if leg.context.heard_to > heard_to:
                    heard_to, since_s, delays = leg.context.heard_to, clock(), delays_s()
                delay_s = next(delays)
                if clock() + delay_s > since_s + self._service.give_up_s:
                    leg.context.lose(ConnectionLost(f"no answer over HTTP: {why}"))
                    return
                await asyncio.sleep(delay_s)
                leg = self._next_leg(leg)
        except ClientError as error:
            leg.context.lose(error)
        finally:
            self._legs.pop(leg.wire_id, None)

    def _next_leg(self, broken: _Leg) -> _Leg:
        del self._legs[broken.wire_id]
        leg = self._leg(broken.context, f"{broken.context.id}~{next(self._suffixes)}")
        leg.task = broken.task
        self._restart(leg)
        return leg


class _Leg:
    """A context's requests, from a word on: as the server would number them in one go."""

    def __init__(self, http: HttpAccess, context: Context, wire_id: str) -> None:
        self.context = context
        self.wire_id = wire_id
        self.task: asyncio.Task[None] | None = None
        self._http = http
        self._loop = asyncio.get_running_loop()
        self._parameters: dict[str, Any] = {}
        self._sentences = Sentences()
        self._waiting: deque[str] = deque()
        self._ended = False
        self._changed = asyncio.Event()
        self._text_to, self._audio_ms, self._chunks = 0, 0.0, 0

    def take(self, type_: str, fields: dict[str, Any]) -> None:
        """What the context says; answers come later, as from a server."""
        match type_:
            case "start":
                given = {name: value for name, value in fields.items() if value is not None}
                self._parameters = given
                self._sentences = Sentences(given.get("language"))
            case "text":
                self._waiting.extend(self._sentences.push(fields["text"]))
            case "flush" | "end":
                self._waiting.extend(self._sentences.rest())
                self._ended = self._ended or type_ == "end"
            case "retract":
                to = self._sentences.retract(fields["to"])
                self._answer(Retracted(self.wire_id, to))
            case "cancel":
                self._answer(Cancelled(self.wire_id, self._text_to, self._audio_ms))
        self._changed.set()

    def _answer(self, event: Cancelled | Retracted) -> None:
        self._loop.call_soon(self.context.deliver, event)

    async def speak(self) -> ConnectionLost | None:
        """Speak all that comes. Returns why it broke off, None after the end.

        Raises `ClientError` when trying again would not help.
        """
        try:
            while not self.context.over and (sentence := await self._next()):
                await self._request(sentence)
        except ConnectionLost as error:
            return error
        if not self.context.over:
            done = Done(self.wire_id, self._audio_ms, self._text_to, self._chunks)
            self.context.deliver(done)
        return None

    async def _next(self) -> str | None:
        while not self._waiting and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        return self._waiting.popleft() if self._waiting else None

    async def _request(self, sentence: str) -> None:
        body = json.dumps({**self._parameters, "text": sentence}, allow_nan=False)
        self._http.traffic.bytes_out += len(body)
        url = http_url(self._http.address, SPEECH_PATH)
        try:
            async with self._http.client.stream("POST", url, content=body) as response:
                if response.is_success:
                    await self._listen(response)
                else:
                    self._refused(await response.aread(), response.status_code, len(sentence))
        except httpx.HTTPError as error:
            raise ConnectionLost(f"the request broke: {error!r}") from error

    async def _listen(self, response: httpx.Response) -> None:
        text, ms, chunks = self._text_to, self._audio_ms, self._chunks
        async for line in response.aiter_lines():
            self._http.traffic.bytes_in += len(line)
            match wire.decode(line):
                case Audio() as audio:
                    self._hear(moved(audio, text, ms))
                case Error() as error:
                    self.context.deliver(error)
                case Done() as done:
                    arrived = (self._text_to - text, self._chunks - chunks)
                    if (done.characters, done.chunks) != arrived:
                        raise ProtocolError(f"{done}, but {arrived} arrived")
                    return
                case event:
                    raise ProtocolError(f"not expected here: {event}")
        raise ConnectionLost("the answer ended before its speech")

    def _hear(self, audio: Audio) -> None:
        self.context.deliver(replace(audio, context=self.wire_id, seq=self._chunks))
        self._chunks += 1
        self._text_to = audio.text[1]
        self._audio_ms = round(self._audio_ms + audio.duration_ms, 3)

    def _refused(self, body: bytes, status: int, length: int) -> None:
        """The answer is an error. A sentence that could not be spoken is accounted for with
        silence, as it is over a WebSocket.
        """
        try:
            error = wire.decode(body.decode())
        except (ProtocolError, UnicodeDecodeError):
            error = None
        if not isinstance(error, Error):  # a proxy's
            raise ConnectionLost(f"HTTP status {status}")
        if error.code not in _SPOILED | REFUSALS:
            raise Refused(error.code, error.message)
        self.context.deliver(error)
        if not self.context.over:
            text = (self._text_to, self._text_to + length)
            self._hear(Audio(self.wire_id, 0, self._audio_ms, 0.0, text, (), b""))
