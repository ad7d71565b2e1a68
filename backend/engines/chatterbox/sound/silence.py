"""Shortens the silences of an utterance's sound, chunk by chunk, without holding sound back."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from backend.audio.codecs import Pcm
from backend.audio.leading_silence import fade_in, soft_onset
from backend.audio.loudness import AUDIBLE_DBFS, WINDOW_S, levels_dbfs

LONGEST_S = 0.3  # of a silence
_LONGEST_ONSET = 9  # windows: 45 ms of a soft onset
_FADE_S = 0.002


@dataclass(frozen=True, slots=True)
class SpeechEnd:
    """Which silence is the end of a passage, so that sound behind it is invented: one of
    `silence_s` that begins `sound_s` after the first sound or later.
    """

    sound_s: float
    silence_s: float


class PauseShortener:
    """Shortens each silence of an utterance, below -45 dBFS, to 0.3 s. That before the first sound
    is moved behind the last: somebody may be waiting for the first.

    Nothing is held back but silence: the first 0.3 s of one are returned at once. A soft onset
    belongs to its sound.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._size = int(WINDOW_S * rate_hz)
        self._longest = round(LONGEST_S / WINDOW_S)
        self._has_sounded = False
        self._moved = 0  # windows before the first sound
        self._silent = self._returned = 0  # windows of the current silence: all, and returned
        self._held: Pcm = np.zeros(0, np.float32)  # perhaps the start of a soft onset
        self._kept = np.zeros(0, bool)  # of the last chunk's windows; and its first sample in them
        self._first = 0
        self.begin_passage()

    def begin_passage(self) -> None:
        """The next chunk begins a passage; a silence may go on."""
        self._since_sound: int | None = None  # windows since the passage's first sound
        self.ended = False

    def shorten(self, pcm: Pcm, end: SpeechEnd | None = None) -> Pcm:
        """The samples of a chunk to be heard. At the `end` of the passage `ended` is set, and
        nothing is returned before the next passage.
        """
        if self.ended:
            return pcm[:0]
        held, whole = self._held.size // self._size, np.concatenate([self._held, pcm])
        levels = levels_dbfs(whole, self._rate_hz)
        keep = np.zeros(len(levels), bool)
        for n in range(held, len(levels)):
            if levels[n] > AUDIBLE_DBFS:
                keep[self._onset(levels, n) : n + 1] = True
                self._count_sound()
            else:
                keep[n] = self._count_silence()
                if end is not None and self._is_end(end):
                    self.ended = True
                    break
        self._kept, self._first = keep, held * self._size
        return self._take_kept(whole, keep)

    def place_s(self, at_s: float) -> float:
        """Where a time of the last chunk, as it was given, is in what was returned."""
        at = max(0, self._first + round(at_s * self._rate_hz))
        window = min(at // self._size, len(self._kept))
        samples = int(self._kept[:window].sum()) * self._size
        if window < len(self._kept) and self._kept[window]:
            samples += at - window * self._size
        return samples / self._rate_hz

    def finish(self) -> Pcm:
        """The silence to be heard behind the utterance: that before it, as far as it fits."""
        missing = min(self._moved, self._longest) - self._returned if self._has_sounded else 0
        self._moved = 0
        return np.zeros(max(0, missing) * self._size, np.float32)

    def _onset(self, levels: NDArray[np.float64], loud: int) -> int:
        """The window in which the sound begins that is audible in window `loud`."""
        if not self._silent:
            return loud
        first = max(0, loud - _LONGEST_ONSET)
        return first + soft_onset(levels[first:], loud - first)

    def _count_sound(self) -> None:
        self._has_sounded = True
        self._since_sound = (self._since_sound or 0) + 1
        self._silent = self._returned = 0

    def _count_silence(self) -> bool:
        """Count a silent window. Whether it is returned."""
        self._silent += 1
        if self._since_sound is not None:
            self._since_sound += 1
        if not self._has_sounded:
            self._moved += 1
        is_returned = self._has_sounded and self._returned < self._longest
        self._returned += is_returned
        return is_returned

    def _is_end(self, end: SpeechEnd) -> bool:
        if self._since_sound is None or self._silent * WINDOW_S < end.silence_s - 1e-9:
            return False
        return (self._since_sound - self._silent) * WINDOW_S >= end.sound_s

    def _take_kept(self, whole: Pcm, keep: NDArray[np.bool_]) -> Pcm:
        """The windows to keep, each fade in behind a dropped one. Holds the last dropped ones."""
        size, fade = self._size, int(_FADE_S * self._rate_hz)
        edges = [0, *(np.flatnonzero(keep[1:] != keep[:-1]) + 1) * size, len(whole)]
        parts, resumed = [], bool(self._held.size)
        for low, high in pairwise(edges):
            if is_kept := bool(len(keep)) and keep[low // size]:
                parts.append(fade_in(whole[low:high], fade) if resumed else whole[low:high])
            resumed = not is_kept
        tail = whole[edges[-2] :] if resumed and not self.ended else whole[:0]
        self._held = tail[-_LONGEST_ONSET * size :]
        return np.concatenate(parts) if parts else whole[:0]
