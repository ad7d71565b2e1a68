"""Speech over HTTP, one request per sentence: the fallback where no WebSocket can be opened.

Contexts are the same as over a WebSocket. After a failed request the context is restarted: its
unheard text is requested again.
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
from duplex_tts.channel.channel_config import ChannelConfig, backoff_delays_s
from duplex_tts.channel.context import REFUSALS, Context
from duplex_tts.channel.reassembly import shift_audio
from duplex_tts.channel.sentences import SentenceSplitter
from duplex_tts.channel.websocket import Traffic
from duplex_tts.errors import ClientError, ConnectionLost, ProtocolError, Refused
from duplex_tts.events import Audio, Cancelled, Done, Error, Ready, Retracted

SPEECH_PATH, VOICES_PATH = "/v1/speech", "/v1/voices"
OPEN_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 60.0
SAMPLE_RATE_HZ, FORMAT = 24_000, "pcm_s16le"  # the server's defaults

_SENTENCE_ERRORS = frozenset({"engine_failed", "timeout"})  # the next sentence is still spoken


@dataclass(frozen=True, slots=True)
class HttpAccess:
    """An HTTP client and the server's address."""

    address: str
    client: httpx.AsyncClient
    traffic: Traffic

    @classmethod
    def at(cls, address: str, key: str | None, traffic: Traffic, give_up_s: float) -> HttpAccess:
        """Create the access to the server of this WebSocket address."""
        connect_s = min(OPEN_TIMEOUT_S, give_up_s)
        timeout = httpx.Timeout(READ_TIMEOUT_S, connect=connect_s)
        # As for WebSockets: a proxy of the environment cannot reach this machine's ports.
        client = httpx.AsyncClient(timeout=timeout, headers=authorization(key), trust_env=False)
        return cls(address, client, traffic)


class HttpChannel:
    """A `context.Channel` that requests each sentence. Created by `open`.

    `lost`: set when it is closed.
    """

    def __init__(self, http: HttpAccess, config: ChannelConfig, ready: Ready) -> None:
        self.ready = ready
        self.lost: ClientError | None = None
        self.opened_at_s = asyncio.get_running_loop().time()
        self._http = http
        self._config = config
        self._requests: dict[str, _ContextRequests] = {}
        self._suffixes = itertools.count(2)

    @classmethod
    async def open(cls, http: HttpAccess, config: ChannelConfig) -> HttpChannel:
        """Check that the server answers over HTTP. Raises `ConnectionLost`."""
        try:
            url = http_url(http.address, VOICES_PATH)
            response = await http.client.get(url, timeout=OPEN_TIMEOUT_S)
            voice = str(response.raise_for_status().json()["default"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise ConnectionLost(f"the server does not answer over HTTP ({error!r})") from error
        return cls(http, config, Ready("", "", voice, SAMPLE_RATE_HZ, FORMAT))

    @property
    def connected(self) -> bool:
        """Whether it is open; each request has its own connection and timeout."""
        return self.lost is None

    def fail_without_progress(self, context: Context) -> None:
        """Fail a context that the server is stuck with."""
        for requests in [some for some in self._requests.values() if some.context is context]:
            context.fail_without_progress()
            self._drop(requests)

    @property
    def contexts(self) -> list[Context]:
        """The open contexts."""
        return [requests.context for requests in self._requests.values()]

    def open_context(self, context: Context) -> None:
        """Open a context. Raises `ValueError` when one with this id is open."""
        if any(open_context.id == context.id for open_context in self.contexts):
            raise ValueError(f"context {context.id!r} is open")
        requests = self._add_requests(context, context.id)
        self._start_task(requests)
        context.attach(self, requests.wire_id)

    def adopt_context(self, context: Context) -> None:
        """Continue a context that another channel has lost."""
        requests = self._add_requests(context, self._next_wire_id(context))
        self._start_task(requests)
        self._restart_context(requests)

    def post_command(self, wire_id: str, type_: str, **fields: Any) -> None:
        """See `Channel.post_command`."""
        if self.lost is not None:
            raise self.lost
        if (requests := self._requests.get(wire_id)) is None:
            return
        requests.process_command(type_, fields)
        if type_ == "cancel":
            self._drop(requests)

    async def wait_for_room(self) -> None:
        """Return at once: `Context` limits the text ahead of its speech."""

    async def close(self) -> None:
        """Stop speaking; open contexts raise `ConnectionLost`. Safe to call twice."""
        self.lost = self.lost or ConnectionLost("the session is closed")
        open_requests = list(self._requests.values())
        for requests in open_requests:
            requests.context.fail(self.lost)
            self._drop(requests)
        tasks = [requests.task for requests in open_requests if requests.task]
        await asyncio.gather(*tasks, return_exceptions=True)

    def _next_wire_id(self, context: Context) -> str:
        return f"{context.id}~{next(self._suffixes)}"

    def _add_requests(self, context: Context, wire_id: str) -> _ContextRequests:
        requests = self._requests[wire_id] = _ContextRequests(self._http, context, wire_id)
        return requests

    def _start_task(self, requests: _ContextRequests) -> None:
        name = f"duplex-tts-http {requests.context.id}"
        requests.task = asyncio.create_task(self._speak_context(requests), name=name)

    def _drop(self, requests: _ContextRequests) -> None:
        if self._requests.pop(requests.wire_id, None) and requests.task:
            requests.task.cancel()

    def _restart_context(self, requests: _ContextRequests) -> None:
        restarted = requests.context.restart(self, requests.wire_id)
        if restarted is None:
            self._drop(requests)
            return
        self._config.health.restarts += 1
        self._config.notify(restarted)

    async def _speak_context(self, requests: _ContextRequests) -> None:
        """Speak a context to its end; retries failed requests until `give_up_s`."""
        clock = asyncio.get_running_loop().time
        heard_to, since_s, delays_s = -1, 0.0, backoff_delays_s()
        try:
            while why := await requests.speak_sentences():
                if requests.context.heard_to > heard_to:
                    heard_to, since_s = requests.context.heard_to, clock()
                    delays_s = backoff_delays_s()
                delay_s = next(delays_s)
                if clock() + delay_s > since_s + self._config.give_up_s:
                    requests.context.fail(ConnectionLost(f"no answer over HTTP: {why}"))
                    return
                await asyncio.sleep(delay_s)
                requests = self._replace_requests(requests)
        except ClientError as error:
            requests.context.fail(error)
        finally:
            self._requests.pop(requests.wire_id, None)

    def _replace_requests(self, failed: _ContextRequests) -> _ContextRequests:
        del self._requests[failed.wire_id]
        requests = self._add_requests(failed.context, self._next_wire_id(failed.context))
        requests.task = failed.task
        self._restart_context(requests)
        return requests


class _ContextRequests:
    """The requests of a context since its last (re)start; renumbers their audio as one stream."""

    def __init__(self, http: HttpAccess, context: Context, wire_id: str) -> None:
        self.context = context
        self.wire_id = wire_id
        self.task: asyncio.Task[None] | None = None
        self._http = http
        self._loop = asyncio.get_running_loop()
        self._parameters: dict[str, Any] = {}
        self._splitter = SentenceSplitter()
        self._sentences: deque[str] = deque()  # not requested yet
        self._text_ended = False
        self._changed = asyncio.Event()
        self._text_to, self._audio_ms, self._chunks = 0, 0.0, 0

    def process_command(self, type_: str, fields: dict[str, Any]) -> None:
        """Process a command of the context; replies are delivered later, as a server's are."""
        match type_:
            case "start":
                given = {name: value for name, value in fields.items() if value is not None}
                self._parameters = given
                self._splitter = SentenceSplitter(given.get("language"))
            case "text":
                self._sentences.extend(self._splitter.push_text(fields["text"]))
            case "flush" | "end":
                self._sentences.extend(self._splitter.take_rest())
                self._text_ended = self._text_ended or type_ == "end"
            case "retract":
                to = self._splitter.retract_to(fields["to"])
                self._reply_later(Retracted(self.wire_id, to))
            case "cancel":
                self._reply_later(Cancelled(self.wire_id, self._text_to, self._audio_ms))
        self._changed.set()

    def _reply_later(self, event: Cancelled | Retracted) -> None:
        self._loop.call_soon(self.context.process_event, event)

    async def speak_sentences(self) -> ConnectionLost | None:
        """Request the sentences as they arrive. Returns why it failed, None after the end.

        Raises `ClientError` when a retry would not help.
        """
        try:
            while not self.context.over and (sentence := await self._next_sentence()):
                await self._request_sentence(sentence)
        except ConnectionLost as error:
            return error
        if not self.context.over:
            done = Done(self.wire_id, self._audio_ms, self._text_to, self._chunks)
            self.context.process_event(done)
        return None

    async def _next_sentence(self) -> str | None:
        while not self._sentences and not self._text_ended:
            self._changed.clear()
            await self._changed.wait()
        return self._sentences.popleft() if self._sentences else None

    async def _request_sentence(self, sentence: str) -> None:
        body = json.dumps({**self._parameters, "text": sentence}, allow_nan=False)
        self._http.traffic.bytes_out += len(body)
        url = http_url(self._http.address, SPEECH_PATH)
        try:
            async with self._http.client.stream("POST", url, content=body) as response:
                if response.is_success:
                    await self._read_response(response)
                else:
                    answer = await response.aread()
                    self._process_error(answer, response.status_code, len(sentence))
        except httpx.HTTPError as error:
            raise ConnectionLost(f"the request failed: {error!r}") from error

    async def _read_response(self, response: httpx.Response) -> None:
        text, ms, chunks = self._text_to, self._audio_ms, self._chunks
        async for line in response.aiter_lines():
            self._http.traffic.bytes_in += len(line)
            match wire.decode(line):
                case Audio() as audio:
                    self._deliver_audio(shift_audio(audio, text, ms))
                case Error() as error:
                    self.context.process_event(error)
                case Done() as done:
                    arrived = (self._text_to - text, self._chunks - chunks)
                    if (done.characters, done.chunks) != arrived:
                        raise ProtocolError(f"{done}, but {arrived} arrived")
                    return
                case event:
                    raise ProtocolError(f"unexpected event: {event}")
        raise ConnectionLost("the response ended before its speech")

    def _deliver_audio(self, audio: Audio) -> None:
        self.context.process_event(replace(audio, context=self.wire_id, seq=self._chunks))
        self._chunks += 1
        self._text_to = audio.text[1]
        self._audio_ms = round(self._audio_ms + audio.duration_ms, 3)

    def _process_error(self, body: bytes, status: int, length: int) -> None:
        """Process an error response. The characters of a sentence that could not be spoken get
        empty audio, as over a WebSocket.
        """
        try:
            error = wire.decode(body.decode())
        except (ProtocolError, UnicodeDecodeError):
            error = None
        if not isinstance(error, Error):  # not the server's: a proxy's
            raise ConnectionLost(f"HTTP status {status}")
        if error.code not in _SENTENCE_ERRORS | REFUSALS:
            raise Refused(error.code, error.message)
        self.context.process_event(error)
        if not self.context.over:
            text = (self._text_to, self._text_to + length)
            self._deliver_audio(Audio(self.wire_id, 0, self._audio_ms, 0.0, text, (), b""))
