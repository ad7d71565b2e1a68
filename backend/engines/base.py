"""The engine contract.

A `Model` holds weights and voices and is shared by all threads. An `Engine` renders with it and is
owned by one thread: nothing here is asynchronous, nothing is locked by the engine itself.

The life of an utterance: `begin`, then any number of `extend`, each followed by as many `step` as
it takes until a chunk says `caught_up`; then `abort`, or the `caught_up` chunk of a final release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from backend.audio.formats import Pcm as Pcm
from backend.errors import DuplexError
from backend.events import Voice, Word


@dataclass(frozen=True, slots=True)
class Parameter:
    """Something about the manner of speaking that a context may choose."""

    low: float
    high: float
    default: float


SPEED = Parameter(0.5, 2.0, 1.0)


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine is. `incremental`: renders words in the context of a sentence still growing;
    without it the pacer hands it whole clauses. `max_batch`: utterances that a step is told of, at
    most. `parameters`: what a context may choose, by the names of `events.Start`; `clones`: new
    voices can be made of recordings. `lufs`: how loud its voices are; None: each is measured.
    `step_limit_s`: an engine that is longer than this in one call hangs; it is given up, with what
    it was at.
    """

    name: str
    sample_rate_hz: int
    languages: tuple[str, ...]
    incremental: bool
    max_batch: int
    parameters: Mapping[str, Parameter] = field(default_factory=lambda: {"speed": SPEED})
    clones: bool = False
    lufs: float | None = None
    step_limit_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Device:
    """The card that a model is on. `memory_used_bytes`: what this process has of its memory."""

    name: str
    memory_used_bytes: int
    memory_total_bytes: int


@dataclass(frozen=True, slots=True)
class Utterance:
    """One sentence to be spoken, as far as it is settled before its text is.

    `chunk_characters`: a release longer than this is returned in several chunks of about this many
    characters (cut at words): its first sound does not wait for its last. 0: no preference.
    """

    id: str
    voice: str
    speed: float = 1.0
    seed: int = 0
    language: str | None = None
    chunk_characters: int = 25
    parameters: Mapping[str, float] = field(default_factory=dict)
    """Of `EngineInfo.parameters`, those that were chosen, all in their ranges; speed is above."""


@dataclass(frozen=True, slots=True)
class Release:
    """The sentence known so far, and how far it may be spoken.

    `text` agrees with every earlier release up to what has been spoken; what lies behind `speak_to`
    is lookahead and may differ. `speak_to` is an upper bound at the end of a word (its spaces
    included): the engine may stop short of it at a boundary that it can defend (inside a number, a
    date, an amount with its magnitude, an abbreviation it does not cut), unless `must_reach`.
    `final`: this is the whole sentence and `speak_to` its end; implies `must_reach`. `pause`: the
    listener will hear silence behind what is spoken now, since the rest is not written yet: it ends
    like a phrase within a sentence, and what follows begins with its own onset.
    """

    text: str
    speak_to: int
    final: bool = False
    must_reach: bool = False
    pause: bool = False


@dataclass(frozen=True, slots=True)
class Chunk:
    """PCM of one engine step.

    `pcm`: mono float32 [-1, 1] at `EngineInfo.sample_rate_hz`, possibly empty. `start`, `end`: it
    speaks `text[start:end]` of the utterance; the spans of an utterance's chunks tile its text in
    order. One without text is more of the sound of the text before it; one without both is a step
    on the way. `words`: offsets in the utterance's text, times in ms from its first sample.
    `caught_up`: the latest release is rendered as far as it will be; every `extend` is answered by
    exactly one such chunk in the end (possibly empty), unless a newer `extend` replaced it.
    """

    utterance_id: str
    pcm: Pcm = field(repr=False)
    start: int
    end: int
    words: tuple[Word, ...] = ()
    caught_up: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """One utterance could not be rendered and is forgotten; the others go on."""

    utterance_id: str
    error: DuplexError


class Engine(Protocol):
    """Renders utterances; every method is called from the one thread that owns the engine."""

    info: EngineInfo

    def begin(self, utterance: Utterance) -> None:
        """Open an utterance. Raises `DuplexError` (unknown voice, speed out of range)."""

    def extend(self, utterance_id: str, release: Release) -> None:
        """Replace the utterance's release. Cheap: rendering happens in `step`."""

    def step(self, urgent: Sequence[str]) -> list[Chunk | Failure]:
        """Advance some of the named utterances, most urgent first. Blocks while it computes; keep a
        step short (some ten ms, for any text) so that a more urgent utterance can come between.

        Raises `EngineDead` when no engine of this process will render anything more.
        """

    def abort(self, utterance_id: str) -> None:
        """Forget the utterance; unknown ids are fine."""


class Model(Protocol):
    """Weights and voices, shared by the engines built on it. Thread-safe."""

    info: EngineInfo

    @property
    def default_voice(self) -> str:
        """The voice of who names none."""

    @property
    def device(self) -> Device | None:
        """The card that it is on, as it is now; None on a CPU. Does not block."""

    def voices(self) -> tuple[Voice, ...]:
        """The voices there are, those that need a download included. Does not block."""

    def is_whole_word(self, word: str) -> bool:
        """Whether `word` is one of the language with which no longer one begins: not half of what
        somebody is typing. False where the model knows no words. Does not block.
        """

    def load_voice(self, name: str) -> None:
        """Make the voice ready to speak. Blocks (a download, seconds). Raises `UnknownVoice`,
        `VoiceUnavailable`; returns at once when the voice is loaded.
        """

    def create_engine(self) -> Engine:
        """A new engine for the calling thread to own."""


@runtime_checkable
class CloningModel(Model, Protocol):
    """A model that makes voices of recordings and keeps them; `EngineInfo.clones` says so."""

    def learn(self, name: str, audio: Path) -> Voice:
        """Make a voice of a recording (WAV, mono, 5 to 30 s) and keep it: it is there from now on,
        also after a restart. One call at a time. Blocks (seconds). Raises `DuplexError`; then
        nothing is kept.
        """

    def forget(self, name: str) -> None:
        """Remove a voice that was learned, from the disk too; utterances that have begun go on.
        Blocks shortly. Raises `UnknownVoice`, `Unsupported` where it came with the model.
        """
