"""The native `error` message as the response of a request."""

from __future__ import annotations

from starlette.responses import JSONResponse

from backend.errors import DuplexError
from backend.monitoring.metrics import Metrics

_STATUS = {
    "invalid_api_key": 401,
    "unknown_voice": 404,
    "unknown_lexicon": 404,
    "voice_exists": 409,
    "key_limit": 429,
    "overloaded": 503,
    "store_unavailable": 503,
    "engine_dead": 503,
}


def create_error_response(metrics: Metrics, error: DuplexError, **more: object) -> JSONResponse:
    """Count the error and create its response. `more`: further fields, such as a vendor's."""
    metrics.count_error(error.code)
    message = {"type": "error", "context": None, "code": error.code, "message": error.message}
    return JSONResponse({**message, **more}, _STATUS.get(error.code, 400))
