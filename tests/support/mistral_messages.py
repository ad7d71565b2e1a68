"""Messages of Mistral's speech WebSocket."""

from __future__ import annotations

from typing import Any

PCM = {"type": "session.update", "session": {"response_format": "pcm"}}
FLUSH: dict[str, Any] = {"type": "input_text.flush"}
END: dict[str, Any] = {"type": "input_text.end"}


def append(text: str) -> dict[str, Any]:
    return {"type": "input_text.append", "text": text}


def update(**fields: object) -> dict[str, Any]:
    return {"type": "session.update", "session": fields}
