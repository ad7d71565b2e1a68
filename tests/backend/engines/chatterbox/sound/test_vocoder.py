"""The streamed vocoder equals a single run of upstream's."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from backend.engines.chatterbox.sound.excitation import ExcitationSource
from backend.engines.chatterbox.sound.vocoder import HiftVocoder, VocoderInput, VocoderStream
from tests.support.chatterbox.excitations import excite
from tests.support.chatterbox.tiny import TinyS3Gen, on_cuda
from tests.support.same_sound import assert_same_sound

FRAMES = 200
MEL = torch.randn(80, FRAMES, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def s3gen() -> Any:
    return create_s3gen()


def create_s3gen() -> Any:
    torch.manual_seed(0)
    return TinyS3Gen(meanflow=True).eval().requires_grad_(requires_grad=False)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def render_stream(hift: Any, cuts: list[int], ahead: int) -> Tensor:
    vocoder, parts, start = HiftVocoder(hift), [], 0
    stream = VocoderStream(vocoder, generator())
    for end in cuts:
        parts += vocoder.synthesize(
            [VocoderInput(stream, MEL[:, start:end], MEL[:, end : end + ahead])]
        )
        assert parts[-1].numel() == 480 * (end - start)
        start = end
    return torch.cat(parts)


def test_single_run_equals_upstream(s3gen: Any) -> None:
    hift = s3gen.mel2wav
    pitch = hift.f0_predictor(MEL[None])[0]
    drawn, _ = excite(hift.m_source, ExcitationSource(hift.m_source, generator()), pitch)
    expected = create_s3gen().mel2wav.inference(MEL[None], cache_source=drawn[None, None])[0][0]
    expected = expected * torch.cat([s3gen.trim_fade, torch.ones(expected.numel() - 960)])
    sound = render_stream(hift, [FRAMES], 0)
    assert_same_sound(sound, expected)


@on_cuda
def test_chunked_graphs_on_cuda_equal_a_single_run() -> None:
    vocoder = HiftVocoder(create_s3gen().to("cuda").mel2wav)
    mel = MEL.to("cuda")

    def stream_on_cuda(cuts: list[int]) -> Tensor:
        stream = VocoderStream(vocoder, torch.Generator("cuda").manual_seed(7))
        spans = pairwise([0, *cuts, FRAMES])
        parts = [
            vocoder.synthesize([VocoderInput(stream, mel[:, start:end], mel[:, end : end + 20])])[0]
            for start, end in spans
        ]
        return torch.cat(parts)

    whole = stream_on_cuda([])
    for _ in range(4):  # captured at the third, replayed at the fourth run
        chunked = stream_on_cuda([12, 52, 132])
        assert_same_sound(chunked.cpu(), whole.cpu())


@pytest.mark.parametrize("cuts", [[50, 100, 150], [12, 37, 90], [1, 2, 3, 4], [20, 21, 199]])
def test_chunked_runs_equal_a_single_run(s3gen: Any, cuts: list[int]) -> None:
    hift = s3gen.mel2wav
    whole = render_stream(hift, [FRAMES], 0)
    assert_same_sound(render_stream(hift, [*cuts, FRAMES], 20), whole)


def test_seam_with_fewer_following_frames_is_inaudible(s3gen: Any) -> None:
    hift = s3gen.mel2wav
    whole = render_stream(hift, [FRAMES], 0)
    assert_same_sound(render_stream(hift, [12, 37, 90, FRAMES], 8), whole)


def test_batched_streams_sound_the_same_as_alone(s3gen: Any) -> None:
    """Different lengths, seeds and starts; two have equal lengths."""
    vocoder = HiftVocoder(s3gen.mel2wav)
    spans = [(0, 12, 14), (0, 12, 14), (0, 30, 0), (5, 5, 3)]

    def parts(streams: list[VocoderStream]) -> list[VocoderInput]:
        return [
            VocoderInput(stream, MEL[:, start:end], MEL[:, end : end + ahead])
            for stream, (start, end, ahead) in zip(streams, spans, strict=True)
        ]

    def streams() -> list[VocoderStream]:
        generators = [torch.Generator().manual_seed(n) for n in range(4)]
        return [VocoderStream(vocoder, each) for each in generators]

    together, alone = streams(), streams()
    for _ in range(2):
        sounds = vocoder.synthesize(parts(together))
        expected = [vocoder.synthesize([part])[0] for part in parts(alone)]
        for (start, end, _), one, other in zip(spans, sounds, expected, strict=True):
            assert one.numel() == 480 * (end - start)
            if end > start:
                assert_same_sound(one, other)
    assert (sounds[0] - sounds[1]).abs().max() > 1e-3


def test_runs_have_few_lengths() -> None:
    vocoder, lengths = HiftVocoder(create_s3gen().mel2wav), set()
    for last in range(1, 40):
        stream = VocoderStream(vocoder, generator())
        for new, ahead in ((12, 14), (40, 14), (last, 0)):
            part = VocoderInput(stream, MEL[:, :new], MEL[:, new : new + ahead])
            lengths.add(part.length)
            vocoder.synthesize([part])
    assert lengths == {26, 66, 32, 48, 64}


def test_failed_run_leaves_streams_unchanged(s3gen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    vocoder = HiftVocoder(s3gen.mel2wav)
    streams = [VocoderStream(vocoder, generator()) for _ in range(2)]
    cuts = [(12, 26), (13, 27)]
    parts = [
        VocoderInput(stream, MEL[:, :new], MEL[:, new:to])
        for stream, (new, to) in zip(streams, cuts, strict=True)
    ]
    decode, calls = s3gen.mel2wav.decode, []

    def short(*inputs: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise torch.OutOfMemoryError("no memory")
        return decode(*inputs)

    with monkeypatch.context() as patched:
        patched.setattr(s3gen.mel2wav, "decode", short)
        with pytest.raises(torch.OutOfMemoryError):
            vocoder.synthesize(parts)
    for sound, (new, to) in zip(vocoder.synthesize(parts), cuts, strict=True):
        expected = render_stream(s3gen.mel2wav, [new], to - new)
        assert_same_sound(sound, expected)


def test_speech_fades_in_once(s3gen: Any) -> None:
    sound = render_stream(s3gen.mel2wav, [12, 37, FRAMES], 20)
    assert not sound[:480].any()
    assert sound[12 * 480 : 12 * 480 + 480].abs().max() > 0
    in_frames = render_stream(s3gen.mel2wav, [1, 2, 3, FRAMES], 20)
    assert not in_frames[:480].any()
    assert_same_sound(in_frames, sound)
