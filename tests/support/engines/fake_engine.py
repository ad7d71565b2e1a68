"""A fake engine with predictable audio that checks the engine contract.

Every character but white space lasts 10 ms, and its samples encode the character: `heard` reads
the text from the PCM, however the text was split.
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
BAD_WORD = "explode"  # an utterance with this word fails
CRASH_WORD = "crash"  # `step` raises, as from a bug
CODES = 0x110000  # of Unicode
QUIETEST, RANGE = 0.125, 0.25  # audible, below the limiter; float32 separates codes


def encode_pcm(text: str) -> NDArray[np.float32]:
    """Encode a text as PCM."""
    codes = [ord(character) for character in text if not character.isspace()]
    levels = QUIETEST + RANGE * np.array(codes, np.float64) / CODES
    return np.repeat(levels, CHARACTER_SAMPLES).astype(np.float32)


def decode_pcm(pcm: NDArray[np.float32]) -> str:
    """Decode the characters in exact PCM."""
    assert len(pcm) % CHARACTER_SAMPLES == 0, "a character is cut"
    rows = pcm.reshape(-1, CHARACTER_SAMPLES).astype(np.float64)
    assert np.all(rows == rows[:, :1]), "a character is broken"
    return "".join(
        chr(round((level - QUIETEST) * CODES / RANGE)) for level in rows[:, 0] if level
    )  # the rest is silence


@dataclass
class _OpenUtterance:
    utterance: Utterance
    release: Release | None = None
    spoken: int = 0
    audio_ms: float = 0.0


class FakeEngine:
    """Speaks each release in chunks of `chunk_characters`, cut at words.

    Stops before a final word with a digit, unless the release must be reached. Asserts what the
    contract guarantees to an engine.
    """

    def __init__(
        self, info: EngineInfo, gate: threading.Semaphore | None = None, lead_ms: int = 0
    ) -> None:
        self.info = info
        self._lead_ms = lead_ms  # of silence at the start of every utterance
        self.steps: list[tuple[str, ...]] = []  # the utterances of each step
        self.entered = threading.Event()  # a step has begun
        self._gate = gate  # if given, every step waits for it
        self._jobs: dict[str, _OpenUtterance] = {}

    def begin(self, utterance: Utterance) -> None:
        assert utterance.id not in self._jobs, "begun twice"
        if utterance.voice == "broken":
            raise VoiceUnavailable("the voice is broken")
        self._jobs[utterance.id] = _OpenUtterance(utterance)

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
            assert release.text[: job.spoken] == before, "changed spoken text"
        job.release = release

    def step(self, urgent: Sequence[str]) -> list[Chunk | Failure]:
        self.steps.append(tuple(urgent))
        self.entered.set()
        if self._gate is not None:
            assert self._gate.acquire(timeout=10), "the gate stayed closed"
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
        return self._render_chunk(job, job.release)

    def _render_chunk(self, job: _OpenUtterance, release: Release) -> Chunk:
        start, reach = job.spoken, _reachable_end(release, job.spoken)
        size = job.utterance.chunk_characters or len(release.text)
        ends = [end for end in word_ends(release.text) if start < end < reach]
        end = next((end for end in ends if end - start >= size), reach)
        pcm = encode_pcm(release.text[start:end])
        if not start:
            job.audio_ms += self._lead_ms
            pcm = np.pad(pcm, (self._lead_ms * RATE_HZ // 1000, 0))
        words = tuple(_time_words(release.text, start, end, job.audio_ms))
        job.spoken = end
        job.audio_ms += len(encode_pcm(release.text[start:end])) * 1000 / RATE_HZ
        caught_up = end == reach
        if caught_up and release.final:
            del self._jobs[job.utterance.id]
        return Chunk(job.utterance.id, pcm, start, end, words, caught_up)

    def abort(self, utterance_id: str) -> None:
        self._jobs.pop(utterance_id, None)

    @property
    def open_utterances(self) -> int:
        return len(self._jobs)


def _reachable_end(release: Release, spoken: int) -> int:
    if release.final or release.must_reach:
        return release.speak_to
    ends = [0, *word_ends(release.text)]
    at = ends.index(release.speak_to)
    while at and any(map(str.isdigit, release.text[ends[at - 1] : ends[at]])):
        at -= 1
    return max(spoken, ends[at])


def _time_words(text: str, start: int, end: int, at_ms: float) -> Iterator[Word]:
    ends = [e for e in word_ends(text) if start < e < end]
    for low, high in zip([start, *ends], [*ends, end], strict=True):
        until_ms = at_ms + len("".join(text[low:high].split())) * CHARACTER_MS
        if until_ms > at_ms:
            yield Word(low, high, at_ms, until_ms)
        at_ms = until_ms


class FakeModel:
    """Has two working voices, one that cannot be fetched, and one that fails at `begin`."""

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
        """`step_limit_s`: long, as a waiting test must not count as a hanging step."""
        self.info = EngineInfo(
            "fake",
            RATE_HZ,
            ("qaa", "en"),  # private use: a language without rules, which is said as it is written
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
        own, *others = self.info.languages
        return tuple(
            Voice(name, own, "", name != "remote", other_languages=tuple(others))
            for name in ("heart", "second", "remote", "broken")
        )

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
