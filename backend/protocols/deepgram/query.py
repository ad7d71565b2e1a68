"""Parse Deepgram text-to-speech requests: the URL's query and the body of a POST.

Deepgram's defaults: linear16 for streams, mp3 for files (opus in Ogg, linear16 and G.711 in WAV).
Sans I/O.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pydantic import Field

from backend.errors import BadFormat, BadMessage, Unsupported
from backend.events import Start
from backend.protocols.json_fields import LenientModel, read_json
from backend.protocols.markup import PRONUNCIATIONS, keep_word, replace_markup, to_phoneme_tag
from backend.protocols.voice_names import FindVoice

DEFAULT_MODEL = "aura-2-thalia-en"
_LANGUAGE = re.compile(r"(?:aura(?:-\d+)?|flux)-\w+-(?P<language>[a-z]{2,3})", re.IGNORECASE)
_STREAM_FORMATS = {"linear16": "pcm_s16le", "mulaw": "mulaw", "alaw": "alaw"}
# The first container is the default.
_FILE_FORMATS: dict[str, dict[str, str]] = {
    "linear16": {"wav": "wav", "none": "pcm_s16le"},
    "mulaw": {"wav": "wav_mulaw", "none": "mulaw"},
    "alaw": {"wav": "wav_alaw", "none": "alaw"},
    "mp3": {"none": "mp3"},
    "opus": {"ogg": "opus"},
    "flac": {"none": "flac"},
    "aac": {"none": "aac"},
}


class _SpeakBody(LenientModel):
    text: str = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class SpeakRequest:
    """A parsed query: `start` has the context's parameters, `model` is the requested name."""

    start: Start
    model: str


def parse_stream_query(query: Mapping[str, str], find_voice: FindVoice) -> SpeakRequest:
    """Parse the WebSocket's query. Raises `BadFormat`, `BadMessage`."""
    encoding = query.get("encoding", "linear16")
    if encoding not in _STREAM_FORMATS:
        raise BadFormat(
            f"encoding {encoding[:40]!r} cannot be streamed; choose {', '.join(_STREAM_FORMATS)}"
        )
    return _build_request(query, find_voice, Start("", format=_STREAM_FORMATS[encoding]))


def parse_file_query(query: Mapping[str, str], find_voice: FindVoice) -> SpeakRequest:
    """Parse the POST's query. Raises `BadFormat`, `BadMessage`, `Unsupported`."""
    if "callback" in query:
        raise Unsupported("callback is not supported; read the audio from the response")
    encoding = query.get("encoding", "mp3")
    if encoding not in _FILE_FORMATS:
        raise BadFormat(f"unknown encoding {encoding[:40]!r}; choose {', '.join(_FILE_FORMATS)}")
    containers = _FILE_FORMATS[encoding]
    container = query.get("container", next(iter(containers)))
    if container not in containers:
        raise BadFormat(
            f"container {container[:40]!r} does not fit {encoding}; choose {', '.join(containers)}"
        )
    start = Start(
        "speech", format=containers[container], bit_rate=_parse_integer(query, "bit_rate")
    )
    return _build_request(query, find_voice, start)


def _build_request(query: Mapping[str, str], find_voice: FindVoice, start: Start) -> SpeakRequest:
    model = query.get("model", DEFAULT_MODEL)
    match = _LANGUAGE.fullmatch(model)
    start = replace(
        start,
        voice=find_voice(model) if "model" in query else None,
        language=match["language"].lower() if match else None,
        sample_rate=_parse_integer(query, "sample_rate"),
        speed=_parse_number(query, "speed"),
        mode="stream",
        ssml=True,
    )
    return SpeakRequest(start, model)


def _parse_number(query: Mapping[str, str], name: str) -> float | None:
    if name not in query:
        return None
    try:
        number = float(query[name])
        int(number)  # rejects infinity and NaN
    except (ValueError, OverflowError) as error:
        raise BadMessage(f"{name}: expected a number, got {query[name][:40]!r}") from error
    return number


def _parse_integer(query: Mapping[str, str], name: str) -> int | None:
    number = _parse_number(query, name)  # deepgram-sdk sends 24000.0
    return None if number is None else int(number)


def decode_text(body: bytes, content_type: str) -> str:
    """The text of a POST body: JSON `{"text"}`, or the body itself if it is `text/plain`.

    Raises `BadJson`, `BadMessage`.
    """
    if content_type.partition(";")[0].strip().lower() == "text/plain":
        try:
            body = json.dumps({"text": body.decode()}).encode()
        except UnicodeDecodeError as error:
            raise BadMessage(f"the text is not UTF-8: {error}") from error
    return read_json(_SpeakBody, body).text


def pronounce_text(text: str) -> str:
    """The text with its pronunciations as tags of SSML, which the core carries out."""
    return replace_markup(text, PRONUNCIATIONS, to_phoneme_tag)


def count_characters(text: str) -> int:
    """The number of characters that Deepgram bills: of a pronunciation only those of its word."""
    return len(replace_markup(text, PRONUNCIATIONS, keep_word))
