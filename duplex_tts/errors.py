"""What a client can meet: nobody there, no any more, not with me, and not as promised."""

from __future__ import annotations


class ClientError(Exception):
    """The base of all errors of this package."""


class ConnectionLost(ClientError):
    """There is no connection: it could not be opened, it broke, or it was closed."""


class Refused(ClientError):
    """The server answered a connection with an error instead of `ready`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code


class ProtocolError(ClientError):
    """The server sent what the protocol does not allow, or its sums do not add up."""
