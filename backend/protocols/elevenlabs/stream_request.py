"""What ElevenLabs' clients send on a WebSocket: the query of its URL, the messages. Sans I/O."""

from __future__ import annotations

from pydantic import AliasChoices, Field, field_validator

from backend.protocols.elevenlabs.http import DEFAULT_FORMAT, VoiceSettings
from backend.protocols.json_fields import LenientModel

_IDLE_S, _LONGEST_IDLE_S = 20.0, 180.0


class StreamQuery(LenientModel):
    """The parameters of the URL; `model_id` and others mean nothing here."""

    output_format: str = DEFAULT_FORMAT
    language_code: str | None = None
    seed: int | None = None
    inactivity_timeout: float = _IDLE_S
    auto_mode: bool = False
    sync_alignment: bool = False
    enable_ssml_parsing: bool = False

    @field_validator("inactivity_timeout")
    @classmethod
    def _clamped(cls, asked_s: float) -> float:
        """The limits are the vendor's: livekit asks for 300 s; 0 would be no connection at all."""
        return min(asked_s, _LONGEST_IDLE_S) if asked_s > 0 else _IDLE_S


class ClientMessage(LenientModel):
    """A message on either kind of stream."""

    text: str | None = None
    context_id: str | None = Field(
        default=None, max_length=128, validation_alias=AliasChoices("context_id", "contextId")
    )
    voice_settings: VoiceSettings | None = None
    flush: bool | None = None
    close_context: bool | None = None
    close_socket: bool | None = None
    xi_api_key: str | None = Field(
        default=None, validation_alias=AliasChoices("xi_api_key", "xi-api-key")
    )
    authorization: str | None = None

    @property
    def key(self) -> str | None:
        """The API key, wherever it is."""
        return self.xi_api_key or (self.authorization or "").removeprefix("Bearer ") or None
