"""A fake engine whose steps hang or return nothing at certain words."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from backend.engines.base import Chunk, Engine, Failure, Release
from tests.support.engines.fake_engine import FakeEngine, FakeModel

HANG = "hang"  # the step blocks until the test sets `let_go`
FRUITLESS = "fruitless"  # the step takes 10 ms and returns nothing
_LONGEST_HANG_S = 60.0


class TroubledEngine(FakeEngine):
    """Hangs for a release with `HANG` in it, returns nothing for one with `FRUITLESS`; every other
    step takes `step_s`.
    """

    def __init__(self, model: TroubledModel) -> None:
        super().__init__(model.info, model.gate)
        self.hangs = threading.Event()
        self._model = model
        self._texts: dict[str, str] = {}

    def extend(self, utterance_id: str, release: Release) -> None:
        super().extend(utterance_id, release)
        self._texts[utterance_id] = release.text

    def step(self, urgent: Sequence[str]) -> list[Chunk | Failure]:
        text = self._texts[urgent[0]]
        if HANG in text:
            self.hangs.set()
            self._model.let_go.wait(_LONGEST_HANG_S)
        if FRUITLESS in text:
            time.sleep(0.01)  # engine time, which counts for the step limit
            return []
        time.sleep(self._model.step_s)
        return super().step(urgent)


class TroubledModel(FakeModel):
    """The server gives up its engines after `step_limit_s`."""

    def __init__(
        self,
        *,
        step_limit_s: float = 60.0,
        step_s: float = 0.0,
        gate: threading.Semaphore | None = None,
    ) -> None:
        super().__init__(gate=gate, step_limit_s=step_limit_s)
        self.step_s = step_s
        self.let_go = threading.Event()

    def create_engine(self) -> Engine:
        engine = TroubledEngine(self)
        self.engines.append(engine)
        return engine
