"""Messages of Together's speech WebSocket."""

from __future__ import annotations

from typing import Any

COMMIT: dict[str, Any] = {"type": "input_text_buffer.commit"}
CLEAR: dict[str, Any] = {"type": "input_text_buffer.clear"}
DELTA, DONE = "conversation.item.audio_output.delta", "conversation.item.audio_output.done"
WORDS, FAILED = "conversation.item.word_timestamps", "conversation.item.tts.failed"
RECEIVED = "conversation.item.input_text.received"


def append(text: str, **fields: str) -> dict[str, Any]:
    return {"type": "input_text_buffer.append", "text": text, **fields}


def update(context_id: str | None = None, **session: object) -> dict[str, Any]:
    return {"type": "tts_session.updated", "session": session, "context_id": context_id}
