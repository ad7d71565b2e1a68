"""What a request for Deepgram's text to speech asks for: the query, and the body of a POST.

Their defaults: a stream is linear16, a file mp3 (opus in Ogg, linear16 and G.711 in WAV). Sans I/O.
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
from backend.protocols.markup import PRONUNCIATIONS, strip_markup
from backend.protocols.voice_names import FindVoice

DEFAULT_MODEL = "aura-2-thalia-en"
_LANGUAGE = re.compile(r"(?:aura(?:-\d+)?|flux)-\w+-(?P<language>[a-z]{2,3})", re.IGNORECASE)
_STREAMED = {"linear16": "pcm_s16le", "mulaw": "mulaw", "alaw": "alaw"}
# The first container is the default.
_FILES: dict[str, dict[str, str]] = {
    "linear16": {"wav": "wav", "none": "pcm_s16le"},
    "mulaw": {"wav": "wav_mulaw", "none": "mulaw"},
    "alaw": {"wav": "wav_alaw", "none": "alaw"},
    "mp3": {"none": "mp3"},
    "opus": {"ogg": "opus"},
    "flac": {"none": "flac"},
    "aac": {"none": "aac"},
}


class _Request(LenientModel):
    text: str = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class SpeakRequest:
    """What a query asks for: `start` has the context's parameters, `model` is as it was named."""

    start: Start
    model: str


def stream_query(query: Mapping[str, str], find_voice: FindVoice) -> SpeakRequest:
    """The WebSocket's query. Raises `BadFormat`, `BadMessage`."""
    encoding = query.get("encoding", "linear16")
    if encoding not in _STREAMED:
        raise BadFormat(
            f"encoding {encoding[:40]!r} is not streamed; choose {', '.join(_STREAMED)}"
        )
    return _speech(query, find_voice, Start("", format=_STREAMED[encoding]))


def file_query(query: Mapping[str, str], find_voice: FindVoice) -> SpeakRequest:
    """The POST's query. Raises `BadFormat`, `BadMessage`, `Unsupported`."""
    if "callback" in query:
        raise Unsupported("callback is not offered: the audio is in the answer")
    encoding = query.get("encoding", "mp3")
    if encoding not in _FILES:
        raise BadFormat(f"no encoding {encoding[:40]!r}; choose {', '.join(_FILES)}")
    containers = _FILES[encoding]
    container = query.get("container", next(iter(containers)))
    if container not in containers:
        raise BadFormat(
            f"container {container[:40]!r} does not hold {encoding}; choose {', '.join(containers)}"
        )
    start = Start("speech", format=containers[container], bit_rate=_whole(query, "bit_rate"))
    return _speech(query, find_voice, start)


def _speech(query: Mapping[str, str], find_voice: FindVoice, start: Start) -> SpeakRequest:
    model = query.get("model", DEFAULT_MODEL)
    theirs = _LANGUAGE.fullmatch(model)
    asked = replace(
        start,
        voice=find_voice(model) if "model" in query else None,
        language=theirs["language"].lower() if theirs else None,
        sample_rate=_whole(query, "sample_rate"),
        speed=_number(query, "speed"),
        mode="stream",
    )
    return SpeakRequest(asked, model)


def _number(query: Mapping[str, str], name: str) -> float | None:
    if name not in query:
        return None
    try:
        number = float(query[name])
        int(number)  # neither infinite nor NaN
    except (ValueError, OverflowError) as error:
        raise BadMessage(f"{name}: expected a number, got {query[name][:40]!r}") from error
    return number


def _whole(query: Mapping[str, str], name: str) -> int | None:
    number = _number(query, name)  # deepgram-sdk sends 24000.0
    return None if number is None else int(number)


def decode_request(body: bytes, content_type: str) -> str:
    """The text of a POST: JSON `{"text"}`, or the body itself when its type is `text/plain`.

    Raises `BadJson`, `BadMessage`.
    """
    if content_type.partition(";")[0].strip().lower() == "text/plain":
        try:
            body = json.dumps({"text": body.decode()}).encode()
        except UnicodeDecodeError as error:
            raise BadMessage(f"the text is not UTF-8: {error}") from error
    return strip_markup(read_json(_Request, body).text, PRONUNCIATIONS)
