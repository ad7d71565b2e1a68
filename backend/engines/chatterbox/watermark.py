"""Resemble AI's Perth watermark, applied chunk by chunk."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch

from backend.engines.base import Pcm
from backend.engines.chatterbox.memory import compute_or_none

_TAPER_S = 0.01
_THREADS = 4  # much of the work is resampling on the CPU
_SHORTEST_S = 0.1  # shorter chunks stay unmarked: the watermark's frames do not fit


class Watermark:
    """Marks each chunk separately; the mark fades in and out, so that seams are inaudible."""

    def __init__(self, device: torch.device) -> None:
        import perth

        if perth.PerthImplicitWatermarker is None:
            raise RuntimeError("perth needs pkg_resources: install setuptools below 81")
        self._perth: Any = perth.PerthImplicitWatermarker(device=str(device))
        self._threads = ThreadPoolExecutor(_THREADS, "watermark")

    def apply(self, sounds: Sequence[Pcm], sample_rate_hz: int) -> list[Pcm | None]:
        """The marked chunks, same lengths; None where memory runs out even for the chunk alone.
        Blocks: 15 ms per second of sound on two cores.
        """
        mark = partial(self._mark, sample_rate_hz=sample_rate_hz)
        together = compute_or_none(lambda: list(self._threads.map(mark, sounds)))
        return (
            [*together]
            if together is not None
            else [compute_or_none(partial(mark, each)) for each in sounds]
        )

    @torch.inference_mode()
    def _mark(self, pcm: Pcm, sample_rate_hz: int) -> Pcm:
        if len(pcm) < _SHORTEST_S * sample_rate_hz:
            return pcm
        marked = self._perth.apply_watermark(pcm, sample_rate=sample_rate_hz)
        size = min(len(pcm), len(marked))
        added = np.zeros_like(pcm)
        added[:size] = marked[:size] - pcm[:size]
        taper = int(_TAPER_S * sample_rate_hz)
        ramp = np.linspace(0, 1, taper, dtype=np.float32)
        added[:taper] *= ramp
        added[-taper:] *= ramp[::-1]
        return pcm + added
