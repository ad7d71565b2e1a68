"""The spoken and the planned part of an utterance: rows of 25 ms with encodings and pitch.

A `Score` is rewritten from its seam on whenever more of the sentence is known. The rows before the
seam stay as spoken, and the network's windows include them: this makes seams inaudible.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backend.engines.hibari.network import (
    FRAME_REACH,
    PITCH_REACH,
    UNIT_FRAMES,
    FloatArray,
    Network,
)

ROW_MS = 25.0
_SILENT = -3.0  # energy, about -70 dB


def rows_at(speed: float, duration: FloatArray) -> NDArray[np.int64]:
    """Rows for phonemes of `duration` [L] (in rows, real): at least one each.

    At speed 1 as in the package's graph. The package rounds each phoneme by itself, which at other
    speeds is off by up to a sixth (phonemes last one to five rows); here the rounding error carries
    over to the next phoneme.
    """
    rows = np.maximum(np.round(duration), 1).astype(np.int64)
    owed = 0.0
    for n, units in enumerate(rows if speed != 1 else ()):
        owed += units / speed
        rows[n] = max(1, round(owed))
        owed -= rows[n]
    return rows


class Score:
    """Phonemes laid out in time. A row is 25 ms, a frame half a row."""

    def __init__(self, network: Network, speed: float) -> None:
        self._network = network
        self._speed = speed
        self._content: FloatArray = np.zeros((0, 128), np.float32)
        self._prosody: FloatArray = np.zeros((0, 192), np.float32)
        self._f0: FloatArray = np.zeros(0, np.float32)
        self._energy: FloatArray = np.zeros(0, np.float32)
        # Of each phoneme, in rows, and the end.
        self._starts: NDArray[np.int64] = np.zeros(1, np.int64)
        self._forgotten = 0  # spoken rows no longer held
        self._spoken = 0  # spoken rows still held

    @property
    def spoken(self) -> int:
        """Rows spoken since the utterance began."""
        return self._forgotten + self._spoken

    @property
    def end(self) -> int:
        """The row behind the last."""
        return self._forgotten + len(self._content)

    def first_row(self, phoneme: int) -> int:
        """First row of `phoneme` (an index into the encoded ids)."""
        return self._forgotten + int(self._starts[phoneme])

    def find_seam(self) -> tuple[int, int]:
        """The phoneme where speech stopped, and how many of its rows were spoken."""
        phoneme = int(np.searchsorted(self._starts, self._spoken, side="right")) - 1
        phoneme = min(phoneme, len(self._starts) - 2)
        return phoneme, self._spoken - int(self._starts[phoneme])

    def rewrite(self, ids: list[int], seam: tuple[int, int]) -> None:
        """Encode the phonemes `ids` and put them behind the spoken rows, from `seam` on."""
        encoding = self._network.encode(ids)
        phoneme, spoken = seam
        rows = rows_at(self._speed, encoding.duration)
        rows[:phoneme] = 0
        rows[phoneme] = max(0, rows[phoneme] - spoken)
        dropped = max(0, self._spoken - PITCH_REACH)
        keep = slice(dropped, self._spoken)
        self._content = np.concatenate([self._content[keep], encoding.content.repeat(rows, 0)])
        self._prosody = np.concatenate([self._prosody[keep], encoding.prosody.repeat(rows, 0)])
        f0, energy = self._network.pitch(self._prosody)
        frames = slice(dropped * UNIT_FRAMES, self._spoken * UNIT_FRAMES)
        held = (self._spoken - dropped) * UNIT_FRAMES
        f0[:held], energy[:held] = self._f0[frames], self._energy[frames]
        self._f0, self._energy = f0, energy
        self._spoken -= dropped
        self._forgotten += dropped
        self._starts = self._spoken + np.concatenate([[0], np.cumsum(rows)])
        self._starts[phoneme] -= spoken

    def quietest_row(self, start: int, end: int) -> int:
        """The unspoken row in [start, end) with the least energy."""
        start = max(start - self._forgotten, self._spoken)
        end = max(end - self._forgotten, start + 1)
        return self._forgotten + start + int(np.argmin(self._loudness()[start:end]))

    def audible_rows(self, start: int, end: int) -> tuple[int, int]:
        """Rows [start, end) without silence at both ends; unchanged if all are silent."""
        first, last = start - self._forgotten, end - self._forgotten
        loud = np.flatnonzero(self._loudness()[first:last] > _SILENT)
        return (start + int(loud[0]), start + int(loud[-1]) + 1) if len(loud) else (start, end)

    def _loudness(self) -> FloatArray:
        loudest: FloatArray = self._energy.reshape(-1, UNIT_FRAMES).max(1)
        return loudest

    def render_to(self, row: int) -> tuple[FloatArray, FloatArray]:
        """Render frames and their pitch from the seam to `row`, which becomes the seam."""
        start, end = self._spoken, row - self._forgotten
        left, right = max(0, start - FRAME_REACH), min(len(self._content), end + FRAME_REACH)
        window = slice(left * UNIT_FRAMES, right * UNIT_FRAMES)
        frames = self._network.frames(
            self._content[left:right], self._f0[window], self._energy[window]
        )
        self._spoken = end
        new = slice((start - left) * UNIT_FRAMES, (end - left) * UNIT_FRAMES)
        return frames[new], self._f0[start * UNIT_FRAMES : end * UNIT_FRAMES]
