"""The server speaks while the text is still being written; this is its client and command line."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duplex_tts.channel.address import DEFAULT_URL
    from duplex_tts.channel.context import Context, Parameters
    from duplex_tts.errors import (
        BadAddress,
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
    from duplex_tts.session_pool import SessionManager
    from duplex_tts.utterance import Utterance

__all__ = [
    "DEFAULT_URL",
    "Audio",
    "BadAddress",
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

_HOMES = {
    "channel.address": ("DEFAULT_URL",),
    "channel.context": ("Context", "Parameters"),
    "errors": (
        "BadAddress",
        "ClientError",
        "ConnectionLost",
        "NoWebSocket",
        "ProtocolError",
        "Refused",
        "SpeechFailed",
    ),
    "events": (
        "Audio",
        "Cancelled",
        "Done",
        "Error",
        "Event",
        "FellBack",
        "Ready",
        "Replaced",
        "Restarted",
        "Resumed",
        "Retracted",
        "Returned",
        "SessionEvent",
        "Word",
    ),
    "options": ("Options", "Stats"),
    "session": ("Session",),
    "session_pool": ("SessionManager",),
    "utterance": ("Utterance",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Imported when it is asked for: the command line has to be able to answer Ctrl-C before."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
