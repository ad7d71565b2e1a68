"""The flow renders upstream's mel for the same noise, also batched and in parts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from backend.engines.chatterbox.sound.estimator import LengthMask
from backend.engines.chatterbox.sound.flow import Flow, Noise, RenderJob, SoundPrompt
from tests.support.chatterbox.tiny import SAME_MEL, TinyS3Gen, devices, quiet, voice

TOKENS = torch.randint(0, 6561, (60,), generator=torch.Generator().manual_seed(5))
both = pytest.mark.parametrize("meanflow", [False, True], ids=["standard", "turbo"])


def s3gen(*, meanflow: bool) -> Any:
    torch.manual_seed(0)
    return TinyS3Gen(meanflow=meanflow).eval().requires_grad_(requires_grad=False)


def prompt(flow: Flow, seed: int = 3, tokens: int = 50) -> SoundPrompt:
    created: SoundPrompt = flow.create_prompt(voice(seed, turbo=False, prompt_tokens=tokens).gen)
    return created


def noise(seed: int = 1) -> Noise:
    return Noise(torch.Generator().manual_seed(seed))


class GivenNoise(Noise):
    """Noise recorded from upstream."""

    def __init__(self, drawn: Tensor) -> None:
        self._drawn = drawn

    def first_frames(self, frames: int) -> Tensor:
        assert frames == len(self._drawn)
        return self._drawn


@both
@devices
def test_render_of_all_tokens_equals_upstream(meanflow: bool, device: str) -> None:
    model = s3gen(meanflow=meanflow).to(device)
    reference = {
        name: each.to(device) if isinstance(each, Tensor) else each
        for name, each in voice(3, turbo=False).gen.items()
    }
    tokens = TOKENS.to(device)
    torch.manual_seed(9)
    drawn = torch.randn(1, 80, 2 * (50 + 60), device=device)
    torch.manual_seed(9)
    with quiet():
        expected, _ = model.flow.inference(
            token=tokens[None],
            token_len=torch.tensor([60], device=device),
            finalize=True,
            n_timesteps=2 if meanflow else 10,
            meanflow=meanflow,
            **reference,
        )
    flow = Flow(model, precision=torch.float32)
    job = RenderJob(flow.create_prompt(reference), TOKENS, GivenNoise(drawn[0].T), final=True)
    assert expected.std() > 1
    for _ in range(
        1 if device == "cpu" else 4
    ):  # captured at the third, replayed at the fourth run
        for mel in flow.render([job, job, job]):
            torch.testing.assert_close(mel, expected[0], atol=SAME_MEL, rtol=0)


@both
@devices
def test_half_precision_hardly_changes_the_mel(meanflow: bool, device: str) -> None:
    model = s3gen(meanflow=meanflow).to(device)
    mels = []
    for precision in (torch.float32, torch.bfloat16):
        flow = Flow(model, precision=precision)
        random = torch.Generator(device).manual_seed(1)
        (mel,) = flow.render([RenderJob(prompt(flow), TOKENS, Noise(random), final=True)])
        mels.append(mel)
    exact, rounded = mels
    assert not torch.equal(exact, rounded)
    assert (exact - rounded).square().mean() < 1e-3 * exact.var()


@both
@pytest.mark.parametrize("in_blocks", [False, True])
def test_batched_jobs_of_different_voices_and_lengths_are_independent(
    meanflow: bool, in_blocks: bool
) -> None:
    flow = Flow(s3gen(meanflow=meanflow), block_causal=in_blocks)
    jobs = [
        RenderJob(prompt(flow, 3), TOKENS[3:40], noise(3), final=True),
        RenderJob(prompt(flow, 4, tokens=60), TOKENS[10:47], noise(7), final=False),
        RenderJob(prompt(flow, 4), TOKENS[:1], noise(8), final=True),
        RenderJob(prompt(flow, 3), TOKENS, noise(9), final=True),
    ]
    together = flow.render(jobs)
    for mel, job in zip(together, jobs, strict=True):
        assert mel.shape == (80, 2 * len(job.tokens))
        torch.testing.assert_close(mel, flow.render([job])[0], atol=SAME_MEL, rtol=0)
    assert (together[0] - together[1]).abs().max() > 1


def test_lengths_are_rounded_up_to_few_shapes() -> None:
    flow = Flow(s3gen(meanflow=True))
    voice_ = prompt(flow)
    sizes = [
        RenderJob(voice_, TOKENS[:n], noise(), final=True).padded_length
        for n in (1, 13, 14, 46, 47)
    ]
    assert sizes == [64, 64, 64, 96, 128]


@both
def test_block_causal_settled_frames_never_change(meanflow: bool) -> None:
    flow = Flow(s3gen(meanflow=meanflow), block_causal=True)
    voice_, drawn = prompt(flow), noise()
    whole = flow.render([RenderJob(voice_, TOKENS, drawn, final=True)])[0]
    settled = []
    for count in (5, 28, 40, 53, 59):
        job = RenderJob(voice_, TOKENS[:count], drawn, final=False)
        settled.append(flow.settled_frames(job))
        part = flow.render([job])[0][:, : settled[-1]]
        torch.testing.assert_close(part, whole[:, : settled[-1]], atol=SAME_MEL, rtol=0)
    assert settled == [0, 50, 50, 100, 100]


@both
def test_without_blocks_the_newest_tokens_are_unsettled(meanflow: bool) -> None:
    flow = Flow(s3gen(meanflow=meanflow))
    voice_, drawn = prompt(flow), noise()
    job = RenderJob(voice_, TOKENS[:13], drawn, final=False)
    assert flow.settled_frames(job) == 20
    assert flow.settled_frames(RenderJob(voice_, TOKENS[:2], drawn, final=False)) == 0
    assert flow.settled_frames(RenderJob(voice_, TOKENS, drawn, final=True)) == 120


def test_noise_does_not_depend_on_request_sizes() -> None:
    piecewise, at_once = noise(), noise()
    for frames in (1, 2, 49, 51, 130):
        piecewise.first_frames(frames)
    assert torch.equal(piecewise.first_frames(333), at_once.first_frames(333))
    assert not torch.equal(noise(2).first_frames(50), at_once.first_frames(50))


def test_empty_job_renders_no_frames() -> None:
    flow = Flow(s3gen(meanflow=True))
    (mel,) = flow.render([RenderJob(prompt(flow), TOKENS[:0], noise(), final=True)])
    assert mel.shape == (80, 0)


@pytest.mark.parametrize("size", [0, 50])
def test_block_mask_equals_upstream(size: int) -> None:
    from chatterbox.models.s3gen.utils.mask import add_optional_chunk_mask

    x, mask = torch.zeros(2, 130, 8), torch.ones(2, 1, 130, dtype=torch.bool)
    expected = add_optional_chunk_mask(x, mask, False, False, 0, size, -1)
    seen = LengthMask(torch.tensor([130, 130]), 130, size).keys()[:, 0]
    assert torch.equal(seen, expected)
