"""Together's parameters: of the WebSocket's query, of `tts_session.updated`, and of
`POST /v1/audio/speech`.

Sources: docs.together.ai, "WebSocket API", "Create realtime text-to-speech"; together 3.1.1
(`SpeechCreateParams`); `togethercomputer/skills`, `references/tts-models.md`. Sans I/O.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, Json

from backend.errors import BadFormat, BadMessage
from backend.events import Start
from backend.protocols.json_fields import LenientModel
from backend.protocols.voice_names import FindVoice

DEFAULT_MODEL = "hexgrad/Kokoro-82M"

ResponseFormat = Literal["pcm", "raw", "wav", "mp3", "opus", "aac", "flac", "mulaw", "alaw"]
Encoding = Literal["pcm_s16le", "pcm_f32le", "pcm_mulaw", "pcm_alaw"]
_RAW = ("pcm", "raw")
_ENCODINGS = {"pcm_mulaw": "mulaw", "pcm_alaw": "alaw"}  # the other names are the same


class _ExtraParams(LenientModel):
    pronunciation_dict: tuple[Annotated[str, Field(max_length=400)], ...] = ()


class SpeechParams(LenientModel):
    """What a client may choose. `max_partial_length` and `segment`, which say how text is cut, are
    ignored: it is not cut here.
    """

    model: str = DEFAULT_MODEL
    voice: str | None = None
    language: str | None = None
    speed: float | None = None
    response_format: ResponseFormat = "pcm"
    response_encoding: Encoding = "pcm_s16le"
    sample_rate: int | None = None
    bit_rate: int | None = None
    alignment: Literal["none", "word"] = "none"
    extra_params: _ExtraParams | None = None

    @property
    def is_raw(self) -> bool:
        """Whether the format has no container and no frames."""
        return self.response_format in (*_RAW, "mulaw", "alaw")

    def build_start(self, find_voice: FindVoice) -> Start:
        """The parameters of a context. Raises `BadFormat`, `BadMessage`."""
        name: str = self.response_format
        if name in _RAW:
            name = _ENCODINGS.get(self.response_encoding, self.response_encoding)
        if self.bit_rate is not None and name != "mp3":
            raise BadFormat(f"bit_rate: only mp3 has one, not {self.response_format}")
        return Start(
            "",
            voice=None if self.voice is None else find_voice(self.voice),
            format=name,
            sample_rate=self.sample_rate,
            speed=self.speed,
            language=self.language,
            mode="stream",
            bit_rate=self.bit_rate,
            lexicon=self._build_lexicon(),
        )

    def _build_lexicon(self) -> dict[str, str] | None:
        """The entries `written/said`; the core carries them out."""
        rules = self.extra_params.pronunciation_dict if self.extra_params else ()
        entries = [rule.partition("/") for rule in rules]
        if wrong := [written for written, slash, _ in entries if not slash]:
            raise BadMessage(
                f"extra_params.pronunciation_dict: expected written/said, got {wrong[0][:40]!r}"
            )
        return {written.strip(): said.strip() for written, _, said in entries} or None


class StreamQuery(SpeechParams):
    """The query of the WebSocket; `extra_params` is JSON there."""

    extra_params: Json[_ExtraParams] | None = None


class TogetherSpeechRequest(SpeechParams):
    """The body of `POST /v1/audio/speech`. By default `wav`, and raw samples if streamed."""

    input: str = Field(min_length=1)
    stream: bool = False

    def model_post_init(self, context: Any) -> None:
        """Apply the default format."""
        if "response_format" not in self.model_fields_set and not self.stream:
            object.__setattr__(self, "response_format", "wav")
