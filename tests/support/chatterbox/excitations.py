"""The excitation of one stream, without a vocoder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from backend.engines.chatterbox.sound.excitation import (
    FRAME_SAMPLES,
    ExcitationSource,
    ExcitationState,
    compute_excitation,
)


def excite(
    module: Any, source: ExcitationSource, pitch: Tensor, before: int = 0
) -> tuple[Tensor, Tensor]:
    """Samples of frames with these pitches, (n,), the first `before` of which are past and silent
    here; and the cycles after each frame, (harmonics, n).
    """
    start, samples = before * FRAME_SAMPLES, len(pitch) * FRAME_SAMPLES
    noise = torch.zeros(len(source.phases), samples)
    noise[:, start:] = source.noise_for(samples - start)
    rows = (torch.zeros(samples), noise, source.cycles, source.phases, torch.tensor(before))
    state = ExcitationState(*(each[None] for each in rows))
    excitation, cycles = compute_excitation(module, pitch[None], state)
    return excitation[0], cycles[0]
