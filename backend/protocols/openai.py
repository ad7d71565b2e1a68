"""OpenAI's speech API: requests, responses and errors of `POST /v1/audio/speech`. Sans I/O.

Clients (openai 3, the plugins of livekit-agents and pipecat) rely on:

* `stream_format` "audio" returns the bytes of `response_format`; "sse" returns events, the last
  being `speech.audio.done`.
* Errors are `{"error": {"message", "type", "param", "code"}}`; clients retry on status 429 and
  500 up.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from backend.events import Audio, Done, Event, Failed, Start, Voice
from backend.language_names import speaks
from backend.protocols.base import Refusal
from backend.protocols.json_fields import LenientModel, read_json
from backend.protocols.voice_names import OPENAI_VOICES, find_voice

MAX_CHARACTERS = 4096
MODELS = ("gpt-4o-mini-tts", "tts-1", "tts-1-hd")

_FORMATS = {"pcm": "pcm_s16le"}  # the other names are the same
_RATE_HZ = 24000
_CHARACTERS_PER_TOKEN, _MS_PER_TOKEN = 4, 50  # estimates: no tokens are counted
_STATUS = {
    "invalid_api_key": 401,
    "model_not_found": 404,
    "unknown_url": 404,
    "engine_dead": 503,
    "engine_failed": 500,
    "internal": 500,
    "key_limit": 429,
    "overloaded": 503,
    "timeout": 503,
    "voice_unavailable": 503,
}
_PARAMS = {
    "unknown_voice": "voice",
    "unreadable_text": "input",
    "model_not_found": "model",
    "bad_format": "response_format",
}
_RETRY = {"retry-after": "1"}


class _VoiceObject(LenientModel):
    id: str


class OpenAISpeechRequest(LenientModel):
    """The body of `POST /v1/audio/speech`. `instructions` are accepted and ignored;
    `volume_multiplier` is a Kokoro field, `language` an addition of this server's.
    """

    input: str = Field(min_length=1, max_length=MAX_CHARACTERS)
    model: str = MODELS[0]
    voice: str | _VoiceObject | None = None
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] = "mp3"
    speed: float = Field(default=1.0, ge=0.25, le=4.0)
    stream_format: Literal["audio", "sse"] = "audio"
    volume_multiplier: float | None = None
    language: str | None = None

    @property
    def voice_name(self) -> str | None:
        """The requested voice; None: any."""
        return self.voice.id if isinstance(self.voice, _VoiceObject) else self.voice


def decode_request(body: bytes) -> OpenAISpeechRequest:
    """Parse the body of a request. Raises `BadJson`, `BadMessage`."""
    return read_json(OpenAISpeechRequest, body)


def build_start(request: OpenAISpeechRequest, voice: str | None, speed: float) -> Start:
    """Build the `Start` of a request from a resolved voice and a clamped speed."""
    name = _FORMATS.get(request.response_format, request.response_format)
    volume = request.volume_multiplier
    return Start(
        "speech",
        voice,
        name,
        _RATE_HZ,
        speed,
        language=request.language,
        mode="stream",
        volume=volume,
    )


def find_openai_voice(name: str | None, voices: Sequence[Voice], default: str) -> str | None:
    """The server's voice for a name: see `find_voice`.

    An OpenAI name never triggers a download: a voice of the same name is used once downloaded.
    """
    if name is None:
        return None
    is_openai = name.lower() in OPENAI_VOICES
    return find_voice(name, [v for v in voices if v.ready or not is_openai], default)


def describe_voices(voices: Sequence[Voice], default: str, language: str = "") -> dict[str, Any]:
    """The response to `GET /v1/audio/voices`: the server's voices and the map of OpenAI's.
    `language`: a tag or a name; only voices that speak it.
    """
    listed = [
        {
            "id": voice.name,
            "name": voice.name,
            "language": voice.language,
            "languages": [voice.language, *voice.other_languages],
            "engine": voice.engine,
            "description": voice.description,
            "ready": voice.ready,
        }
        for voice in voices
        if not language or speaks((voice.language, *voice.other_languages), language)
    ]
    return {
        "voices": listed,
        "openai": {n: find_openai_voice(n, voices, default) for n in OPENAI_VOICES},
    }


def describe_models(*engines: str) -> dict[str, Any]:
    """The response to `GET /v1/models`; the voice asked for names the engine, not the model."""
    return {"object": "list", "data": [describe_model(name) for name in (*engines, *MODELS)]}


def describe_model(name: str) -> dict[str, Any]:
    """Describe a model as OpenAI's API does."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "duplex-tts"}


class OpenAIEvents:
    """The response with `stream_format` "sse". See `base.HttpTranslator`."""

    media_type = "text/event-stream"
    needs_sound = True

    def __init__(self, headers: Mapping[str, str]) -> None:
        """`headers`: of the response."""
        self.headers = headers

    def encode(self, event: Event) -> bytes:
        """A server-sent event; also for a failed sentence: OpenAI's clients raise on it."""
        match event:
            case Audio(data=data) if data:
                audio = base64.b64encode(data).decode("ascii")
                return _encode_sse({"type": "speech.audio.delta", "audio": audio})
            case Done():
                return _encode_sse({"type": "speech.audio.done", "usage": _usage(event)})
            case Failed():
                return _encode_sse(error_fields(event))
        return b""

    def refuse(self, failed: Failed) -> Refusal:
        """See `build_refusal`."""
        return build_refusal(failed)


def build_refusal(failed: Failed) -> Refusal:
    """The error response in OpenAI's form."""
    status = _status(failed)
    return Refusal(status, json.dumps(error_fields(failed)), _RETRY if status == 503 else {})


def _status(failed: Failed) -> int:
    return _STATUS.get(failed.code, 400)


def error_fields(failed: Failed) -> dict[str, Any]:
    """The body of an error, also in the APIs that took it over."""
    field = failed.message.partition(":")[0].partition(".")[0]
    return {
        "error": {
            "message": failed.message,
            "type": "invalid_request_error" if _status(failed) < 500 else "server_error",
            "param": field
            if field in OpenAISpeechRequest.model_fields
            else _PARAMS.get(failed.code),
            "code": failed.code,
        }
    }


def _usage(done: Done) -> dict[str, int]:
    input_tokens = math.ceil(done.characters / _CHARACTERS_PER_TOKEN)
    output_tokens = math.ceil(done.audio_ms / _MS_PER_TOKEN)
    return {
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
    }


def _encode_sse(fields: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(fields)}\n\n".encode()
