"""A speech facade without threads: the fake engine answers in scripted time."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from backend.config import EngineSettings
from backend.engines.base import Chunk, Engine, Failure, Release, Utterance
from backend.errors import DuplexError, SpeechTimeout
from backend.monitoring.metrics import Metrics
from backend.synthesis.live_listeners import LiveListener
from backend.tts_manager import TTSManager, VoiceParams
from tests.support.engines.fake_engine import FakeModel


class InlineSpeech:
    """What `scheduler.UtteranceHandle` is, with the engine in the same thread."""

    def __init__(self, tts: InlineTTS, utterance: Utterance) -> None:
        self.deadline_s = 0.0
        self.is_taken = True  # nothing is queued here
        self._tts = tts
        self._engine: Engine = tts.engine
        self._id = utterance.id
        self._failure: DuplexError | None = None
        self._owed = False  # a release that is not caught up: only then a chunk comes
        try:
            self._engine.begin(utterance)
        except DuplexError as error:  # told at the first `next_chunk`, as by the scheduler
            self._failure = error

    async def __aenter__(self) -> InlineSpeech:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._engine.abort(self._id)

    def extend(self, release: Release, deadline_s: float) -> None:
        self._tts.releases.append(release)
        self._tts.deadlines_s.append(deadline_s)
        self.deadline_s = deadline_s
        if self._failure is None:
            self._engine.extend(self._id, release)
        self._owed = True

    def take_busy_s(self) -> float:
        return self._tts.delay_s

    async def next_chunk(self) -> Chunk:
        await asyncio.sleep(min(self._tts.delay_s, self._tts.patience_s))
        if self._tts.delay_s > self._tts.patience_s:
            raise SpeechTimeout("no audio")
        assert self._owed, "waits for a chunk that nobody asked for"
        if self._failure is not None:
            raise self._failure
        (result,) = self._engine.step([self._id])
        if isinstance(result, Failure):
            raise result.error
        self._owed = not result.caught_up
        return result


class InlineTTS(TTSManager):
    """Records every release with its deadline, and every utterance.

    `delay_s`: how long each chunk takes in scripted time; above `patience_s` it fails.
    """

    def __init__(
        self,
        model: FakeModel | None = None,
        delay_s: float = 0.0,
        patience_s: float = math.inf,
    ) -> None:
        self.model = model or FakeModel()
        self.metrics = Metrics()
        super().__init__(self.model, EngineSettings(), self.metrics, threads=1)
        self.engine = self.model.create_engine()
        self.releases: list[Release] = []
        self.deadlines_s: list[float] = []
        self.utterances: list[Utterance] = []
        self.delay_s = delay_s
        self.patience_s = patience_s

    async def load_voice(self, voice: str) -> float:
        self.model.load_voice(voice)
        return 1.0

    def open_utterance(
        self, params: VoiceParams, chunk_characters: int, listener: LiveListener | None = None
    ) -> Any:
        utterance = Utterance(
            f"u{len(self.utterances)}",
            params.voice,
            speed=params.speed,
            seed=params.seed,
            language=params.language,
            chunk_characters=chunk_characters,
            parameters=params.parameters,
        )
        self.utterances.append(utterance)
        return InlineSpeech(self, utterance)
