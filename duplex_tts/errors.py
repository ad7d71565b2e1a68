"""What a client can meet: nobody there, no any more, not with me, and not as promised."""

from __future__ import annotations

from collections.abc import Sequence

from duplex_tts.events import Error


class ClientError(Exception):
    """The base of all errors of this package; `code` names the kind for programs."""

    code = "failed"


class BadAddress(ClientError):
    """What was given is no address of a server."""

    code = "bad_address"


class ConnectionLost(ClientError):
    """There is no connection: it could not be opened, it broke for good, or it was closed."""

    code = "connection_lost"


class NoWebSocket(ConnectionLost):
    """Something answers at the address, but does not let a WebSocket through."""

    code = "no_websocket"


class Refused(ClientError):
    """The server does not take the connection; `code` is one of `docs/protocol.md`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code


class ProtocolError(ClientError):
    """The server sent what the protocol does not allow, or its sums do not add up."""

    code = "protocol_error"


class NothingToSpeak(ClientError):
    """The text has no sound: it is empty, or an emoji."""

    code = "nothing_to_speak"

    def __init__(self) -> None:
        super().__init__("nothing to speak: the text has no words")


class SpeechFailed(ClientError):
    """The server refused the text, or could not speak all of it; `errors` say why, `code` is that
    of the first of them.
    """

    def __init__(self, message: str, errors: Sequence[Error] = ()) -> None:
        super().__init__(message)
        self.errors = tuple(errors)
        self.code = self.errors[0].code if self.errors else "speech_failed"
