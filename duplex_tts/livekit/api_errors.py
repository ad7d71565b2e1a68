"""The errors of the client library as those of LiveKit Agents, which retries some of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from livekit.agents import APIConnectionError, APIError, APIStatusError, APITimeoutError

from duplex_tts.errors import BadAddress, ClientError, ConnectionLost

_STATUS = {
    "bad_format": 400,
    "bad_lexicon": 400,
    "bad_message": 400,
    "invalid_api_key": 401,
    "unknown_lexicon": 404,
    "unknown_voice": 404,
    "unsupported": 400,
    "text_limit": 413,
    "key_limit": 429,
    "too_many_contexts": 429,
    "overloaded": 503,
    "voice_unavailable": 503,
}
"""By the code of the error; LiveKit does not retry after 4xx, but for 429."""


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise `APIError` for what the client library raises, and `APITimeoutError` for a timeout."""
    try:
        yield
    except TimeoutError as error:
        raise APITimeoutError("the server sent no audio in time") from error
    except ClientError as error:
        raise _api_error(error) from error


def _api_error(error: ClientError) -> APIError:
    message = str(error)
    if isinstance(error, BadAddress):
        return APIConnectionError(message, retryable=False)
    if isinstance(error, ConnectionLost):
        return APIConnectionError(message)
    if error.code in _STATUS:
        return APIStatusError(message, status_code=_STATUS[error.code], body=error.code)
    return APIError(message, body=error.code)
