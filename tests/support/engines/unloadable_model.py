"""A fake model that can leave its device."""

from __future__ import annotations

import gc
import weakref

from backend.engines.base import Engine
from backend.errors import DuplexError
from tests.support.engines.fake_engine import FakeEngine, FakeModel


class UnloadableModel(FakeModel):
    """Asserts the contract; `moves` are its `release`s and `restore`s. `refusal`: `restore` raises
    it.
    """

    def __init__(self) -> None:
        super().__init__(max_batch=8)
        self.moves: list[str] = []
        self.refusal: DuplexError | None = None
        self._alive: weakref.ref[FakeEngine] | None = None

    @property
    def is_released(self) -> bool:
        return self.moves[-1:] == ["release"]

    def release(self) -> None:
        assert not self.is_released
        assert self._alive is None or self._alive() is None, "the engine still lives"
        self.moves.append("release")

    def restore(self) -> None:
        if self.refusal is not None:
            raise self.refusal
        assert self.is_released
        self.moves.append("restore")

    def create_engine(self) -> Engine:
        assert not self.is_released, "an engine without weights"
        engine = FakeEngine(self.info)
        self._alive = weakref.ref(engine)
        gc.freeze()  # as the server does after its start
        return engine
