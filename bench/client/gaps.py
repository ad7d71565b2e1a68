"""Audible gaps in an answer that a slow language model is still writing.

Counted three times: by the player; in the recording of its device, which may not be longer than the
received speech; and for a listener without the player's prebuffer, from the first audible sound on.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import numpy as np

from bench.harness.corpus import split_tokens
from bench.harness.report import Figure, Result
from bench.harness.setup import Setup
from bench.harness.simulated_listener import (
    COUNTED_GAP_S,
    AudibleGap,
    SimulatedListener,
    decode_pcm,
)
from duplex_tts import Audio, Session, Utterance
from duplex_tts.playback.devices import NullDevice
from duplex_tts.player import Player

TOKENS_PER_S = 15.0
TEXTS_PER_ANSWER = 5  # of the corpus: one or two sentences each
AT_ONCE = 4
COUNTED_MS = 1.0  # shorter gaps are rounding


@dataclass(frozen=True, slots=True)
class PlaybackResult:
    """Gaps of one answer. `silence_ms`: length of the recording beyond the speech. `unbuffered`:
    the gaps without a prebuffer.
    """

    underruns: int
    pauses: int
    silence_ms: float
    audio_s: float
    unbuffered: list[AudibleGap]


async def measure(setup: Setup) -> Result:
    """Play answers of several sentences, written at 15 tokens/s, in real time."""
    rng = random.Random(setup.seed)
    texts = [each.text for each in setup.speakable]
    count = setup.effort.answers
    answers = [" ".join(rng.choices(texts, k=TEXTS_PER_ANSWER)) for _ in range(count)]
    results: list[PlaybackResult] = []

    async def play_some(share: list[str]) -> None:
        async with Session.connect(setup.url) as session:
            for answer in share:
                results.append(await play_answer(session, answer))
                setup.progress(len(results) / len(answers))

    async with asyncio.TaskGroup() as tasks:
        for first in range(AT_ONCE):
            tasks.create_task(play_some(answers[first::AT_ONCE]))
    return _result(results)


async def play_answer(
    session: Session, answer: str, tokens_per_s: float = TOKENS_PER_S
) -> PlaybackResult:
    """Play one answer to its end on a device with a clock and no loudspeaker."""
    device = NullDevice(record=True)
    rate_hz = session.ready.sample_rate
    async with Player(device, rate_hz) as player:
        utterance = session.speak(paced_tokens(answer, tokens_per_s))
        observed = _ObservedUtterance(utterance, SimulatedListener(rate_hz))
        await player.play(observed).done()
        account = player.account
    sounding = np.flatnonzero(device.recording())
    span_ms = (sounding[-1] - sounding[0] + 1) * 1000 / rate_hz if len(sounding) else 0.0
    # Speech begins and ends with silence: gaps shorter than that show only in the player.
    silence_ms = max(0.0, float(span_ms) - utterance.audio_ms)
    gaps = [gap for gap in observed.listener.gaps if gap.length_s > COUNTED_GAP_S]
    return PlaybackResult(
        account.underruns, account.pauses, silence_ms, utterance.audio_ms / 1000, gaps
    )


@dataclass(frozen=True, slots=True)
class _ObservedUtterance:
    """A played utterance whose audio also goes to a simulated listener."""

    utterance: Utterance
    listener: SimulatedListener

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
            self.listener.play_audio(decode_pcm(audio.data), asyncio.get_running_loop().time())
            yield audio


async def paced_tokens(text: str, tokens_per_s: float) -> AsyncIterator[str]:
    """The text's tokens at this rate, the first immediately."""
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    for number, token in enumerate(split_tokens(text)):
        await asyncio.sleep(started_s + number / tokens_per_s - loop.time())
        yield token


def _result(results: list[PlaybackResult]) -> Result:
    gaps = sum(max(each.underruns + each.pauses, each.silence_ms > COUNTED_MS) for each in results)
    waits = sum(each.pauses for each in results)
    note = (
        f"{len(results)} answers of {TEXTS_PER_ANSWER} texts, "
        f"{sum(each.audio_s for each in results):.0f} s of speech, null sink with a real clock; "
        f"{waits} gaps while text was missing; recordings are "
        f"{sum(each.silence_ms for each in results):.0f} ms longer than the speech"
    )
    figure = Figure("audible gaps, LLM at 15 tokens/s", gaps, 0, True, "", note)
    lengths_ms = [gap.length_s * 1000 for each in results for gap in each.unbuffered]
    unbuffered = Figure(
        "audible gaps without a prebuffer, LLM at 15 tokens/s",
        len(lengths_ms),
        0,
        at_most=True,
        note=f"worst {max(lengths_ms, default=0):.0f} ms; from the first audible sound on",
    )
    details = {
        "unbuffered_ms": [round(length_ms, 1) for length_ms in lengths_ms],
        "underruns": [each.underruns for each in results],
        "pauses": [each.pauses for each in results],
        "silence_ms": [round(each.silence_ms, 1) for each in results],
        "audio_s": [round(each.audio_s, 2) for each in results],
    }
    return Result([figure, unbuffered], details)
