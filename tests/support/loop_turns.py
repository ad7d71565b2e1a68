"""How long callbacks hold up an event loop."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def turns_timed() -> Iterator[Callable[[], float]]:
    """Yields what says the CPU time in seconds of the longest callback since the block began."""
    longest_s = 0.0
    run = asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        nonlocal longest_s
        began_s = time.thread_time()
        run(handle)
        longest_s = max(longest_s, time.thread_time() - began_s)

    gc.collect()
    gc.disable()  # it would be counted with whatever it comes in
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncio.Handle, "_run", timed)
            yield lambda: longest_s
    finally:
        gc.enable()
