"""Speech from the server over HTTP, with the standard library alone: NVDA has no other packages.

`POST /v1/speech` answers with one JSON message a line while it speaks (docs/protocol.md). A request
is cancelled by closing its connection.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 5.0
SAMPLE_RATE_HZ = 24_000
# Of errors that other texts do not meet, or not for long.
_TEXT_CODES = ("unreadable_text", "bad_text", "text_limit", "overloaded")
_NO_SPEECH_SERVER = "what answers at this address is not a Duplex TTS server"


class SpeechError(Exception):
    """The server does not answer, or refuses; the message says why."""


class TextRefused(SpeechError):
    """The server cannot say this text, but others."""


@dataclass(frozen=True)
class Audio:
    """16-bit mono samples. `words`: offset of each word's start, and when it sounds, in ms from the
    first of these samples.
    """

    pcm: bytes
    words: tuple[tuple[int, float], ...]


class SpeechClient:
    """Speaks one text at a time; `cancel` may be called from another thread."""

    def __init__(self, address: str = "127.0.0.1:8000", key: str = "") -> None:
        url = urlsplit(address if "://" in address else f"http://{address}")
        secure = url.scheme in ("https", "wss")
        self._kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        self._host, self._port = url.hostname or "127.0.0.1", url.port
        self._path = url.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._connection: http.client.HTTPConnection | None = None
        self._lock = threading.Lock()  # of `_connection` and `_cancels`
        self._cancels = 0

    def voices(self) -> dict[str, str]:
        """Return the languages of the voices by their names, the default voice first."""
        connection = self._connect()
        try:
            response = self._send(connection, "GET", "/v1/voices")
            body = json.load(response)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise SpeechError(f"no speech server answers: {error}") from error
        finally:
            connection.close()
        try:
            voices = {voice["name"]: voice["language"] for voice in body["voices"]}
            return {body["default"]: voices[body["default"]], **voices}
        except (KeyError, TypeError) as error:
            raise SpeechError(_NO_SPEECH_SERVER) from error

    def speak(self, text: str, **parameters: Any) -> Iterator[Audio]:
        """Yield the speech as it is rendered; ends early after `cancel`. Raises `SpeechError`."""
        with self._lock:
            cancels = self._cancels
            self._connection = connection = self._connect()
        body = {"text": text, "format": "pcm_s16le", "sample_rate": SAMPLE_RATE_HZ, **parameters}
        try:
            response = self._send(connection, "POST", "/v1/speech", json.dumps(body))
            for line in response:
                if cancels != self._cancels:
                    return
                message = json.loads(line)
                if message["type"] == "error":
                    raise _refusal(message)
                if message["type"] == "audio" and message["audio"]:
                    yield _to_audio(message)
        except (KeyError, TypeError) as error:
            raise SpeechError(_NO_SPEECH_SERVER) from error
        except (OSError, ValueError, AttributeError, http.client.HTTPException) as error:
            if cancels == self._cancels:  # else the connection was closed on purpose
                raise SpeechError(f"the speech server is lost: {error}") from error
        finally:
            connection.close()

    def cancel(self) -> None:
        """End the current `speak`, wherever it waits. Returns at once."""
        with self._lock:
            self._cancels += 1
            connection, self._connection = self._connection, None
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):  # it was closed meanwhile
                connection.sock.shutdown(socket.SHUT_RDWR)

    def _connect(self) -> http.client.HTTPConnection:
        return self._kind(self._host, self._port, timeout=TIMEOUT_S)

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: str | None = None,
    ) -> http.client.HTTPResponse:
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        headers = {**self._headers, "Content-Type": "application/json"}
        data = None if body is None else body.encode()
        connection.request(method, self._path + path, data, headers)
        response = connection.getresponse()
        if response.status != 200:
            try:
                error = _refusal(json.load(response))
            except (ValueError, KeyError, TypeError):
                error = SpeechError(f"it answers {response.status}")
            raise error
        return response


def _refusal(message: dict[str, Any]) -> SpeechError:
    kind = TextRefused if message.get("code") in _TEXT_CODES else SpeechError
    return kind(message["message"])


def _to_audio(message: dict[str, Any]) -> Audio:
    words = tuple(
        (start, max(0.0, start_ms - message["start_ms"]))
        for start, _end, start_ms, _end_ms in message["words"]
    )
    return Audio(base64.b64decode(message["audio"]), words)
