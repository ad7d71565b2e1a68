"""Simulated real-time listeners that an engine serves directly, sentence by sentence.

First sound is audible sound: the first 5 ms above -45 dBFS, when the listener plays them.
"""

from __future__ import annotations

import itertools
import math
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from backend.engines.base import Chunk, Engine, Failure, Pcm, Release, Utterance

SENTENCES = (  # of several lengths, so that no cached shape serves all
    "The road went on along the river, and nobody said a word until it was dark.",
    "It was not far.",
    "When the lamps were lit at last, somebody began to sing, quite softly.",
    "He had been there before, years ago, with his father and a small brown dog.",
)
_CANCEL_EVERY_S = 0.25  # mean time between interruptions
_AHEAD_S = 2.0  # buffered audio below which the next sentence is released
_NAP_S = 0.002
_RATE_HZ = 24_000
_WINDOW = _RATE_HZ * 5 // 1000
_AUDIBLE = 10 ** (-45 / 20)


class Clock(Protocol):
    """The module `time`, or one whose seconds are simulated."""

    def perf_counter(self) -> float:
        """Seconds."""

    def sleep(self, seconds: float, /) -> None:
        """Wait."""


@dataclass(slots=True)
class LiveResult:
    """Measurements over all listeners. `underruns`: chunks that came late; `interrupted`: requests
    that heard one.
    """

    clock: Clock = time
    first_ms: list[float] = field(default_factory=list)
    cancel_ms: list[float] = field(default_factory=list)
    underruns: int = 0
    interrupted: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _LiveListener:
    starts_s: float
    utterance: str = ""
    waits: bool = False  # for audio of the current release
    dry_s: float = float("inf")  # when all received audio has been played
    heard: bool = False

    def is_due(self, now_s: float) -> bool:
        """Whether the next sentence is to be released."""
        begins = not self.utterance and now_s >= self.starts_s
        return begins or (not self.waits and self.dry_s - now_s < _AHEAD_S)


def run_listeners(
    engine: Engine,
    count: int,
    seconds: float,
    texts: Sequence[str] = SENTENCES,
    clock: Clock = time,
) -> LiveResult:
    """Serve `count` listeners, which start within the first second, for `seconds`. At random times
    one interrupts: a cancel, which waits for the current step, then a new first sound. Blocks.
    Raises the engine's error.
    """
    results, numbers = LiveResult(clock), itertools.count()
    start_s = clock.perf_counter()
    listeners = [_LiveListener(start_s + n / count) for n in range(count)]
    interrupts_s = start_s
    while (now_s := clock.perf_counter()) < start_s + seconds or not results.cancel_ms:
        if now_s >= interrupts_s:
            hearing = [each for each in listeners if now_s < each.dry_s < float("inf")]
            if hearing:
                _interrupt(engine, results, random.choice(hearing), interrupts_s)
            interrupts_s = now_s + _CANCEL_EVERY_S * random.uniform(0.5, 1.5)
        for listener in listeners:
            if listener.is_due(now_s):
                n = next(numbers)
                _start_sentence(engine, listener, n, texts[n % len(texts)])
        waiting = {each.utterance: each for each in listeners if each.waits}
        _serve_step(engine, results, waiting)
    for listener in listeners:
        engine.abort(listener.utterance)
    return results


def _serve_step(engine: Engine, results: LiveResult, waiting: Mapping[str, _LiveListener]) -> None:
    """One step for the listeners that wait, by utterance; without any a short pause."""
    if not waiting:
        results.clock.sleep(_NAP_S)
        return
    for result in engine.step(sorted(waiting, key=lambda name: _deadline_s(waiting[name]))):
        _receive(results, waiting[result.utterance_id], result)


def _deadline_s(listener: _LiveListener) -> float:
    """When the listener runs dry; before its first sound, a fixed time after its start."""
    return (
        min(listener.dry_s, listener.starts_s + _AHEAD_S)
        if _awaits_first_sound(listener)
        else listener.dry_s
    )


def _awaits_first_sound(listener: _LiveListener) -> bool:
    return listener.dry_s == float("inf")


def _interrupt(
    engine: Engine, results: LiveResult, listener: _LiveListener, asked_s: float
) -> None:
    engine.abort(listener.utterance)
    listener.starts_s = results.clock.perf_counter()
    listener.utterance, listener.waits, listener.dry_s = "", False, float("inf")
    listener.heard = False
    results.cancel_ms.append((listener.starts_s - asked_s) * 1000)


def _start_sentence(engine: Engine, listener: _LiveListener, number: int, text: str) -> None:
    if listener.utterance:
        engine.abort(listener.utterance)
    listener.utterance, listener.waits = f"l{number}", True
    engine.begin(Utterance(listener.utterance, "default", seed=number))
    engine.extend(listener.utterance, Release(text, len(text), final=True))


def _receive(results: LiveResult, listener: _LiveListener, result: Chunk | Failure) -> None:
    if isinstance(result, Failure):
        raise result.error
    now_s, audio_s = results.clock.perf_counter(), len(result.pcm) / _RATE_HZ
    if not _awaits_first_sound(listener) and now_s > listener.dry_s:
        results.underruns += 1
        results.interrupted.add(listener.utterance)
    starts_s = now_s if _awaits_first_sound(listener) else max(listener.dry_s, now_s)
    audible_s = _audible_after_s(result.pcm)
    if not listener.heard and audible_s is not None:
        listener.heard = True
        results.first_ms.append((starts_s + audible_s - listener.starts_s) * 1000)
    listener.dry_s = starts_s + audio_s
    listener.waits = not result.caught_up


def _audible_after_s(pcm: Pcm) -> float | None:
    """Seconds until the first audible window; None if all is silent."""
    whole = pcm[: len(pcm) // _WINDOW * _WINDOW].reshape(-1, _WINDOW)
    loud = np.flatnonzero(np.sqrt(np.square(whole).mean(1)) > _AUDIBLE)
    return int(loud[0]) * _WINDOW / _RATE_HZ if len(loud) else None


def run_requests(
    engine: Engine,
    per_s: float,
    seconds: float,
    texts: Sequence[str] = SENTENCES,
    clock: Clock = time,
) -> LiveResult:
    """Serve requests of one sentence each that come by a clock, `per_s` a second for `seconds`,
    whether or not earlier ones are served. Blocks until all are. Raises the engine's error.
    """
    results, start_s = LiveResult(clock), clock.perf_counter()
    coming = [_LiveListener(start_s + n / per_s) for n in range(math.ceil(per_s * seconds))]
    waiting: dict[str, _LiveListener] = {}
    numbers = itertools.count()
    while coming or waiting:
        while coming and clock.perf_counter() >= coming[0].starts_s:
            n, listener = next(numbers), coming.pop(0)
            _start_sentence(engine, listener, n, texts[n % len(texts)])
            waiting[listener.utterance] = listener
        _serve_step(engine, results, waiting)
        for name in [name for name, listener in waiting.items() if not listener.waits]:
            del waiting[name]
            engine.abort(name)
    return results
