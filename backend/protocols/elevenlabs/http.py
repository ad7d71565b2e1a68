"""The ElevenLabs protocol over HTTP, and what both of its sides share: formats, voices, errors.

`/v1/text-to-speech/{voice_id}` and `/stream` answer with the audio alone, `/with-timestamps` with
one JSON object, `/stream/with-timestamps` with one a line; times are seconds from the start.
pipecat reads lines of up to 128 KiB, so a long chunk's audio goes out in several. Sans I/O.
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
from backend.events import Audio, Done, Event, Failed, Start, Voice
from backend.protocols.alignment import Alignment, Character, TailMerger
from backend.protocols.base import Refusal
from backend.protocols.json_fields import LenientModel
from backend.protocols.markup import strip_markup, tag_markup

DEFAULT_FORMAT = "mp3_44100_128"
MARKUP = tag_markup("break", "phoneme")
"""What the vendor's voices obey also where nobody says that there is SSML."""

_SEEDS = 2**31  # the core's; the vendor's are twice as many
_LINE_BYTES = 48_000  # of audio; whole samples of every format, and whole groups of base64
_ENCODINGS = {"ulaw": "mulaw", "alaw": "alaw", "pcm": "pcm_s16le", "wav": "wav"}
_FORMAT = re.compile(r"(?:(mp3|opus)_(\d{4,5})_(\d{2,3})|(pcm|ulaw|alaw|wav)_(\d{4,5}))", re.ASCII)
_STATUS = {
    "invalid_api_key": 401,
    "unknown_voice": 404,
    "unknown_url": 404,
    "bad_json": 422,
    "bad_message": 422,
}
_STATUS |= {"overloaded": 503, "voice_unavailable": 503, "timeout": 503}
_STATUS |= {"engine_failed": 500, "engine_dead": 503, "internal": 500}


class VoiceSettings(LenientModel):
    """What of the voice settings the core knows."""

    speed: float | None = None


class SpeechRequest(LenientModel):
    """The body of a POST; `model_id`, `previous_text` and others mean nothing here."""

    text: str = Field(min_length=1)
    voice_settings: VoiceSettings | None = None
    language_code: str | None = None
    seed: int | None = None

    @property
    def spoken(self) -> str:
        """The text without its marks, which are not obeyed and not read aloud."""
        return strip_markup(self.text, MARKUP)

    @property
    def speed(self) -> float | None:
        """How fast to speak."""
        return self.voice_settings.speed if self.voice_settings else None


def start_for(
    voice: str | None, output_format: str, *, language: str | None, seed: int | None
) -> Start:
    """What a context begins with. Raises `BadFormat`."""
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
    )


def parse_output_format(name: str) -> tuple[str, int, int | None]:
    """The core's encoding, sample rate in Hz and bits per second of `mp3_44100_128` and its like.

    Raises `BadFormat`.
    """
    match = _FORMAT.fullmatch(name)
    if match is None:
        raise BadFormat(
            f"no output_format {name[:40]!r}; choose mp3_RATE_KBPS, opus_48000_KBPS, pcm_RATE, "
            "ulaw_8000, alaw_8000 or wav_RATE, such as mp3_44100_128 or pcm_24000"
        )
    coded, coded_hz, kbps, plain, plain_hz = match.groups()
    if coded:
        return coded, int(coded_hz), int(kbps) * 1000
    return _ENCODINGS[plain], int(plain_hz), None


def refuse(failed: Failed) -> Refusal:
    """An error as the vendor words it."""
    body = {"detail": {"status": failed.code, "message": failed.message}}
    return Refusal(_STATUS.get(failed.code, 400), json.dumps(body))


def describe_voices(voices: Sequence[Voice]) -> list[dict[str, Any]]:
    """What clients want to know of each voice."""
    return [
        {
            "voice_id": voice.name,
            "name": voice.name,
            "category": "cloned" if voice.learned else "premade",
            "labels": {"language": voice.language},
            "description": voice.description,
        }
        for voice in voices
    ]


def describe_model(engine: str, languages: Sequence[str], longest: int) -> dict[str, Any]:
    """What clients want to know of a model. `longest`: characters that one request may have."""
    return {
        "model_id": engine,
        "name": engine,
        "description": "The voice engine of this server; any model_id is taken to mean it.",
        "can_do_text_to_speech": True,
        "can_do_voice_conversion": False,
        "can_be_finetuned": False,
        "can_use_style": False,
        "can_use_speaker_boost": False,
        "maximum_text_length_per_request": longest,
        "languages": [{"language_id": tag, "name": tag} for tag in languages],
    }


class TimestampedLines:
    """`/stream/with-timestamps`. See `base.HttpTranslator`."""

    media_type = "application/json"
    headers: Mapping[str, str] = {"cache-control": "no-store"}
    needs_sound = True

    def __init__(self, text: str) -> None:
        """`text`: all that is spoken."""
        self._transcript = Alignment(text)
        self._length = len(text)
        self._last = TailMerger()
        self.refuse = refuse

    def encode(self, event: Event) -> bytes:
        """Lines of audio. Each has the characters whose end is heard in it; so the last one has
        some, whatever the encoder keeps back.
        """
        match event:
            case Audio():
                last = event.text[1] == self._length
                told = self._last.add_audio(event, last=last)
            case Done():
                told = self._last.flush()
            case _:
                return b""
        lines = [line for audio in told for line in self._lines(audio)]
        return "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines).encode()

    def _lines(self, audio: Audio) -> Iterator[dict[str, Any]]:
        characters = deque(self._transcript.pop_spoken(audio))
        size = max(1, len(audio.data))
        for at in range(0, size, _LINE_BYTES):
            end = min(at + _LINE_BYTES, size)
            until_ms = audio.start_ms + audio.duration_ms * end / size
            mine = []
            while characters and (end == size or characters[0].end_ms <= until_ms):
                mine.append(characters.popleft())
            yield _with_timestamps(audio.data[at:end], _alignment(mine))


class TimestampedWhole:
    """`/with-timestamps`: everything at the end, in one object. See `base.HttpTranslator`."""

    media_type = "application/json"
    headers: Mapping[str, str] = {"cache-control": "no-store"}
    needs_sound = True

    def __init__(self, text: str) -> None:
        """`text`: all that is spoken."""
        self._transcript = Alignment(text)
        self._data = bytearray()
        self._characters: list[Character] = []
        self.refuse = refuse

    def encode(self, event: Event) -> bytes:
        """The object, once all is spoken."""
        match event:
            case Audio():
                self._data += event.data
                self._characters += self._transcript.pop_spoken(event)
            case Done():
                whole = _with_timestamps(bytes(self._data), _alignment(self._characters))
                return json.dumps(whole, ensure_ascii=False).encode()
        return b""


def _with_timestamps(data: bytes, alignment: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "audio_base64": base64.b64encode(data).decode("ascii"),
        "alignment": alignment,
        "normalized_alignment": alignment,
    }


def _alignment(characters: Sequence[Character]) -> dict[str, Any] | None:
    if not characters:
        return None
    return {
        "characters": [c.text for c in characters],
        "character_start_times_seconds": [round(c.start_ms / 1000, 3) for c in characters],
        "character_end_times_seconds": [round(c.end_ms / 1000, 3) for c in characters],
    }
