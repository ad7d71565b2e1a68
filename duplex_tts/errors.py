"""The exceptions of the client library."""

from __future__ import annotations

from collections.abc import Sequence

from duplex_tts.events import Error


class ClientError(Exception):
    """Base class of all errors of this package; `code` identifies the kind for programs."""

    code = "failed"


class BadAddress(ClientError):
    """The given address is not a valid server address."""

    code = "bad_address"


class ConnectionLost(ClientError):
    """No connection: it could not be opened, it broke for good, or it was closed."""

    code = "connection_lost"


class NoWebSocket(ConnectionLost):
    """Something answers at the address, but no WebSocket can be opened."""

    code = "no_websocket"


class Refused(ClientError):
    """The server refuses the connection; `code` is one of `docs/protocol.md`.

    `retry_after_ms`: when to try again, if the server says.
    """

    def __init__(self, code: str, message: str, retry_after_ms: int | None = None) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.retry_after_ms = retry_after_ms


class ProtocolError(ClientError):
    """The server violated the protocol, or its totals do not match what arrived."""

    code = "protocol_error"


class NothingToSpeak(ClientError):
    """The text has nothing to pronounce: it is empty, or only an emoji."""

    code = "nothing_to_speak"

    def __init__(self) -> None:
        super().__init__("nothing to speak: the text has no words")


class SpeechFailed(ClientError):
    """The server refused the text or could not speak all of it.

    `errors` are the reasons; `code` is that of the first.
    """

    def __init__(self, message: str, errors: Sequence[Error] = ()) -> None:
        super().__init__(message)
        self.errors = tuple(errors)
        self.code = self.errors[0].code if self.errors else "speech_failed"
