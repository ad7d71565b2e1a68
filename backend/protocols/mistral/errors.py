"""Errors in Mistral's forms.

Source: docs.mistral.ai, "Text to Speech troubleshooting" (HTTP), and the models of mistralai 3.7.0
(WebSocket). Of Mistral's numbers only that of an unknown voice is documented; other errors have
their HTTP status as the number, and this server's code as `type`.
"""

from __future__ import annotations

import json
from typing import Any

from backend.events import Failed
from backend.protocols.base import Refusal

_STATUS = {
    "invalid_api_key": 401,
    "unknown_url": 404,
    "unknown_voice": 404,
    "bad_json": 422,
    "bad_message": 422,
    "bad_format": 422,
    "key_limit": 429,
    "engine_failed": 500,
    "internal": 500,
    "engine_dead": 503,
    "overloaded": 503,
    "timeout": 503,
    "voice_unavailable": 503,
}
_NAMES = {"unknown_voice": "invalid_voice"}
_NUMBERS = {"unknown_voice": 1902}


def build_refusal(failed: Failed) -> Refusal:
    """The error response to a request or a handshake. A 422 has a list of details, too."""
    status, message = _STATUS.get(failed.code, 400), failed.message
    body: dict[str, Any] = {
        "object": "error",
        "message": message,
        "type": _NAMES.get(failed.code, failed.code),
        "param": None,
        "code": str(_number(failed)),
        "raw_status_code": status,
    }
    if status == 422:
        where, _, why = message.partition(": ")
        detail = [{"type": failed.code, "loc": ["body", where], "msg": why or message}]
        body |= {"message": {"detail": detail}, "detail": detail}
    return Refusal(status, json.dumps(body))


def error_message(failed: Failed) -> dict[str, Any]:
    """The `error` event of the WebSocket and of a streamed response."""
    error = {"message": failed.message, "code": _number(failed), "type": failed.code}
    return {"type": "error", "error": error}


def _number(failed: Failed) -> int:
    return _NUMBERS.get(failed.code) or _STATUS.get(failed.code, 400)
