"""The words the core speaks: what a client asks for, and what it is told.

Plain frozen dataclasses, without behaviour. Protocols translate them to and from a wire; the
session decides. Offsets are Unicode code points counted from the start of the context's text. Times
are milliseconds from the start of the context's audio.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Mode = Literal["live", "stream", "batch"]
Frames = Literal["binary", "json"]
Typing = Literal["auto", "word", "phrase", "sentence"]


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice that an engine can speak with; `ready` when it needs no download, `learned` when it
    was made of a recording (and can be removed). `gender`: female, male, or "" for unknown.
    """

    name: str
    language: str
    description: str
    ready: bool
    learned: bool = False
    gender: str = ""


@dataclass(frozen=True, slots=True)
class Word:
    """The word in `text[start:end]`, heard from `start_ms` to `end_ms`."""

    start: int
    end: int
    start_ms: float
    end_ms: float


# --- what a client asks for -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """Open a context with these parameters; None means the server's default. An engine has some of
    `exaggeration` to `repetition_penalty` (`EngineInfo.parameters`). `volume`: a factor, 0 to 2.
    `typing`: in which pieces a text is spoken that is still being written.
    """

    context: str
    voice: str | None = None
    format: str | None = None
    sample_rate: int | None = None
    speed: float | None = None
    seed: int | None = None
    language: str | None = None
    mode: Mode = "live"
    frames: Frames = "binary"
    exaggeration: float | None = None
    cfg_weight: float | None = None
    temperature: float | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    bit_rate: int | None = None
    volume: float | None = None
    typing: Typing | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """More text for the context."""

    context: str
    text: str


@dataclass(frozen=True, slots=True)
class Retract:
    """Take back everything from character offset `to` on."""

    context: str
    to: int


@dataclass(frozen=True, slots=True)
class Flush:
    """Speak all that is known now; more text may follow."""

    context: str


@dataclass(frozen=True, slots=True)
class End:
    """No more text for the context."""

    context: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Be silent: drop what is not yet sent."""

    context: str


@dataclass(frozen=True, slots=True)
class Played:
    """The listener has really heard `ms` of the context's audio."""

    context: str
    ms: float


@dataclass(frozen=True, slots=True)
class Ping:
    """Answered by a `Pong` with the same id; may acknowledge what was received.

    `after`: by context, the `seq` of the last `Audio`. `answers`: how many messages of other kinds,
    `Ready` and `Pong` aside, have come in this session.
    """

    id: str | int | None = None
    after: dict[str, int] | None = None
    answers: int | None = None


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on with a session whose connection broke, behind what was received of it: see `Ping`."""

    session: str
    token: str
    after: dict[str, int]
    answers: int | None = None


ContextCommand = Start | Text | Retract | Flush | End | Cancel | Played
Command = ContextCommand | Ping | Resume


# --- what a client is told ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready:
    """The session is there; these are its defaults. `received`: see `Pong`."""

    session: str
    token: str
    voice: str
    sample_rate: int
    format: str
    received: int = 0


@dataclass(frozen=True, slots=True)
class Audio:
    """Encoded audio that speaks `text[0]` to `text[1]`; may be empty (then it only accounts)."""

    context: str
    seq: int
    start_ms: float
    duration_ms: float
    text: tuple[int, int]
    words: tuple[Word, ...]
    data: bytes = field(repr=False)
    frames: Frames = "binary"


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
    """The context's text now ends at `to`: what was before it is spoken or being spoken."""

    context: str
    to: int


@dataclass(frozen=True, slots=True)
class Flushed:
    """Everything up to `to`, where a `Flush` was, is spoken and sent."""

    context: str
    to: int


@dataclass(frozen=True, slots=True)
class Failed:
    """Something was refused or went wrong; `context` None when it concerns the connection."""

    context: str | None
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a `Ping`.

    `received`: how many of the client's messages, `Ping` and `Resume` aside, were handled in this
    session.
    """

    id: str | int | None
    received: int = 0


Event = Ready | Audio | Done | Cancelled | Retracted | Flushed | Failed | Pong
