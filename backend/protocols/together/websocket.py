"""Together's realtime speech: the WebSocket `/v1/audio/speech/websocket`.

Sources: docs.together.ai, "WebSocket API" (with "Multi-context support") and "Create realtime
text-to-speech"; together 3.1.1 has no client of it. That of pipecat-ai 1.14
(`services/together/tts.py`) and `togethercomputer/skills` rely on:

* `session.created` first. Without a `response_format` the deltas are raw 16-bit samples.
* pipecat commits each sentence, and takes `audio_output.done` for the end of the turn: of samples
  there is one once all that was committed is spoken, of files one each. A commit without new text
  gets none.
* `input_text_buffer.clear` drops the text that is not being spoken; commits are answered.
* `tts.failed` reports an error; the connection stays open.

Contexts are independent; only those that the client names are named in messages. Sans I/O.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

from pydantic import Field

from backend.errors import BadMessage, DuplexError, UnknownType
from backend.events import Audio, Command, Done, Event, Failed, Flushed, Ping, Pong, Ready
from backend.protocols import openai
from backend.protocols.base import Message, Refusal
from backend.protocols.json_fields import LenientModel, read_message
from backend.protocols.together.events import TogetherItem
from backend.protocols.together.request import SpeechParams
from backend.protocols.together.streams import CoreContext, Stream, StreamTable
from backend.protocols.voice_names import FindVoice

# Only some text was refused, or one sentence is lost.
_HARMLESS = {"text_limit", "timeout", "engine_failed"}


class _TogetherMessage(LenientModel):
    type: str
    text: str | None = None
    session: SpeechParams | None = None
    context_id: str | None = Field(default=None, max_length=128)


class TogetherProtocol:
    """One connection's translator. See `base.WireProtocol`.

    Replies that need no context travel as a `Ping` with the reply.
    """

    idle_timeout_s: float | None = None

    def __init__(self, params: SpeechParams, find_voice: FindVoice) -> None:
        """`params`: of the query."""
        self._find_voice = find_voice
        self._table = StreamTable(params, find_voice)
        self._items_begun = 0
        self._session_id, self._default_voice = "", ""

    # --- client to server -------------------------------------------------------------------------

    def decode(self, message: str | bytes) -> Sequence[Command]:
        """Raises `BinaryMessage`, `BadJson`, `BadMessage`, `BadFormat`, `UnknownType`."""
        commands = self._decode(read_message(_TogetherMessage, message))
        return *self._table.take_commands(), *commands

    def _decode(self, received: _TogetherMessage) -> Sequence[Command]:
        match received.type:
            case "input_text_buffer.append":
                return self._append_text(received)
            case "input_text_buffer.commit":
                return self._commit(self._table.find_stream(received.context_id))
            case "input_text_buffer.clear":
                return self._table.clear_stream(self._table.find_stream(received.context_id))
            case "context.cancel":
                return self._cancel(self._table.find_stream(received.context_id))
            case "tts_session.updated":
                return self._update_session(received)
        raise UnknownType(
            f"unknown type {received.type[:40]!r}; send input_text_buffer.append, "
            "input_text_buffer.commit, input_text_buffer.clear, tts_session.updated or "
            "context.cancel"
        )

    def _append_text(self, received: _TogetherMessage) -> Sequence[Command]:
        if received.text is None:
            raise BadMessage("input_text_buffer.append: text: expected a string")
        stream = self._table.find_stream(received.context_id)
        ended = () if stream.turns.context else self._table.end_idle()
        commands = stream.turns.push_text(received.text)
        self._table.note_commands(stream, commands)
        kind = "conversation.item.input_text.received"
        reply = {"type": kind, "text": received.text, **stream.fields}
        return *ended, Ping(_to_json(reply)), *commands

    def _commit(self, stream: Stream) -> Sequence[Command]:
        if not stream.turns.has_unflushed_text:
            return ()
        commands = stream.turns.flush()
        self._table.note_commands(stream, commands)
        return commands

    def _cancel(self, stream: Stream) -> Sequence[Command]:
        reply = {"type": "context.cancelled", "context_id": stream.name}
        return *self._table.cancel_stream(stream), Ping(_to_json(reply))

    def _update_session(self, received: _TogetherMessage) -> Sequence[Command]:
        """For the named context, else for all of them and those to come."""
        fields, table = received.session, self._table
        if fields is None:
            raise BadMessage("tts_session.updated: session: expected an object")
        changes = {name: getattr(fields, name) for name in fields.model_fields_set}
        commands = table.change_params(changes, received.context_id)
        name = received.context_id
        params = table.params if name is None else table.find_stream(name).params
        return *commands, Ping(_to_json(self._session_message("session.updated", params)))

    # --- server to client -------------------------------------------------------------------------

    def encode(self, event: Event) -> Sequence[Message]:
        """See `base.WireProtocol`. Cancelled contexts have no more messages."""
        match event:
            case Ready():
                self._session_id, self._default_voice = event.session, event.voice
                created = self._session_message("session.created", self._table.params)
                return (_to_json({"event_id": str(uuid4()), **created}),)
            case Pong(id=str(reply)):
                return (reply,)
            case Failed():
                return self._encode_failed(event)
            case Audio() | Flushed() | Done():
                context = self._table.find_context(event.context)
                return [] if context is None else list(map(_to_json, self._encode(event, context)))
        return ()

    def _encode(
        self, event: Audio | Flushed | Done, context: CoreContext
    ) -> Iterator[dict[str, Any]]:
        match event:
            case Audio() if event.data or event.duration_ms:
                item = self._open_item(context, event.start_ms)
                yield from item.encode_audio(
                    event, context.transcript, with_words=context.with_words
                )
            case Audio():
                context.transcript.pop_spoken(event)
            case Flushed():
                context.unanswered -= 1
                item = self._open_item(context, 0.0)
                if context.has_files or not context.unanswered:
                    yield item.encode_done()
                    context.item = None
            case Done():
                if context.item is not None:  # heard, and not committed
                    yield context.item.encode_done()
                self._table.forget_context(event.context)

    def _open_item(self, context: CoreContext, start_ms: float) -> TogetherItem:
        if context.item is None:
            self._items_begun += 1
            item_id = f"tts_{self._items_begun}"
            context.item = TogetherItem(item_id, start_ms, context.stream.fields)
        return context.item

    def _encode_failed(self, failed: Failed) -> Sequence[Message]:
        context = self._table.find_context(failed.context)
        if context is None and failed.context is not None:
            return ()
        fields: dict[str, str] = {}
        if context is not None and failed.context is not None:
            fields = context.stream.fields
            if failed.code not in _HARMLESS:
                self._table.forget_context(failed.context)
            elif failed.code == "text_limit" and context.stream.turns.context == failed.context:
                self._table.end_later(context.stream)
        error = openai.error_fields(failed)
        return (_to_json({"type": "conversation.item.tts.failed", **fields, **error}),)

    def deny(self, error: DuplexError) -> Refusal | None:
        """The same status and body as over HTTP."""
        return openai.build_refusal(Failed.from_error(error))

    def _session_message(self, kind: str, params: SpeechParams) -> dict[str, Any]:
        session = {
            "id": self._session_id,
            "object": "realtime.tts.session",
            "modalities": ["text", "audio"],
            "model": params.model,
            "voice": params.voice or self._default_voice,
        }
        return {"type": kind, "session": session}


def _to_json(message: dict[str, Any]) -> str:
    return json.dumps(message, ensure_ascii=False)
