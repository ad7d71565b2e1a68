"""A listener without a prebuffer: when it hears the first sound, and its gaps.

Pure: the caller supplies times (seconds, any origin). PCM is mono float32 in [-1, 1].
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from backend.audio.loudness import AUDIBLE_DBFS, WINDOW_S, first_audible, levels_dbfs

Pcm = NDArray[np.float32]

COUNTED_GAP_S = 0.005  # shorter gaps are rounding and event loop latency


def decode_pcm(data: bytes) -> Pcm:
    """Decode audio of the format `pcm_s16le`."""
    return np.frombuffer(data, dtype="<i2").astype(np.float32) / 32768.0


def audible_from_s(pcm: Pcm, rate_hz: int) -> float | None:
    """Seconds of silence before the first audible sample; None if there is none."""
    sample = first_audible(pcm, rate_hz)
    return None if sample is None else sample / rate_hz


@dataclass(frozen=True, slots=True)
class AudibleGap:
    """Silence of `length_s` from `at_s` on because no audio had arrived."""

    at_s: float
    length_s: float


@dataclass(slots=True)
class SimulatedListener:
    """Plays audio on arrival, or after all audio before it.

    `first_message_s`: arrival of the first audio. `first_sound_s`: playback of the first audible
    sample; gaps count from then on. `dry_at_s`: end of all received audio. None: not yet.
    """

    rate_hz: int
    first_message_s: float | None = None
    first_sound_s: float | None = None
    dry_at_s: float | None = None
    gaps: list[AudibleGap] = field(default_factory=list)

    def play_audio(self, pcm: Pcm, at_s: float) -> float:
        """Receive audio at `at_s`; returns when its playback starts."""
        if not len(pcm):
            return at_s
        if self.first_message_s is None:
            self.first_message_s = at_s
        gap = self.current_gap(at_s)
        if gap is not None:
            self.gaps.append(gap)
        starts_s = at_s if self.dry_at_s is None else max(at_s, self.dry_at_s)
        self.dry_at_s = starts_s + len(pcm) / self.rate_hz
        if self.first_sound_s is None:
            silent_s = audible_from_s(pcm, self.rate_hz)
            self.first_sound_s = None if silent_s is None else starts_s + silent_s
        return starts_s

    def current_gap(self, now_s: float) -> AudibleGap | None:
        """The gap that lasts at `now_s`; None before the first sound and during playback."""
        if self.first_sound_s is None or self.dry_at_s is None or now_s <= self.dry_at_s:
            return None
        return AudibleGap(self.dry_at_s, now_s - self.dry_at_s)


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
