"""Deepgram's text to speech, version 1: the WebSocket and the POST of `/v1/speak`.

What their clients (deepgram-sdk 7, the plugins of livekit-agents and pipecat) rely on:

* The query has model, encoding, sample_rate, speed. In: `Speak`, `Flush`, `Clear`, `Close`.
* Out: `Metadata` first; the samples as binary messages, without any container.
* One `Flushed` for each `Flush`, behind the last sample of what came before it. livekit reuses the
  connection after it, pipecat ends a turn with it: one that was not asked for ends the wrong turn.
* `Cleared` answers `Clear`; no sample and no `Flushed` of what was said before follows.
* A handshake that is refused says why in the header `dg-error`.

Text joins as it is sent, but a `Flush` ends the sentence. Sans I/O.
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
from backend.protocols.markup import PRONUNCIATIONS, MarkupFilter

_REFUSALS = {  # code: status, theirs
    "invalid_api_key": (401, "INVALID_AUTH"),
    "unknown_url": (404, "NOT_FOUND"),
    "text_limit": (413, "PAYLOAD_TOO_LARGE"),
    "overloaded": (429, "TOO_MANY_REQUESTS"),
    "engine_failed": (500, "INTERNAL_SERVER_ERROR"),
    "internal": (500, "INTERNAL_SERVER_ERROR"),
    "engine_dead": (503, "SERVICE_UNAVAILABLE"),
    "timeout": (503, "SERVICE_UNAVAILABLE"),
    "voice_unavailable": (503, "SERVICE_UNAVAILABLE"),
}
# One message was not taken; everything else goes on.
_WARNINGS = {
    *(error.code for error in (BadJson, BadMessage, BinaryMessage, UnknownType)),
    "text_limit",
}
_PASSING = {"timeout", "engine_failed"}  # one sentence is lost, the context goes on


class _Said(LenientModel):
    type: str
    text: str | None = None


class DeepgramProtocol:
    """One connection of the WebSocket. See `base.WireProtocol`.

    A context lasts from the first `Speak` to `Clear` or `Close`, over any number of `Flush`: so the
    turns are spoken in order. What needs no context is answered by a `Ping` with the answer's name.
    """

    idle_timeout_s: float | None = None

    def __init__(self, speech: SpeakRequest) -> None:
        self._speech = speech
        self._contexts = 0
        self._context: str | None = None  # the open one
        self._unflushed = False  # there is text behind the last flush
        self._markup = MarkupFilter(PRONUNCIATIONS)
        self._closing = False
        self._sequence = 0  # of `Flushed` and `Cleared`

    def decode(self, message: str | bytes) -> Sequence[Command]:
        """Raises `BinaryMessage`, `BadJson`, `UnknownType`, `BadMessage`."""
        said = read_message(_Said, message)
        if self._closing:
            return ()
        match said.type:
            case "Speak":
                return self._speak(said.text)
            case "Flush":
                return self._flush()
            case "Clear":
                return self._clear()
            case "Close":
                return self._close()
        raise UnknownType(f"type {said.type[:40]!r}; send Speak, Flush, Clear or Close")

    def _speak(self, text: str | None) -> Sequence[Command]:
        if text is None:
            raise BadMessage('Speak: expected a text, as in {"type": "Speak", "text": "Hello."}')
        return self._text(self._markup.filter_text(text))

    def _text(self, text: str) -> Sequence[Command]:
        if not text:
            return ()
        new_turn, self._unflushed = not self._unflushed, True
        if self._context is not None:
            said = Text(self._context, text)
            # Whoever speaks anew may have interrupted what was sent: let nothing wait for its end.
            return (Played(self._context, math.inf), said) if new_turn else (said,)
        self._contexts += 1
        self._context = str(self._contexts)
        start = replace(self._speech.start, context=self._context)
        return start, Text(self._context, text)

    def _flush(self) -> Sequence[Command]:
        rest = self._text(self._markup.flush_held())
        if self._context is None:
            return (Ping("Flushed"),)
        # A line's end makes a sentence of what ends without a full stop.
        ends = (Text(self._context, "\n"),) if self._unflushed else ()
        self._unflushed = False
        return *rest, *ends, Flush(self._context)

    def _clear(self) -> Sequence[Command]:
        context, self._context, self._unflushed = self._context, None, False
        self._markup.flush_held()
        # The answer first: it is owed also when the context has ended meanwhile.
        return (Ping("Cleared"),) if context is None else (Ping("Cleared"), Cancel(context))

    def _close(self) -> Sequence[Command]:
        self._closing = True
        rest = self._text(self._markup.flush_held())
        return (Ping("Close"),) if self._context is None else (*rest, End(self._context))

    def encode(self, event: Event) -> Sequence[Message]:
        """The messages for an event; nothing of a context that was cleared."""
        match event:
            case Ready():
                return (self._metadata(event),)
            case Audio(context=context, data=data) if context == self._context and data:
                return (data,)
            case Flushed(context=context) if context == self._context:
                return (self._answer("Flushed"),)
            case Pong(id="Close"):
                return (Close(),)
            case Pong(id=str(name)):
                return (self._answer(name),)
            case Done(context=context) if context == self._context:
                return (Close(),)
            case Failed(context=context) if context in (None, self._context):
                return self._failed(event)
        return ()

    def _metadata(self, ready: Ready) -> str:
        model = self._speech.model
        return _json(
            type="Metadata",
            request_id=ready.session,
            model_name=model,
            model_version="1",
            model_uuid=_model_uuid(model),
        )

    def _answer(self, name: str) -> str:
        sequence, self._sequence = self._sequence, self._sequence + 1
        return _json(type=name, sequence_id=sequence)

    def _failed(self, failed: Failed) -> Sequence[Message]:
        """A warning where only the message is lost. Who can say nothing more is hung up on, as
        Deepgram does it: its clients connect again.
        """
        if failed.code in _WARNINGS:
            return (_said("Warning", failed.code, failed.message, "warn"),)
        error = _said("Error", failed.code, failed.message, "err")
        lost = failed.context is not None and failed.code not in _PASSING
        return (error, Close(CLOSE_POLICY, failed.code)) if lost else (error,)

    def deny(self, error: DuplexError) -> Refusal:
        """An HTTP answer, with `dg-error` for who cannot read the body of a refused handshake."""
        return refusal(error.code, error.message)


class DeepgramBody(AudioBody):
    """The answer to a POST, with their headers."""

    def __init__(self, speech: SpeakRequest, media_type: str, characters: int) -> None:
        super().__init__(media_type, lambda failed: refusal(failed.code, failed.message))
        self.headers = {
            **self.headers,
            "dg-request-id": str(uuid4()),
            "dg-model-name": speech.model,
            "dg-model-uuid": _model_uuid(speech.model),
            "dg-char-count": str(characters),
        }


def refusal(code: str, message: str) -> Refusal:
    """An error in their form, for a request or a handshake."""
    status, theirs = _REFUSALS.get(code, (400, "Bad Request"))
    one_line = " ".join(message.split()).encode("ascii", "replace").decode()
    return Refusal(
        status,
        _json(err_code=theirs, err_msg=message, request_id=str(uuid4())),
        {"dg-error": one_line},
    )


def _model_uuid(model: str) -> str:
    """Made up, but the same for a model every time."""
    return str(uuid5(NAMESPACE_URL, model))


def _said(kind: str, code: str, message: str, prefix: str) -> str:
    # `description` is read by deepgram-sdk, the prefixed names by livekit and older clients.
    return _json(
        type=kind,
        description=message,
        code=code,
        **{f"{prefix}_code": code, f"{prefix}_msg": message},
    )


def _json(**fields: Any) -> str:
    return json.dumps(fields, ensure_ascii=False)
