"""Upstream draws the noise of the sound anew at every call: what it drew, for ours to use."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from backend.engines.chatterbox.passage import Passage


class Drawn:
    """What upstream draws at random for the sound: `normal` and `uniform`, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.normal: list[torch.Tensor] = []
        self.uniform: list[torch.Tensor] = []
        for name, kept in (
            ("randn", self.normal),
            ("randn_like", self.normal),
            ("rand", self.uniform),
        ):
            monkeypatch.setattr(torch, name, self._keeping(getattr(torch, name), kept))

    @staticmethod
    def _keeping(draw: Callable[..., Any], kept: list[Any]) -> Callable[..., Any]:
        def drawn(*arguments: Any, **options: Any) -> Any:
            kept.append(draw(*arguments, **options))
            return kept[-1].clone()

        return drawn

    def give(self, passage: Passage, *, turbo: bool) -> None:
        """Let a passage have the same noise."""
        normal = [each.clone() for each in self.normal]  # drawn in inference mode
        mel, *waves = normal[1:] if turbo else normal
        if turbo:  # upstream draws that of the new frames apart
            mel[..., -normal[0].size(2) :] = normal[0]
        assert passage._noise is not None
        passage._noise._frames = mel[0]
        assert passage._vocoder is not None
        source = passage._vocoder.source
        source._start = (2 * self.uniform[0][0].clone() - 1) * math.pi
        source._start[0] = 0
        source._noise = waves[0][0]


class Unmarked:
    def apply_watermark(self, wav: Any, **_: Any) -> Any:
        return wav
