"""A line that breaks again and again: is any sample lost or repeated?

A proxy resets the connection: at a random byte of what the server says, nearly always within a
frame, or at a random moment, whatever is on its way then. Texts that are there as a whole sound the
same each time for the same seed: they are compared sample by sample with an undisturbed run. What a
text sounds like that is still being written depends on when it came: of those the samples are
counted, against the sums that the server gives of what it spoke.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bench.client.fault_proxy import FaultProxy, fault_proxy
from bench.client.gaps import written
from bench.harness.recording_client import patiently
from bench.harness.report import Figure, Result
from bench.harness.setup import Setup
from duplex_tts import Done, Options, Resumed, Session, Utterance
from duplex_tts.events import SessionEvent

Pcm = NDArray[np.int16]

WRITTEN_SHARE = 0.25  # so many more disconnects, while the text is being written
TOKENS_PER_S = 200.0
AT_ONCE = 2
MOST_BYTES = 150_000  # to the next break: three seconds of speech
MOST_S = 0.2
LOOK_S = 0.002


@dataclass(slots=True)
class Found:
    """What came over a line that broke `cuts` times. `wrong`: samples too many, missing, other."""

    cuts: int = 0
    utterances: int = 0
    samples: int = 0
    wrong: int = 0
    resumes: int = 0
    restarts: int = 0
    away_ms: list[float] = field(default_factory=list)


Speak = Callable[[Session, str], Awaitable[tuple[int, int]]]
"""Speaks a text; returns how many samples came, and how many of them were wrong."""


async def measure(setup: Setup) -> Result:
    """Break the line again and again while texts are spoken over it."""
    texts = [each.text for each in setup.speakable]
    whole = setup.effort.disconnects
    while_written = max(1, round(whole * WRITTEN_SHARE))
    cuts = whole + while_written
    originals = await _undisturbed(setup.url, texts)

    async def compared(session: Session, text: str) -> tuple[int, int]:
        pcm, _ = await _speech(session.speak(text, seed=1, mode="batch"))
        return len(pcm), differing(pcm, originals[text])

    async def counted(session: Session, text: str) -> tuple[int, int]:
        pcm, done = await _speech(session.speak(written(text, TOKENS_PER_S)))
        spoken = round(done.audio_ms * session.ready.sample_rate / 1000)
        return len(pcm), abs(len(pcm) - spoken)

    breaker = _Breaker(setup, texts)
    same = await breaker.run(compared, whole, lambda done: done / cuts)
    sums = await breaker.run(counted, while_written, lambda done: (whole + done) / cuts)
    return _result(same, sums)


def differing(heard: Pcm, original: Pcm) -> int:
    """Samples that are missing, too many, or not the same."""
    common = min(len(heard), len(original))
    other = np.count_nonzero(heard[:common] != original[:common])
    return int(other) + abs(len(heard) - len(original))


class _Breaker:
    """Speaks texts over a line that it breaks."""

    def __init__(self, setup: Setup, texts: list[str]) -> None:
        self._setup = setup
        self._texts = texts
        self._rng = random.Random(setup.seed)

    async def run(self, speak: Speak, cuts: int, share: Callable[[int], float]) -> Found:
        """Until the line broke so many times and all that was begun is spoken."""
        found = Found()

        def note(event: SessionEvent) -> None:
            if isinstance(event, Resumed):
                found.away_ms.append(event.away_ms)

        async with (
            fault_proxy(self._setup.url) as proxy,
            Session.connect(proxy.address, options=Options(on_event=note)) as session,
        ):
            texts = itertools.cycle(self._texts)
            async with asyncio.TaskGroup() as tasks:
                breaking = tasks.create_task(self._break(proxy, session, cuts, share))
                for _ in range(AT_ONCE):
                    tasks.create_task(_talk(session, texts, speak, found, breaking))
            stats = session.stats()
        found.cuts, found.resumes, found.restarts = proxy.cuts, stats.resumes, stats.restarts
        return found

    async def _break(
        self, proxy: FaultProxy, session: Session, cuts: int, share: Callable[[int], float]
    ) -> None:
        reconnects = -1
        while proxy.cuts < cuts:
            self._setup.progress(share(proxy.cuts))
            if self._rng.random() < 0.5:
                await _cut_after(self._rng.randrange(1, MOST_BYTES), proxy)
            else:
                # Not before it is back: a slow machine, by the clock alone, would never be.
                await _reconnected(session, reconnects)
                await asyncio.sleep(self._rng.uniform(0, MOST_S))
                proxy.cut()
            reconnects = session.stats().reconnects


async def _cut_after(size_bytes: int, proxy: FaultProxy) -> None:
    before = proxy.cuts
    proxy.cut_after_bytes = size_bytes
    # Forgotten without a cut: the session hung up by itself just then.
    while proxy.cuts == before and proxy.cut_after_bytes is not None:  # noqa: ASYNC110
        await asyncio.sleep(LOOK_S)


async def _reconnected(session: Session, before: int) -> None:
    while session.stats().reconnects <= before:  # noqa: ASYNC110 - nor does the session
        await asyncio.sleep(LOOK_S)


async def _talk(
    session: Session,
    texts: Iterator[str],
    speak: Speak,
    found: Found,
    breaking: asyncio.Task[None],
) -> None:
    while not breaking.done():
        samples, wrong = await patiently(partial(speak, session, next(texts)))
        found.utterances += 1
        found.samples += samples
        found.wrong += wrong


async def _undisturbed(url: str, texts: list[str]) -> dict[str, Pcm]:
    async with Session.connect(url) as session:
        return {
            text: (await _speech(session.speak(text, seed=1, mode="batch")))[0] for text in texts
        }


async def _speech(utterance: Utterance) -> tuple[Pcm, Done]:
    pcm = np.frombuffer(b"".join([audio.data async for audio in utterance]), "<i2")
    done = await utterance.done()
    assert isinstance(done, Done), "nobody cancelled it"
    return pcm, done


def _result(same: Found, sums: Found) -> Result:
    away_ms = np.array(same.away_ms + sums.away_ms)
    away = f"back after p50 {np.median(away_ms):.0f} ms" if len(away_ms) else "never away"
    restarts = same.restarts + sums.restarts
    note = (
        f"{same.cuts} disconnects in {same.utterances} utterances, {same.samples} samples compared "
        f"with an undisturbed run; {away}, {restarts} times without the server's memory"
    )
    more = f"{sums.cuts} more, {sums.samples} samples counted against the server's sums"
    return Result(
        [
            Figure("disconnects: samples lost, repeated or other", same.wrong, 0, True, "", note),
            Figure("disconnects while text is written: samples off", sums.wrong, 0, True, "", more),
        ],
        {
            "cuts": same.cuts + sums.cuts,
            "resumes": same.resumes + sums.resumes,
            "restarts": restarts,
            "away_ms": away_ms.round(1).tolist(),
        },
    )
