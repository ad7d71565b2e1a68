"""The Perth watermark of Resemble AI, on sound that comes in chunks."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch

from backend.engines.base import Pcm
from backend.engines.chatterbox.memory import fits

_TAPER_S = 0.01
_THREADS = 4  # chunks marked at a time: much of it is resampling on the CPU
_SHORTEST_S = 0.1  # a shorter chunk is left as it is: the mark's frames do not fit into it


class Watermark:
    """Marks each chunk by itself: what is added fades in and out, so that no seam can be heard."""

    def __init__(self, device: torch.device) -> None:
        import perth

        if perth.PerthImplicitWatermarker is None:
            raise RuntimeError("perth needs pkg_resources: setuptools below 81 must be installed")
        self._perth: Any = perth.PerthImplicitWatermarker(device=str(device))
        self._threads = ThreadPoolExecutor(_THREADS, "watermark")

    def apply(self, sounds: Sequence[Pcm], sample_rate_hz: int) -> list[Pcm | None]:
        """The chunks marked, each as long as it was; None for one that the card has no memory for,
        even alone. Blocks: 15 ms for a second of sound on two cores.
        """
        mark = partial(self._marked, sample_rate_hz=sample_rate_hz)
        together = fits(lambda: list(self._threads.map(mark, sounds)))
        return (
            [*together] if together is not None else [fits(partial(mark, each)) for each in sounds]
        )

    @torch.inference_mode()
    def _marked(self, pcm: Pcm, sample_rate_hz: int) -> Pcm:
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
