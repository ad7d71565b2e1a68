"""First sound and gaps of one listener at several token rates.

The listener plays audio on arrival: no prebuffer hides a late message. Gaps count from the first
audible sound on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.harness.corpus import BenchText, split_tokens
from bench.harness.recording_client import ServerError, record_context, send_paced
from bench.harness.report import Figure, Result
from bench.harness.setup import Setup
from bench.harness.simulated_listener import COUNTED_GAP_S, AudibleGap
from duplex_tts import Session

TOKENS_PER_S = (10.0, 15.0, 20.0, 30.0)


@dataclass(frozen=True, slots=True)
class RateResult:
    """One text: seconds from its first token to the first audio and the first audible sample, and
    the gaps after that.
    """

    message_s: float
    sound_s: float
    gaps: Sequence[AudibleGap]


async def measure(setup: Setup) -> Result:
    """Speak each text at each rate, one after the other."""
    texts = setup.sample_texts(setup.effort.rate_texts)
    results: dict[float, list[RateResult]] = {rate: [] for rate in TOKENS_PER_S}
    async with Session.connect(setup.url) as session:
        for number, text in enumerate(texts, start=1):
            for rate, found in results.items():
                found.append(await speak_at_rate(session, text, rate, seed=number))
            setup.progress(number / len(texts))
    return build_result(results)


async def speak_at_rate(
    session: Session, text: BenchText, tokens_per_s: float, seed: int
) -> RateResult:
    """Speak a text that arrives at this rate. Raises `ServerError`."""
    context = await session.start(seed=seed)
    started_s = time.perf_counter()
    sender = asyncio.create_task(send_paced(context, split_tokens(text.text), 1 / tokens_per_s))
    try:
        hearing = (await record_context(context, session.ready.sample_rate)).hearing
    finally:
        sender.cancel()
        await asyncio.wait([sender])
    if hearing.first_message_s is None or hearing.first_sound_s is None:
        raise ServerError("silent", "the context ended without a sound")
    gaps = [gap for gap in hearing.gaps if gap.length_s > COUNTED_GAP_S]
    return RateResult(hearing.first_message_s - started_s, hearing.first_sound_s - started_s, gaps)


def build_result(results: dict[float, list[RateResult]]) -> Result:
    """The number of gaps at each rate, without goals."""
    return Result(
        [_figure(rate, found) for rate, found in results.items()],
        {
            f"{rate:g}": {
                "message_ms": [round(each.message_s * 1000, 1) for each in found],
                "sound_ms": [round(each.sound_s * 1000, 1) for each in found],
                "gaps_ms": [[round(gap.length_s * 1000, 1) for gap in each.gaps] for each in found],
            }
            for rate, found in results.items()
        },
    )


def _figure(rate: float, found: Sequence[RateResult]) -> Figure:
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
