"""A TTS manager without threads: runs the fake engine on a virtual clock."""

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


class InlineUtteranceHandle:
    """Replaces `scheduler.UtteranceHandle`, with the engine in the same thread."""

    def __init__(self, tts: InlineTTS, utterance: Utterance) -> None:
        self.deadline_s = 0.0
        self.is_taken = True  # nothing is queued here
        self._tts = tts
        self._engine: Engine = tts.engine
        self._id = utterance.id
        self._failure: DuplexError | None = None
        self._has_due_chunk = False  # a release is not caught up: another chunk follows
        try:
            self._engine.begin(utterance)
        except DuplexError as error:  # raised by the first `next_chunk`, as by the scheduler
            self._failure = error

    async def __aenter__(self) -> InlineUtteranceHandle:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._engine.abort(self._id)

    def extend(self, release: Release, deadline_s: float) -> None:
        self._tts.releases.append(release)
        self._tts.deadlines_s.append(deadline_s)
        self.deadline_s = deadline_s
        if self._failure is None:
            self._engine.extend(self._id, release)
        self._has_due_chunk = True

    def take_busy_s(self) -> float:
        return self._tts.delay_s

    async def next_chunk(self) -> Chunk:
        await asyncio.sleep(min(self._tts.delay_s, self._tts.patience_s))
        if self._tts.delay_s > self._tts.patience_s:
            raise SpeechTimeout("no audio")
        assert self._has_due_chunk, "waits for a chunk without a release"
        if self._failure is not None:
            raise self._failure
        (result,) = self._engine.step([self._id])
        if isinstance(result, Failure):
            raise result.error
        self._has_due_chunk = not result.caught_up
        return result


class InlineTTS(TTSManager):
    """Records every release with its deadline, and every utterance.

    `delay_s`: how long each chunk takes on the virtual clock; above `patience_s` it fails.
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

    def is_voice_ready(self, voice: str) -> bool:
        return True

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
        return InlineUtteranceHandle(self, utterance)
