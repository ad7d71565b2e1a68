"""The server speaks while the text is still being written; this is its client and command line."""

from duplex_tts.address import DEFAULT_URL
from duplex_tts.context import Context, Parameters
from duplex_tts.errors import (
    ClientError,
    ConnectionLost,
    NoWebSocket,
    ProtocolError,
    Refused,
    SpeechFailed,
)
from duplex_tts.events import (
    Audio,
    Cancelled,
    Done,
    Error,
    Event,
    FellBack,
    Ready,
    Replaced,
    Restarted,
    Resumed,
    Retracted,
    Returned,
    SessionEvent,
    Word,
)
from duplex_tts.options import Options, Stats
from duplex_tts.session import Session
from duplex_tts.session_manager import SessionManager
from duplex_tts.utterance import Utterance

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
    "FellBack",
    "NoWebSocket",
    "Options",
    "Parameters",
    "ProtocolError",
    "Ready",
    "Refused",
    "Replaced",
    "Restarted",
    "Resumed",
    "Retracted",
    "Returned",
    "Session",
    "SessionEvent",
    "SessionManager",
    "SpeechFailed",
    "Stats",
    "Utterance",
    "Word",
]
