"""Mistral's realtime speech: the WebSocket `/v1/audio/speech/realtime`.

Sources: docs.mistral.ai, "Speak in realtime"; mistralai 3.7.0 (`extra/realtime/speech.py`, the
models `RealtimeSpeech*`, and `extra/tests/test_realtime_speech.py`), whose client relies on:

* `session.created` first, with all settings; `session.updated` answers `session.update`.
* An unknown voice closes the connection with 1008 and the reason, without an `error` event; other
  rejected messages get one.
* `input_text.flush`, with or without more text, ends a generation: one `speech.audio.done` each,
  after the last of its audio, which is a whole file if the format is one. pcm is 32-bit float.
* After `input_text.end` and the rest of the audio the connection is closed: the client reads
  until then.

Texts are joined verbatim. Sans I/O.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from backend.errors import BadMessage, DuplexError, UnknownType, Unsupported
from backend.events import (
    Audio,
    Command,
    Done,
    Event,
    Failed,
    Flushed,
    Ping,
    Pong,
    Ready,
    Start,
)
from backend.protocols.base import CLOSE_POLICY, Close, Message, Refusal
from backend.protocols.json_fields import LenientModel, read_message
from backend.protocols.mistral.errors import build_refusal, error_message
from backend.protocols.mistral.usage import Usage
from backend.protocols.turns import TurnStream
from backend.protocols.voice_names import FindVoice

DEFAULT_MODEL = "voxtral-mini-tts-latest"
OutputFormat = Literal["pcm", "wav", "mp3", "flac", "opus"]
RATE_HZ = 24000

_CLOSE = "close"  # the id of a ping
_MAX_REASON_BYTES = 123  # of a close frame
_VOICE_CODES = {"unknown_voice", "voice_unavailable"}
_HARMLESS = {"text_limit", "timeout", "engine_failed"}  # only some text or a sentence is lost


class _SessionFields(LenientModel):
    """What `session.update` changes. `streaming_mode` and `expressiveness` are only reported."""

    voice: str | None = None
    ref_audio: str | None = None
    voice_profile: Any = None
    streaming_mode: Literal["responsive", "long_form"] = "responsive"
    response_format: OutputFormat = "wav"
    expressiveness: float = Field(default=1.0, ge=1.0)


class _MistralMessage(LenientModel):
    type: str
    text: str | None = None
    session: _SessionFields | None = None


def build_start(voice: str | None, response_format: OutputFormat, find_voice: FindVoice) -> Start:
    """The parameters of a context: a voice name of either side, and Mistral's format."""
    return Start(
        "",
        voice=None if voice is None else find_voice(voice),
        format="pcm_f32le" if response_format == "pcm" else response_format,
        sample_rate=RATE_HZ,
        mode="stream",
    )


class MistralProtocol:
    """One connection's translator. See `base.WireProtocol`.

    Replies that need no context travel as a `Ping` with the reply.
    """

    idle_timeout_s: float | None = None

    def __init__(self, model: str, find_voice: FindVoice) -> None:
        self._model = model
        self._find_voice = find_voice
        self._fields = _SessionFields()
        self._contexts = 0
        self._turns = TurnStream(self._build_start(), self._create_id)
        self._session_id, self._default_voice = "", ""
        self._usage = Usage()
        self._ending: str | None = None  # the last context, after `input_text.end`
        self._is_ended = False
        self._has_last_turn = False  # the text before `input_text.end` was not flushed

    # --- client to server -------------------------------------------------------------------------

    def decode(self, message: str | bytes) -> Sequence[Command]:
        """Raises `BinaryMessage`, `BadJson`, `BadMessage`, `UnknownType`, `Unsupported`."""
        received = read_message(_MistralMessage, message)
        if self._is_ended:
            return ()
        match received.type:
            case "session.update":
                return self._update_session(received.session)
            case "input_text.append":
                if received.text is None:
                    raise BadMessage("input_text.append: text: expected a string")
                return self._turns.push_text(received.text)
            case "input_text.flush":
                return *self._turns.push_text(received.text or ""), *self._turns.flush()
            case "input_text.end":
                return self._end()
        raise UnknownType(
            f"unknown type {received.type[:40]!r}; send session.update, input_text.append, "
            "input_text.flush or input_text.end"
        )

    def _update_session(self, fields: _SessionFields | None) -> Sequence[Command]:
        """The new context opens at once, so that a voice is refused before any text."""
        if fields is None:
            raise BadMessage("session.update: session: expected an object")
        if fields.ref_audio or fields.voice_profile:
            raise Unsupported(
                "ref_audio and voice_profile are not supported here; add the voice with "
                "POST /v1/voices, then name it as voice"
            )
        changed = fields.model_dump(include=fields.model_fields_set)
        self._fields = self._fields.model_copy(update=changed)
        closed = self._turns.change_parameters(self._build_start())
        reply = json.dumps(self._session_message("session.updated"))
        return *closed, *self._turns.open(), Ping(reply)

    def _end(self) -> Sequence[Command]:
        self._is_ended = True
        self._has_last_turn = self._turns.has_unflushed_text
        self._ending = self._turns.context
        return self._turns.close() or (Ping(_CLOSE),)

    def _build_start(self) -> Start:
        return build_start(self._fields.voice, self._fields.response_format, self._find_voice)

    def _create_id(self) -> str:
        self._contexts += 1
        return str(self._contexts)

    # --- server to client -------------------------------------------------------------------------

    def encode(self, event: Event) -> Sequence[Message]:
        """See `base.WireProtocol`."""
        match event:
            case Ready():
                self._session_id, self._default_voice = event.session, event.voice
                return (json.dumps(self._session_message("session.created")),)
            case Audio():
                self._usage.add_audio(event)
                return (json.dumps(delta_message(event)),) if event.data else ()
            case Flushed():
                return (self._finish_generation(),)
            case Done(context=context) if context == self._ending:
                is_open = self._has_last_turn or self._usage.characters
                last = (self._finish_generation(),) if is_open else ()
                return *last, Close()
            case Pong(id=str(reply)):
                return (Close(),) if reply == _CLOSE else (reply,)
            case Failed():
                return self._encode_failed(event)
        return ()

    def _finish_generation(self) -> str:
        usage, self._usage = self._usage, Usage()
        return json.dumps(done_message(usage))

    def _encode_failed(self, failed: Failed) -> Sequence[Message]:
        """After the loss of a context the connection is closed: later text has no place."""
        if failed.code in _VOICE_CODES:
            return (Close(CLOSE_POLICY, shorten_reason(failed.message)),)
        error = json.dumps(error_message(failed))
        is_fatal = failed.context is not None and failed.code not in _HARMLESS
        return (error, Close(CLOSE_POLICY, failed.code)) if is_fatal else (error,)

    def deny(self, error: DuplexError) -> Refusal | None:
        """The same status and body as over HTTP."""
        return build_refusal(Failed.from_error(error))

    def _session_message(self, kind: str) -> dict[str, Any]:
        """All settings; `voice` is that of this server which speaks."""
        fields = self._fields
        session = {
            "request_id": self._session_id,
            "model": self._model,
            "voice": self._build_start().voice or self._default_voice or None,
            "is_ref_audio": False,
            "is_voice_profile": False,
            "streaming_mode": fields.streaming_mode,
            "response_format": fields.response_format,
            "expressiveness": fields.expressiveness,
        }
        return {"type": kind, "session": session}


def delta_message(audio: Audio) -> dict[str, Any]:
    """A piece of audio, over WebSocket and in a streamed response."""
    data = base64.b64encode(audio.data).decode("ascii")
    return {"type": "speech.audio.delta", "audio_data": data}


def done_message(usage: Usage) -> dict[str, Any]:
    """The end of a generation."""
    return {"type": "speech.audio.done", "usage": usage.describe()}


def shorten_reason(message: str) -> str:
    """As much of a message as a close frame takes."""
    return message.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
