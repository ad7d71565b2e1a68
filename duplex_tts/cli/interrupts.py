"""Handles SIGINT, SIGTERM and SIGHUP: the program exits without a traceback at any moment.

During imports the process exits at once. Later the first signal interrupts the work, which then
cleans up. Imports little, because it must be imported first.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

CLEANUP_S = 5.0  # after this much cleanup the next signal exits at once

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
_SIGNALS = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]

Result = TypeVar("Result")


def exit_on_signals() -> None:
    """Let signals end the process at once and silently, with a shell's exit code."""
    for number in _handled_signals():
        signal.signal(number, _exit_process)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def block_signals() -> None:
    """Block signals until `exit_on_signals`, which the program that this process execs calls."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


class Interruption:
    """The signal handler of an `interruptible` block; `signal_number`: the signal received."""

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._received_s = 0.0
        self._cancel: Callable[[], object] | None = None

    @property
    def exit_code(self) -> int:
        """The exit code of a shell: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + (self.signal_number or signal.SIGINT)

    def run_coroutine(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Like `asyncio.run`; a signal cancels the work, then this raises `KeyboardInterrupt`."""
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
            if self.signal_number is None:
                raise
        finally:
            work.close()
        if self.signal_number is not None:
            raise KeyboardInterrupt
        return result

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal."""
        if self.signal_number is not None:
            if time.monotonic() - self._received_s > CLEANUP_S:
                _exit_process(number)
            return
        self.signal_number, self._received_s = number, time.monotonic()
        if self._cancel is None:
            raise KeyboardInterrupt
        self._cancel()


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """In the block the first signal raises `KeyboardInterrupt`; further ones are ignored during
    the cleanup, for `CLEANUP_S`.
    """
    interruption = Interruption()
    former = {number: signal.getsignal(number) for number in _handled_signals()}
    for number in former:
        signal.signal(number, interruption)
    try:
        yield interruption
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _handled_signals() -> list[int]:
    """All but those that the parent process has set to be ignored (`nohup`, background jobs)."""
    ignored = (signal.SIG_IGN, None)
    return [number for number in _SIGNALS if signal.getsignal(number) not in ignored]


def _exit_process(number: int, _frame: FrameType | None = None) -> None:
    os._exit(128 + number)
