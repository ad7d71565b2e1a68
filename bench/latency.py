"""What the server adds to the engine's own time before the first sound.

The clock starts when the client sends the one token that makes the first word and its lookahead
known, and stops when the first message with audio has reached the client. The engine is then asked,
in this process, for the same words of the same text. Both have idled equally long before.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass

import numpy as np

from backend.engines.base import Engine, Release
from bench import engine as direct
from bench.client import first_sound, silence
from bench.corpus import tokens
from bench.report import Figure, Result
from bench.setup import Setup
from duplex_tts import Audio, Session

PROBE_GAP_S = 0.07  # below `streaming_threshold`: no pause of the writer releases a word
IDLE_S = 0.05
GOAL_RATIO = 1.3


@dataclass(frozen=True, slots=True)
class Opening:
    """The start of a text up to the token that lets its first word be spoken."""

    before: list[str]
    trigger: str


async def measure(setup: Setup) -> Result:
    """Ratio of the first sound's latency at the client to the engine's own time, many times."""
    engine = setup.model.create_engine()
    pairs: list[tuple[float, float]] = []
    async with Session.connect(setup.url) as session:
        # Marks are not spoken: what the server speaks of them is not the text the engine would.
        plain = [each for each in setup.speakable if each.kind not in ("markdown", "emoji")]
        found = [await _opening(session, tokens(each.text)) for each in plain]
        openings = [opening for opening in found if opening is not None]
        rounds = setup.effort.latency_repeats + 1  # the first one warms up
        for number in range(rounds * len(openings)):
            opening = openings[number % len(openings)]
            pair = await _pair(session, engine, opening, setup, seed=number)
            if number >= len(openings) and pair is not None:
                pairs.append(pair)
            setup.progress((number + 1) / (rounds * len(openings)))
    return _result(np.array(pairs) * 1000)


async def _opening(session: Session, pieces: list[str]) -> Opening | None:
    """Find the token after which the first sound comes; None when only the end brings it."""
    context = await session.start(seed=0)
    listener = asyncio.create_task(first_sound(context))
    try:
        for number, piece in enumerate(pieces):
            await context.push(piece)
            done, _ = await asyncio.wait([listener], timeout=PROBE_GAP_S)
            if done:
                listener.result()
                return Opening(pieces[:number], piece)
        return None
    finally:
        listener.cancel()
        await silence(context)


async def _pair(
    session: Session, engine: Engine, opening: Opening, setup: Setup, seed: int
) -> tuple[float, float] | None:
    """Seconds to the first sound: over the server, and from the engine."""
    context = await session.start(seed=seed)
    for piece in opening.before:
        await context.push(piece)
    listener = asyncio.create_task(first_sound(context))
    await asyncio.sleep(IDLE_S)
    if listener.done():  # a slow machine's pause: these words were released without the trigger
        await silence(context)
        return None
    sent_s = time.perf_counter()
    await context.push(opening.trigger)
    audio: Audio = await listener
    server_s = time.perf_counter() - sent_s
    await silence(context)

    known = re.sub(r"\S+$", "", "".join(opening.before) + opening.trigger)
    release = Release(known, audio.text[1])
    await asyncio.sleep(IDLE_S)
    return server_s, direct.first_sound_s(engine, setup.model.default_voice, release, seed)


def _result(pairs_ms: np.ndarray) -> Result:
    server_ms, engine_ms = pairs_ms[:, 0], pairs_ms[:, 1]
    ratios = server_ms / engine_ms
    note = (
        f"p50 {np.median(server_ms):.1f} ms at the client, {np.median(engine_ms):.1f} ms the "
        f"engine alone; {len(ratios)} times"
    )
    ratio = Figure(
        "TTFA over the engine's own time, p50",
        float(np.median(ratios)),
        GOAL_RATIO,
        at_most=True,
        unit="x",
        note=note,
    )
    percentiles = {
        name: {f"p{p}": round(float(np.percentile(values, p)), 3) for p in (5, 50, 95, 99)}
        for name, values in (("client_ms", server_ms), ("engine_ms", engine_ms), ("ratio", ratios))
    }
    samples = {"client_ms": server_ms.round(3).tolist(), "engine_ms": engine_ms.round(3).tolist()}
    return Result([ratio], {"percentiles": percentiles, "samples": samples})
