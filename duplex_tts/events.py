"""What the server tells a client, and what a session tells of itself.

Offsets are Unicode code points counted from the start of the context's text. Times are milliseconds
from the start of the context's audio.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Ready:
    """The connection is open; these are the server's defaults (`sample_rate` in Hz).

    `received`, when a session is resumed: how many of the client's messages have been handled.
    """

    session: str
    token: str
    voice: str
    sample_rate: int
    format: str
    received: int | None = None


@dataclass(frozen=True, slots=True)
class Word:
    """The word in `text[start:end]`, heard from `start_ms` to `end_ms`."""

    start: int
    end: int
    start_ms: float
    end_ms: float


@dataclass(frozen=True, slots=True)
class Audio:
    """Encoded audio that speaks `text[0]` to `text[1]`; `data` may be empty (it only accounts)."""

    context: str
    seq: int
    start_ms: float
    duration_ms: float
    text: tuple[int, int]
    words: tuple[Word, ...]
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Done:
    """All of the context was spoken: the sums over its `Audio`."""

    context: str
    audio_ms: float
    characters: int
    chunks: int


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Nothing more of the context follows; what was sent reached `text_to`."""

    context: str
    text_to: int
    audio_ms: float


@dataclass(frozen=True, slots=True)
class Retracted:
    """The context's text now ends at `to`; what was before it is spoken or being spoken."""

    context: str
    to: int


@dataclass(frozen=True, slots=True)
class Error:
    """Something was refused or went wrong; `context` is None when it concerns the connection."""

    context: str | None
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a ping with the same id; `received`: how many messages have been handled."""

    id: str | int | None
    received: int | None = None


ContextReply = Audio | Done | Cancelled | Retracted | Error
"""What the server says of a context."""

Event = Ready | ContextReply | Pong


# --- what a session tells of itself ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Resumed:
    """The connection broke and is back; nothing of what was in flight is missing or repeated."""

    away_ms: float
    attempts: int


@dataclass(frozen=True, slots=True)
class Restarted:
    """The server had forgotten the context: what was not heard of it was sent again.

    Speech goes on at the word that begins at `text_to`, after `audio_ms` of audio.
    """

    context: str
    text_to: int
    audio_ms: float


@dataclass(frozen=True, slots=True)
class Replaced:
    """The session with the server was `age_s` old; what is spoken from now on has a fresh one."""

    age_s: float


@dataclass(frozen=True, slots=True)
class FellBack:
    """WebSockets do not get through (`why`): speech comes over HTTP, sentence by sentence."""

    why: str


@dataclass(frozen=True, slots=True)
class Returned:
    """WebSockets get through again: what is spoken from now on comes over one."""


ContextEvent = ContextReply | Restarted
SessionEvent = Resumed | Restarted | Replaced | FellBack | Returned
