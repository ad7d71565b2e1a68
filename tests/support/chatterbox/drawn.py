"""Records the noise that upstream draws at every call, so that the engine can use the same."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from backend.engines.chatterbox.passage import Passage


class RecordedNoise:
    """Records torch's random draws: `normal` and `uniform`, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.normal: list[torch.Tensor] = []
        self.uniform: list[torch.Tensor] = []
        for name, kept in (
            ("randn", self.normal),
            ("randn_like", self.normal),
            ("rand", self.uniform),
        ):
            monkeypatch.setattr(torch, name, self._record(getattr(torch, name), kept))

    @staticmethod
    def _record(draw: Callable[..., Any], kept: list[Any]) -> Callable[..., Any]:
        def recorded(*arguments: Any, **options: Any) -> Any:
            kept.append(draw(*arguments, **options))
            return kept[-1].clone()

        return recorded

    def apply_to(self, passage: Passage, *, turbo: bool) -> None:
        """Give a passage the same noise."""
        normal = [noise.clone() for noise in self.normal]  # drawn in inference mode
        mel, *waves = normal[1:] if turbo else normal
        if turbo:  # upstream draws the new frames' noise separately
            mel[..., -normal[0].size(2) :] = normal[0]
        assert passage._noise is not None
        passage._noise._frames = mel[0].T
        assert passage._vocoder is not None
        source = passage._vocoder.source
        source.phases = (2 * self.uniform[0][0].clone() - 1) * math.pi
        source.phases[0] = 0
        source._noise = waves[0][0]


class NoWatermark:
    """Replaces upstream's watermarker."""

    def apply_watermark(self, wav: Any, **_: Any) -> Any:
        return wav
