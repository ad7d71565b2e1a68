"""The excitation equals upstream's formula and does not depend on chunking."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from backend.engines.chatterbox.sound.excitation import ExcitationSource
from tests.support.chatterbox.excitations import excite
from tests.support.chatterbox.tiny import TinyS3Gen
from tests.support.same_sound import assert_same_sound


@pytest.fixture(scope="module")
def module() -> Any:
    torch.manual_seed(0)
    return TinyS3Gen(meanflow=True).eval().requires_grad_(requires_grad=False).mel2wav.m_source


def source(module: Any, seed: int = 7) -> ExcitationSource:
    return ExcitationSource(module, torch.Generator().manual_seed(seed))


def test_excitation_equals_upstream_formula(module: Any) -> None:
    """Without the random parts, which upstream redraws at every call."""
    pitch = torch.full((40,), 200.0)
    ours = source(module)
    ours.phases.zero_()
    ours._noise = torch.zeros(9, 40 * 480)
    actual, _ = excite(module, ours, pitch)
    samples = torch.arange(1, 40 * 480 + 1, dtype=torch.float64)
    cycles = 200.0 * torch.arange(1, 10)[:, None] * samples / 24000
    waves = module.l_sin_gen.sine_amp * torch.sin(2 * math.pi * (cycles % 1))
    reference = module.l_tanh(module.l_linear(waves.float().T))
    assert_same_sound(actual, reference[:, 0])


def test_unvoiced_frames_are_only_noise(module: Any) -> None:
    pitch = torch.zeros(10)
    one, _ = excite(module, source(module), pitch)
    other, _ = excite(module, source(module, seed=8), pitch)
    assert not torch.equal(one, other)
    assert one.std() > 0


def test_excitation_does_not_depend_on_chunking(module: Any) -> None:
    pitch = 120 + 40 * torch.sin(torch.arange(150) / 9)
    whole, _ = excite(module, source(module), pitch)
    chunked, parts = source(module), []
    for start, end in ((0, 12), (12, 13), (13, 90), (90, 150)):
        before, new = min(start, 5), end - start
        samples, cycles = excite(module, chunked, pitch[start - before : end + 8], before)
        parts.append(samples[480 * before : 480 * (before + new)])
        chunked.commit(new, cycles[:, before + new - 1 : before + new])
    assert_same_sound(torch.cat(parts), whole)
