"""What a listener hears who holds nothing back: its first sound, and where it waits for more.

Plain: the caller brings the clock (seconds, any origin). PCM is mono float32 in [-1, 1].
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from backend.audio.loudness import AUDIBLE_DBFS, WINDOW_S, first_audible, levels_dbfs

Pcm = NDArray[np.float32]

COUNTED_GAP_S = 0.005  # a shorter one is the rounding of times and of the event loop's turns


def decode_pcm(data: bytes) -> Pcm:
    """The samples of a context of the format `pcm_s16le`."""
    return np.frombuffer(data, dtype="<i2").astype(np.float32) / 32768.0


def audible_from_s(pcm: Pcm, rate_hz: int) -> float | None:
    """Seconds of silence before the first audible sample; None when nothing is audible."""
    sample = first_audible(pcm, rate_hz)
    return None if sample is None else sample / rate_hz


@dataclass(frozen=True, slots=True)
class Gap:
    """Silence of `length_s` from `at_s` on, because nothing had come."""

    at_s: float
    length_s: float


@dataclass(slots=True)
class Hearing:
    """Plays what comes at once, or when everything before it is played.

    `first_message_s`: when the first audio came. `first_sound_s`: when its first audible sample is
    heard; gaps count from then on. `dry_at_s`: when all that came is played. None: not yet.
    """

    rate_hz: int
    first_message_s: float | None = None
    first_sound_s: float | None = None
    dry_at_s: float | None = None
    gaps: list[Gap] = field(default_factory=list)

    def hear(self, pcm: Pcm, at_s: float) -> float:
        """Audio came; returns when it begins to be played."""
        if not len(pcm):
            return at_s
        if self.first_message_s is None:
            self.first_message_s = at_s
        gap = self.gap(at_s)
        if gap is not None:
            self.gaps.append(gap)
        starts_s = at_s if self.dry_at_s is None else max(at_s, self.dry_at_s)
        self.dry_at_s = starts_s + len(pcm) / self.rate_hz
        if self.first_sound_s is None:
            silent_s = audible_from_s(pcm, self.rate_hz)
            self.first_sound_s = None if silent_s is None else starts_s + silent_s
        return starts_s

    def gap(self, now_s: float) -> Gap | None:
        """The silence that lasts now; None before the first sound and while something is heard."""
        if self.first_sound_s is None or self.dry_at_s is None or now_s <= self.dry_at_s:
            return None
        return Gap(self.dry_at_s, now_s - self.dry_at_s)


def cut_pauses(pcm: Pcm, rate_hz: int, longest_s: float) -> Pcm:
    """Shorten every silence to `longest_s`."""
    size = int(WINDOW_S * rate_hz)
    silent = levels_dbfs(pcm, rate_hz) <= AUDIBLE_DBFS
    kept = np.ones(len(pcm), dtype=bool)
    run = 0
    for window, is_silent in enumerate(silent):
        run = run + 1 if is_silent else 0
        if run * WINDOW_S > longest_s:
            kept[window * size : (window + 1) * size] = False
    return np.asarray(pcm[kept], dtype=np.float32)
