"""Speech over HTTP: one text in, its audio out while it is made."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Never

import numpy as np
import structlog
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.audio.formats import (
    RAW_FORMATS,
    AudioFormat,
    EncodedAudio,
    create_encoder,
    parse_format,
)
from backend.errors import DuplexError, Overloaded
from backend.events import Audio, Done, Event, Failed, Start
from backend.protocols.base import HttpTranslator, Refusal
from backend.sessions.context import Context, Services
from backend.sessions.context_record import SessionRecord, endpoint_of
from backend.sessions.send_queue import SendQueue

log = structlog.get_logger(__name__)

_SILENCE_S = 0.1  # for a text without sound: no file is empty
_RETRY_AFTER_S = 1


class _ClientGone(Exception):
    """The client is gone."""


class SpeechResponse(Response):
    """Speaks `text` as `start` asks for, in chunks as they are made.

    An error before the first byte is answered by the translator's `refuse`; a later one is an event
    like others. A client that leaves has its rendering aborted; one that reads slowly slows only
    its own.
    """

    def __init__(
        self, services: Services, start: Start, text: str, translator: HttpTranslator
    ) -> None:
        self._services = services
        self._start = start
        self._text = text
        self._translator = translator
        self._last: Failed | None = None  # what ended the context before it was done
        self._outcome = "left"  # for the log, when it was not spoken to its end
        self._sounded = False  # audio was made
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request; returns when all is sent or the client is gone."""
        send_queue = SendQueue(self._services.settings.bidirectional_streaming.queue_size)
        try:
            context = self._open(send_queue, endpoint_of(scope))
        except DuplexError as error:
            self._services.metrics.count_error(error.code)
            await self._refuse(_failed(error), send)
            return
        self._services.metrics.context_opened()
        context.opened()
        try:
            with self._services.client_slots.take():
                await self._speak_to(context, send_queue, receive, send)
        finally:
            self._services.metrics.context_closed()

    async def _speak_to(
        self, context: Context, send_queue: SendQueue, receive: Receive, send: Send
    ) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                watch = tasks.create_task(self._watch(receive), name="watch")
                speech = tasks.create_task(self._speak(context, send_queue), name="context http")
                await self._answer(send_queue, send)
                watch.cancel()
                speech.cancel()
        except* _ClientGone:
            log.debug("http.left")
        finally:
            context.closed(self._outcome)

    def _open(self, send_queue: SendQueue, endpoint: str) -> Context:
        self._services.client_slots.check()
        if self._start.mode != "batch":
            self._services.tts.admit()
        services = self._services
        record = SessionRecord(endpoint, services.metrics, services.clock)
        context = Context(self._start, services, send_queue, record)
        context.push(self._text)
        self._services.tts.check_readable(self._text)
        context.end()
        return context

    async def _speak(self, context: Context, send_queue: SendQueue) -> None:
        try:
            await context.run()
        except DuplexError as error:
            self._services.metrics.count_error(error.code)
            self._last = _failed(error)
            send_queue.post(self._last)

    async def _answer(self, send_queue: SendQueue, send: Send) -> None:
        begun = False
        while True:
            event = await send_queue.get()
            if isinstance(event, Failed) and (event is self._last or not begun):
                self._outcome = event.code
            if isinstance(event, Failed) and not begun:
                await self._refuse(event, send)
                return
            body = b"".join(
                [self._translator.encode(each) for each in await self._with_silence(event)]
            )
            if isinstance(event, Failed) and not body:
                return
            if not begun and (body or isinstance(event, Done)):
                await self._begin(send)
                begun = True
            if body:
                await send({"type": "http.response.body", "body": body, "more_body": True})
            if isinstance(event, Done) or event is self._last:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return

    async def _with_silence(self, event: Event) -> tuple[Event, ...]:
        """The event; a moment of silence comes before the end of what had no sound."""
        if isinstance(event, Audio):
            self._sounded |= bool(event.data)
        if not isinstance(event, Done) or self._sounded:
            return (event,)
        if self._start.format in RAW_FORMATS and not self._translator.needs_sound:
            return (event,)
        target = parse_format(self._start.format, self._start.sample_rate, self._start.bit_rate)
        silence = await asyncio.to_thread(_silence, target)
        at_ms, ms = event.audio_ms, target.duration_ms(silence.samples)
        span = event.characters, event.characters
        audio = Audio(event.context, event.chunks, at_ms, ms, span, (), silence.data, "json")
        return audio, replace(event, audio_ms=at_ms + ms, chunks=event.chunks + 1)

    async def _begin(self, send: Send) -> None:
        voice = self._start.voice or self._services.tts.default_voice
        named = {"content-type": self._translator.media_type, "x-voice": voice}
        headers = {**named, **self._translator.headers}
        await _start(send, 200, headers)

    async def _refuse(self, failed: Failed, send: Send) -> None:
        refused = self._translator.refuse(failed)
        headers = {"content-type": "application/json", **refused.headers}
        if failed.code == Overloaded.code:
            headers.setdefault("retry-after", str(_RETRY_AFTER_S))
        await _start(send, refused.status, headers)
        await send({"type": "http.response.body", "body": refused.body.encode()})

    async def _watch(self, receive: Receive) -> Never:
        while (await receive())["type"] != "http.disconnect":
            pass
        raise _ClientGone


def _silence(target: AudioFormat) -> EncodedAudio:
    encoder = create_encoder(target.sample_rate_hz, target)
    first = encoder.encode(np.zeros(int(_SILENCE_S * target.sample_rate_hz), np.float32))
    rest = encoder.finish()
    return EncodedAudio(first.data + rest.data, first.samples + rest.samples)


class _TooLarge(Exception):
    """The body of a request exceeds what the server keeps."""


class BoundedBody:
    """ASGI middleware: a request whose body is too large is answered 413, not kept in memory."""

    def __init__(self, app: ASGIApp, limit_bytes: int, larger: Mapping[str, int]) -> None:
        """`larger`: by path, the limits of requests that may be larger."""
        self._app = app
        self._limit_bytes = limit_bytes
        self._larger = larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and count."""
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        limit_bytes = left_bytes = self._larger.get(path, self._limit_bytes)

        async def counted() -> Message:
            nonlocal left_bytes
            message = await receive()
            left_bytes -= len(message.get("body", b""))
            if left_bytes < 0:
                raise _TooLarge
            return message

        try:
            await self._app(scope, counted if scope["type"] == "http" else receive, send)
        except _TooLarge:
            message = f"this request may have {limit_bytes} bytes; send less, or in parts"
            error = {"message": message, "type": "invalid_request_error", "code": "body_limit"}
            await JSONResponse({"error": error}, 413)(scope, receive, send)


def refusal(refused: Refusal) -> Response:
    """An error's answer to a request that did not get as far as speech."""
    headers = {"content-type": "application/json", **refused.headers}
    return Response(refused.body, refused.status, headers)


def _failed(error: DuplexError) -> Failed:
    return Failed(None, error.code, error.message)


async def _start(send: Send, status: int, headers: Mapping[str, str]) -> None:
    encoded = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
