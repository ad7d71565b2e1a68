"""The gaps that a listener hears in an answer while a slow language model still writes it.

Counted three times: by the player; in the recording of what its device was given, which may not be
longer than the speech that arrived; and for a listener who plays what comes at once, without the
player's prebuffer. That one's gaps count from the first audible sound on.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import numpy as np

from bench.harness.corpus import tokens
from bench.harness.hearing import COUNTED_GAP_S, Gap, Hearing, decode_pcm
from bench.harness.report import Figure, Result
from bench.harness.setup import Setup
from duplex_tts import Audio, Session, Utterance
from duplex_tts.playback.devices import NullDevice
from duplex_tts.player import Player

TOKENS_PER_S = 15.0
SENTENCES = 5  # of an answer, about: the texts of the corpus have one or two
AT_ONCE = 4
COUNTED_MS = 1.0  # shorter is the rounding of times


@dataclass(frozen=True, slots=True)
class Heard:
    """How one answer was heard. `silence_ms`: in the recording, beyond what was spoken.
    `unbuffered`: the gaps of a listener without a prebuffer.
    """

    underruns: int
    pauses: int
    silence_ms: float
    audio_s: float
    unbuffered: list[Gap]


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
        overheard = _Overheard(utterance, Hearing(rate_hz))
        await player.play(overheard).done()
        account = player.account
    sounding = np.flatnonzero(device.recording())
    span_ms = (sounding[-1] - sounding[0] + 1) * 1000 / rate_hz if len(sounding) else 0.0
    # Speech begins and ends with silence of its own: a gap shorter than that escapes the recording,
    # not the player.
    silence_ms = max(0.0, float(span_ms) - utterance.audio_ms)
    gaps = [gap for gap in overheard.hearing.gaps if gap.length_s > COUNTED_GAP_S]
    return Heard(account.underruns, account.pauses, silence_ms, utterance.audio_ms / 1000, gaps)


@dataclass(frozen=True, slots=True)
class _Overheard:
    """An utterance that is played, and heard by somebody else when it comes."""

    utterance: Utterance
    hearing: Hearing

    @property
    def parameters(self) -> Mapping[str, object]:
        return self.utterance.parameters

    @property
    def text(self) -> str:
        return self.utterance.text

    @property
    def cancelled(self) -> bool:
        return self.utterance.cancelled

    def cancel(self) -> None:
        self.utterance.cancel()

    def played(self, ms: float) -> None:
        self.utterance.played(ms)

    async def __aiter__(self) -> AsyncIterator[Audio]:
        async for audio in self.utterance:
            self.hearing.hear(decode_pcm(audio.data), asyncio.get_running_loop().time())
            yield audio


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
    lengths_ms = [gap.length_s * 1000 for each in heard for gap in each.unbuffered]
    unbuffered = Figure(
        "the same, heard without a prebuffer",
        len(lengths_ms),
        0,
        at_most=True,
        note=f"worst {max(lengths_ms, default=0):.0f} ms; from the first audible sound on",
    )
    details = {
        "unbuffered_ms": [round(length_ms, 1) for length_ms in lengths_ms],
        "underruns": [each.underruns for each in heard],
        "pauses": [each.pauses for each in heard],
        "silence_ms": [round(each.silence_ms, 1) for each in heard],
        "audio_s": [round(each.audio_s, 2) for each in heard],
    }
    return Result([figure, unbuffered], details)
