"""Scripted time: an event loop whose clock jumps to the next timer instead of sleeping."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _JumpingSelector(selectors.DefaultSelector):
    """Never blocks: what would be waited for has passed."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise RuntimeError("everybody waits, nothing is scheduled: the test would hang")
        self.now_s += timeout
        return ready


class ScriptedLoop(asyncio.SelectorEventLoop):
    """An event loop in scripted time. Not for tests with threads: they need real time."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run to the end in scripted time."""
    with asyncio.Runner(loop_factory=ScriptedLoop) as runner:
        return runner.run(coroutine)
