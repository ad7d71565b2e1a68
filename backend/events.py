"""Commands from clients and events to clients, independent of the wire protocol.

Plain frozen dataclasses. Protocols translate them to and from the wire; the session handles them.
Offsets are Unicode code points from the start of the context's text, times milliseconds from the
start of its audio.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from backend.errors import DuplexError, Overloaded

Mode = Literal["live", "stream", "batch"]
Priority = Literal["interactive", "normal", "background"]
Frames = Literal["binary", "json"]
Typing = Literal["auto", "word", "phrase", "sentence"]
BitRate = int | Literal["auto"]


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice of an engine. `ready`: needs no download. `learned`: made from a recording, and can
    be removed. `gender`: female, male, or "" for unknown. `other_languages`: in which it can speak
    besides its own. `engine`: its engine's name, in the server's list of voices.
    """

    name: str
    language: str
    description: str
    ready: bool
    learned: bool = False
    gender: str = ""
    other_languages: tuple[str, ...] = ()
    engine: str = ""


@dataclass(frozen=True, slots=True)
class Word:
    """The word in `text[start:end]`, heard from `start_ms` to `end_ms`."""

    start: int
    end: int
    start_ms: float
    end_ms: float


# --- commands -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """Open a context with these parameters; None is the server's default. An engine has some of
    `exaggeration` to `noise_w` (`EngineInfo.parameters`). `volume`: a factor, 0 to 2.
    `typing`: the units in which unfinished text is spoken. `priority`: among first sounds. `ssml`:
    tags are carried out, also if the text does not begin with `<speak>`. `lexicon`: how words are
    said, by what is written. `dictionaries`: ids of stored ones. `follows`: a context of this
    session that has to end first, if it still runs, and those that it waits for; meanwhile text is
    only kept.
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
    noise_scale: float | None = None
    noise_w: float | None = None
    bit_rate: BitRate | None = None
    volume: float | None = None
    typing: Typing | None = None
    priority: Priority | None = None
    ssml: bool | None = None
    lexicon: dict[str, str] | None = None
    dictionaries: tuple[str, ...] | None = None
    follows: str | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """Append text to the context."""

    context: str
    text: str


@dataclass(frozen=True, slots=True)
class Retract:
    """Take back everything from character offset `to` on."""

    context: str
    to: int


@dataclass(frozen=True, slots=True)
class Flush:
    """Speak all known text now; more may follow. `ends_stream`: the encoded audio up to here is
    whole, as a file is; the next begins another.
    """

    context: str
    ends_stream: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """No more text for the context."""

    context: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop, and drop everything not yet sent."""

    context: str


@dataclass(frozen=True, slots=True)
class Played:
    """The listener has heard `ms` of the context's audio."""

    context: str
    ms: float


@dataclass(frozen=True, slots=True)
class Ping:
    """Answered by a `Pong` with the same id; may acknowledge received events.

    `after`: by context, the `seq` of the last `Audio`. `answers`: number of other messages received
    in this session, without `Ready` and `Pong`.
    """

    id: str | int | None = None
    after: dict[str, int] | None = None
    answers: int | None = None


@dataclass(frozen=True, slots=True)
class Resume:
    """Resume a session after the events already received: see `Ping`."""

    session: str
    token: str
    after: dict[str, int]
    answers: int | None = None


ContextCommand = Start | Text | Retract | Flush | End | Cancel | Played
Command = ContextCommand | Ping | Resume


# --- events ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Direct:
    """Where the session can be resumed without a proxy between. `ticket`: used once, instead of a
    key.
    """

    url: str
    ticket: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The session is open; its defaults. `received`: see `Pong`. `direct`: None if not offered."""

    session: str
    token: str
    voice: str
    sample_rate: int
    format: str
    received: int = 0
    direct: Direct | None = None


@dataclass(frozen=True, slots=True)
class Audio:
    """Encoded audio of `text[0]` to `text[1]`; `data` may be empty, the span still counts."""

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
    """The context was spoken to its end: the sums over its `Audio`."""

    context: str
    audio_ms: float
    characters: int
    chunks: int


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The context was cancelled; the audio sent reaches `text_to`."""

    context: str
    text_to: int
    audio_ms: float


@dataclass(frozen=True, slots=True)
class Retracted:
    """The context's text now ends at `to`; earlier text is already released."""

    context: str
    to: int


@dataclass(frozen=True, slots=True)
class Flushed:
    """All text up to `to`, the position of a `Flush`, is spoken and sent."""

    context: str
    to: int


@dataclass(frozen=True, slots=True)
class Failed:
    """An error; `context` is None if it concerns the connection. `retry_after_ms`: when it is worth
    trying again, for `overloaded`.
    """

    context: str | None
    code: str
    message: str
    retry_after_ms: int | None = None

    @classmethod
    def from_error(cls, error: DuplexError, context: str | None = None) -> Failed:
        """The event for an error of `context`."""
        wait_s = error.retry_after_s if isinstance(error, Overloaded) else None
        wait_ms = None if wait_s is None else max(1, round(wait_s * 1000))
        return cls(context, error.code, error.message, wait_ms)


@dataclass(frozen=True, slots=True)
class Advice:
    """The context's audio arrives later than it is played; `format` with `bit_rate` would fit."""

    context: str
    code: str
    message: str
    format: str
    bit_rate: BitRate


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a `Ping`.

    `received`: number of the client's messages handled in this session, without `Ping` and
    `Resume`.
    """

    id: str | int | None
    received: int = 0


Event = Ready | Audio | Done | Cancelled | Retracted | Flushed | Failed | Advice | Pong
