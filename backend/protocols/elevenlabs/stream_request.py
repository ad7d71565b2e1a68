"""ElevenLabs' WebSocket input: the URL's query and the client messages. Sans I/O."""

from __future__ import annotations

from pydantic import AliasChoices, Field, field_validator

from backend.protocols.elevenlabs.http import DEFAULT_FORMAT, DictionaryLocator, VoiceSettings
from backend.protocols.json_fields import LenientModel

_IDLE_S, _MAX_IDLE_S = 20.0, 180.0


class StreamQuery(LenientModel):
    """The query parameters; `model_id` and others are ignored."""

    output_format: str = DEFAULT_FORMAT
    language_code: str | None = None
    seed: int | None = None
    inactivity_timeout: float = _IDLE_S
    auto_mode: bool = False
    sync_alignment: bool = False
    enable_ssml_parsing: bool = False

    @field_validator("inactivity_timeout")
    @classmethod
    def _clamp_timeout(cls, requested_s: float) -> float:
        """Clamp to the vendor's limits: livekit asks for 300 s; 0 would close at once."""
        return min(requested_s, _MAX_IDLE_S) if requested_s > 0 else _IDLE_S


class StreamMessage(LenientModel):
    """A client message on either kind of stream."""

    text: str | None = None
    context_id: str | None = Field(
        default=None, max_length=128, validation_alias=AliasChoices("context_id", "contextId")
    )
    voice_settings: VoiceSettings | None = None
    pronunciation_dictionary_locators: tuple[DictionaryLocator, ...] = ()
    flush: bool | None = None
    close_context: bool | None = None
    close_socket: bool | None = None
    xi_api_key: str | None = Field(
        default=None, validation_alias=AliasChoices("xi_api_key", "xi-api-key")
    )
    authorization: str | None = None

    @property
    def key(self) -> str | None:
        """The API key, from either field."""
        return self.xi_api_key or (self.authorization or "").removeprefix("Bearer ") or None
