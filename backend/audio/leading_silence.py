"""Silence that need not be sent: before a context's first sound, and where a listener has waited.

Engines begin an utterance with a quarter of a second of silence. It belongs between two sentences;
before the first one it is latency. Plain and synchronous.
"""

from __future__ import annotations

import math

import numpy as np

from backend.audio.codecs import Pcm
from backend.audio.loudness import AUDIBLE_DBFS, WINDOW_S, levels_dbfs

_SOFT_DBFS = -62.0  # h, f, th and the breath before a plosive's burst are above
_LEAD_S = 0.005  # kept before the soft onset
_LONGEST_LEAD_S = 0.045  # from where on a soft onset is noise
_FADE_S = 0.002


class SilenceTrimmer:
    """Removes leading silence from the chunks of one context.

    A soft onset is kept whole: all that is above -62 dBFS before the first audible window.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._window = int(WINDOW_S * rate_hz)
        self._lead = int(_LONGEST_LEAD_S * rate_hz)
        self._held: Pcm = np.zeros(0, np.float32)  # silent so far, and maybe a soft onset's start

    def trim(self, pcm: Pcm, silent_s: float) -> Pcm:
        """`pcm` without leading silence of up to `silent_s`: as long as the listener has heard
        nothing (infinite before its first sound). What may be the beginning of a soft onset is held
        back while nothing audible follows it.
        """
        if not pcm.size:
            return pcm
        whole = self._release(pcm)
        if silent_s <= 0:
            return whole
        quiet = self._quiet_samples(whole)
        if math.isinf(silent_s) and quiet == len(whole):
            self._held = whole[-self._lead :]
            return whole[:0]
        dropped = int(min(quiet, silent_s * self._rate_hz))
        return _fade_in(whole[dropped:], int(_FADE_S * self._rate_hz)) if dropped else whole

    def _release(self, pcm: Pcm) -> Pcm:
        whole: Pcm = np.concatenate([self._held, pcm]) if self._held.size else pcm
        self._held = whole[:0]
        return whole

    def _quiet_samples(self, pcm: Pcm) -> int:
        """How many samples there are before the onset; all where nothing is audible."""
        levels = levels_dbfs(pcm, self._rate_hz)
        loud = np.flatnonzero(levels > AUDIBLE_DBFS)
        if not len(loud):
            return len(pcm)
        first = onset = int(loud[0])
        while onset and levels[onset - 1] > _SOFT_DBFS:
            onset -= 1
        start = onset * self._window - int(_LEAD_S * self._rate_hz)
        return max(0, start, first * self._window - self._lead)


def _fade_in(pcm: Pcm, samples: int) -> Pcm:
    faded = pcm.copy()
    ramp = np.linspace(0, 1, min(samples, len(faded)), endpoint=False, dtype=np.float32)
    faded[: len(ramp)] *= ramp
    return faded
