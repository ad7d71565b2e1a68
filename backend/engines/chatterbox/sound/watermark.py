"""Resemble AI's Perth watermark, applied chunk by chunk, on the device.

Perth works at 32 kHz with windows of 2048 samples. At 24 kHz windows of 1536 samples have the same
duration and the same frequencies, so its network runs on our rate without resampling.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.engines.chatterbox.device.memory import compute_or_none
from backend.engines.chatterbox.sound.vocoder import SAMPLE_RATE_HZ

_TAPER_S = 0.01
_SHORTEST_S = 0.1  # shorter chunks stay unmarked: the watermark's frames do not fit
_MASKED_BELOW = 0.05  # of the loudest frame: Perth marks no frames below this
_HEADROOM_DB = 15  # of Perth's normalised magnitudes


class Watermark:
    """Marks each chunk separately; the mark fades in and out, so that seams are inaudible."""

    def __init__(self, device: torch.device) -> None:
        import perth

        if perth.PerthImplicitWatermarker is None:
            raise RuntimeError("perth needs pkg_resources: install setuptools below 81")
        self.perth: Any = perth.PerthImplicitWatermarker(device=str(device))
        net = self.perth.perth_net.eval().requires_grad_(requires_grad=False)
        ratio = SAMPLE_RATE_HZ / net.hp.sample_rate
        self._encode = net.encoder.layers
        self._bands: int = net.encoder.subband
        self._size, self._hop = round(ratio * net.hp.n_fft), round(ratio * net.hp.hop_size)
        self._window = torch.hann_window(self._size, device=device)
        self._scale = 1 / ratio  # of magnitudes: the windows have fewer samples
        self._floor: float = net.hp.stft_magnitude_min
        taper = int(_TAPER_S * SAMPLE_RATE_HZ)
        self._ramp = torch.linspace(0, 1, taper, device=device)

    def apply(self, sounds: Sequence[Tensor]) -> list[Tensor | None]:
        """The marked chunks, (n,) each, same lengths; None where memory runs out even for the chunk
        alone.
        """
        long = [n for n, sound in enumerate(sounds) if len(sound) >= _SHORTEST_S * SAMPLE_RATE_HZ]
        result: list[Tensor | None] = [*sounds]
        marked = compute_or_none(lambda: self._mark_batch([sounds[n] for n in long]))
        if marked is not None:
            for n, each in zip(long, marked, strict=True):
                result[n] = each
            return result
        for n in long:
            alone = compute_or_none(partial(self._mark_batch, [sounds[n]]))
            result[n] = alone[0] if alone else None
        return result

    @torch.inference_mode()
    def _mark_batch(self, sounds: Sequence[Tensor]) -> list[Tensor]:
        if not sounds:
            return []
        size = max(map(len, sounds))
        rows = torch.stack([F.pad(sound, (0, size - len(sound))) for sound in sounds])
        added = self._compute_mark(rows)
        return [
            sound + self._taper(mark[: len(sound)])
            for sound, mark in zip(sounds, added, strict=True)
        ]

    def _compute_mark(self, rows: Tensor) -> Tensor:
        """What Perth adds to these sounds, (n, samples)."""
        frame = {"n_fft": self._size, "hop_length": self._hop, "window": self._window}
        spectrum = torch.stft(rows, **frame, return_complex=True)
        magnitude = (self._scale * spectrum.abs()).clip(self._floor)
        lowest_db = 20 * torch.log10(torch.tensor(self._floor)).item()
        range_db = _HEADROOM_DB - lowest_db
        level = (20 * torch.log10(magnitude) - lowest_db) / range_db
        total = level.sum(1)
        loud = (total > _MASKED_BELOW * total.amax(1, keepdim=True)).float()
        change_db = range_db * self._encode(level[:, : self._bands]) * loud[:, None]
        gain = 10 ** (change_db / 20) - 1
        mark = torch.zeros_like(spectrum)
        mark[:, : self._bands] = gain * spectrum[:, : self._bands]
        return torch.istft(mark, **frame, length=rows.size(1))

    def _taper(self, mark: Tensor) -> Tensor:
        mark = mark.clone()
        mark[: len(self._ramp)] *= self._ramp
        mark[-len(self._ramp) :] *= self._ramp.flip(0)
        return mark
