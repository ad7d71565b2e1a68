"""What markup asks for. Offsets are code points from the start of the context. Pure."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_PAUSE_MS = 10_000


@dataclass(frozen=True, slots=True)
class Pause:
    """Silence of `ms` at `end`; the mark itself is `start` to `end`."""

    start: int
    end: int
    ms: int


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound of Chatterbox Turbo, such as "laugh", in place of the mark."""

    start: int
    end: int
    name: str


@dataclass(frozen=True, slots=True)
class Sub:
    """`alias` is read instead of the text from `start` to `end`."""

    start: int
    end: int
    alias: str


@dataclass(frozen=True, slots=True)
class SayAs:
    """How the text from `start` to `end` is read; both strings are lower case, as in SSML."""

    start: int
    end: int
    interpret_as: str
    format: str = ""


@dataclass(frozen=True, slots=True)
class Phoneme:
    """The pronunciation of the text from `start` to `end`, in IPA."""

    start: int
    end: int
    ipa: str


@dataclass(frozen=True, slots=True)
class Change:
    """From `end` on these factors hold, on the speed and volume of the context. `rate`: 0.5 to 2;
    `volume`: 0 to 2. The mark itself is `start` to `end`.
    """

    start: int
    end: int
    rate: float
    volume: float


@dataclass(frozen=True, slots=True)
class LanguageChange:
    """From `end` on the text is in this language; "": the context's."""

    start: int
    end: int
    language: str


Mark = Pause | Sound | Sub | SayAs | Phoneme | Change | LanguageChange
