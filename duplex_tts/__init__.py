"""The server speaks while the text is still being written; this is its client and command line."""

from duplex_tts.address import DEFAULT_URL
from duplex_tts.context import Context
from duplex_tts.errors import ClientError, ConnectionLost, ProtocolError, Refused
from duplex_tts.events import (
    Audio,
    Cancelled,
    Done,
    Error,
    Event,
    Ready,
    Retracted,
    Word,
)
from duplex_tts.session import Session

__all__ = [
    "DEFAULT_URL",
    "Audio",
    "Cancelled",
    "ClientError",
    "ConnectionLost",
    "Context",
    "Done",
    "Error",
    "Event",
    "ProtocolError",
    "Ready",
    "Refused",
    "Retracted",
    "Session",
    "Word",
]
