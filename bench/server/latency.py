"""The server's overhead over the engine's own time to the first sound.

Timed from sending the token that releases the first word to receiving the first audible message.
The engine is then given, in this process, the release that the server's rules create from the same
tokens: the same words with the same lookahead (possibly half a word). Both idle equally long
before.
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
from backend.sessions.pacer_setup import create_pacing, create_release
from backend.text.pacer import Pacer, Pacing, Speak
from backend.text.text_buffer import TextBuffer
from bench.harness import engine_baseline
from bench.harness.corpus import TOKENS_PER_S, split_tokens
from bench.harness.recording_client import ServerError, cancel_and_wait, wait_for_first_sound
from bench.harness.report import Figure, Result
from bench.harness.setup import Setup
from duplex_tts import Session

IDLE_S = 1 / TOKENS_PER_S  # below `streaming_threshold`, so that the pause releases no word
LATE_IDLE_S = 1.4 * IDLE_S  # the same on a busy machine
GOAL_RATIO = 1.3


@dataclass(frozen=True, slots=True)
class Opening:
    """The start of a text, the token that triggers its first release, and that release."""

    before: str
    trigger: str
    release: Release


@dataclass(frozen=True, slots=True)
class LatencySample:
    """Seconds from the trigger to the server's first audible message and its sound, and to the
    engine's first audible chunk. `spoken`: the text offset reached by server and engine.
    """

    message_s: float
    sound_s: float
    engine_s: float
    spoken: tuple[int, int]


async def measure(setup: Setup) -> Result:
    """Compare the first sound's latency at the client with the engine's own time, many times."""
    engine = setup.model.create_engine()
    pacing = create_pacing(Settings(), Start("latency"), setup.model)
    # Markup is excluded: the server changes it before the engine gets the text.
    plain = [each for each in setup.speakable if each.kind not in ("markdown", "emoji")]
    found = [find_opening(split_tokens(each.text), pacing) for each in plain]
    openings = [opening for opening in found if opening is not None]
    rounds = setup.effort.latency_repeats + 1  # the first one warms up
    samples: list[LatencySample] = []
    async with Session.connect(setup.url) as session:
        for number in range(rounds * len(openings)):
            opening = openings[number % len(openings)]
            sample = await _sample(session, engine, opening, setup, seed=number)
            if number >= len(openings) and sample is not None:
                samples.append(sample)
            setup.progress((number + 1) / (rounds * len(openings)))
    return build_result(samples)


def find_opening(pieces: list[str], pacing: Pacing) -> Opening | None:
    """The opening whose trigger, sent `IDLE_S` after the tokens before it, causes the first
    release; None if there is none or it depends on the trigger's delay.
    """
    for number in range(1, len(pieces)):
        before, trigger = "".join(pieces[:number]), pieces[number]
        releases = [_release(before, trigger, gap_s, pacing) for gap_s in (IDLE_S, LATE_IDLE_S)]
        if any(releases):
            same = all(first == second for first, second in pairwise(releases))
            return Opening(before, trigger, releases[0]) if releases[0] and same else None
    return None


def _release(before: str, trigger: str, gap_s: float, pacing: Pacing) -> Release | None:
    """The release that the trigger causes; None if there is none or an earlier one."""
    text_buffer, pacer = TextBuffer(limit=len(before) + len(trigger)), Pacer(pacing)
    text_buffer.push_text(before, 0.0)
    if isinstance(pacer.decide(text_buffer.pending_sentence(), gap_s), Speak):
        return None
    text_buffer.push_text(trigger, gap_s)
    sentence = text_buffer.pending_sentence()
    choice = pacer.decide(sentence, gap_s)
    if not isinstance(choice, Speak):
        return None
    return create_release(text_buffer.say(sentence, choice), choice)


async def _sample(
    session: Session, engine: Engine, opening: Opening, setup: Setup, seed: int
) -> LatencySample | None:
    context = await session.start(seed=seed)
    await context.push(opening.before)
    listener = asyncio.create_task(wait_for_first_sound(context, session.ready.sample_rate))
    await asyncio.sleep(IDLE_S)
    if listener.done():  # slow machine: the pause alone released the words
        await cancel_and_wait(context)
        return None
    sent_s = time.perf_counter()
    await context.push(opening.trigger)
    found = await listener
    await cancel_and_wait(context)

    await asyncio.sleep(IDLE_S)
    engine_s, chunk = engine_baseline.time_first_audible_chunk(
        engine, setup.model.default_voice, opening.release, seed
    )
    spoken = found.audio.text[1], chunk.end
    return LatencySample(found.audible_message_s - sent_s, found.sound_s - sent_s, engine_s, spoken)


def build_result(samples: list[LatencySample]) -> Result:
    """The figure. Ignores samples in which server and engine spoke different words; raises
    `ServerError` if there are no others.
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
        f"{sound_ms:.1f} ms, {engine_ms:.1f} ms the engine alone; {len(same)} samples"
    )
    if len(same) < len(samples):
        note += f", {len(samples) - len(same)} ignored (different words)"
    ratio = float(np.median(ratios))
    figure = Figure("TTFA over the engine's own time, p50", ratio, GOAL_RATIO, True, "x", note)
    percentiles = {
        name: {f"p{p}": round(float(np.percentile(values, p)), 3) for p in (5, 50, 95, 99)}
        for name, values in (found | {"ratio": ratios}).items()
    }
    lists = {name: values.round(3).tolist() for name, values in found.items()}
    return Result([figure], {"percentiles": percentiles, "samples": lists})
