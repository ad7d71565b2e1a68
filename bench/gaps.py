"""The gaps that a listener hears in an answer while a slow language model still writes it.

Counted twice: by the player, and in the recording of what its device was given, which may not be
longer than the speech that arrived.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass

import numpy as np

from bench.corpus import tokens
from bench.report import Figure, Result
from bench.setup import Setup
from duplex_tts import Session
from duplex_tts.devices import NullDevice
from duplex_tts.player import Player

TOKENS_PER_S = 15.0
SENTENCES = 5  # of an answer, about: the texts of the corpus have one or two
AT_ONCE = 4
COUNTED_MS = 1.0  # shorter is the rounding of times


@dataclass(frozen=True, slots=True)
class Heard:
    """How one answer was heard. `silence_ms`: in the recording, beyond what was spoken."""

    underruns: int
    pauses: int
    silence_ms: float
    audio_s: float


async def measure(setup: Setup) -> Result:
    """Answers of several sentences at 15 tokens/s, heard in real time."""
    rng = random.Random(setup.seed)
    texts = [each.text for each in setup.speakable]
    answers = [" ".join(rng.choices(texts, k=SENTENCES)) for _ in range(setup.effort.answers)]
    heard: list[Heard] = []

    async def listen(mine: list[str]) -> None:
        async with Session.connect(setup.url) as session:
            for answer in mine:
                heard.append(await hear(session, answer))
                setup.progress(len(heard) / len(answers))

    async with asyncio.TaskGroup() as tasks:
        for first in range(AT_ONCE):
            tasks.create_task(listen(answers[first::AT_ONCE]))
    return _result(heard)


async def hear(session: Session, answer: str, tokens_per_s: float = TOKENS_PER_S) -> Heard:
    """Play one answer on a device that has a clock and no loudspeaker, to its end."""
    device = NullDevice(record=True)
    rate_hz = session.ready.sample_rate
    async with Player(device, rate_hz) as player:
        utterance = session.speak(written(answer, tokens_per_s))
        await player.play(utterance).done()
        account = player.account
    sounding = np.flatnonzero(device.recording())
    span_ms = (sounding[-1] - sounding[0] + 1) * 1000 / rate_hz if len(sounding) else 0.0
    # Speech begins and ends with silence of its own: a gap shorter than that escapes the recording,
    # not the player.
    silence_ms = max(0.0, float(span_ms) - utterance.audio_ms)
    return Heard(account.underruns, account.pauses, silence_ms, utterance.audio_ms / 1000)


async def written(text: str, tokens_per_s: float) -> AsyncIterator[str]:
    """The text's tokens at this speed, the first one at once."""
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    for number, token in enumerate(tokens(text)):
        await asyncio.sleep(started_s + number / tokens_per_s - loop.time())
        yield token


def _result(heard: list[Heard]) -> Result:
    gaps = sum(max(each.underruns + each.pauses, each.silence_ms > COUNTED_MS) for each in heard)
    waits = sum(each.pauses for each in heard)
    note = (
        f"{len(heard)} answers of {SENTENCES} texts, {sum(each.audio_s for each in heard):.0f} s "
        f"of speech, on a null sink with a real clock; {waits} of the gaps for want of text; "
        f"{sum(each.silence_ms for each in heard):.0f} ms more in the recordings than was spoken"
    )
    figure = Figure("gaps heard, LLM at 15 tokens/s", gaps, 0, True, "", note)
    details = {
        "underruns": [each.underruns for each in heard],
        "pauses": [each.pauses for each in heard],
        "silence_ms": [round(each.silence_ms, 1) for each in heard],
        "audio_s": [round(each.audio_s, 2) for each in heard],
    }
    return Result([figure], details)
