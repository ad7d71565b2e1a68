"""The Cartesia protocol: WebSocket contexts, and the same messages as server-sent events. Sans I/O.

A message is a request with a `context_id`: a `transcript` that is joined verbatim to what came
before, `continue` when more follows, `flush` to have it spoken now, or `cancel`. Out come `chunk`
(base64), `timestamps` (words, cumulative seconds), `flush_done`, `done` and `error`, each with the
context's id.

What clients rely on (cartesia 4.2, livekit-plugins-cartesia 1.0 to 1.8, also for Node, pipecat-ai
1.14): livekit waits for the `done` of a context also behind its error; cartesia's SDK for Python
takes an error for the end, and the `done` of a context that it does not know for the end of the one
it reads, so for it nothing may follow an error of a context, and for nobody a cancel; pipecat
cancels contexts that are over already; both frameworks send whole sentences with
`max_buffer_delay_ms` 0; livekit looks up each word of the timestamps in what it sent.
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
    FileRequest,
    SpeechRequest,
    error_fields,
    refuse,
)
from backend.protocols.context_ids import WireContext, WireContexts
from backend.protocols.json_fields import LenientModel, read_message
from backend.protocols.markup import MarkupFilter
from backend.protocols.voice_names import FindVoice

_PARTIAL, _COMPLETE = 206, 200


class ContextMessage(LenientModel):
    """What every message has."""

    context_id: str = Field(default="default", max_length=128)
    cancel: bool = False


class Generation(SpeechRequest):
    """A message with text."""

    more: bool | None = Field(default=None, alias="continue")
    flush: bool | None = None
    max_buffer_delay_ms: int | None = None


@dataclass(slots=True)
class CartesiaContext(WireContext):
    """What is said of a context: its audio and when its words are heard, if they want to know."""

    started: bool = False  # in the core
    timestamps: bool = False
    flushes: int = 0  # that are done

    def audio(self, event: Audio) -> Iterator[dict[str, Any]]:
        """The messages of a piece of audio."""
        spoken = join_words(self.transcript.pop_spoken(event))
        if event.data:
            data = base64.b64encode(event.data).decode("ascii")
            # How long a chunk took is not known here.
            yield self._flushable("chunk", data=data, step_time=0.0)
        if self.timestamps and spoken:
            times = {
                "words": [word.text for word in spoken],
                "start": [round(word.start_ms / 1000, 3) for word in spoken],
                "end": [round(word.end_ms / 1000, 3) for word in spoken],
            }
            yield self._flushable("timestamps", word_timestamps=times)

    def flushed(self) -> dict[str, Any]:
        """The answer to a flush."""
        message = self._flushable("flush_done", flush_done=True)
        self.flushes += 1
        return message

    def done(self) -> dict[str, Any]:
        """The last message."""
        return {
            "type": "done",
            "context_id": self.name or None,
            "status_code": _COMPLETE,
            "done": True,
        }

    def _flushable(self, kind: str, **fields: object) -> dict[str, Any]:
        return {
            "type": kind,
            "context_id": self.name or None,
            "status_code": _PARTIAL,
            "done": False,
            "flush_id": self.flushes + 1,
            **fields,
        }


class CartesiaProtocol:
    """One connection's translator. See `base.WireProtocol`."""

    idle_timeout_s: float | None = None

    def __init__(self, find_voice: FindVoice, *, done_after_error: bool = True) -> None:
        """`done_after_error`: the client waits for it."""
        self._find_voice = find_voice
        self._done_after_error = done_after_error
        self._contexts: WireContexts[CartesiaContext] = WireContexts(
            lambda id_, name: CartesiaContext(id_, name, MarkupFilter(MARKUP))
        )
        self._given_up: list[str] = []  # the client was told an error: nobody listens any more

    # --- in ---------------------------------------------------------------------------------------

    def decode(self, message: str | bytes) -> Sequence[Command]:
        """See `base.WireProtocol`."""
        named = read_message(ContextMessage, message)
        commands: list[Command] = []
        if named.cancel:
            for context in self._contexts.find_all(named.context_id):
                self._contexts.remove_context(context.id)
                commands.append(Cancel(context.id))
        else:
            commands += self._generation(named.context_id, message)
        if self._given_up:  # last: it may be over already, and an error stops what follows
            commands.append(Cancel(self._given_up.pop()))
        return commands

    def _generation(self, name: str, message: str | bytes) -> Iterator[Command]:
        context = self._contexts.find_open(name)
        new = context is None
        context = context or self._contexts.open_context(name)
        try:
            asked = read_message(Generation, message)
            if new:
                context.timestamps = bool(asked.add_timestamps)
                yield asked.start(context.id, self._find_voice)
                context.started = True
        except DuplexError as error:
            error.context = context.id
            raise
        text = context.markup.filter_text(asked.transcript)
        if asked.flush or not asked.more:
            text += context.markup.flush_held()
        if text:
            context.transcript.append_text(text)
            yield Text(context.id, text)
        if asked.flush or (text.strip() and asked.more and asked.max_buffer_delay_ms == 0):
            yield Flush(context.id)
        if not asked.more:
            self._contexts.close_context(name)
            yield End(context.id)

    # --- out --------------------------------------------------------------------------------------

    def encode(self, event: Event) -> Sequence[Message]:
        """See `base.WireProtocol`. Nothing is told of contexts that were cancelled."""
        if isinstance(event, Failed):
            return self._failed(event)
        if not isinstance(event, Audio | Flushed | Done):
            return ()
        context = self._contexts.find_by_id(event.context)
        if context is None:
            return ()
        match event:
            case Audio():
                return [_json(message) for message in context.audio(event)]
            case Flushed():
                return (_json(context.flushed()),)
            case Done():
                self._contexts.remove_context(context.id)
                return (_json(context.done()),)

    def _failed(self, event: Failed) -> Sequence[Message]:
        context = self._contexts.find_by_id(event.context)
        if context is None and event.context is not None:
            return ()
        if context is not None:
            self._contexts.remove_context(context.id)
            if context.started:
                self._given_up.append(context.id)
        error = _json(_error(event, context.name if context else None))
        if context is None or not self._done_after_error:
            return (error,)
        return error, _json(context.done())

    def deny(self, error: DuplexError) -> Refusal | None:
        """The status and body that HTTP would answer."""
        return refuse(Failed(None, error.code, error.message))


class CartesiaEvents:
    """The answer of `/tts/sse`. See `base.HttpTranslator`."""

    media_type = "text/event-stream"
    headers: Mapping[str, str] = {"cache-control": "no-store"}
    needs_sound = True

    def __init__(self, asked: FileRequest) -> None:
        self._context = CartesiaContext(
            "", asked.context_id or "", MarkupFilter(MARKUP), Alignment(asked.text)
        )
        self._context.timestamps = bool(asked.add_timestamps)
        self.refuse = refuse

    def encode(self, event: Event) -> bytes:
        """The events of an event."""
        match event:
            case Audio():
                messages = list(self._context.audio(event))
            case Done():
                messages = [self._context.done()]
            case Failed():
                messages = [_error(event, self._context.name)]
            case _:
                messages = []
        return "".join(f"event: {m['type']}\ndata: {_json(m)}\n\n" for m in messages).encode()


def _error(event: Failed, context_name: str | None) -> dict[str, Any]:
    """`done` comes in a message of its own: in this one livekit would not look for the error."""
    fields = error_fields(event)
    return {"type": "error", "context_id": context_name or None, "done": False, **fields}


def _json(message: dict[str, Any]) -> str:
    return json.dumps(message, ensure_ascii=False)
