"""What a request to Cartesia's API asks for; the same over WebSocket and HTTP. Sans I/O."""

from __future__ import annotations

import json
from typing import Any

from pydantic import Field

from backend.errors import BadFormat, BadMessage
from backend.events import Failed, Start
from backend.protocols.base import Refusal
from backend.protocols.json_fields import LenientModel
from backend.protocols.markup import strip_markup, tag_markup
from backend.protocols.voice_names import FindVoice

MARKUP = tag_markup("spell", "break", "emotion", "speed", "volume")

_SPEEDS = {"slowest": 0.6, "slow": 0.8, "normal": 1.0, "fast": 1.2, "fastest": 1.5}
_ENCODINGS = {
    "pcm_s16le": ("pcm_s16le", "wav"),
    "pcm_f32le": ("pcm_f32le", "wav_f32le"),
    "pcm_mulaw": ("mulaw", "wav_mulaw"),
    "pcm_alaw": ("alaw", "wav_alaw"),
}
_STATUS = {"invalid_api_key": 401, "unknown_voice": 404, "unknown_url": 404, "overloaded": 503}
_STATUS |= {"voice_unavailable": 503, "timeout": 503, "engine_failed": 500, "internal": 500}
_STATUS |= {"engine_dead": 503}


class VoiceControls(LenientModel):
    """How the API of 2024 said the speed."""

    speed: float | str | None = None


class VoiceSpecifier(LenientModel):
    """A voice that is named, or given as an embedding (`mode`)."""

    id: str | None = None
    mode: str = "id"
    controls: VoiceControls = Field(default=VoiceControls(), alias="__experimental_controls")


class OutputFormat(LenientModel):
    """How the audio is encoded."""

    container: str = "raw"
    encoding: str = "pcm_s16le"
    sample_rate: int
    bit_rate: int | None = None


class GenerationConfig(LenientModel):
    """What of the manner of speaking the core knows; not `emotion`."""

    speed: float | None = None
    volume: float | None = None


class SpeechRequest(LenientModel):
    """What is said, and how; `model_id` and others mean nothing here."""

    transcript: str
    voice: str | VoiceSpecifier
    output_format: OutputFormat
    language: str | None = None
    locale: str | None = None
    speed: float | str | None = None
    generation_config: GenerationConfig | None = None
    add_timestamps: bool | None = None

    def start(self, context: str, find_voice: FindVoice) -> Start:
        """What the context begins with. Raises `BadFormat`, `BadMessage`."""
        encoding, bits_per_s = self._encoding()
        return Start(
            context=context,
            voice=self._voice(find_voice),
            format=encoding,
            sample_rate=self.output_format.sample_rate,
            bit_rate=bits_per_s,
            speed=self._speed(),
            volume=self.generation_config.volume if self.generation_config else None,
            language=self.language or self.locale,
            mode="stream",
        )

    def _voice(self, find_voice: FindVoice) -> str | None:
        """The voice of this server that is meant; None: the default one, also for embeddings."""
        if isinstance(self.voice, VoiceSpecifier):
            if self.voice.mode == "embedding":
                return None
            if self.voice.id is None:
                raise BadMessage('voice: expected a name or {"mode": "id", "id": a name}')
        name = self.voice if isinstance(self.voice, str) else self.voice.id
        assert name is not None
        return find_voice(name)

    def _encoding(self) -> tuple[str, int | None]:
        wanted = self.output_format
        if wanted.container == "mp3":
            return "mp3", wanted.bit_rate
        if wanted.encoding not in _ENCODINGS:
            known = ", ".join(_ENCODINGS)
            raise BadFormat(f"no encoding {wanted.encoding[:40]!r} here; choose {known}")
        raw, wav = _ENCODINGS[wanted.encoding]
        if wanted.container not in ("raw", "wav"):
            raise BadFormat(f"no container {wanted.container[:40]!r}; choose raw, wav or mp3")
        return (wav if wanted.container == "wav" else raw), None

    def _speed(self) -> float | None:
        if self.generation_config and self.generation_config.speed is not None:
            return self.generation_config.speed
        if isinstance(self.voice, VoiceSpecifier) and self.voice.controls.speed in _SPEEDS:
            return _SPEEDS[self.voice.controls.speed]
        if isinstance(self.speed, str):
            if self.speed not in _SPEEDS:
                raise BadMessage(f"speed: expected a number or one of {', '.join(_SPEEDS)}")
            return _SPEEDS[self.speed]
        return self.speed


class FileRequest(SpeechRequest):
    """A request over HTTP: all of the text."""

    transcript: str = Field(min_length=1)
    context_id: str | None = None

    @property
    def text(self) -> str:
        """What is to be spoken: the marks are not obeyed, and not read aloud."""
        return strip_markup(self.transcript, MARKUP)


def error_fields(failed: Failed) -> dict[str, Any]:
    """An error as the vendor words it."""
    return {
        "status_code": _STATUS.get(failed.code, 400),
        "error_code": failed.code,
        "title": failed.code.replace("_", " ").capitalize(),
        "message": failed.message,
        "error": failed.message,  # what clients of older versions read
    }


def refuse(failed: Failed) -> Refusal:
    """An error as the whole answer."""
    fields = error_fields(failed)
    return Refusal(fields["status_code"], json.dumps(fields))
