"""Deepgram's text to speech, version 1: the WebSocket and the POST of `/v1/speak`.

Clients (deepgram-sdk 7, the plugins of livekit-agents and pipecat) rely on:

* The query has model, encoding, sample_rate, speed. In: `Speak`, `Flush`, `Clear`, `Close`.
* Out: `Metadata` first; then samples as binary messages, without a container.
* One `Flushed` per `Flush`, after the last sample of the text before it. livekit then reuses the
  connection, pipecat ends the turn: an unrequested `Flushed` would end the wrong turn.
* `Cleared` answers `Clear`; no samples and no `Flushed` of earlier text follow.
* A refused handshake gives the reason in the header `dg-error`.

Texts are joined verbatim, but a `Flush` ends the sentence. Sans I/O.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

from backend.errors import (
    BadJson,
    BadMessage,
    BinaryMessage,
    DuplexError,
    UnknownType,
)
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
    Ping,
    Played,
    Pong,
    Ready,
    Text,
)
from backend.protocols.audio_body import AudioBody
from backend.protocols.base import CLOSE_POLICY, Close, Message, Refusal
from backend.protocols.deepgram.query import SpeakRequest
from backend.protocols.json_fields import LenientModel, read_message
from backend.protocols.markup import PRONUNCIATIONS, MarkupFilter, to_phoneme_tag

_HTTP_ERRORS = {  # code: status, Deepgram's code
    "invalid_api_key": (401, "INVALID_AUTH"),
    "unknown_url": (404, "NOT_FOUND"),
    "text_limit": (413, "PAYLOAD_TOO_LARGE"),
    "key_limit": (429, "TOO_MANY_REQUESTS"),
    "overloaded": (429, "TOO_MANY_REQUESTS"),
    "engine_failed": (500, "INTERNAL_SERVER_ERROR"),
    "internal": (500, "INTERNAL_SERVER_ERROR"),
    "engine_dead": (503, "SERVICE_UNAVAILABLE"),
    "timeout": (503, "SERVICE_UNAVAILABLE"),
    "voice_unavailable": (503, "SERVICE_UNAVAILABLE"),
}
# Only one message was rejected.
_WARNINGS = {
    *(error.code for error in (BadJson, BadMessage, BinaryMessage, UnknownType)),
    "text_limit",
}
_TRANSIENT_CODES = {"timeout", "engine_failed"}  # only a sentence is lost


class _DeepgramMessage(LenientModel):
    type: str
    text: str | None = None


class DeepgramProtocol:
    """One connection of the WebSocket. See `base.WireProtocol`.

    A context lasts from the first `Speak` to `Clear` or `Close`, across `Flush`, to keep turns in
    order. Replies that need no context travel as a `Ping` with the reply's name.
    """

    idle_timeout_s: float | None = None

    def __init__(self, speech: SpeakRequest) -> None:
        self._speech = speech
        self._contexts = 0
        self._context: str | None = None  # the open one
        self._unflushed = False  # text followed the last flush
        self._markup = MarkupFilter(PRONUNCIATIONS, to_phoneme_tag)
        self._closing = False
        self._sequence = 0  # of `Flushed` and `Cleared`

    def decode(self, message: str | bytes) -> Sequence[Command]:
        """Raises `BinaryMessage`, `BadJson`, `UnknownType`, `BadMessage`."""
        received = read_message(_DeepgramMessage, message)
        if self._closing:
            return ()
        match received.type:
            case "Speak":
                return self._handle_speak(received.text)
            case "Flush":
                return self._handle_flush()
            case "Clear":
                return self._handle_clear()
            case "Close":
                return self._handle_close()
        raise UnknownType(f"unknown type {received.type[:40]!r}; send Speak, Flush, Clear or Close")

    def _handle_speak(self, text: str | None) -> Sequence[Command]:
        if text is None:
            raise BadMessage('Speak: expected a text, as in {"type": "Speak", "text": "Hello."}')
        return self._push_text(self._markup.filter_text(text))

    def _push_text(self, text: str) -> Sequence[Command]:
        if not text:
            return ()
        new_turn, self._unflushed = not self._unflushed, True
        if self._context is not None:
            command = Text(self._context, text)
            # A new turn may be an interruption: do not wait for the playback of sent audio.
            return (Played(self._context, math.inf), command) if new_turn else (command,)
        self._contexts += 1
        self._context = str(self._contexts)
        start = replace(self._speech.start, context=self._context)
        return start, Text(self._context, text)

    def _handle_flush(self) -> Sequence[Command]:
        rest = self._push_text(self._markup.flush_held())
        if self._context is None:
            return (Ping("Flushed"),)
        # A line break ends a sentence that has no full stop.
        ends = (Text(self._context, "\n"),) if self._unflushed else ()
        self._unflushed = False
        return *rest, *ends, Flush(self._context)

    def _handle_clear(self) -> Sequence[Command]:
        context, self._context, self._unflushed = self._context, None, False
        self._markup.flush_held()
        # The reply first: it is due even if the context has ended meanwhile.
        return (Ping("Cleared"),) if context is None else (Ping("Cleared"), Cancel(context))

    def _handle_close(self) -> Sequence[Command]:
        self._closing = True
        rest = self._push_text(self._markup.flush_held())
        return (Ping("Close"),) if self._context is None else (*rest, End(self._context))

    def encode(self, event: Event) -> Sequence[Message]:
        """The messages for an event; none for a cleared context."""
        match event:
            case Ready():
                return (self._metadata_message(event),)
            case Audio(context=context, data=data) if context == self._context and data:
                return (data,)
            case Flushed(context=context) if context == self._context:
                return (self._numbered_reply("Flushed"),)
            case Pong(id="Close"):
                return (Close(),)
            case Pong(id=str(name)):
                return (self._numbered_reply(name),)
            case Done(context=context) if context == self._context:
                return (Close(),)
            case Failed(context=context) if context in (None, self._context):
                return self._encode_failed(event)
        return ()

    def _metadata_message(self, ready: Ready) -> str:
        model = self._speech.model
        return _to_json(
            type="Metadata",
            request_id=ready.session,
            model_name=model,
            model_version="1",
            model_uuid=_model_uuid(model),
        )

    def _numbered_reply(self, name: str) -> str:
        sequence, self._sequence = self._sequence, self._sequence + 1
        return _to_json(type=name, sequence_id=sequence)

    def _encode_failed(self, failed: Failed) -> Sequence[Message]:
        """A warning if only the message is lost. If the context is lost the connection is closed,
        as Deepgram does: its clients reconnect.
        """
        if failed.code in _WARNINGS:
            return (_build_error("Warning", failed.code, failed.message, "warn"),)
        error = _build_error("Error", failed.code, failed.message, "err")
        is_fatal = failed.context is not None and failed.code not in _TRANSIENT_CODES
        return (error, Close(CLOSE_POLICY, failed.code)) if is_fatal else (error,)

    def deny(self, error: DuplexError) -> Refusal:
        """An HTTP error, with `dg-error` for clients that cannot read the handshake's body."""
        return build_refusal(error.code, error.message)


class DeepgramBody(AudioBody):
    """The response to a POST, with Deepgram's headers."""

    def __init__(self, speech: SpeakRequest, media_type: str, characters: int) -> None:
        super().__init__(media_type, lambda failed: build_refusal(failed.code, failed.message))
        self.headers = {
            **self.headers,
            "dg-request-id": str(uuid4()),
            "dg-model-name": speech.model,
            "dg-model-uuid": _model_uuid(speech.model),
            "dg-char-count": str(characters),
        }


def build_refusal(code: str, message: str) -> Refusal:
    """Build Deepgram's error response to a request or a handshake."""
    status, vendor_code = _HTTP_ERRORS.get(code, (400, "Bad Request"))
    header = " ".join(message.split()).encode("ascii", "replace").decode()
    return Refusal(
        status,
        _to_json(err_code=vendor_code, err_msg=message, request_id=str(uuid4())),
        {"dg-error": header},
    )


def _model_uuid(model: str) -> str:
    """Made up, but stable for each model."""
    return str(uuid5(NAMESPACE_URL, model))


def _build_error(kind: str, code: str, message: str, prefix: str) -> str:
    # `description` is read by deepgram-sdk, the prefixed names by livekit and older clients.
    return _to_json(
        type=kind,
        description=message,
        code=code,
        **{f"{prefix}_code": code, f"{prefix}_msg": message},
    )


def _to_json(**fields: Any) -> str:
    return json.dumps(fields, ensure_ascii=False)
