"""Trims leading silence: before a context's first sound, and after a gap the listener has heard.

Engines begin an utterance with a quarter of a second of silence. It belongs between two sentences;
before the first one it is latency. Synchronous, no I/O.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from backend.audio.codecs import Pcm
from backend.audio.loudness import AUDIBLE_DBFS, WINDOW_S, levels_dbfs

_SOFT_DBFS = -62.0  # h, f, th and the breath before a plosive's burst are above this
_LEAD_S = 0.005  # kept before the soft onset
_LONGEST_LEAD_S = 0.045  # anything longer is noise, not a soft onset
_FADE_S = 0.002


class SilenceTrimmer:
    """Removes leading silence from the chunks of one context.

    A soft onset is kept: everything above -62 dBFS right before the first audible window.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._window = int(WINDOW_S * rate_hz)
        self._lead = int(_LONGEST_LEAD_S * rate_hz)
        self._held: Pcm = np.zeros(0, np.float32)  # silence that may be the start of a soft onset

    def trim(self, pcm: Pcm, silent_s: float) -> Pcm:
        """Return `pcm` without up to `silent_s` of leading silence. `silent_s`: how long the
        listener has heard nothing (infinite before its first sound). A possible start of a soft
        onset is held back until something audible follows it.
        """
        if not pcm.size:
            return pcm
        whole = self._take_held(pcm)
        if silent_s <= 0:
            return whole
        quiet = self._count_quiet_samples(whole)
        if math.isinf(silent_s) and quiet == len(whole):
            self._held = whole[-self._lead :]
            return whole[:0]
        dropped = int(min(quiet, silent_s * self._rate_hz))
        return fade_in(whole[dropped:], int(_FADE_S * self._rate_hz)) if dropped else whole

    def _take_held(self, pcm: Pcm) -> Pcm:
        whole: Pcm = np.concatenate([self._held, pcm]) if self._held.size else pcm
        self._held = whole[:0]
        return whole

    def _count_quiet_samples(self, pcm: Pcm) -> int:
        """Number of samples before the onset; all if nothing is audible."""
        levels = levels_dbfs(pcm, self._rate_hz)
        loud = np.flatnonzero(levels > AUDIBLE_DBFS)
        if not len(loud):
            return len(pcm)
        first = int(loud[0])
        start = soft_onset(levels, first) * self._window - int(_LEAD_S * self._rate_hz)
        return max(0, start, first * self._window - self._lead)


def soft_onset(levels: NDArray[np.float64], first: int) -> int:
    """Index of the window in which the sound begins that is audible from window `first` on."""
    while first and levels[first - 1] > _SOFT_DBFS:
        first -= 1
    return first


def fade_in(pcm: Pcm, samples: int) -> Pcm:
    """A copy of `pcm` whose first `samples` rise from 0."""
    faded = pcm.copy()
    ramp = np.linspace(0, 1, min(samples, len(faded)), endpoint=False, dtype=np.float32)
    faded[: len(ramp)] *= ramp
    return faded
