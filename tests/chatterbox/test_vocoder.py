"""The streamed vocoder against upstream's in one run."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from backend.engines.chatterbox.vocoder import Vocoder, VocoderStream
from tests.chatterbox.tiny import TinyS3Gen

FRAMES = 200
MEL = torch.randn(80, FRAMES, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def s3gen() -> Any:
    return made()


def made() -> Any:
    torch.manual_seed(0)
    return TinyS3Gen(meanflow=True).eval().requires_grad_(requires_grad=False)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def streamed(hift: Any, cuts: list[int], ahead: int) -> Tensor:
    stream, parts, start = VocoderStream(Vocoder(hift), generator()), [], 0
    for end in cuts:
        parts.append(stream.push(MEL[:, start:end], MEL[:, end : end + ahead]))
        assert parts[-1].numel() == 480 * (end - start)
        start = end
    return torch.cat(parts)


def excitation(hift: Any, pitch: Tensor) -> Tensor:
    return VocoderStream(Vocoder(hift), generator())._source.next(pitch, pitch[:, :0])


def test_one_push_is_upstreams_run(s3gen: Any) -> None:
    hift = s3gen.mel2wav
    source = excitation(hift, hift.f0_predictor(MEL[None]))
    expected = made().mel2wav.inference(MEL[None], cache_source=source)[0][0]
    expected = expected * torch.cat([s3gen.trim_fade, torch.ones(expected.numel() - 960)])
    sound = streamed(hift, [FRAMES], 0)
    assert expected.abs().max() > 0.01
    torch.testing.assert_close(sound, expected, atol=1e-7, rtol=0)


@pytest.mark.parametrize("cuts", [[50, 100, 150], [12, 37, 90], [1, 2, 3, 4], [20, 21, 199]])
def test_chunks_have_the_samples_of_one_run(s3gen: Any, cuts: list[int]) -> None:
    hift = s3gen.mel2wav
    whole = streamed(hift, [FRAMES], 0)
    torch.testing.assert_close(streamed(hift, [*cuts, FRAMES], 20), whole, atol=1e-6, rtol=0)


def test_with_fewer_frames_behind_it_the_seam_is_far_below_hearing(s3gen: Any) -> None:
    hift = s3gen.mel2wav
    whole = streamed(hift, [FRAMES], 0)
    error = streamed(hift, [12, 37, 90, FRAMES], 8) - whole
    assert 10 * math.log10(whole.square().mean() / error.square().mean()) > 80


def test_the_source_is_upstreams_formula(s3gen: Any) -> None:
    """Without the random parts, which upstream draws anew at every call."""
    source = s3gen.mel2wav.m_source
    generator_ = source.l_sin_gen
    pitch = torch.full((1, 40), 200.0)
    ours = VocoderStream(Vocoder(s3gen.mel2wav), generator())._source
    ours._start.zero_()
    ours._noise = [torch.zeros(1, 9, 480)] * 40
    mine = ours.next(pitch, pitch[:, :0])
    cycles = 200.0 * torch.arange(1, 10)[:, None] * torch.arange(1, 40 * 480 + 1) / 24000
    waves = generator_.sine_amp * torch.sin(2 * math.pi * (cycles.double() % 1))
    theirs = source.l_tanh(source.l_linear(waves.float().T))
    torch.testing.assert_close(mine[0, 0], theirs[:, 0], atol=2e-3, rtol=0)


def test_unvoiced_frames_are_noise_alone(s3gen: Any) -> None:
    pitch = torch.zeros(1, 10)
    one = excitation(s3gen.mel2wav, pitch)
    other = VocoderStream(Vocoder(s3gen.mel2wav), torch.Generator().manual_seed(8))._source
    assert not torch.equal(one, other.next(pitch, pitch[:, :0]))
    assert one.std() > 0


def test_speech_fades_in_once(s3gen: Any) -> None:
    sound = streamed(s3gen.mel2wav, [12, 37, FRAMES], 20)
    assert not sound[:480].any()
    assert sound[12 * 480 : 12 * 480 + 480].abs().max() > 0
    in_frames = streamed(s3gen.mel2wav, [1, 2, 3, FRAMES], 20)
    assert not in_frames[:480].any()
    torch.testing.assert_close(in_frames, sound, atol=1e-6, rtol=0)
