"""The client library and command line of Duplex TTS, which speaks text while it is written."""

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
        Advice,
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
    "Advice",
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

_EXPORTS = {
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
        "Advice",
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
_MODULE_OF = {name: module for module, names in _EXPORTS.items() for name in names}


def __getattr__(name: str) -> object:
    """Import on first use, so that the command line handles Ctrl-C before slow imports."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
