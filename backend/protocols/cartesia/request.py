"""Cartesia's speech request, the same over WebSocket and HTTP, and its errors. Sans I/O."""

from __future__ import annotations

import json
from typing import Any

from pydantic import Field

from backend.errors import BadFormat, BadMessage
from backend.events import Failed, Start
from backend.protocols.base import Refusal
from backend.protocols.json_fields import LenientModel
from backend.protocols.markup import hide_marks, tag_markup
from backend.protocols.voice_names import FindVoice

MARKUP = tag_markup("spell", "break", "emotion", "speed", "volume")
"""The tags of Cartesia's page "SSML Tags"; the core carries them out."""

_SPEEDS = {"slowest": 0.6, "slow": 0.8, "normal": 1.0, "fast": 1.2, "fastest": 1.5}
_ENCODINGS = {
    "pcm_s16le": ("pcm_s16le", "wav"),
    "pcm_f32le": ("pcm_f32le", "wav_f32le"),
    "pcm_mulaw": ("mulaw", "wav_mulaw"),
    "pcm_alaw": ("alaw", "wav_alaw"),
}
_STATUS = {"invalid_api_key": 401, "unknown_voice": 404, "unknown_url": 404, "overloaded": 503}
_STATUS |= {"unknown_lexicon": 404, "key_limit": 429, "store_unavailable": 503}
_STATUS |= {"voice_unavailable": 503, "timeout": 503, "engine_failed": 500, "internal": 500}
_STATUS |= {"engine_dead": 503}


class VoiceControls(LenientModel):
    """The speed as in the 2024 API."""

    speed: float | str | None = None


class VoiceSpecifier(LenientModel):
    """A voice by id or as an embedding (`mode`)."""

    id: str | None = None
    mode: str = "id"
    controls: VoiceControls = Field(default=VoiceControls(), alias="__experimental_controls")


class OutputFormat(LenientModel):
    """The requested audio encoding."""

    container: str = "raw"
    encoding: str = "pcm_s16le"
    sample_rate: int
    bit_rate: int | None = None


class GenerationConfig(LenientModel):
    """The supported generation settings; `emotion` is ignored."""

    speed: float | None = None
    volume: float | None = None


class CartesiaSpeechRequest(LenientModel):
    """A text and its parameters; `model_id` and others are ignored."""

    transcript: str
    voice: str | VoiceSpecifier
    output_format: OutputFormat
    language: str | None = None
    locale: str | None = None
    speed: float | str | None = None
    generation_config: GenerationConfig | None = None
    add_timestamps: bool | None = None
    pronunciation_dict_id: str | None = None

    def build_start(self, context: str, find_voice: FindVoice) -> Start:
        """Build the context's `Start`. Raises `BadFormat`, `BadMessage`."""
        encoding, bits_per_s = self._resolve_encoding()
        return Start(
            context=context,
            voice=self._resolve_voice(find_voice),
            format=encoding,
            sample_rate=self.output_format.sample_rate,
            bit_rate=bits_per_s,
            speed=self._resolve_speed(),
            volume=self.generation_config.volume if self.generation_config else None,
            language=self.language or self.locale,
            mode="stream",
            ssml=True,
            dictionaries=(self.pronunciation_dict_id,) if self.pronunciation_dict_id else None,
        )

    def _resolve_voice(self, find_voice: FindVoice) -> str | None:
        """The server's voice for the request; None (embeddings): the default."""
        if isinstance(self.voice, VoiceSpecifier):
            if self.voice.mode == "embedding":
                return None
            if self.voice.id is None:
                raise BadMessage('voice: expected a name or {"mode": "id", "id": a name}')
        name = self.voice if isinstance(self.voice, str) else self.voice.id
        assert name is not None
        return find_voice(name)

    def _resolve_encoding(self) -> tuple[str, int | None]:
        output = self.output_format
        if output.container == "mp3":
            return "mp3", output.bit_rate
        if output.encoding not in _ENCODINGS:
            known = ", ".join(_ENCODINGS)
            raise BadFormat(f"unknown encoding {output.encoding[:40]!r}; choose {known}")
        raw, wav = _ENCODINGS[output.encoding]
        if output.container not in ("raw", "wav"):
            raise BadFormat(f"unknown container {output.container[:40]!r}; choose raw, wav or mp3")
        return (wav if output.container == "wav" else raw), None

    def _resolve_speed(self) -> float | None:
        if self.generation_config and self.generation_config.speed is not None:
            return self.generation_config.speed
        if isinstance(self.voice, VoiceSpecifier) and self.voice.controls.speed in _SPEEDS:
            return _SPEEDS[self.voice.controls.speed]
        if isinstance(self.speed, str):
            if self.speed not in _SPEEDS:
                raise BadMessage(f"speed: expected a number or one of {', '.join(_SPEEDS)}")
            return _SPEEDS[self.speed]
        return self.speed


class CartesiaHttpRequest(CartesiaSpeechRequest):
    """An HTTP request, with the whole text."""

    transcript: str = Field(min_length=1)
    context_id: str | None = None

    @property
    def reported_text(self) -> str:
        """The text as it is reported as spoken: tags are hidden."""
        return hide_marks(self.transcript, MARKUP)


def error_fields(failed: Failed) -> dict[str, Any]:
    """An error in Cartesia's form."""
    return {
        "status_code": _STATUS.get(failed.code, 400),
        "error_code": failed.code,
        "title": failed.code.replace("_", " ").capitalize(),
        "message": failed.message,
        "error": failed.message,  # read by older clients
    }


def build_refusal(failed: Failed) -> Refusal:
    """Build Cartesia's error response."""
    fields = error_fields(failed)
    return Refusal(fields["status_code"], json.dumps(fields))
