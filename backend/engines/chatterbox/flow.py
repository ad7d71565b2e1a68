"""Mel spectra from speech tokens: upstream's S3Gen flow, rendered while tokens still come.

The flow is not causal, so a longer utterance changes the frames at the end of a shorter one. Plan A
renders all tokens so far and keeps what the newest ones no longer change much; a render of all
tokens is upstream's. Plan B restricts attention to blocks of `BLOCK_TOKENS` (upstream's
`static_chunk_size`): then finished blocks never change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.engines.chatterbox.graphs import Graphs

FRAMES_PER_TOKEN = 2
MEL_BANDS = 80
LOOKAHEAD_TOKENS = 3  # the encoder looks so far ahead
BLOCK_TOKENS = 25
_STEPS = {True: 2, False: 10}  # Euler steps with and without meanflow: upstream's
_NOISE_FRAMES = 50  # drawn at once, so that the noise does not depend on the chunks


@dataclass(frozen=True, slots=True)
class SoundPrompt:
    """A voice as the flow knows it: `tokens` (n,), `mel` (2n, 80), `speaker` (1, 80)."""

    tokens: Tensor
    mel: Tensor
    speaker: Tensor


class Noise:
    """A session's noise, frame by frame; the frames of the voice's prompt come first."""

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator
        self._frames = torch.zeros(MEL_BANDS, 0, device=generator.device)

    def first(self, frames: int) -> Tensor:
        """The first `frames` frames, (80, frames): the same at every call."""
        while self._frames.size(1) < frames:
            block = torch.randn(
                _NOISE_FRAMES, MEL_BANDS, generator=self._generator, device=self._frames.device
            )
            self._frames = torch.cat([self._frames, block.T], 1)
        return self._frames[:, :frames]


@dataclass(frozen=True, slots=True)
class Job:
    """What to render: the voice, the tokens so far, their noise; `final`: no more come."""

    prompt: SoundPrompt
    tokens: Tensor
    noise: Noise
    final: bool

    @property
    def shape(self) -> tuple[int, int, bool]:
        """Jobs of one shape are rendered together."""
        return len(self.prompt.tokens), len(self.tokens), self.final


class Flow:
    """Renders with the weights of an upstream `S3Token2Wav` in evaluation mode; fp32, because
    its token ids pass through floats.
    """

    def __init__(self, s3gen: Any, *, block_causal: bool = False) -> None:
        self._flow = s3gen.flow
        self._meanflow = bool(s3gen.meanflow)
        self.block_causal = block_causal
        self._graphs = Graphs(self.device)
        _ask_nothing()
        size = BLOCK_TOKENS if block_causal else 0
        self._flow.encoder.static_chunk_size = size
        self._flow.decoder.estimator.static_chunk_size = FRAMES_PER_TOKEN * size

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self._flow.input_embedding.weight.device
        return device

    @torch.inference_mode()
    def prompt(self, reference: dict[str, Tensor]) -> SoundPrompt:
        """A voice from upstream's `embed_ref`."""
        speaker = F.normalize(torch.atleast_2d(reference["embedding"]).float(), dim=1)
        return SoundPrompt(
            reference["prompt_token"].flatten().long().to(self.device),
            reference["prompt_feat"].float().reshape(-1, MEL_BANDS).to(self.device),
            self._flow.spk_embed_affine_layer(speaker.to(self.device)),
        )

    def settled(self, job: Job) -> int:
        """Of the frames of a render, how many later tokens leave as they are (plan B), or are taken
        as such (plan A).
        """
        count = len(job.tokens)
        if job.final:
            return FRAMES_PER_TOKEN * count
        count -= LOOKAHEAD_TOKENS
        if self.block_causal:
            before = len(job.prompt.tokens)
            count = (before + count) // BLOCK_TOKENS * BLOCK_TOKENS - before
        return max(0, FRAMES_PER_TOKEN * count)

    @torch.inference_mode()
    def render(self, jobs: Sequence[Job]) -> Tensor:
        """The mel frames of jobs of one shape: (jobs, 80, frames), 2 a token. The last
        `2 * LOOKAHEAD_TOKENS` of a job that is not final are of little worth.
        """
        count = len(jobs)
        if self.device.type == "cuda":  # few shapes, so that graphs are used again
            jobs = [*jobs, *[jobs[-1]] * ((1 << (count - 1).bit_length()) - count)]
        tokens = torch.stack([torch.cat([job.prompt.tokens, job.tokens]) for job in jobs])
        lengths = torch.full((len(jobs),), tokens.size(1), device=tokens.device)
        hidden, _ = self._flow.encoder(self._flow.input_embedding(tokens), lengths)
        mu = self._flow.encoder_proj(hidden).transpose(1, 2).contiguous()
        before = jobs[0].prompt.mel.size(0)
        given = torch.zeros_like(mu)
        given[:, :, :before] = torch.stack([job.prompt.mel.T for job in jobs])
        speaker = torch.cat([job.prompt.speaker for job in jobs])
        x = torch.stack([job.noise.first(mu.size(2)) for job in jobs])
        mel = self._graphs.run(tuple(x.shape), self._solve, x, mu, speaker, given)
        return mel[:count, :, before:].clone()

    def _solve(self, x: Tensor, mu: Tensor, speaker: Tensor, given: Tensor) -> Tensor:
        """Euler steps from noise to mel; without meanflow with classifier-free guidance."""
        times = torch.linspace(0, 1, _STEPS[self._meanflow] + 1, device=x.device)
        if not self._meanflow and self._flow.decoder.t_scheduler == "cosine":
            times = 1 - torch.cos(times * 0.5 * torch.pi)
        if not self._meanflow:  # a second half, unconditional, for guidance
            mu, speaker, given = (
                torch.cat([each, torch.zeros_like(each)]) for each in (mu, speaker, given)
            )
        mask = torch.ones(mu.size(0), 1, x.size(2), device=x.device)
        for t, r in pairwise(times):
            x = x + (r - t) * self._slope(x, (t, r), (mu, speaker, given), mask)
        return x

    def _slope(
        self, x: Tensor, span: tuple[Tensor, Tensor], inputs: tuple[Tensor, ...], mask: Tensor
    ) -> Tensor:
        t, r = span
        mu, speaker, given = inputs
        decoder = self._flow.decoder
        if self._meanflow:
            slope: Tensor = decoder.estimator(x, mask, mu, t[None], speaker, given, r=r[None])
            return slope
        time = t.expand(mask.size(0))
        both = decoder.estimator(torch.cat([x, x]), mask, mu, time, speaker, given)
        with_text, without = both.chunk(2)
        rate = decoder.inference_cfg_rate
        guided: Tensor = (1 + rate) * with_text - rate * without
        return guided


def _ask_nothing() -> None:
    """Upstream's estimator asks the device at every layer whether a mask is empty, and so waits for
    it, which no graph can hold. It never is empty.
    """
    from chatterbox.models.s3gen import decoder

    decoder.add_optional_chunk_mask = _chunk_mask


def _chunk_mask(x: Tensor, mask: Tensor, *options: Any) -> Tensor:
    """Upstream's `add_optional_chunk_mask` with static chunks or none: (rows, n or 1, n)."""
    size = options[3]
    if size <= 0:
        return mask
    block = torch.arange(x.size(1), device=x.device) // size
    return mask & (block[None, :] <= block[:, None])[None]
