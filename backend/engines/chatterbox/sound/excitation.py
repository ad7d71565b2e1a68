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
class ExcitationState:
    """What a run of n streams starts from, its frames from `first`, (n,), on being new.

    `past`: (n, samples), the excitation of the frames before; `noise`: (n, harmonics, samples);
    `cycles`, `phases`: (n, harmonics, 1), where each harmonic is, in cycles, and its random start.
    """

    past: Tensor
    noise: Tensor
    cycles: Tensor
    phases: Tensor
    first: Tensor


def compute_excitation(module: Any, pitch: Tensor, state: ExcitationState) -> tuple[Tensor, Tensor]:
    """Upstream's `SourceModuleHnNSF` with state: the excitation, (n, samples), of frames with these
    pitches, (n, frames), in Hz, and the cycles after each frame, (n, harmonics, frames).

    Harmonic k of the pitch f has the phase 2 pi sum(k f / rate) + its random start; unvoiced frames
    get noise alone.
    """
    generator = module.l_sin_gen
    harmonics = state.phases.size(1)
    order = torch.arange(1, harmonics + 1, device=pitch.device)[:, None]
    new = torch.arange(pitch.size(1), device=pitch.device) >= state.first[:, None]
    is_new = new.repeat_interleave(FRAME_SAMPLES, 1)
    samples = pitch.repeat_interleave(FRAME_SAMPLES, 1)[:, None]
    steps = (samples * order / generator.sampling_rate).double() * is_new[:, None]
    cycles = state.cycles + steps.cumsum(-1)
    sine = generator.sine_amp * torch.sin(2 * math.pi * (cycles % 1).float() + state.phases)
    voiced = (samples > generator.voiced_threshold).float()
    level = voiced * generator.noise_std + (1 - voiced) * generator.sine_amp / 3
    waves = sine * voiced + level * state.noise
    merged = module.l_tanh(module.l_linear(waves.transpose(1, 2)))[..., 0]
    return torch.where(is_new, merged, state.past), cycles[..., FRAME_SAMPLES - 1 :: FRAME_SAMPLES]


class ExcitationSource:
    """One stream's state."""

    def __init__(self, module: nn.Module, generator: torch.Generator) -> None:
        self._generator = generator
        device = generator.device
        harmonics = module.l_sin_gen.harmonic_num + 1
        phases = torch.rand(harmonics, 1, generator=generator, device=device)
        self.phases = (2 * phases - 1) * math.pi
        self.phases[0] = 0
        self.cycles = torch.zeros(harmonics, 1, dtype=torch.float64, device=device)
        self._noise = torch.zeros(harmonics, 0, device=device)  # from the first unsettled frame on

    def commit(self, frames: int, cycles: Tensor) -> None:
        """Advance by `frames` to the phases `cycles`, (harmonics, 1)."""
        self.cycles = cycles % 1
        self._noise = self._noise[:, frames * FRAME_SAMPLES :]

    def noise_for(self, samples: int) -> Tensor:
        """The noise of the next samples, (harmonics, samples); the same until `commit`."""
        while self._noise.size(1) < samples:
            shape = (len(self.phases), _NOISE_FRAMES * FRAME_SAMPLES)
            drawn = torch.randn(shape, generator=self._generator, device=self._noise.device)
            self._noise = torch.cat([self._noise, drawn], 1)
        return self._noise[:, :samples]
