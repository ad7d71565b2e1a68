"""Speech over HTTP: streams the audio of one text while it is rendered."""

from __future__ import annotations

import asyncio
import math
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
from backend.errors import DuplexError
from backend.events import Audio, Done, Event, Failed, Start
from backend.protocols.base import HttpTranslator, Refusal
from backend.sessions.context import Context
from backend.sessions.context_record import SessionRecord, endpoint_of
from backend.sessions.send_queue import SendQueue
from backend.sessions.services import Services

log = structlog.get_logger(__name__)

_SILENCE_S = 0.1  # sent for a text without sound, so that no file is empty


class _ClientGone(Exception):
    """The client disconnected."""


class SpeechResponse(Response):
    """Speaks `text` with the parameters of `start`, streaming chunks as rendered.

    An error before the first byte is answered by the translator's `refuse`; a later one is sent as
    an event. A disconnect aborts the rendering; a slow reader slows only its own.
    """

    def __init__(
        self, services: Services, start: Start, text: str, translator: HttpTranslator
    ) -> None:
        self._services = services
        self._start = start
        self._text = text
        self._translator = translator
        self._final_error: Failed | None = None  # that ended the context early
        self._outcome = "left"  # for the log, if not spoken to its end
        self._has_sound = False  # audio was sent
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request; returns when all is sent or the client disconnected."""
        send_queue = SendQueue(self._services.settings.bidirectional_streaming.queue_size)
        try:
            context = self._open_context(send_queue, endpoint_of(scope))
        except DuplexError as error:
            self._services.metrics.count_error(error.code)
            await self._send_refusal(_to_failed_event(error), send)
            return
        self._services.metrics.context_opened()
        context.open_record()
        try:
            with self._services.client_slots.take_slot():
                await self._run_tasks(context, send_queue, receive, send)
        finally:
            self._services.metrics.context_closed()

    async def _run_tasks(
        self, context: Context, send_queue: SendQueue, receive: Receive, send: Send
    ) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                watch = tasks.create_task(self._watch_disconnect(receive), name="watch")
                speech = tasks.create_task(
                    self._run_context(context, send_queue), name="context http"
                )
                await self._send_events(send_queue, send)
                watch.cancel()
                speech.cancel()
        except* _ClientGone:
            log.debug("http.left")
        finally:
            context.close_record(self._outcome)

    def _open_context(self, send_queue: SendQueue, endpoint: str) -> Context:
        self._services.client_slots.check_free()
        if self._start.mode != "batch":
            self._services.tts.check_capacity(self._start)
        services = self._services
        record = SessionRecord(endpoint, services.metrics, services.clock)
        context = Context(self._start, services, send_queue, record)
        context.push_text(self._text)
        self._services.tts.check_readable(self._text, self._start)
        context.end_text()
        return context

    async def _run_context(self, context: Context, send_queue: SendQueue) -> None:
        try:
            await context.run()
        except DuplexError as error:
            self._services.metrics.count_error(error.code)
            self._final_error = _to_failed_event(error)
            send_queue.put_nowait(self._final_error)

    async def _send_events(self, send_queue: SendQueue, send: Send) -> None:
        is_started = False
        while True:
            event = await send_queue.get()
            if isinstance(event, Failed) and (event is self._final_error or not is_started):
                self._outcome = event.code
            if isinstance(event, Failed) and not is_started:
                await self._send_refusal(event, send)
                return
            body = b"".join(
                [self._translator.encode(part) for part in await self._ensure_sound(event)]
            )
            if isinstance(event, Failed) and not body:
                return
            if not is_started and (body or isinstance(event, Done)):
                await self._send_headers(send)
                is_started = True
            if body:
                await send({"type": "http.response.body", "body": body, "more_body": True})
            if isinstance(event, Done) or event is self._final_error:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return

    async def _ensure_sound(self, event: Event) -> tuple[Event, ...]:
        """The event; before `Done` of a context without sound, also some silence."""
        if isinstance(event, Audio):
            self._has_sound |= bool(event.data)
        if not isinstance(event, Done) or self._has_sound:
            return (event,)
        if self._start.format in RAW_FORMATS and not self._translator.needs_sound:
            return (event,)
        target = parse_format(self._start.format, self._start.sample_rate, self._start.bit_rate)
        silence = await asyncio.to_thread(_encode_silence, target)
        at_ms, ms = event.audio_ms, target.duration_ms(silence.samples)
        span = event.characters, event.characters
        audio = Audio(event.context, event.chunks, at_ms, ms, span, (), silence.data, "json")
        return audio, replace(event, audio_ms=at_ms + ms, chunks=event.chunks + 1)

    async def _send_headers(self, send: Send) -> None:
        voice = self._services.tts.choose_voice(self._start).voice.name
        named = {"content-type": self._translator.media_type, "x-voice": voice}
        headers = {**named, **self._translator.headers}
        await _send_start(send, 200, headers)

    async def _send_refusal(self, failed: Failed, send: Send) -> None:
        refused = self._translator.refuse(failed)
        headers = {"content-type": "application/json", **refused.headers}
        if failed.retry_after_ms is not None:
            headers["retry-after"] = str(math.ceil(failed.retry_after_ms / 1000))
        await _send_start(send, refused.status, headers)
        await send({"type": "http.response.body", "body": refused.body.encode()})

    async def _watch_disconnect(self, receive: Receive) -> Never:
        while (await receive())["type"] != "http.disconnect":
            pass
        raise _ClientGone


def _encode_silence(target: AudioFormat) -> EncodedAudio:
    encoder = create_encoder(target.sample_rate_hz, target)
    first = encoder.encode(np.zeros(int(_SILENCE_S * target.sample_rate_hz), np.float32))
    rest = encoder.finish()
    return EncodedAudio(first.data + rest.data, first.samples + rest.samples)


class _BodyTooLarge(Exception):
    """A request's body exceeds its limit."""


class BodyLimitMiddleware:
    """ASGI middleware: answers 413 to a body beyond its limit, without buffering it."""

    def __init__(self, app: ASGIApp, limit_bytes: int, larger: Mapping[str, int]) -> None:
        """`larger`: by path, higher limits."""
        self._app = app
        self._limit_bytes = limit_bytes
        self._larger = larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application, counting the body's bytes."""
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        limit_bytes = left_bytes = self._larger.get(path, self._limit_bytes)

        async def receive_counted() -> Message:
            nonlocal left_bytes
            message = await receive()
            left_bytes -= len(message.get("body", b""))
            if left_bytes < 0:
                raise _BodyTooLarge
            return message

        try:
            await self._app(scope, receive_counted if scope["type"] == "http" else receive, send)
        except _BodyTooLarge:
            message = f"this request may have {limit_bytes} bytes; send less, or in parts"
            error = {"message": message, "type": "invalid_request_error", "code": "body_limit"}
            await JSONResponse({"error": error}, 413)(scope, receive, send)


def create_refusal_response(refusal: Refusal) -> Response:
    """Create the response of a request refused before speech."""
    headers = {"content-type": "application/json", **refusal.headers}
    return Response(refusal.body, refusal.status, headers)


def _to_failed_event(error: DuplexError) -> Failed:
    return Failed.from_error(error)


async def _send_start(send: Send, status: int, headers: Mapping[str, str]) -> None:
    encoded = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
