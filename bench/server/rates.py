"""One listener, while a language model writes slowly or fast: how soon it hears, and its gaps.

It plays what comes at once, holding nothing back: no prebuffer hides a message that is late. Gaps
count from the first audible sound on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.harness.corpus import BenchText, tokens
from bench.harness.hearing import COUNTED_GAP_S, Gap
from bench.harness.recording_client import ServerError, record, send_paced
from bench.harness.report import Figure, Result
from bench.harness.setup import Setup
from duplex_tts import Session

TOKENS_PER_S = (10.0, 15.0, 20.0, 30.0)


@dataclass(frozen=True, slots=True)
class Heard:
    """One text: seconds from its first token to the first audio and to its first audible sample,
    and what was missing behind that.
    """

    message_s: float
    sound_s: float
    gaps: Sequence[Gap]


async def measure(setup: Setup) -> Result:
    """Each text at each rate, one after the other."""
    texts = setup.spread(setup.effort.rate_texts)
    heard: dict[float, list[Heard]] = {rate: [] for rate in TOKENS_PER_S}
    async with Session.connect(setup.url) as session:
        for number, text in enumerate(texts, start=1):
            for rate, found in heard.items():
                found.append(await hear(session, text, rate, seed=number))
            setup.progress(number / len(texts))
    return result(heard)


async def hear(session: Session, text: BenchText, tokens_per_s: float, seed: int) -> Heard:
    """Speak a text that comes at this rate. Raises `ServerError`."""
    context = await session.start(seed=seed)
    started_s = time.perf_counter()
    sender = asyncio.create_task(send_paced(context, tokens(text.text), 1 / tokens_per_s))
    try:
        hearing = (await record(context, session.ready.sample_rate)).hearing
    finally:
        sender.cancel()
        await asyncio.wait([sender])
    if hearing.first_message_s is None or hearing.first_sound_s is None:
        raise ServerError("silent", "the context ended without a sound")
    gaps = [gap for gap in hearing.gaps if gap.length_s > COUNTED_GAP_S]
    return Heard(hearing.first_message_s - started_s, hearing.first_sound_s - started_s, gaps)


def result(heard: dict[float, list[Heard]]) -> Result:
    """The number of gaps at each rate; they have no goal of their own."""
    return Result(
        [_figure(rate, found) for rate, found in heard.items()],
        {
            f"{rate:g}": {
                "message_ms": [round(each.message_s * 1000, 1) for each in found],
                "sound_ms": [round(each.sound_s * 1000, 1) for each in found],
                "gaps_ms": [[round(gap.length_s * 1000, 1) for gap in each.gaps] for each in found],
            }
            for rate, found in heard.items()
        },
    )


def _figure(rate: float, found: Sequence[Heard]) -> Figure:
    lengths_ms = [gap.length_s * 1000 for each in found for gap in each.gaps]
    note = (
        f"worst {max(lengths_ms, default=0):.0f} ms, in {sum(bool(each.gaps) for each in found)} "
        f"of {len(found)} texts; first message p50 "
        f"{np.median([each.message_s for each in found]) * 1000:.0f} ms, first audible sound p50 "
        f"{np.median([each.sound_s for each in found]) * 1000:.0f} ms"
    )
    return Figure(
        f"gaps of one listener without a prebuffer, {rate:g} tokens/s",
        len(lengths_ms),
        float("nan"),
        at_most=True,
        note=note,
    )
