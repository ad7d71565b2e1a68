"""OpenAI's speech API: the body of `POST /v1/audio/speech`, its answers and its errors. Plain.

What their clients (openai 3, the plugins of livekit-agents and pipecat) rely on:

* `stream_format` "audio" answers with the bytes of `response_format`; "sse" with events, of which
  `speech.audio.done` is the last.
* Errors are `{"error": {"message", "type", "param", "code"}}`, and their status decides whether the
  client tries again (429 and 500 up).
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from backend.events import Audio, Done, Event, Failed, Start, Voice
from backend.protocols.base import Refusal
from backend.protocols.json_fields import LenientModel, read_json
from backend.protocols.voice_names import OPENAI_VOICES, find_voice

MAX_CHARACTERS = 4096
MODELS = ("gpt-4o-mini-tts", "tts-1", "tts-1-hd")

_FORMATS = {"pcm": "pcm_s16le"}  # the others have our names
_RATE_HZ = 24000
_CHARACTERS_A_TOKEN, _MS_A_TOKEN = 4, 50  # usage is an estimate: there are no tokens here
_STATUS = {
    "invalid_api_key": 401,
    "model_not_found": 404,
    "unknown_url": 404,
    "engine_dead": 503,
    "engine_failed": 500,
    "internal": 500,
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


class _VoiceId(LenientModel):
    id: str


class SpeechRequest(LenientModel):
    """The body of `POST /v1/audio/speech`. `instructions` are accepted and not followed;
    `volume_multiplier` is Kokoro's.
    """

    input: str = Field(min_length=1, max_length=MAX_CHARACTERS)
    model: str = MODELS[0]
    voice: str | _VoiceId | None = None
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] = "mp3"
    speed: float = Field(default=1.0, ge=0.25, le=4.0)
    stream_format: Literal["audio", "sse"] = "audio"
    volume_multiplier: float | None = None

    @property
    def voice_name(self) -> str | None:
        """The voice asked for; None: any."""
        return self.voice.id if isinstance(self.voice, _VoiceId) else self.voice


def decode_request(body: bytes) -> SpeechRequest:
    """Read the body of a request. Raises `BadJson`, `BadMessage`."""
    return read_json(SpeechRequest, body)


def start_for(asked: SpeechRequest, voice: str | None, speed: float) -> Start:
    """How the request is spoken: by the voice and at the speed that there are."""
    name = _FORMATS.get(asked.response_format, asked.response_format)
    volume = asked.volume_multiplier
    return Start("speech", voice, name, _RATE_HZ, speed, mode="stream", volume=volume)


def voice_named(name: str | None, voices: Sequence[Voice], default: str) -> str | None:
    """The server's voice for a name: see `find_voice`.

    One of theirs is never downloaded for it: a voice of the same name speaks once it is here.
    """
    if name is None:
        return None
    theirs = name.lower() in OPENAI_VOICES
    return find_voice(name, [v for v in voices if v.ready or not theirs], default)


def describe_voices(voices: Sequence[Voice], default: str) -> dict[str, Any]:
    """The answer to `GET /v1/audio/voices`: the server's voices, and who speaks for OpenAI's."""
    listed = [
        {
            "id": voice.name,
            "name": voice.name,
            "language": voice.language,
            "description": voice.description,
            "ready": voice.ready,
        }
        for voice in voices
    ]
    return {"voices": listed, "openai": {n: voice_named(n, voices, default) for n in OPENAI_VOICES}}


def describe_models(engine: str) -> dict[str, Any]:
    """The answer to `GET /v1/models`. All of them are the engine."""
    return {"object": "list", "data": [describe_model(name) for name in (engine, *MODELS)]}


def describe_model(name: str) -> dict[str, Any]:
    """What is told of a model."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "duplex-tts"}


class SpeechEvents:
    """The answer with `stream_format` "sse". See `base.HttpTranslator`."""

    media_type = "text/event-stream"
    needs_sound = True

    def __init__(self, headers: Mapping[str, str]) -> None:
        """`headers`: of the answer."""
        self.headers = headers

    def encode(self, event: Event) -> bytes:
        """An event of theirs; also for a sentence that failed: their clients raise on it."""
        match event:
            case Audio(data=data) if data:
                audio = base64.b64encode(data).decode("ascii")
                return _event({"type": "speech.audio.delta", "audio": audio})
            case Done():
                return _event({"type": "speech.audio.done", "usage": _usage(event)})
            case Failed():
                return _event(_error(event))
        return b""

    def refuse(self, failed: Failed) -> Refusal:
        """See `refuse`."""
        return refuse(failed)


def refuse(failed: Failed) -> Refusal:
    """An error in their form."""
    status = _status(failed)
    return Refusal(status, json.dumps(_error(failed)), _RETRY if status == 503 else {})


def _status(failed: Failed) -> int:
    return _STATUS.get(failed.code, 400)


def _error(failed: Failed) -> dict[str, Any]:
    field = failed.message.partition(":")[0].partition(".")[0]
    return {
        "error": {
            "message": failed.message,
            "type": "invalid_request_error" if _status(failed) < 500 else "server_error",
            "param": field if field in SpeechRequest.model_fields else _PARAMS.get(failed.code),
            "code": failed.code,
        }
    }


def _usage(done: Done) -> dict[str, int]:
    spoken = math.ceil(done.characters / _CHARACTERS_A_TOKEN)
    heard = math.ceil(done.audio_ms / _MS_A_TOKEN)
    return {"input_tokens": spoken, "output_tokens": heard, "total_tokens": spoken + heard}


def _event(fields: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(fields)}\n\n".encode()
