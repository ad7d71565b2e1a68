"""Events: what the server sends, and what a session reports about itself.

Offsets are Unicode code points counted from the start of the context's text. Times are milliseconds
from the start of the context's audio.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Direct:
    """A replica's own address, and a ticket that admits one connection there for a few seconds."""

    url: str
    ticket: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The connection is open; holds the server's defaults (`sample_rate` in Hz).

    `received` (only after a resume): number of client messages that the server has handled.
    `direct`: where the session can be resumed without a proxy between; None if not offered.
    """

    session: str
    token: str
    voice: str
    sample_rate: int
    format: str
    received: int | None = None
    direct: Direct | None = None


@dataclass(frozen=True, slots=True)
class Word:
    """The word `text[start:end]`, which sounds from `start_ms` to `end_ms`."""

    start: int
    end: int
    start_ms: float
    end_ms: float


@dataclass(frozen=True, slots=True)
class Audio:
    """Encoded audio of the text span `text`; `data` is empty for a span without sound."""

    context: str
    seq: int
    start_ms: float
    duration_ms: float
    text: tuple[int, int]
    words: tuple[Word, ...]
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Done:
    """The whole context was spoken; holds the totals over its `Audio`."""

    context: str
    audio_ms: float
    characters: int
    chunks: int


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The context was cancelled, no more audio follows; the audio sent ends at `text_to`."""

    context: str
    text_to: int
    audio_ms: float


@dataclass(frozen=True, slots=True)
class Retracted:
    """The context's text now ends at `to`; the text before it could not be taken back."""

    context: str
    to: int


@dataclass(frozen=True, slots=True)
class Error:
    """A request was refused or failed; `context` is None if it concerns the connection.

    `retry_after_ms`: when to try again, if the server is overloaded.
    """

    context: str | None
    code: str
    message: str
    retry_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Pong:
    """The reply to the ping with the same id; `received`: number of client messages handled."""

    id: str | int | None
    received: int | None = None


@dataclass(frozen=True, slots=True)
class Advice:
    """The context's audio arrives later than it is played: `format` with `bit_rate` (bits per
    second, or "auto") would fit the line. Sent once per session, for a live listener.
    """

    context: str
    code: str
    message: str
    format: str
    bit_rate: int | Literal["auto"]


@dataclass(frozen=True, slots=True)
class UnknownMessage:
    """A message of a type that this client does not know: of a newer server."""

    type: str


ContextReply = Audio | Done | Cancelled | Retracted | Error
"""What the server sends about a context."""

Event = Ready | ContextReply | Advice | UnknownMessage | Pong


# --- reported by a session ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Resumed:
    """The connection broke and was resumed; no audio or text was lost or repeated."""

    away_ms: float
    attempts: int


@dataclass(frozen=True, slots=True)
class Restarted:
    """The server had lost the context, and the client sent its unheard text again.

    Speech continues at the word that begins at `text_to`, after `audio_ms` of audio.
    """

    context: str
    text_to: int
    audio_ms: float


@dataclass(frozen=True, slots=True)
class Replaced:
    """The server session was `age_s` old and was replaced for new utterances."""

    age_s: float


@dataclass(frozen=True, slots=True)
class FellBack:
    """No WebSocket can be opened (`why`): speech comes over HTTP, sentence by sentence."""

    why: str


@dataclass(frozen=True, slots=True)
class Returned:
    """A WebSocket could be opened again, and carries new utterances."""


ContextEvent = ContextReply | Restarted
SessionEvent = Resumed | Restarted | Replaced | FellBack | Returned | Advice
