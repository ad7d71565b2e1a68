"""Ctrl-C and its like: an end without a traceback, at any moment.

While a program imports it ends on the spot. While it works it is interrupted once, and tidies up.
Light to import: it has to be the first.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

TIDY_S = 5.0  # whoever is still tidying up after that is ended by the next signal

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
_SIGNALS = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]

Result = TypeVar("Result")


def exit_at_once() -> None:
    """From now on a signal ends the process without a word, with the exit code of a shell."""
    for number in _heeded():
        signal.signal(number, _exit)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def hold_back() -> None:
    """Keep signals for whoever calls `exit_at_once` next: a program that this process becomes."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


class Interruption:
    """Whether a signal came in an `interruptible` block, and which: `number`."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._at_s = 0.0
        self._cancel: Callable[[], object] | None = None

    @property
    def exit_code(self) -> int:
        """What a shell reports for it: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + (self.number or signal.SIGINT)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do what `asyncio.run` does; a signal cancels the work, then this raises
        `KeyboardInterrupt`.
        """
        import asyncio

        async def cancellable() -> Result:
            loop, task = asyncio.get_running_loop(), asyncio.current_task()
            assert task is not None
            self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
            try:
                return await work
            finally:
                self._cancel = None

        try:
            result = asyncio.run(cancellable())
        except asyncio.CancelledError:
            if self.number is None:
                raise
        finally:
            work.close()
        if self.number is not None:
            raise KeyboardInterrupt
        return result

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """A signal came."""
        if self.number is not None:
            if time.monotonic() - self._at_s > TIDY_S:
                _exit(number)
            return
        self.number, self._at_s = number, time.monotonic()
        if self._cancel is None:
            raise KeyboardInterrupt
        self._cancel()


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """During the block the first signal raises `KeyboardInterrupt`, the others let it tidy up."""
    interruption = Interruption()
    before = {number: signal.getsignal(number) for number in _heeded()}
    for number in before:
        signal.signal(number, interruption)
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _heeded() -> list[int]:
    """But those that whoever started us wants ignored (`nohup`, a job in the background)."""
    ignored = (signal.SIG_IGN, None)
    return [number for number in _SIGNALS if signal.getsignal(number) not in ignored]


def _exit(number: int, _frame: FrameType | None = None) -> None:
    os._exit(128 + number)
