"""How evenly new listeners are led to the replicas."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

from bench.harness.report import Figure
from duplex_tts import Options, Session

GOAL_SHARE = 0.2
_LISTENERS, _WITHIN_S = 60, 10.0
_TEXT = "This is a sentence of some seconds that each of the listeners hears."


async def measure(url: str) -> list[Figure]:
    """The difference of listeners between the fullest and the emptiest replica."""
    async with AsyncExitStack() as stack:
        arrivals = (_arrive(url, number, stack) for number in range(_LISTENERS))
        replicas = Counter(await asyncio.gather(*arrivals))
    most, least = max(replicas.values()), min(replicas.values())
    note = f"{_LISTENERS} within {_WITHIN_S:g} s: {sorted(replicas.values())}"
    return [Figure("difference of load", (most - least) / most, GOAL_SHARE, True, "", note)]


async def _arrive(url: str, number: int, stack: AsyncExitStack) -> str:
    """Arrive, hear a sentence, and stay; returns the replica's name."""
    await asyncio.sleep(number * _WITHIN_S / _LISTENERS)
    patient = Options(capacity_wait_s=60.0)
    session = await stack.enter_async_context(Session.connect(url, options=patient))
    await session.speak(_TEXT).done()
    return session.ready.token.partition(".")[2]
