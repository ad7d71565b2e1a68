"""What the server adds to the engine's own time before the first sound.

The clock starts when the client sends the one token that lets the first word be spoken, and stops
when the first message in which something is audible has reached the client. The engine is then
given, in this process, the very release that the server's rules make of the same tokens: the same
words, with as much behind them (be it half a word). Both have idled equally long before.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from backend.config import Settings
from backend.engines.base import Engine, Release
from backend.events import Start
from backend.sessions.context import create_pacing, create_release
from backend.text.pacer import Pacer, Pacing, Speak
from backend.text.text_buffer import TextBuffer
from bench.harness import engine_baseline
from bench.harness.corpus import TOKENS_PER_S, tokens
from bench.harness.recording_client import ServerError, first_sound, silence
from bench.harness.report import Figure, Result
from bench.harness.setup import Setup
from bench.harness.virtual_speech import VirtualTTS
from duplex_tts import Session

IDLE_S = 1 / TOKENS_PER_S  # below `streaming_threshold`: no pause of the writer releases a word
LATE_IDLE_S = 1.4 * IDLE_S  # what a busy machine makes of it
GOAL_RATIO = 1.3


@dataclass(frozen=True, slots=True)
class Opening:
    """The start of a text up to the token that lets its first word be spoken, and what the server
    then asks of its engine.
    """

    before: str
    trigger: str
    release: Release


@dataclass(frozen=True, slots=True)
class Sample:
    """Seconds from the trigger: to the first audible message and its sound, over the server, and
    to the first audible chunk, from the engine. `spoken`: how far each of these speaks.
    """

    message_s: float
    sound_s: float
    engine_s: float
    spoken: tuple[int, int]


async def measure(setup: Setup) -> Result:
    """Ratio of the first sound's latency at the client to the engine's own time, many times."""
    engine = setup.model.create_engine()
    pacing = create_pacing(Settings(), Start("latency"), VirtualTTS(setup.model))
    # Marks are not spoken: what the server speaks of them is not the text the engine would.
    plain = [each for each in setup.speakable if each.kind not in ("markdown", "emoji")]
    found = [find_opening(tokens(each.text), pacing) for each in plain]
    openings = [opening for opening in found if opening is not None]
    rounds = setup.effort.latency_repeats + 1  # the first one warms up
    samples: list[Sample] = []
    async with Session.connect(setup.url) as session:
        for number in range(rounds * len(openings)):
            opening = openings[number % len(openings)]
            sample = await _sample(session, engine, opening, setup, seed=number)
            if number >= len(openings) and sample is not None:
                samples.append(sample)
            setup.progress((number + 1) / (rounds * len(openings)))
    return result(samples)


def find_opening(pieces: list[str], pacing: Pacing) -> Opening | None:
    """The first token that lets the server speak when it comes `IDLE_S` after all before it; None
    when none does, or when it depends on how late that token is.
    """
    for number in range(1, len(pieces)):
        before, trigger = "".join(pieces[:number]), pieces[number]
        releases = [_release(before, trigger, gap_s, pacing) for gap_s in (IDLE_S, LATE_IDLE_S)]
        if any(releases):
            same = all(one == other for one, other in pairwise(releases))
            return Opening(before, trigger, releases[0]) if releases[0] and same else None
    return None


def _release(before: str, trigger: str, gap_s: float, pacing: Pacing) -> Release | None:
    """What the trigger lets be spoken; None: nothing, or something was spoken before it."""
    script, pacer = TextBuffer(limit=len(before) + len(trigger)), Pacer(pacing)
    script.push_text(before, 0.0)
    if isinstance(pacer.decide(script.pending_sentence(), gap_s), Speak):
        return None
    script.push_text(trigger, gap_s)
    growth = script.pending_sentence()
    choice = pacer.decide(growth, gap_s)
    return create_release(growth, choice) if isinstance(choice, Speak) else None


async def _sample(
    session: Session, engine: Engine, opening: Opening, setup: Setup, seed: int
) -> Sample | None:
    context = await session.start(seed=seed)
    await context.push(opening.before)
    listener = asyncio.create_task(first_sound(context, session.ready.sample_rate))
    await asyncio.sleep(IDLE_S)
    if listener.done():  # a slow machine's pause: these words were released without the trigger
        await silence(context)
        return None
    sent_s = time.perf_counter()
    await context.push(opening.trigger)
    found = await listener
    await silence(context)

    await asyncio.sleep(IDLE_S)
    engine_s, chunk = engine_baseline.first_audible_chunk(
        engine, setup.model.default_voice, opening.release, seed
    )
    spoken = found.audio.text[1], chunk.end
    return Sample(found.audible_message_s - sent_s, found.sound_s - sent_s, engine_s, spoken)


def result(samples: list[Sample]) -> Result:
    """The figure. Samples in which both did not speak the same words compare nothing; raises
    `ServerError` when there are no others.
    """
    same = [each for each in samples if each.spoken[0] == each.spoken[1]]
    if not same:
        raise ServerError("latency", "the server and the engine never spoke the same words")
    found = {
        "client_ms": np.array([each.message_s for each in same]) * 1000,
        "client_sound_ms": np.array([each.sound_s for each in same]) * 1000,
        "engine_ms": np.array([each.engine_s for each in same]) * 1000,
    }
    ratios = found["client_ms"] / found["engine_ms"]
    message_ms, sound_ms, engine_ms = (np.median(values) for values in found.values())
    note = (
        f"first message p50 {message_ms:.1f} ms at the client, first audible sound p50 "
        f"{sound_ms:.1f} ms, {engine_ms:.1f} ms the engine alone; {len(same)} times"
    )
    if len(same) < len(samples):
        note += f", {len(samples) - len(same)} more spoke other words"
    ratio = float(np.median(ratios))
    figure = Figure("TTFA over the engine's own time, p50", ratio, GOAL_RATIO, True, "x", note)
    percentiles = {
        name: {f"p{p}": round(float(np.percentile(values, p)), 3) for p in (5, 50, 95, 99)}
        for name, values in (found | {"ratio": ratios}).items()
    }
    lists = {name: values.round(3).tolist() for name, values in found.items()}
    return Result([figure], {"percentiles": percentiles, "samples": lists})
