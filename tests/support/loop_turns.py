"""Measures how long callbacks block an event loop."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def time_callbacks() -> Iterator[Callable[[], float]]:
    """Yields a function: the CPU time in seconds of the longest callback so far."""
    longest_s = 0.0
    run = asyncio.Handle._run

    def run_timed(handle: asyncio.Handle) -> None:
        nonlocal longest_s
        started_s = time.thread_time()
        run(handle)
        longest_s = max(longest_s, time.thread_time() - started_s)

    gc.collect()
    gc.disable()  # its time would count for a callback
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncio.Handle, "_run", run_timed)
            yield lambda: longest_s
    finally:
        gc.enable()
