"""The messages of Together's audio: over the WebSocket, and as server-sent events. Sans I/O.

Sources: docs.together.ai, "WebSocket API" and "Streaming"; together 3.1.1 ends a stream at
`data: [DONE]` and raises on `data: {"error"}`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

from backend.events import Audio, Done, Event, Failed
from backend.protocols import openai
from backend.protocols.alignment import Alignment, join_words


class TogetherItem:
    """One item: the audio of a commit, and on request its word times.

    `fields`: in each of its messages.
    """

    def __init__(self, item_id: str, start_ms: float, fields: Mapping[str, str]) -> None:
        """`start_ms`: where it begins in the audio of its core context."""
        self._start_ms = start_ms
        self._fields = {"item_id": item_id, **fields}

    def encode_audio(
        self, audio: Audio, transcript: Alignment, *, with_words: bool
    ) -> Iterator[dict[str, Any]]:
        """Yield the messages for an audio event; times count from the item's start."""
        words = join_words(transcript.pop_spoken(audio))
        if audio.data:
            data = base64.b64encode(audio.data).decode("ascii")
            yield self._message("conversation.item.audio_output.delta", delta=data)
        if with_words and words:
            yield self._message(
                "conversation.item.word_timestamps",
                words=[word.text for word in words],
                start_seconds=[self._to_seconds(word.start_ms) for word in words],
                end_seconds=[self._to_seconds(word.end_ms) for word in words],
            )

    def encode_done(self) -> dict[str, Any]:
        """The item's last message."""
        return self._message("conversation.item.audio_output.done")

    def _message(self, kind: str, **fields: object) -> dict[str, Any]:
        return {"type": kind, **self._fields, **fields}

    def _to_seconds(self, ms: float) -> float:
        return round((ms - self._start_ms) / 1000, 3)


class TogetherEvents:
    """The response with `stream`. See `base.HttpTranslator`."""

    media_type = "text/event-stream"
    headers: Mapping[str, str] = {"cache-control": "no-store"}
    needs_sound = True

    def __init__(self, text: str, *, with_words: bool) -> None:
        """`with_words`: word times are wanted."""
        self._item = TogetherItem("tts_1", 0.0, {})
        self._transcript = Alignment(text)
        self._with_words = with_words
        self.refuse = openai.build_refusal

    def encode(self, event: Event) -> bytes:
        """Server-sent events; an error is one, too."""
        match event:
            case Audio():
                messages = self._item.encode_audio(
                    event, self._transcript, with_words=self._with_words
                )
                return b"".join(map(_to_sse, messages))
            case Done():
                return b"data: [DONE]\n\n"
            case Failed():
                return _to_sse(openai.error_fields(event))
        return b""


def _to_sse(message: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(message, ensure_ascii=False)}\n\n".encode()
