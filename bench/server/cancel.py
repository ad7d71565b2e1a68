"""Cancel latency: from the client's `cancel` to the last audio byte.

Measured to `cancelled`, after which no audio may follow. The server serves other listeners
meanwhile; the cancel is sent at a random time in the first sentence, while it is rendered.
"""

from __future__ import annotations

import asyncio
import random
import time

import numpy as np

from bench.harness.corpus import TOKENS_PER_S, split_tokens
from bench.harness.recording_client import ServerError, wait_for_first_sound
from bench.harness.report import Figure, Result
from bench.harness.setup import Setup
from bench.server.streams import START_S, run_load_process
from duplex_tts import Audio, Cancelled, Context, Error, Session

GOAL_MS = 20.0
OTHERS = 60
AT_ONCE = 4
LATEST_S = 0.6  # after the first sound


async def measure(setup: Setup) -> Result:
    """Cancel many speaking contexts, beside `OTHERS` listeners."""
    rng = random.Random(setup.seed)
    waits_s = [rng.uniform(0, LATEST_S) for _ in range(setup.effort.cancels)]
    text = " ".join(each.text for each in setup.speakable[:20])
    needed_s = START_S + len(waits_s) / AT_ONCE * (LATEST_S + 0.3)
    others = asyncio.create_task(run_load_process(setup.url, OTHERS, needed_s))
    try:
        await asyncio.sleep(START_S)
        taken: list[tuple[float, float]] = []

        async def cancel_some(share: list[float]) -> None:
            async with Session.connect(setup.url) as session:
                for wait_s in share:
                    taken.append(await _cancel_one(session, text, wait_s))
                    setup.progress(len(taken) / len(waits_s))

        async with asyncio.TaskGroup() as tasks:
            for first in range(AT_ONCE):
                tasks.create_task(cancel_some(waits_s[first::AT_ONCE]))
    finally:
        others.cancel()
        await asyncio.wait([others])
    return _result(np.array(taken) * 1000)


async def _cancel_one(session: Session, text: str, wait_s: float) -> tuple[float, float]:
    """Seconds from the cancel to `cancelled`, and to the last audio (0 if none came after it)."""
    context = await session.start()
    writer = asyncio.create_task(_send_text(context, text))
    try:
        await wait_for_first_sound(context, session.ready.sample_rate)
        listener = asyncio.create_task(_wait_until_cancelled(context))
        await asyncio.sleep(wait_s)
    finally:
        writer.cancel()
        await asyncio.wait([writer])
    cancelled_s = time.perf_counter()
    await context.cancel()
    silent_s, last_s = await listener
    return silent_s - cancelled_s, max(0.0, last_s - cancelled_s)


async def _send_text(context: Context, text: str) -> None:
    for piece in split_tokens(text):
        await context.push(piece)
        await asyncio.sleep(1 / TOKENS_PER_S)


async def _wait_until_cancelled(context: Context) -> tuple[float, float]:
    """Arrival times of `cancelled` and of the last audio before it. Later audio would be a protocol
    error in the client.
    """
    last_s = 0.0
    async for event in context:
        now_s = time.perf_counter()
        if isinstance(event, Audio) and event.data:
            last_s = now_s
        elif isinstance(event, Cancelled):
            return now_s, last_s
        elif isinstance(event, Error):
            raise ServerError(event.code, event.message)
    raise ServerError("done", "the context ended before it was cancelled")


def _result(taken_ms: np.ndarray) -> Result:
    silent_ms, last_ms = taken_ms[:, 0], taken_ms[:, 1]
    p95 = float(np.percentile(silent_ms, 95))
    note = (
        f"p50 {np.median(silent_ms):.1f}, worst {silent_ms.max():.1f}; {len(silent_ms)} cancels "
        f"beside {OTHERS} listeners; audio arrived after {np.count_nonzero(last_ms)} of them"
    )
    figure = Figure("cancel to the last audio byte, p95", p95, GOAL_MS, True, " ms", note)
    samples = {"silent_ms": silent_ms.round(2).tolist(), "last_audio_ms": last_ms.round(2).tolist()}
    return Result([figure], samples)
