"""A speech facade without threads: the fake engine answers at once, in scripted time."""

from __future__ import annotations

import asyncio
from typing import Any

from backend.config import EngineSettings
from backend.engines.base import Chunk, Engine, Failure, Release, Utterance
from backend.metrics import Metrics
from backend.tts_manager import Manner, TTSManager
from tests.fake_engine import FakeModel


class InlineSpeech:
    """What `scheduler.Speech` is, with the engine in the same thread.

    `delay_s`: how long each chunk takes in scripted time.
    """

    def __init__(self, engine: Engine, utterance: Utterance, log: list[Any], delay_s: float) -> None:
        self.deadline_s = 0.0
        self._engine = engine
        self._id = utterance.id
        self._log = log
        self._delay_s = delay_s
        engine.begin(utterance)

    async def __aenter__(self) -> InlineSpeech:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._engine.abort(self._id)

    def extend(self, release: Release, deadline_s: float) -> None:
        self._log.append(release)
        self.deadline_s = deadline_s
        self._engine.extend(self._id, release)

    async def next_chunk(self) -> Chunk:
        await asyncio.sleep(self._delay_s)
        (result,) = self._engine.step([self._id])
        if isinstance(result, Failure):
            raise result.error
        return result


class InlineTTS(TTSManager):
    """Records every release in `releases`."""

    def __init__(self, model: FakeModel | None = None, delay_s: float = 0.0) -> None:
        self.model = model or FakeModel()
        super().__init__(self.model, EngineSettings(), Metrics(), threads=1)
        self.engine = self.model.create_engine()
        self.releases: list[Release] = []
        self.delay_s = delay_s
        self._count = 0

    async def load(self, voice: str) -> None:
        self.model.load_voice(voice)

    def speak(self, manner: Manner, chunk_characters: int) -> Any:
        self._count += 1
        utterance = Utterance(
            f"u{self._count}", manner.voice, seed=manner.seed, chunk_characters=chunk_characters
        )
        return InlineSpeech(self.engine, utterance, self.releases, self.delay_s)
