"""Renders with an engine through its contract, timed, and judges the sound."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from backend.engines.base import Chunk, Engine, Failure, Model, Pcm, Release, Utterance

LONG_TEXT = "The road went on along the river, and nobody said a word until it was dark."
SHORT_TEXT = "Good day to you."
"""For an engine that is slow on this machine."""

_AUDIBLE_RMS = 10 ** (-45 / 20)
_WINDOW_S = 0.005
_CLIPPED = 0.999
_CLIPPED_SHARE = 1e-3
_CHARACTERS_PER_S = (5.0, 40.0)  # slowest and fastest speech that is plausible


class TimeIsUp(Exception):
    """The rendering did not end by its deadline."""


@dataclass(slots=True)
class Rendering:
    """The sound of one utterance. Times in seconds from its release; `first_s`: to the chunk with
    the first audible sound, infinite without one.
    """

    parts: list[Pcm] = field(default_factory=list)
    first_s: float = float("inf")
    whole_s: float = 0.0

    @property
    def pcm(self) -> Pcm:
        """All samples."""
        return np.concatenate(self.parts) if self.parts else np.zeros(0, np.float32)


class Speaker:
    """Speaks whole sentences with one engine and voice; `until_s`: its deadline on
    `time.monotonic`.
    """

    def __init__(self, model: Model, engine: Engine, voice: str, until_s: float) -> None:
        self._engine = engine
        self._voice = voice
        self._until_s = until_s
        self._numbers = itertools.count()
        self.rate_hz = model.info.sample_rate_hz

    def speak(self, text: str, count: int = 1) -> list[Rendering]:
        """Render `text` as `count` utterances at once. Blocks. Raises the engine's `DuplexError`,
        `TimeIsUp`.
        """
        waiting = {f"doctor {next(self._numbers)}": Rendering() for _ in range(count)}
        renderings = list(waiting.values())
        start_s = time.monotonic()
        try:
            for number, name in enumerate(waiting):
                self._engine.begin(Utterance(name, self._voice, seed=number))
                self._engine.extend(name, Release(text, len(text), final=True))
            while waiting:
                for result in self._engine.step([*waiting]):
                    elapsed_s = time.monotonic() - start_s
                    if self._receive(waiting[result.utterance_id], result, elapsed_s):
                        del waiting[result.utterance_id]
                if waiting and time.monotonic() > self._until_s:
                    raise TimeIsUp
        finally:
            for name in waiting:
                self._engine.abort(name)
        return renderings

    def _receive(self, rendering: Rendering, result: Chunk | Failure, elapsed_s: float) -> bool:
        """Add a result; returns whether it is the last."""
        if isinstance(result, Failure):
            raise result.error
        rendering.parts.append(result.pcm)
        rendering.whole_s = elapsed_s
        if rendering.first_s > elapsed_s and is_audible(result.pcm, self.rate_hz):
            rendering.first_s = elapsed_s
        return result.caught_up


def is_audible(pcm: Pcm, rate_hz: int) -> bool:
    """Whether any 5 ms are above -45 dBFS."""
    size = max(1, int(_WINDOW_S * rate_hz))
    windows = pcm[: len(pcm) // size * size].reshape(-1, size)
    return bool((np.sqrt((windows**2).mean(axis=1)) > _AUDIBLE_RMS).any())


def sound_problems(pcm: Pcm, rate_hz: int, text: str) -> Sequence[str]:
    """What is wrong with the sound of `text`; empty if nothing is."""
    if not len(pcm):
        return ["there is no sound"]
    if not np.isfinite(pcm).all():
        share = 1 - np.isfinite(pcm).mean()
        return [f"{share:.0%} of the samples are not numbers (NaN or infinite)"]
    if not is_audible(pcm, rate_hz):
        return ["it is silent"]
    problems = []
    if (clipped := float((np.abs(pcm) >= _CLIPPED).mean())) > _CLIPPED_SHARE:
        problems.append(f"it is distorted: {clipped:.1%} of the samples are at full scale")
    duration_s = len(pcm) / rate_hz
    slowest, fastest = (len(text) / rate for rate in _CHARACTERS_PER_S)
    if not fastest <= duration_s <= slowest:
        problems.append(
            f"it takes {duration_s:.1f} s, expected {fastest:.1f} to {slowest:.1f} s: "
            "something is left out or invented"
        )
    return problems
