"""The vocoder's excitation: pitch harmonics and noise, continuous across chunks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

FRAME_SAMPLES = 480
_NOISE_FRAMES = 50  # per draw, so that the noise does not depend on the chunks


@dataclass(frozen=True, slots=True)
class Excitation:
    """Samples (480 n,), and the phases at the end of the settled frames, in cycles."""

    samples: Tensor
    cycles: Tensor


class ExcitationSource:
    """Upstream's `SourceModuleHnNSF`, with state.

    Harmonic k of the pitch f has the phase 2 pi sum(k f / rate) + its random start; unvoiced frames
    get noise alone.
    """

    def __init__(self, module: nn.Module, generator: torch.Generator) -> None:
        self._module: Any = module
        self._generator = generator
        device = generator.device
        harmonics = self._module.l_sin_gen.harmonic_num + 1
        start = torch.rand(harmonics, 1, generator=generator, device=device)
        self._start = (2 * start - 1) * math.pi
        self._start[0] = 0
        self._order = torch.arange(1, harmonics + 1, device=device)[:, None]
        self._cycles = torch.zeros(harmonics, 1, dtype=torch.float64, device=device)
        self._noise = torch.zeros(harmonics, 0, device=device)  # from the first unsettled frame on

    def compute_excitation(self, settled: Tensor, following: Tensor) -> Excitation:
        """The excitation of frames with these pitches, (n,) and (m,), in Hz. Does not advance the
        source (`commit` does).
        """
        pitch = torch.cat([settled, following])
        samples = pitch.repeat_interleave(FRAME_SAMPLES)
        generator = self._module.l_sin_gen
        steps = (samples * self._order / generator.sampling_rate).double()
        cycles = self._cycles + steps.cumsum(-1)
        sine = generator.sine_amp * torch.sin(2 * math.pi * (cycles % 1).float() + self._start)
        voiced = (samples > generator.voiced_threshold).float()
        level = voiced * generator.noise_std + (1 - voiced) * generator.sine_amp / 3
        waves = sine * voiced + level * self._noise_for(samples.numel())
        merged = self._module.l_tanh(self._module.l_linear(waves.T))[:, 0]
        end = len(settled) * FRAME_SAMPLES
        return Excitation(merged, cycles[:, end - 1 : end] % 1)

    def commit(self, frames: int, cycles: Tensor) -> None:
        """Advance by `frames` to the phases `cycles`."""
        self._cycles = cycles
        self._noise = self._noise[:, frames * FRAME_SAMPLES :]

    def _noise_for(self, samples: int) -> Tensor:
        while self._noise.size(1) < samples:
            shape = (len(self._order), _NOISE_FRAMES * FRAME_SAMPLES)
            drawn = torch.randn(shape, generator=self._generator, device=self._noise.device)
            self._noise = torch.cat([self._noise, drawn], 1)
        return self._noise[:, :samples]
