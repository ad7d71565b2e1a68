"""An engine that is easy to reason about: every character lasts 10 ms, and its samples say which
character it is."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from backend.engines.base import Chunk, Engine, EngineInfo, Failure, Release, Utterance
from backend.errors import EngineFailed, UnknownVoice, VoiceUnavailable
from backend.events import Voice, Word
from backend.speakable import word_ends

RATE_HZ = 24_000
CHARACTER_MS = 10.0
CHARACTER_SAMPLES = 240
BAD_WORD = "explode"  # the engine fails an utterance that holds it
CRASH_WORD = "crash"  # the engine has a bug: `step` raises


def voiced(text: str, start: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """PCM of `text`, whose first character has offset `start` in its utterance."""
    levels = ((np.arange(start, start + len(text)) % 100) + 1) / 128
    return np.repeat(levels, CHARACTER_SAMPLES).astype(np.float32)


@dataclass
class _Job:
    utterance: Utterance
    release: Release | None = None
    spoken: int = 0
    heard: list[str] = field(default_factory=list)


class FakeEngine:
    """Speaks each release in chunks of `chunk_characters`, cut at words."""

    def __init__(self, info: EngineInfo, gate: threading.Event | None = None) -> None:
        self.info = info
        self._gate = gate  # when given: every step waits for it
        self._jobs: dict[str, _Job] = {}

    def begin(self, utterance: Utterance) -> None:
        if utterance.voice == "broken":
            raise VoiceUnavailable("the voice is broken")
        self._jobs[utterance.id] = _Job(utterance)

    def extend(self, utterance_id: str, release: Release) -> None:
        self._jobs[utterance_id].release = release

    def step(self, urgent: Sequence[str]) -> list[Chunk | Failure]:
        if self._gate is not None:
            self._gate.wait(5)
        job = self._jobs[urgent[0]]
        release = job.release
        assert release is not None
        if CRASH_WORD in release.text:
            raise ZeroDivisionError("a bug")
        if BAD_WORD in release.text:
            del self._jobs[urgent[0]]
            return [Failure(urgent[0], EngineFailed("out of memory"))]
        return [self._chunk(job, release)]

    def _chunk(self, job: _Job, release: Release) -> Chunk:
        start, size = job.spoken, job.utterance.chunk_characters or len(release.text)
        ends = [e for e in word_ends(release.text) if start < e <= release.speak_to]
        enough = [e for e in ends if e - start >= size]
        end = enough[0] if enough else release.speak_to
        text = release.text[start:end]
        job.spoken = end
        pcm = voiced(text, start) if text.strip() else np.zeros(0, np.float32)
        words = (Word(start, end, start * CHARACTER_MS, end * CHARACTER_MS),) if len(pcm) else ()
        return Chunk(job.utterance.id, pcm, start, end, words, caught_up=end == release.speak_to)

    def abort(self, utterance_id: str) -> None:
        self._jobs.pop(utterance_id, None)

    @property
    def open_utterances(self) -> int:
        return len(self._jobs)


class FakeModel:
    """Two voices that speak, one that cannot be fetched, one that fails at `begin`."""

    default_voice = "heart"

    def __init__(
        self, *, incremental: bool = True, max_batch: int = 1, gate: threading.Event | None = None
    ) -> None:
        self.info = EngineInfo("fake", RATE_HZ, ("en",), incremental, max_batch)
        self.engines: list[FakeEngine] = []
        self._gate = gate

    def voices(self) -> tuple[Voice, ...]:
        names = ("heart", "second", "remote", "broken")
        return tuple(Voice(name, "en", "", name != "remote") for name in names)

    def load_voice(self, name: str) -> None:
        if name == "remote":
            raise VoiceUnavailable("no network; available: heart, second")
        if name not in {voice.name for voice in self.voices()}:
            raise UnknownVoice(name)

    def create_engine(self) -> Engine:
        engine = FakeEngine(self.info, self._gate)
        self.engines.append(engine)
        return engine
