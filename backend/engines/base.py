"""The engine contract.

A `Model` holds weights and voices and is shared by all threads. An `Engine` renders with it and is
owned by one thread: nothing is asynchronous, and engines need no locks.

An utterance's lifecycle: `begin`, then any number of `extend`, each followed by `step` calls until
a chunk is `caught_up`; it ends with `abort` or the `caught_up` chunk of a final release.
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
    """A numeric voice parameter that a context may set."""

    low: float
    high: float
    default: float


SPEED = Parameter(0.5, 2.0, 1.0)


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """An engine's properties. `incremental`: renders words of a growing sentence in its context;
    otherwise the pacer releases whole clauses of at least `min_clause_length` characters: shorter
    ones are spoken badly. `max_batch`: most utterances passed to one step.
    `parameters`: what a context may set, by the names of `events.Start`. `clones`: voices can be
    learned from recordings. `lufs`: loudness of its voices; None: each is measured.
    `missing_languages`: those of `languages` that lack something, and what to do about each.
    `sounds`: what it can do but speak ("laugh"); a text asks for one by its name in brackets.
    `step_limit_s`: a longer call counts as hanging; the engine is abandoned and that call's
    utterances fail.
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
    sounds: tuple[str, ...] = ()
    min_clause_length: int = 25
    missing_languages: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Device:
    """A model's GPU. `memory_used_bytes`: memory used by this process."""

    name: str
    memory_used_bytes: int
    memory_total_bytes: int


@dataclass(frozen=True, slots=True)
class EngineMemory:
    """What an engine occupies on its device, and its slots: the utterances that it can advance.

    `weights_bytes`, `slots_bytes`: 0 while they are not on the device. `graphs_bytes`: the pools of
    CUDA graphs. `free_bytes`: of the device, for whichever process. Both are None on a CPU.
    """

    weights_bytes: int
    slots_bytes: int
    graphs_bytes: int | None
    free_bytes: int | None
    slots_used: int
    slots_total: int


@dataclass(frozen=True, slots=True)
class Utterance:
    """The fixed properties of a sentence to be spoken; its text follows in releases.

    `chunk_characters`: a longer release is returned in several chunks of about this many characters
    (cut at words), so that its first sound does not wait for its last. 0: no preference.
    """

    id: str
    voice: str
    speed: float = 1.0
    seed: int = 0
    language: str | None = None
    chunk_characters: int = 25
    parameters: Mapping[str, float] = field(default_factory=dict)
    """Those of `EngineInfo.parameters` that were set, within their ranges, without `speed`."""


@dataclass(frozen=True, slots=True)
class Release:
    """The sentence known so far, and how far it may be spoken.

    `text` is what is said, in plain words and punctuation marks: the reading of what was written
    (`backend.text.reading`). Words joined by no-break spaces are said for one written word, and are
    best spoken in one chunk; single capitals are said by their names. It agrees with every earlier
    release up to what has been spoken; the text behind `speak_to` is lookahead and may change.
    `speak_to` is an upper bound at the end of a word (spaces included): the engine may stop
    earlier, at a boundary that it can defend, unless `must_reach`. `final`: this is the whole
    sentence and `speak_to` its end; implies `must_reach`. `pause`: silence will follow, since the
    rest is not written yet: speech ends like a phrase within a sentence, and what follows begins
    with its own onset. `pronunciations`: by the offsets of words, how those are said instead, in
    IPA; an engine that has no phonemes reads the text.
    """

    text: str
    speak_to: int
    final: bool = False
    must_reach: bool = False
    pause: bool = False
    pronunciations: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Chunk:
    """PCM of one engine step.

    `pcm`: mono float32 [-1, 1] at `EngineInfo.sample_rate_hz`, possibly empty. `start`, `end`: it
    speaks `text[start:end]` of the utterance; the spans of an utterance's chunks tile its text in
    order. A chunk with an empty span continues the sound of the text before it; without sound it
    only reports progress. `words`: offsets in the utterance's text, times in ms from its first
    sample. `caught_up`: the latest release is rendered as far as it will be; every `extend` ends
    with exactly one such chunk (possibly empty), unless a newer `extend` replaced it.
    """

    utterance_id: str
    pcm: Pcm = field(repr=False)
    start: int
    end: int
    words: tuple[Word, ...] = ()
    caught_up: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """One utterance could not be rendered and is forgotten; others are not affected."""

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
        """Advance some of the named utterances, most urgent first. Blocks while it computes; keep
        steps short (tens of ms, for any text) so that a more urgent utterance can preempt.

        Raises `EngineDead` if no engine of this process can render any more.
        """

    def abort(self, utterance_id: str) -> None:
        """Forget the utterance; unknown ids are fine."""


class Model(Protocol):
    """Weights and voices, shared by the engines built on it. Thread-safe."""

    info: EngineInfo

    @property
    def default_voice(self) -> str:
        """The voice used when none is requested."""

    @property
    def device(self) -> Device | None:
        """The GPU and its current memory; None on a CPU. Does not block."""

    def voices(self) -> tuple[Voice, ...]:
        """All voices, including those that need a download. Does not block."""

    def is_whole_word(self, word: str) -> bool:
        """Whether `word` is a word that no longer word begins with, so that it cannot be half
        typed. False if the model has no word list. Does not block.
        """

    def load_voice(self, name: str) -> None:
        """Load the voice. Blocks (a download, seconds); returns at once if it is loaded. Raises
        `UnknownVoice`, `VoiceUnavailable`.
        """

    def create_engine(self) -> Engine:
        """A new engine for the calling thread to own."""


@runtime_checkable
class PhonemicModel(Model, Protocol):
    """A model that speaks phonemes."""

    def read_phonemes(self, release: Release, voice: str) -> list[tuple[int, str]]:
        """The words of a release, as their offsets and phonemes (the model's own alphabet). Blocks
        (about 0.1 ms a word). Raises `UnknownVoice`.
        """


@runtime_checkable
class MeasuredModel(Model, Protocol):
    """A model that tells what its memory is used for."""

    def measure_memory(self) -> EngineMemory:
        """The present use. Blocks briefly: queries the device."""


@runtime_checkable
class UnloadableModel(Model, Protocol):
    """A model that can leave its device while it is idle (`engine.idle_unload`). It has one
    engine thread (`EngineInfo.max_batch` above 1), which calls these two, and drops its engine
    before `release` and creates another after `restore`. Voices may be learned at any time.
    """

    def release(self) -> None:
        """Move the weights to the host's memory and free the device's. Blocks (seconds)."""

    def restore(self) -> None:
        """Move them back; at once if they are there. Blocks (a second). Raises `ConfigError` if the
        device has been filled meanwhile, `EngineDead`.
        """


@runtime_checkable
class EvictingModel(Model, Protocol):
    """A model that may drop voices from memory; they are loaded again before they speak."""

    def is_voice_loaded(self, name: str) -> bool:
        """Whether the voice is in memory. Does not block."""


@runtime_checkable
class CloningModel(Model, Protocol):
    """A model that learns voices from recordings; `EngineInfo.clones` is true."""

    def learn(self, name: str, audio: Path) -> Voice:
        """Learn a voice from a recording (WAV, mono, 2.5 to 10 s, speech at -27 LUFS: see
        `audio.reference`) and store it across restarts. One call at a time. Blocks (seconds).
        Raises `DuplexError`; then nothing is stored.
        """

    def forget(self, name: str) -> None:
        """Remove a learned voice, from the disk too; utterances in progress go on. Blocks briefly.
        Raises `UnknownVoice`, `Unsupported` if it came with the model.
        """


@runtime_checkable
class SharingModel(CloningModel, Protocol):
    """A model whose learned voices can be given to other servers with the same engine. The methods
    may be called while another voice is learned.
    """

    def export_voice(self, name: str) -> bytes:
        """A learned voice. Blocks briefly. Raises `UnknownVoice`."""

    def import_voice(self, name: str, exported: bytes) -> None:
        """Know a voice of another server until this process ends; nothing is stored on the disk.
        Replaces one of this name for later utterances. Blocks briefly. Raises `BadMessage` if it
        cannot be read, `Unsupported` if a voice of this name came with the model.
        """
