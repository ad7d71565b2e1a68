"""Virtual time: an event loop whose clock jumps to the next timer instead of sleeping."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_STEPS_LIMIT = 100_000  # more at one instant mean a busy loop


class _JumpingSelector(selectors.DefaultSelector):
    """Never blocks: advances the clock by the timeout instead."""

    now_s = 0.0
    steps = 0  # since the clock last moved

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.steps += 1
        if self.steps > _STEPS_LIMIT:
            raise RuntimeError(f"the event loop spins at {self.now_s} s")
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise RuntimeError("all tasks wait and no timer is scheduled: deadlock")
        if timeout > 0:
            self.now_s, self.steps = self.now_s + timeout, 0
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time. Executor calls run immediately in the loop's thread, so time
    never jumps while a thread is busy.
    """

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Seconds since the loop was created."""
        return self._jumping.now_s

    def run_in_executor(  # type: ignore[override]
        self, executor: object, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Call `func` immediately."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - raised in the awaiting task
            future.set_exception(error)
        return future


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to completion in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)
