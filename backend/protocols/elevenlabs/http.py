"""The ElevenLabs protocol over HTTP, and what its WebSockets share: formats, errors.

`/v1/text-to-speech/{voice_id}` and `/stream` return only audio, `/with-timestamps` one JSON object,
`/stream/with-timestamps` one object per line; times are seconds from the start. pipecat reads lines
of up to 128 KiB, so a long chunk's audio is split into several. Sans I/O.
"""

from __future__ import annotations

import base64
import json
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field

from backend.errors import BadFormat
from backend.events import Audio, Done, Event, Failed, Start
from backend.protocols.alignment import Alignment, Character, TailMerger
from backend.protocols.base import Refusal
from backend.protocols.json_fields import LenientModel
from backend.protocols.markup import hide_marks, tag_markup

DEFAULT_FORMAT = "mp3_44100_128"
MARKUP = tag_markup("break", "phoneme")
"""Tags that ElevenLabs applies even without SSML parsing enabled."""

_SEEDS = 2**31  # of the core; the vendor allows twice as many
_LINE_BYTES = 48_000  # of audio; whole samples of every format, and whole groups of base64
_ENCODINGS = {"ulaw": "mulaw", "alaw": "alaw", "pcm": "pcm_s16le", "wav": "wav"}
_FORMAT = re.compile(r"(?:(mp3|opus)_(\d{4,5})_(\d{2,3})|(pcm|ulaw|alaw|wav)_(\d{4,5}))", re.ASCII)
_STATUS = {
    "invalid_api_key": 401,
    "unknown_voice": 404,
    "unknown_lexicon": 404,
    "unknown_url": 404,
    "bad_json": 422,
    "bad_message": 422,
}
_STATUS |= {"key_limit": 429, "store_unavailable": 503}
_STATUS |= {"overloaded": 503, "voice_unavailable": 503, "timeout": 503}
_STATUS |= {"engine_failed": 500, "engine_dead": 503, "internal": 500}


class VoiceSettings(LenientModel):
    """The supported voice settings."""

    speed: float | None = None


class DictionaryLocator(LenientModel):
    """A pronunciation dictionary; its latest version is used, whatever `version_id` says."""

    pronunciation_dictionary_id: str


class ElevenLabsSpeechRequest(LenientModel):
    """The body of a POST; `model_id`, `previous_text` and others are ignored."""

    text: str = Field(min_length=1)
    voice_settings: VoiceSettings | None = None
    language_code: str | None = None
    seed: int | None = None
    pronunciation_dictionary_locators: tuple[DictionaryLocator, ...] = ()

    @property
    def dictionaries(self) -> tuple[str, ...]:
        """The ids of the pronunciation dictionaries."""
        return dictionary_ids(self.pronunciation_dictionary_locators)

    @property
    def reported_text(self) -> str:
        """The text as it is reported as spoken: tags are hidden."""
        return hide_marks(self.text, MARKUP)

    @property
    def speed(self) -> float | None:
        """The speaking speed."""
        return self.voice_settings.speed if self.voice_settings else None


def build_start(
    voice: str | None, output_format: str, *, language: str | None, seed: int | None
) -> Start:
    """Build a context's `Start`. Raises `BadFormat`."""
    encoding, rate_hz, bits_per_s = parse_output_format(output_format)
    return Start(
        context="",
        voice=voice,
        format=encoding,
        sample_rate=rate_hz,
        bit_rate=bits_per_s,
        language=language,
        seed=None if seed is None else seed % _SEEDS,
        mode="stream",
        ssml=True,
    )


def dictionary_ids(locators: Sequence[DictionaryLocator]) -> tuple[str, ...]:
    """The ids of pronunciation dictionaries."""
    return tuple(locator.pronunciation_dictionary_id for locator in locators)


def parse_output_format(name: str) -> tuple[str, int, int | None]:
    """The core's encoding, sample rate in Hz and bits per second of a name such as `mp3_44100_128`.

    Raises `BadFormat`.
    """
    match = _FORMAT.fullmatch(name)
    if match is None:
        raise BadFormat(
            f"unknown output_format {name[:40]!r}; choose mp3_RATE_KBPS, opus_48000_KBPS, "
            "pcm_RATE, ulaw_8000, alaw_8000 or wav_RATE, such as mp3_44100_128 or pcm_24000"
        )
    codec, codec_hz, kbps, encoding, rate_hz = match.groups()
    if codec:
        return codec, int(codec_hz), int(kbps) * 1000
    return _ENCODINGS[encoding], int(rate_hz), None


def build_refusal(failed: Failed) -> Refusal:
    """Build ElevenLabs' error response."""
    body = {"detail": {"status": failed.code, "message": failed.message}}
    return Refusal(_STATUS.get(failed.code, 400), json.dumps(body))


def describe_model(engine: str, languages: Sequence[str], max_characters: int) -> dict[str, Any]:
    """Describe a model. `max_characters`: the limit of one request."""
    return {
        "model_id": engine,
        "name": engine,
        "description": "The voice engine of this server; every model_id selects it.",
        "can_do_text_to_speech": True,
        "can_do_voice_conversion": False,
        "can_be_finetuned": False,
        "can_use_style": False,
        "can_use_speaker_boost": False,
        "maximum_text_length_per_request": max_characters,
        "languages": [{"language_id": tag, "name": tag} for tag in languages],
    }


class TimestampedLines:
    """`/stream/with-timestamps`. See `base.HttpTranslator`."""

    media_type = "application/json"
    headers: Mapping[str, str] = {"cache-control": "no-store"}
    needs_sound = True

    def __init__(self, text: str) -> None:
        """`text`: the whole text as it is reported."""
        self._transcript = Alignment(text)
        self._length = len(text)
        self._tail = TailMerger()
        self.refuse = build_refusal

    def encode(self, event: Event) -> bytes:
        """Lines of audio, each with the characters that end in it; so the last line has some,
        however much audio the encoder holds back.
        """
        match event:
            case Audio():
                last = event.text[1] == self._length
                ready = self._tail.add_audio(event, last=last)
            case Done():
                ready = self._tail.flush()
            case _:
                return b""
        lines = [line for audio in ready for line in self._split_lines(audio)]
        return "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines).encode()

    def _split_lines(self, audio: Audio) -> Iterator[dict[str, Any]]:
        characters = deque(self._transcript.pop_spoken(audio))
        size = max(1, len(audio.data))
        for start in range(0, size, _LINE_BYTES):
            end = min(start + _LINE_BYTES, size)
            until_ms = audio.start_ms + audio.duration_ms * end / size
            line_characters = []
            while characters and (end == size or characters[0].end_ms <= until_ms):
                line_characters.append(characters.popleft())
            yield _audio_fields(audio.data[start:end], _alignment_fields(line_characters))


class TimestampedObject:
    """`/with-timestamps`: one object at the end. See `base.HttpTranslator`."""

    media_type = "application/json"
    headers: Mapping[str, str] = {"cache-control": "no-store"}
    needs_sound = True

    def __init__(self, text: str) -> None:
        """`text`: the whole text as it is reported."""
        self._transcript = Alignment(text)
        self._data = bytearray()
        self._characters: list[Character] = []
        self.refuse = build_refusal

    def encode(self, event: Event) -> bytes:
        """The object, once the text is done."""
        match event:
            case Audio():
                self._data += event.data
                self._characters += self._transcript.pop_spoken(event)
            case Done():
                fields = _audio_fields(bytes(self._data), _alignment_fields(self._characters))
                return json.dumps(fields, ensure_ascii=False).encode()
        return b""


def _audio_fields(data: bytes, alignment: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "audio_base64": base64.b64encode(data).decode("ascii"),
        "alignment": alignment,
        "normalized_alignment": alignment,
    }


def _alignment_fields(characters: Sequence[Character]) -> dict[str, Any] | None:
    if not characters:
        return None
    return {
        "characters": [c.text for c in characters],
        "character_start_times_seconds": [round(c.start_ms / 1000, 3) for c in characters],
        "character_end_times_seconds": [round(c.end_ms / 1000, 3) for c in characters],
    }
