"""What a client can meet: nobody there, no any more, not with me, and not as promised."""

from __future__ import annotations

from collections.abc import Sequence

from duplex_tts.events import Error


class ClientError(Exception):
    """The base of all errors of this package."""


class ConnectionLost(ClientError):
    """There is no connection: it could not be opened, it broke for good, or it was closed."""


class NoWebSocket(ConnectionLost):
    """Something answers at the address, but does not let a WebSocket through."""


class Refused(ClientError):
    """The server does not take the connection; `code` is one of `docs/protocol.md`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code


class ProtocolError(ClientError):
    """The server sent what the protocol does not allow, or its sums do not add up."""


class SpeechFailed(ClientError):
    """The server refused the text, or could not speak all of it; `errors` say why."""

    def __init__(self, message: str, errors: Sequence[Error] = ()) -> None:
        super().__init__(message)
        self.errors = tuple(errors)
