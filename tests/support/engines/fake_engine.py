"""An engine that is easy to reason about and strict about its contract.

Every character but white space lasts 10 ms, and its samples say which character it is: what was
heard can be read from the PCM (`heard`), however the text was cut.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.audio.loudness import TARGET_LUFS
from backend.engines.base import Chunk, Device, Engine, EngineInfo, Failure, Release, Utterance
from backend.errors import EngineFailed, UnknownVoice, VoiceUnavailable
from backend.events import Voice, Word
from backend.text.words import word_ends

RATE_HZ = 24_000
CHARACTER_MS = 10.0
CHARACTER_SAMPLES = 240
BAD_WORD = "explode"  # the engine fails an utterance that holds it
CRASH_WORD = "crash"  # the engine has a bug: `step` raises
CODES = 0x110000  # of Unicode
QUIETEST, RANGE = 0.125, 0.25  # audible, and too quiet for a limiter; a float32 tells codes apart


def voiced(text: str) -> NDArray[np.float32]:
    """The PCM of `text`."""
    codes = [ord(character) for character in text if not character.isspace()]
    levels = QUIETEST + RANGE * np.array(codes, np.float64) / CODES
    return np.repeat(levels, CHARACTER_SAMPLES).astype(np.float32)


def heard(pcm: NDArray[np.float32]) -> str:
    """The characters that exact PCM speaks."""
    assert len(pcm) % CHARACTER_SAMPLES == 0, "a character is cut"
    rows = pcm.reshape(-1, CHARACTER_SAMPLES).astype(np.float64)
    assert np.all(rows == rows[:, :1]), "a character is broken"
    return "".join(chr(round((level - QUIETEST) * CODES / RANGE)) for level in rows[:, 0])


@dataclass
class _Job:
    utterance: Utterance
    release: Release | None = None
    spoken: int = 0
    audio_ms: float = 0.0


class FakeEngine:
    """Speaks each release in chunks of `chunk_characters`, cut at words.

    Stops short of a word with a digit in it when that is the last one of a release that it need not
    reach. Asserts what the contract promises to an engine.
    """

    def __init__(
        self, info: EngineInfo, gate: threading.Semaphore | None = None, lead_ms: int = 0
    ) -> None:
        self.info = info
        self._lead_ms = lead_ms  # of silence, with which every utterance begins
        self.steps: list[tuple[str, ...]] = []  # what each step was asked for, by utterance
        self.entered = threading.Event()  # a step has begun
        self._gate = gate  # when given: every step waits for it
        self._jobs: dict[str, _Job] = {}

    def begin(self, utterance: Utterance) -> None:
        assert utterance.id not in self._jobs, "begun twice"
        if utterance.voice == "broken":
            raise VoiceUnavailable("the voice is broken")
        self._jobs[utterance.id] = _Job(utterance)

    def extend(self, utterance_id: str, release: Release) -> None:
        job = self._jobs[utterance_id]
        assert job.spoken <= release.speak_to <= len(release.text), (job.spoken, release)
        if release.final:
            assert release.speak_to == len(release.text), release
        elif not release.must_reach:
            assert release.speak_to in word_ends(release.text), release
        if job.release is not None:
            assert not job.release.final, "released again after the final release"
            assert job.release.speak_to <= release.speak_to, "released less than before"
            before = job.release.text[: job.spoken]
            assert release.text[: job.spoken] == before, "changed what is spoken"
        job.release = release

    def step(self, urgent: Sequence[str]) -> list[Chunk | Failure]:
        self.steps.append(tuple(urgent))
        self.entered.set()
        if self._gate is not None:
            assert self._gate.acquire(timeout=10), "nobody opened the gate"
        assert len(urgent) <= max(1, self.info.max_batch)
        return [self._advance(utterance_id) for utterance_id in urgent]

    def _advance(self, utterance_id: str) -> Chunk | Failure:
        job = self._jobs[utterance_id]
        assert job.release is not None
        if CRASH_WORD in job.release.text:
            raise ZeroDivisionError("a bug")
        if BAD_WORD in job.release.text:
            del self._jobs[utterance_id]
            return Failure(utterance_id, EngineFailed("out of memory"))
        return self._chunk(job, job.release)

    def _chunk(self, job: _Job, release: Release) -> Chunk:
        start, reach = job.spoken, _reach(release, job.spoken)
        size = job.utterance.chunk_characters or len(release.text)
        ends = [end for end in word_ends(release.text) if start < end < reach]
        end = next((end for end in ends if end - start >= size), reach)
        pcm = voiced(release.text[start:end])
        if not start:
            job.audio_ms += self._lead_ms
            pcm = np.pad(pcm, (self._lead_ms * RATE_HZ // 1000, 0))
        words = tuple(_words(release.text, start, end, job.audio_ms))
        job.spoken = end
        job.audio_ms += len(voiced(release.text[start:end])) * 1000 / RATE_HZ
        caught_up = end == reach
        if caught_up and release.final:
            del self._jobs[job.utterance.id]
        return Chunk(job.utterance.id, pcm, start, end, words, caught_up)

    def abort(self, utterance_id: str) -> None:
        self._jobs.pop(utterance_id, None)

    @property
    def open_utterances(self) -> int:
        return len(self._jobs)


def _reach(release: Release, spoken: int) -> int:
    if release.final or release.must_reach:
        return release.speak_to
    ends = [0, *word_ends(release.text)]
    at = ends.index(release.speak_to)
    while at and any(map(str.isdigit, release.text[ends[at - 1] : ends[at]])):
        at -= 1
    return max(spoken, ends[at])


def _words(text: str, start: int, end: int, at_ms: float) -> Iterator[Word]:
    ends = [e for e in word_ends(text) if start < e < end]
    for low, high in zip([start, *ends], [*ends, end], strict=True):
        until_ms = at_ms + len("".join(text[low:high].split())) * CHARACTER_MS
        if until_ms > at_ms:
            yield Word(low, high, at_ms, until_ms)
        at_ms = until_ms


class FakeModel:
    """Two voices that speak, one that cannot be fetched, one that fails at `begin`."""

    default_voice = "heart"
    device: Device | None = None

    def __init__(
        self,
        *,
        incremental: bool = True,
        max_batch: int = 1,
        gate: threading.Semaphore | None = None,
        lead_ms: int = 0,
        step_limit_s: float = 60.0,
    ) -> None:
        """`step_limit_s`: none of a test's own waiting is a step that hangs."""
        self.info = EngineInfo(
            "fake",
            RATE_HZ,
            ("en",),
            incremental,
            max_batch,
            lufs=TARGET_LUFS,
            step_limit_s=step_limit_s,
        )
        self.engines: list[FakeEngine] = []
        self.gate = gate
        self._lead_ms = lead_ms

    @property
    def open_utterances(self) -> int:
        return sum(engine.open_utterances for engine in self.engines)

    def voices(self) -> tuple[Voice, ...]:
        names = ("heart", "second", "remote", "broken")
        return tuple(Voice(name, "en", "", name != "remote") for name in names)

    def is_whole_word(self, word: str) -> bool:
        return word == "umbrella"

    def load_voice(self, name: str) -> None:
        if name == "remote":
            raise VoiceUnavailable("no network; available: heart, second")
        if name not in {voice.name for voice in self.voices()}:
            raise UnknownVoice(name)

    def create_engine(self) -> Engine:
        engine = FakeEngine(self.info, self.gate, self._lead_ms)
        self.engines.append(engine)
        return engine
