"""How long an interrupted utterance is still heard: from the cancel to silence at the sink.

The sink is a device with a clock and no loudspeaker that records what it would play, which gives
the time of the last non-silent sample. The server serves other listeners meanwhile.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from bench.client.gaps import paced_tokens
from bench.harness.corpus import TOKENS_PER_S
from bench.harness.recording_client import ServerError, retry_while_busy
from bench.harness.report import Figure, Result
from bench.harness.setup import Setup
from bench.server.cancel import AT_ONCE, LATEST_S, OTHERS
from bench.server.streams import START_S, run_load_process
from duplex_tts import Session
from duplex_tts.playback.devices import NullDevice
from duplex_tts.player import Player

GOAL_MS = 30.0
LISTEN_AFTER_S = 0.15  # how long to record after the cancel
TRIAL_S = LATEST_S + LISTEN_AFTER_S + 0.3
POLL_S = 0.002


async def measure(setup: Setup) -> Result:
    """Interrupt many utterances at random times, beside `OTHERS` listeners."""
    rng = random.Random(setup.seed)
    waits_s = [rng.uniform(0, LATEST_S) for _ in range(setup.effort.cancels)]
    text = " ".join(each.text for each in setup.speakable[:20])
    needed_s = START_S + len(waits_s) / AT_ONCE * TRIAL_S
    others = asyncio.create_task(run_load_process(setup.url, OTHERS, needed_s))
    try:
        await asyncio.sleep(START_S)
        silent_ms: list[float] = []

        async def interrupt_some(share: list[float]) -> None:
            async with Session.connect(setup.url) as session:
                for wait_s, by_player in zip(share, itertools.cycle((True, False)), strict=False):
                    trial = partial(interrupt, session, text, wait_s, by_player=by_player)
                    silent_ms.append(await retry_while_busy(trial))
                    setup.progress(len(silent_ms) / len(waits_s))

        async with asyncio.TaskGroup() as tasks:
            for first in range(AT_ONCE):
                tasks.create_task(interrupt_some(waits_s[first::AT_ONCE]))
    finally:
        others.cancel()
        await asyncio.wait([others])
    return _result(np.array(silent_ms))


async def interrupt(session: Session, text: str, wait_s: float, *, by_player: bool) -> float:
    """Speak and cancel `wait_s` after the first sound, through the player or only the utterance.
    Returns for how many milliseconds it was heard after that, 0 in a pause. Raises `ServerError` if
    nothing was heard, or the utterance's error.
    """
    device = NullDevice(record=True)
    async with Player(device, session.ready.sample_rate) as player:
        utterance = session.speak(paced_tokens(text, TOKENS_PER_S))
        playback = player.play(utterance)
        # The device has no event for the first sound.
        while not (device.recording().any() or playback.finished):  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)
        if playback.finished:
            await playback.done()
            raise ServerError("silent", "the utterance ended before it was cancelled")
        await asyncio.sleep(wait_s)
        cancel: Callable[[], None] = player.stop if by_player else utterance.cancel
        cancelled_s = time.monotonic()
        cancel()
        await asyncio.sleep(LISTEN_AFTER_S)
    last = np.flatnonzero(device.recording())[-1]
    late = last + 1 - device.index_at(cancelled_s)
    return max(0.0, float(late) * 1000 / session.ready.sample_rate)


def _result(silent_ms: np.ndarray) -> Result:
    sounding = silent_ms[silent_ms > 0]
    p95 = float(np.percentile(sounding, 95))
    note = (
        f"p50 {np.median(sounding):.1f}, worst {sounding.max():.1f}; {len(sounding)} of "
        f"{len(silent_ms)} cancels (the others fell into a pause) beside {OTHERS} listeners; half "
        "of them cancelled without the player"
    )
    figure = Figure("barge-in: cancel to silence at the sink, p95", p95, GOAL_MS, True, " ms", note)
    return Result([figure], {"silent_ms": silent_ms.round(2).tolist()})
