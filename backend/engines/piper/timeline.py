"""The spoken and the planned part of an utterance of a Piper voice. A row is one latent frame.

Three stretches lie behind each other: latent frames up to the end of the plan, frames of the flow
as far as a decoder's window needs them, and samples as far as they are rendered. Each is computed
in windows that are exact, from what was computed before, so that the whole equals the voice's own
graph. `rewrite` replaces what is not spoken; the samples on both sides are then of different
contexts, and blend into each other over a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.engines.base import Pcm
from backend.engines.incremental.timeline import RowRules
from backend.engines.piper.network import FloatArray, PiperNetwork, TextEncoding
from backend.engines.piper.noise import take_noise
from backend.engines.piper.voice_config import group_ids

_MOST_ROWS = 60  # of one id: a longer one is an accident of the durations' noise
_FIRST_FLOW_ROWS, _FLOW_ROWS = 60, 150  # of the flow that are computed before they are due
_SILENT = 0.003  # RMS, about -50 dB
_NOISE_PLACES = 4  # of durations for each phoneme: its ids, and the pads between
_NO_PCM: Pcm = np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True)
class Manner:
    """How a voice speaks. `length_scale`: larger is slower; the others: how much it varies."""

    speaker: int
    seed: int
    length_scale: float
    noise_scale: float
    noise_w: float


class PiperTimeline:
    """Implements `Timeline` for one utterance."""

    def __init__(
        self,
        network: PiperNetwork,
        ids: Mapping[str, tuple[int, ...]],
        manner: Manner,
        rules: RowRules,
    ) -> None:
        self.rules = rules
        self._network = network
        self._ids = ids
        self._manner = manner
        self._needed = 0  # the first row that will not be spoken before the next rewrite
        self._base = 0  # the first row that is held
        self.spoken = 0
        self._latent: FloatArray | None = None  # [channels, rows], from `_base`
        self._sound: FloatArray | None = None  # [channels, rows], from `_base`
        self._pcm: Pcm = _NO_PCM  # rendered, from `spoken`
        self._tail: Pcm = _NO_PCM  # rendered before the rewrite, from the seam
        self._loudness: FloatArray = np.zeros(0, np.float32)  # of rendered rows, from `_base`
        self._starts: NDArray[np.int64] = np.zeros(1, np.int64)  # of each phoneme, and the end

    @property
    def end(self) -> int:
        """See `Timeline.end`."""
        return self._base + (0 if self._latent is None else self._latent.shape[1])

    def first_row(self, phoneme: int) -> int:
        """See `Timeline.first_row`."""
        return int(self._starts[phoneme])

    def find_seam(self) -> tuple[int, int]:
        """See `Timeline.find_seam`."""
        phoneme = int(np.searchsorted(self._starts, self.spoken, side="right")) - 1
        phoneme = max(0, min(phoneme, len(self._starts) - 2))
        return phoneme, self.spoken - int(self._starts[phoneme])

    def rewrite(self, phonemes: str, seam: tuple[int, int], origin: int, until: int) -> int:
        """See `Timeline.rewrite`."""
        groups = group_ids(self._ids, phonemes)
        ids = [i for group in groups for i in group]
        encoding = self._network.encode(
            ids, self._manner.speaker, self._duration_noise(groups, origin), self._manner.noise_w
        )
        scaled = np.ceil(encoding.duration * np.float32(self._manner.length_scale))
        rows = np.clip(scaled, 0, _MOST_ROWS).astype(np.int64)
        ends = np.cumsum([len(group) for group in groups])
        starts = np.concatenate([[0], np.cumsum(rows)])[np.concatenate([[0], ends])]
        first = int(min(starts[seam[0]] + seam[1], starts[seam[0] + 1])) if self.spoken else 0
        self._starts = starts + self.spoken - first
        self._needed = int(self._starts[min(until, len(self._starts) - 1)])
        self._replace_rows(self._repeat(encoding, rows, first))
        return len(ids)

    def _duration_noise(self, groups: list[list[int]], origin: int) -> FloatArray:
        places = [
            (n - origin) * _NOISE_PLACES + k
            for n, group in enumerate(groups)
            for k in range(len(group))
        ]
        return take_noise(self._manner.seed, 2, np.asarray(places, np.int64)).T

    def _repeat(self, encoding: TextEncoding, rows: NDArray[np.int64], first: int) -> FloatArray:
        """Latent frames [channels, rows] of the encoded ids, from the row `first` on."""
        owner = np.repeat(np.arange(len(rows)), rows)[first:]
        places = np.arange(self.spoken, self.spoken + len(owner))
        noise = take_noise(self._manner.seed, encoding.mean.shape[1], places)
        noise = noise * encoding.scale[owner] * np.float32(self._manner.noise_scale)
        latent: FloatArray = (encoding.mean[owner] + noise).T
        return latent

    def _replace_rows(self, latent: FloatArray) -> None:
        """Put `latent` behind the spoken rows, of which as many are kept as windows need."""
        reach = self._network.flow.plan.reach + self._network.decoder.plan.reach
        dropped = max(0, self.spoken - reach - self._base)
        keep = slice(dropped, self.spoken - self._base)
        self._base += dropped
        empty = latent[:, :0]
        held = empty if self._latent is None else self._latent[:, keep]
        self._sound = None if self._sound is None else self._sound[:, keep]
        self._latent = np.concatenate([held, latent], axis=1)
        self._loudness = self._loudness[keep]
        self._tail, self._pcm = self._pcm[: self._network.hop], _NO_PCM

    def prepare(self, row: int) -> None:
        """See `Timeline.prepare`. One row more is rendered: a later rewrite blends with it."""
        self._render_ahead(min(row + 1, self.end))

    def quietest_row(self, start: int, end: int) -> int:
        """See `Timeline.quietest_row`."""
        start, end = max(start, self.spoken), min(end, self.end)
        loudness = self._loudness[start - self._base : max(end, start + 1) - self._base]
        return start + (int(np.argmin(loudness)) if len(loudness) else 0)

    def audible_rows(self, start: int, end: int) -> tuple[int, int]:
        """See `Timeline.audible_rows`. Rows that are not rendered count as silent."""
        first = max(start - self._base, 0)
        loud = np.flatnonzero(self._loudness[first : max(end - self._base, 0)] > _SILENT)
        if not len(loud):
            return start, end
        return self._base + first + int(loud[0]), self._base + first + int(loud[-1]) + 1

    def render_to(self, row: int) -> Pcm:
        """See `Timeline.render_to`."""
        self._render_ahead(row)
        samples = (row - self.spoken) * self._network.hop
        pcm, self._pcm = self._pcm[:samples], self._pcm[samples:]
        self.spoken = row
        return pcm

    def finish(self) -> Pcm:
        """See `Timeline.finish`: every row was rendered to its end."""
        return _NO_PCM

    def _render_ahead(self, row: int) -> None:
        """Render samples up to `row`."""
        span = (len(self._loudness), row - self._base)
        if span[1] <= span[0] or self._latent is None:
            return
        decoder, length = self._network.decoder, self._latent.shape[1]
        left, right = decoder.plan.window(*span, length)
        sound = self._flow_to(right)[:, left:right]
        pcm: Pcm = decoder.run(sound, span, length, self._manner.speaker).reshape(-1)
        if len(self._tail):
            pcm = _blend(self._tail, pcm)
            self._tail = _NO_PCM
        self._pcm = np.concatenate([self._pcm, pcm])
        power = np.square(pcm.reshape(-1, self._network.hop)).mean(1)
        self._loudness = np.concatenate([self._loudness, np.sqrt(power)])

    def _flow_to(self, row: int) -> FloatArray:
        """Frames of the flow up to the held row `row`."""
        latent, flow = self._latent, self._network.flow
        done = 0 if self._sound is None else self._sound.shape[1]
        assert latent is not None  # its only caller renders latent frames
        if row > done:
            # All that will be spoken: few large windows cost less. But the first sound is due.
            most = done + (_FLOW_ROWS if self.spoken else _FIRST_FLOW_ROWS)
            needed = self._needed + self.rules.cut_rows[1] + self._network.decoder.plan.reach + 2
            row = min(max(row, min(needed - self._base, most)), latent.shape[1])
            left, right = flow.plan.window(done, row, latent.shape[1])
            new = flow.run(
                latent[:, left:right], (done, row), latent.shape[1], self._manner.speaker
            )
            self._sound = new if self._sound is None else np.concatenate([self._sound, new], 1)
        assert self._sound is not None
        return self._sound


def _blend(before: Pcm, after: Pcm) -> Pcm:
    """`after`, faded in over `before`, which has the same beginning in another context."""
    n = min(len(before), len(after))
    fade = (np.arange(n, dtype=np.float32) + 0.5) / n
    blended = after.copy()
    blended[:n] = before[:n] * (1 - fade) + after[:n] * fade
    return blended
