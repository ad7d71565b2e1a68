"""The Cartesia protocol: WebSocket contexts, and the same messages as server-sent events. Sans I/O.

A message is a request with a `context_id`: a `transcript` that is appended verbatim, `continue` if
more follows, `flush` to speak it now, or `cancel`. Replies are `chunk` (base64), `timestamps`
(words, cumulative seconds), `flush_done`, `done` and `error`, each with the context's id.

Clients (cartesia 4.2, livekit-plugins-cartesia 1.0 to 1.8, also for Node, pipecat-ai 1.14) rely on:
livekit waits for a context's `done` even after its error; Cartesia's Python SDK takes an error for
the end, and the `done` of an unknown context for the end of the current one, so it must get nothing
after a context's error, and no client anything after a cancel; pipecat cancels contexts that have
ended; both frameworks send whole sentences with `max_buffer_delay_ms` 0; livekit looks up each word
of the timestamps in the text it sent.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from backend.errors import DuplexError
from backend.events import (
    Audio,
    Cancel,
    Command,
    Done,
    End,
    Event,
    Failed,
    Flush,
    Flushed,
    Text,
)
from backend.protocols.alignment import Alignment, join_words
from backend.protocols.base import Message, Refusal
from backend.protocols.cartesia.request import (
    MARKUP,
    CartesiaHttpRequest,
    CartesiaSpeechRequest,
    build_refusal,
    error_fields,
)
from backend.protocols.context_ids import WireContext, WireContexts
from backend.protocols.json_fields import LenientModel, read_message
from backend.protocols.markup import MarkupFilter
from backend.protocols.voice_names import FindVoice

_PARTIAL, _COMPLETE = 206, 200


class ContextMessage(LenientModel):
    """The fields of every message."""

    context_id: str = Field(default="default", max_length=128)
    cancel: bool = False


class GenerationMessage(CartesiaSpeechRequest):
    """A message with text."""

    more: bool | None = Field(default=None, alias="continue")
    flush: bool | None = None
    max_buffer_delay_ms: int | None = None


@dataclass(slots=True)
class CartesiaContext(WireContext):
    """A context that encodes its audio and, on request, its word timestamps."""

    started: bool = False  # `Start` was sent to the core
    timestamps: bool = False
    flush_count: int = 0  # completed

    def encode_audio(self, event: Audio) -> Iterator[dict[str, Any]]:
        """Yield the messages for one audio event."""
        spoken = join_words(self.transcript.pop_spoken(event))
        if event.data:
            data = base64.b64encode(event.data).decode("ascii")
            # The time a chunk took is unknown here.
            yield self._partial_message("chunk", data=data, step_time=0.0)
        if self.timestamps and spoken:
            times = {
                "words": [word.text for word in spoken],
                "start": [round(word.start_ms / 1000, 3) for word in spoken],
                "end": [round(word.end_ms / 1000, 3) for word in spoken],
            }
            yield self._partial_message("timestamps", word_timestamps=times)

    def encode_flushed(self) -> dict[str, Any]:
        """The reply to a flush."""
        message = self._partial_message("flush_done", flush_done=True)
        self.flush_count += 1
        return message

    def encode_done(self) -> dict[str, Any]:
        """The last message of the context."""
        return {
            "type": "done",
            "context_id": self.name or None,
            "status_code": _COMPLETE,
            "done": True,
        }

    def _partial_message(self, kind: str, **fields: object) -> dict[str, Any]:
        return {
            "type": kind,
            "context_id": self.name or None,
            "status_code": _PARTIAL,
            "done": False,
            "flush_id": self.flush_count + 1,
            **fields,
        }


class CartesiaProtocol:
    """One connection's translator. See `base.WireProtocol`."""

    idle_timeout_s: float | None = None

    def __init__(self, find_voice: FindVoice, *, done_after_error: bool = True) -> None:
        """`done_after_error`: the client waits for `done` after an error."""
        self._find_voice = find_voice
        self._done_after_error = done_after_error
        self._contexts: WireContexts[CartesiaContext] = WireContexts(
            lambda id_, name: CartesiaContext(id_, name, MarkupFilter(MARKUP))
        )
        self._failed_ids: list[str] = []  # core ids to cancel: the client got an error

    # --- client to server -------------------------------------------------------------------------

    def decode(self, message: str | bytes) -> Sequence[Command]:
        """See `base.WireProtocol`."""
        envelope = read_message(ContextMessage, message)
        commands: list[Command] = []
        if envelope.cancel:
            for context in self._contexts.find_all(envelope.context_id):
                self._contexts.remove_context(context.id)
                commands.append(Cancel(context.id))
        else:
            commands += self._decode_generation(envelope.context_id, message)
        if self._failed_ids:  # last: the context may have ended, and an error stops the rest
            commands.append(Cancel(self._failed_ids.pop()))
        return commands

    def _decode_generation(self, name: str, message: str | bytes) -> Iterator[Command]:
        context = self._contexts.find_open(name)
        is_new = context is None
        context = context or self._contexts.open_context(name)
        try:
            request = read_message(GenerationMessage, message)
            if is_new:
                context.timestamps = bool(request.add_timestamps)
                yield request.build_start(context.id, self._find_voice)
                context.started = True
        except DuplexError as error:
            error.context = context.id
            raise
        text = context.markup.filter_text(request.transcript)
        if request.flush or not request.more:
            text += context.markup.flush_held()
        if text:
            context.append_sent(text)
            yield Text(context.id, text)
        if request.flush or (text.strip() and request.more and request.max_buffer_delay_ms == 0):
            yield Flush(context.id)
        if not request.more:
            self._contexts.close_context(name)
            yield End(context.id)

    # --- server to client -------------------------------------------------------------------------

    def encode(self, event: Event) -> Sequence[Message]:
        """See `base.WireProtocol`. Cancelled contexts have no more messages."""
        if isinstance(event, Failed):
            return self._encode_failed(event)
        if not isinstance(event, Audio | Flushed | Done):
            return ()
        context = self._contexts.find_by_id(event.context)
        if context is None:
            return ()
        match event:
            case Audio():
                return [_to_json(message) for message in context.encode_audio(event)]
            case Flushed():
                return (_to_json(context.encode_flushed()),)
            case Done():
                self._contexts.remove_context(context.id)
                return (_to_json(context.encode_done()),)

    def _encode_failed(self, event: Failed) -> Sequence[Message]:
        context = self._contexts.find_by_id(event.context)
        if context is None and event.context is not None:
            return ()
        if context is not None:
            self._contexts.remove_context(context.id)
            if context.started:
                self._failed_ids.append(context.id)
        error = _to_json(_error_message(event, context.name if context else None))
        if context is None or not self._done_after_error:
            return (error,)
        return error, _to_json(context.encode_done())

    def deny(self, error: DuplexError) -> Refusal | None:
        """The same status and body as over HTTP."""
        return build_refusal(Failed.from_error(error))


class CartesiaEvents:
    """The response body of `/tts/sse`. See `base.HttpTranslator`."""

    media_type = "text/event-stream"
    headers: Mapping[str, str] = {"cache-control": "no-store"}
    needs_sound = True

    def __init__(self, request: CartesiaHttpRequest) -> None:
        self._context = CartesiaContext(
            "", request.context_id or "", MarkupFilter(MARKUP), Alignment(request.reported_text)
        )
        self._context.timestamps = bool(request.add_timestamps)
        self.refuse = build_refusal

    def encode(self, event: Event) -> bytes:
        """The server-sent events for a core event."""
        match event:
            case Audio():
                messages = list(self._context.encode_audio(event))
            case Done():
                messages = [self._context.encode_done()]
            case Failed():
                messages = [_error_message(event, self._context.name)]
            case _:
                messages = []
        return "".join(f"event: {m['type']}\ndata: {_to_json(m)}\n\n" for m in messages).encode()


def _error_message(event: Failed, context_name: str | None) -> dict[str, Any]:
    """`done` is a separate message: if it were true here, livekit would ignore the error."""
    fields = error_fields(event)
    return {"type": "error", "context_id": context_name or None, "done": False, **fields}


def _to_json(message: dict[str, Any]) -> str:
    return json.dumps(message, ensure_ascii=False)
