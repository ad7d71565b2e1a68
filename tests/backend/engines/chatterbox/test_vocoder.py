"""The streamed vocoder against upstream's in one run."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from backend.engines.chatterbox.excitation import Source
from backend.engines.chatterbox.vocoder import Frames, Vocoder, VocoderStream
from tests.support.chatterbox.tiny import TinyS3Gen, on_cuda
from tests.support.same_sound import assert_same_sound

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
    vocoder, parts, start = Vocoder(hift), [], 0
    stream = VocoderStream(vocoder, generator())
    for end in cuts:
        parts += vocoder.speak([Frames(stream, MEL[:, start:end], MEL[:, end : end + ahead])])
        assert parts[-1].numel() == 480 * (end - start)
        start = end
    return torch.cat(parts)


def test_one_push_is_upstreams_run(s3gen: Any) -> None:
    hift = s3gen.mel2wav
    pitch = hift.f0_predictor(MEL[None])[0]
    drawn = Source(hift.m_source, generator()).next(pitch, pitch[:0]).samples
    expected = made().mel2wav.inference(MEL[None], cache_source=drawn[None, None])[0][0]
    expected = expected * torch.cat([s3gen.trim_fade, torch.ones(expected.numel() - 960)])
    sound = streamed(hift, [FRAMES], 0)
    assert_same_sound(sound, expected)


@on_cuda
def test_on_a_card_graphs_have_the_samples_of_one_run() -> None:
    vocoder = Vocoder(made().to("cuda").mel2wav)
    mel = MEL.to("cuda")

    def streamed_with_graphs(cuts: list[int]) -> Tensor:
        stream = VocoderStream(vocoder, torch.Generator("cuda").manual_seed(7))
        spans = pairwise([0, *cuts, FRAMES])
        parts = [
            vocoder.speak([Frames(stream, mel[:, start:end], mel[:, end : end + 20])])[0]
            for start, end in spans
        ]
        return torch.cat(parts)

    whole = streamed_with_graphs([])
    for _ in range(4):  # captured at the third, replayed at the fourth
        chunked = streamed_with_graphs([12, 52, 132])
        assert_same_sound(chunked.cpu(), whole.cpu())


@pytest.mark.parametrize("cuts", [[50, 100, 150], [12, 37, 90], [1, 2, 3, 4], [20, 21, 199]])
def test_chunks_have_the_samples_of_one_run(s3gen: Any, cuts: list[int]) -> None:
    hift = s3gen.mel2wav
    whole = streamed(hift, [FRAMES], 0)
    assert_same_sound(streamed(hift, [*cuts, FRAMES], 20), whole)


def test_with_fewer_frames_behind_it_the_seam_is_far_below_hearing(s3gen: Any) -> None:
    hift = s3gen.mel2wav
    whole = streamed(hift, [FRAMES], 0)
    assert_same_sound(streamed(hift, [12, 37, 90, FRAMES], 8), whole)


def test_streams_that_are_spoken_together_are_each_what_they_are_alone(s3gen: Any) -> None:
    """Of different lengths, seeds and starts; two of them are alike."""
    vocoder = Vocoder(s3gen.mel2wav)
    spans = [(0, 12, 14), (0, 12, 14), (0, 30, 0), (5, 5, 3)]

    def parts(streams: list[VocoderStream]) -> list[Frames]:
        return [
            Frames(stream, MEL[:, start:end], MEL[:, end : end + ahead])
            for stream, (start, end, ahead) in zip(streams, spans, strict=True)
        ]

    def streams() -> list[VocoderStream]:
        generators = [torch.Generator().manual_seed(n) for n in range(4)]
        return [VocoderStream(vocoder, each) for each in generators]

    together, alone = streams(), streams()
    for _ in range(2):
        heard = vocoder.speak(parts(together))
        expected = [vocoder.speak([part])[0] for part in parts(alone)]
        for (start, end, _), one, other in zip(spans, heard, expected, strict=True):
            assert one.numel() == 480 * (end - start)
            if end > start:
                assert_same_sound(one, other)
    assert (heard[0] - heard[1]).abs().max() > 1e-3


def test_runs_have_few_lengths() -> None:
    vocoder, lengths = Vocoder(made().mel2wav), set()
    for last in range(1, 40):
        stream = VocoderStream(vocoder, generator())
        for new, ahead in ((12, 14), (40, 14), (last, 0)):
            part = Frames(stream, MEL[:, :new], MEL[:, new : new + ahead])
            lengths.add(part.length)
            vocoder.speak([part])
    assert lengths == {26, 66, 32, 48, 64}


def test_what_fails_leaves_the_streams_where_they_were(
    s3gen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    vocoder = Vocoder(s3gen.mel2wav)
    streams = [VocoderStream(vocoder, generator()) for _ in range(2)]
    cuts = [(12, 26), (13, 27)]
    parts = [
        Frames(stream, MEL[:, :new], MEL[:, new:to])
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
            vocoder.speak(parts)
    for sound, (new, to) in zip(vocoder.speak(parts), cuts, strict=True):
        expected = streamed(s3gen.mel2wav, [new], to - new)
        assert_same_sound(sound, expected)


def test_speech_fades_in_once(s3gen: Any) -> None:
    sound = streamed(s3gen.mel2wav, [12, 37, FRAMES], 20)
    assert not sound[:480].any()
    assert sound[12 * 480 : 12 * 480 + 480].abs().max() > 0
    in_frames = streamed(s3gen.mel2wav, [1, 2, 3, FRAMES], 20)
    assert not in_frames[:480].any()
    assert_same_sound(in_frames, sound)
