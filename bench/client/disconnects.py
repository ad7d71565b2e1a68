"""Break the connection repeatedly: no sample may be lost or repeated.

A proxy resets the connection after a random number of bytes from the server, nearly always within a
frame, or at a random time. Whole texts sound the same for the same seed and are compared sample by
sample with an uninterrupted run. Streamed texts depend on timing: their samples are counted against
the server's sums.
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
from bench.client.gaps import paced_tokens
from bench.harness.recording_client import retry_while_busy
from bench.harness.report import Figure, Result
from bench.harness.setup import Setup
from duplex_tts import Done, Options, Resumed, Session, Utterance
from duplex_tts.events import SessionEvent

Pcm = NDArray[np.int16]

WRITTEN_SHARE = 0.25  # additional disconnects while the text is being written
TOKENS_PER_S = 200.0
AT_ONCE = 2
MAX_BYTES = 150_000  # until the next reset: three seconds of speech
MAX_WAIT_S = 0.2
POLL_S = 0.002


@dataclass(slots=True)
class DisconnectResult:
    """What arrived despite `cuts` disconnects. `wrong`: samples extra, missing or different."""

    cuts: int = 0
    utterances: int = 0
    samples: int = 0
    wrong: int = 0
    resumes: int = 0
    restarts: int = 0
    away_ms: list[float] = field(default_factory=list)


SpeakAndCheck = Callable[[Session, str], Awaitable[tuple[int, int]]]
"""Speaks a text; returns the number of samples, and how many of them are wrong."""


async def measure(setup: Setup) -> Result:
    """Break the connection repeatedly while texts are spoken over it."""
    texts = [each.text for each in setup.speakable]
    whole = setup.effort.disconnects
    while_written = max(1, round(whole * WRITTEN_SHARE))
    cuts = whole + while_written
    originals = await _record_originals(setup.url, texts)

    async def speak_and_compare(session: Session, text: str) -> tuple[int, int]:
        pcm, _ = await _collect_audio(session.speak(text, seed=1, mode="batch"))
        return len(pcm), count_differing(pcm, originals[text])

    async def speak_and_count(session: Session, text: str) -> tuple[int, int]:
        pcm, done = await _collect_audio(session.speak(paced_tokens(text, TOKENS_PER_S)))
        spoken = round(done.audio_ms * session.ready.sample_rate / 1000)
        return len(pcm), abs(len(pcm) - spoken)

    breaker = _ConnectionBreaker(setup, texts)
    same = await breaker.run(speak_and_compare, whole, lambda done: done / cuts)
    sums = await breaker.run(speak_and_count, while_written, lambda done: (whole + done) / cuts)
    return _result(same, sums)


def count_differing(received: Pcm, original: Pcm) -> int:
    """Number of samples that are missing, extra or different."""
    common = min(len(received), len(original))
    other = np.count_nonzero(received[:common] != original[:common])
    return int(other) + abs(len(received) - len(original))


class _ConnectionBreaker:
    """Speaks texts over a connection that it resets."""

    def __init__(self, setup: Setup, texts: list[str]) -> None:
        self._setup = setup
        self._texts = texts
        self._rng = random.Random(setup.seed)

    async def run(
        self, speak: SpeakAndCheck, cuts: int, share: Callable[[int], float]
    ) -> DisconnectResult:
        """Speak texts until `cuts` resets happened; finishes utterances already begun."""
        found = DisconnectResult()

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
                    tasks.create_task(_speak_until_done(session, texts, speak, found, breaking))
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
                await _cut_after(self._rng.randrange(1, MAX_BYTES), proxy)
            else:
                # Wait for the reconnect first: a slow machine might never get that far.
                await _wait_for_reconnect(session, reconnects)
                await asyncio.sleep(self._rng.uniform(0, MAX_WAIT_S))
                proxy.cut()
            reconnects = session.stats().reconnects


async def _cut_after(size_bytes: int, proxy: FaultProxy) -> None:
    before = proxy.cuts
    proxy.cut_after_bytes = size_bytes
    # None without a cut: the session closed the connection itself.
    while proxy.cuts == before and proxy.cut_after_bytes is not None:  # noqa: ASYNC110
        await asyncio.sleep(POLL_S)


async def _wait_for_reconnect(session: Session, before: int) -> None:
    while session.stats().reconnects <= before:  # noqa: ASYNC110 - no event for it
        await asyncio.sleep(POLL_S)


async def _speak_until_done(
    session: Session,
    texts: Iterator[str],
    speak: SpeakAndCheck,
    found: DisconnectResult,
    breaking: asyncio.Task[None],
) -> None:
    while not breaking.done():
        samples, wrong = await retry_while_busy(partial(speak, session, next(texts)))
        found.utterances += 1
        found.samples += samples
        found.wrong += wrong


async def _record_originals(url: str, texts: list[str]) -> dict[str, Pcm]:
    async with Session.connect(url) as session:
        return {
            text: (await _collect_audio(session.speak(text, seed=1, mode="batch")))[0]
            for text in texts
        }


async def _collect_audio(utterance: Utterance) -> tuple[Pcm, Done]:
    pcm = np.frombuffer(b"".join([audio.data async for audio in utterance]), "<i2")
    done = await utterance.done()
    assert isinstance(done, Done), "not cancelled"
    return pcm, done


def _result(same: DisconnectResult, sums: DisconnectResult) -> Result:
    away_ms = np.array(same.away_ms + sums.away_ms)
    away = f"reconnected after p50 {np.median(away_ms):.0f} ms" if len(away_ms) else "no reconnects"
    restarts = same.restarts + sums.restarts
    note = (
        f"{same.cuts} disconnects in {same.utterances} utterances, {same.samples} samples compared "
        f"with an uninterrupted run; {away}, {restarts} sessions restarted"
    )
    more = f"{sums.cuts} more, {sums.samples} samples counted against the server's sums"
    return Result(
        [
            Figure(
                "disconnects: samples lost, repeated or different", same.wrong, 0, True, "", note
            ),
            Figure("disconnects while text is written: samples off", sums.wrong, 0, True, "", more),
        ],
        {
            "cuts": same.cuts + sums.cuts,
            "resumes": same.resumes + sums.resumes,
            "restarts": restarts,
            "away_ms": away_ms.round(1).tolist(),
        },
    )
