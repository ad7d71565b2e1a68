"""Mistral's `POST /v1/audio/speech`: a JSON object with the whole audio, or server-sent events.

Sources: docs.mistral.ai, "Speech generation" and "Text to Speech troubleshooting"; mistralai 3.7.0
(`SpeechRequest`, `SpeechResponse`, `SpeechStreamEvents`), whose client tells the two apart by their
media type, and reads `event` and `data` of each event. Sans I/O.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import Field

from backend.errors import Unsupported
from backend.events import Audio, Done, Event, Failed, Start
from backend.protocols.base import Refusal
from backend.protocols.json_fields import LenientModel
from backend.protocols.mistral.errors import build_refusal, error_message
from backend.protocols.mistral.usage import Usage
from backend.protocols.mistral.websocket import (
    OutputFormat,
    build_start,
    delta_message,
    done_message,
)
from backend.protocols.voice_names import FindVoice

_NO_STORE = {"cache-control": "no-store"}


class MistralSpeechRequest(LenientModel):
    """The body of a request. `metadata`, `expressiveness`, `conversation_history` and the like are
    accepted and ignored.
    """

    input: str = Field(min_length=1)
    voice_id: str | None = None
    ref_audio: str | None = None
    stream: bool = False
    response_format: OutputFormat = "mp3"
    phoneme_hints: dict[str, tuple[str, ...]] | None = None

    def build_start(self, find_voice: FindVoice) -> Start:
        """The parameters of its context. Raises `Unsupported`."""
        if self.ref_audio:
            raise Unsupported(
                "ref_audio is not supported here; add the voice with POST /v1/voices, then name "
                "it as voice_id"
            )
        hints = self.phoneme_hints or {}
        return replace(
            build_start(self.voice_id, self.response_format, find_voice),
            context="speech",
            lexicon={word: f"/{''.join(phones)}/" for word, phones in hints.items()} or None,
        )


class MistralObject:
    """The response without `stream`: one object, sent while it is spoken. See
    `base.HttpTranslator`.
    """

    media_type = "application/json"
    headers: Mapping[str, str] = _NO_STORE
    needs_sound = True

    def __init__(self) -> None:
        self._is_open = False
        self._held = b""  # less than base64's unit of 3 bytes

    def encode(self, event: Event) -> bytes:
        """A part of the object; a failure aborts it."""
        match event:
            case Audio(data=data) if data:
                data = self._held + data
                whole = len(data) - len(data) % 3
                self._held = data[whole:]
                return self._open() + base64.b64encode(data[:whole])
            case Done():
                return self._open() + base64.b64encode(self._held) + b'"}'
        return b""

    def _open(self) -> bytes:
        opening = b"" if self._is_open else b'{"audio_data": "'
        self._is_open = True
        return opening

    def refuse(self, failed: Failed) -> Refusal:
        """See `errors.build_refusal`."""
        return build_refusal(failed)


class MistralEvents:
    """The response with `stream`. See `base.HttpTranslator`."""

    media_type = "text/event-stream"
    headers: Mapping[str, str] = _NO_STORE
    needs_sound = True

    def __init__(self) -> None:
        self._usage = Usage()
        self.refuse = build_refusal

    def encode(self, event: Event) -> bytes:
        """Server-sent events."""
        match event:
            case Audio():
                self._usage.add_audio(event)
                return _to_sse(delta_message(event)) if event.data else b""
            case Done():
                return _to_sse(done_message(self._usage))
            case Failed():
                return _to_sse(error_message(event))
        return b""


def _to_sse(message: dict[str, Any]) -> bytes:
    return f"event: {message['type']}\ndata: {json.dumps(message)}\n\n".encode()
