"""Mel spectra from speech tokens: upstream's S3Gen flow, rendered while tokens still arrive.

The flow is not causal: later tokens change the last frames of earlier ones. Plan A renders all
tokens so far and keeps the frames that the newest hardly change; a render of all tokens is
upstream's. Plan B restricts attention to blocks of `BLOCK_TOKENS` (upstream's
`static_chunk_size`): finished blocks never change.

Both render everything from the start, so their cost grows with the passage. A bounded prompt gives
the flow the end of the voice's prompt and of the speech so far instead: linear, and not upstream's.

Utterances of different lengths are rendered in one batch, padded and masked. Lengths are rounded
up, so that few shapes occur and are reused (`graphs`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.engines.chatterbox.device.graphs import GraphCache
from backend.engines.chatterbox.sound.estimator import FlowEstimator, LengthMask

FRAMES_PER_TOKEN = 2
MEL_BANDS = 80
LOOKAHEAD_TOKENS = 3  # of the encoder
BLOCK_TOKENS = 25
BOUNDED_TOKENS, SPOKEN_TOKENS = 125, 50  # of a bounded prompt: 5 s of the voice, 2 s of the speech
_EULER_STEPS = {True: 2, False: 10}  # Euler steps with and without meanflow: upstream's
_NOISE_FRAMES = 50  # per draw, so that the noise does not depend on the chunks
_PADDED_TO = 32  # tokens: lengths are rounded up to a multiple
_WARM_TOKENS = 6 * _PADDED_TO  # 7 s


@dataclass(frozen=True, slots=True)
class SoundPrompt:
    """The flow's voice prompt: `tokens`, (n,), on the CPU; `mel`, (2n, 80), and `speaker`, (1, 80),
    on the device.
    """

    tokens: Tensor
    mel: Tensor
    speaker: Tensor

    def continued(self, tokens: Tensor, mel: Tensor) -> SoundPrompt:
        """The end of the prompt, at most `BOUNDED_TOKENS`, and behind it the end of some speech,
        at most `SPOKEN_TOKENS`: its `tokens`, (n,), and `mel`, (2n, 80).
        """
        spoken = min(SPOKEN_TOKENS, len(tokens))
        own = min(BOUNDED_TOKENS, len(self.tokens))
        ids = [self.tokens[len(self.tokens) - own :], tokens[len(tokens) - spoken :]]
        mels = [
            self.mel[len(self.mel) - FRAMES_PER_TOKEN * own :],
            mel[len(mel) - FRAMES_PER_TOKEN * spoken :],
        ]
        return SoundPrompt(torch.cat(ids), torch.cat(mels), self.speaker)


class Noise:
    """A passage's noise, frame by frame, starting with the prompt's frames."""

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator
        self._frames = torch.zeros(0, MEL_BANDS, device=generator.device)

    def first_frames(self, frames: int) -> Tensor:
        """The first `frames` frames, (frames, 80); the same on every call."""
        while len(self._frames) < frames:
            shape = _NOISE_FRAMES, MEL_BANDS
            block = torch.randn(shape, generator=self._generator, device=self._frames.device)
            self._frames = torch.cat([self._frames, block])
        return self._frames[:frames]


@dataclass(frozen=True, slots=True)
class RenderJob:
    """A render: the voice, tokens, on the CPU, and their noise; `final`: no more tokens follow.
    `skipped`: tokens of the speech before these that are not rendered; the prompt ends in some of
    them (`SoundPrompt.continued`).
    """

    prompt: SoundPrompt
    tokens: Tensor
    noise: Noise
    final: bool
    skipped: int = 0

    def noise_frames(self) -> Tensor:
        """The noise of all frames, (frames, 80): those of a frame of speech are always the same."""
        count = FRAMES_PER_TOKEN * self.length
        if not self.skipped:
            return self.noise.first_frames(count)
        spoken = min(SPOKEN_TOKENS, self.skipped)  # of the prompt
        own = len(self.prompt.mel) - FRAMES_PER_TOKEN * spoken
        missing = FRAMES_PER_TOKEN * (self.skipped - spoken)
        drawn = self.noise.first_frames(count + missing)
        return torch.cat([drawn[:own], drawn[own + missing :]])

    @property
    def length(self) -> int:
        """Tokens to render, including the prompt's."""
        return len(self.prompt.tokens) + len(self.tokens)

    @property
    def padded_length(self) -> int:
        """The length that is rendered."""
        return pad_length(self.length)


def pad_length(tokens: int) -> int:
    """The length, in tokens, that is rendered for so many."""
    return -(-tokens // _PADDED_TO) * _PADDED_TO


class Flow:
    """Renders with the weights of an upstream `S3Token2Wav` in evaluation mode. `precision`: of the
    estimator's matrix products, default bfloat16 on CUDA. The encoder is in fp32.
    """

    def __init__(
        self, s3gen: Any, *, block_causal: bool = False, precision: torch.dtype | None = None
    ) -> None:
        self._flow = s3gen.flow
        self._meanflow = bool(s3gen.meanflow)
        self.block_causal = block_causal
        self.graphs = GraphCache(self.device)
        self._times = _euler_times(self._meanflow, self._flow.decoder.t_scheduler).to(self.device)
        self._block = BLOCK_TOKENS if block_causal else 0
        usual = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        estimator = self._flow.decoder.estimator
        self._estimator = FlowEstimator(estimator, self._times, precision or usual)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        device: torch.device = self._flow.input_embedding.weight.device
        return device

    @torch.inference_mode()
    def create_prompt(self, reference: dict[str, Tensor]) -> SoundPrompt:
        """A prompt from upstream's `embed_ref`."""
        speaker = F.normalize(torch.atleast_2d(reference["embedding"]).float(), dim=1)
        return SoundPrompt(
            reference["prompt_token"].flatten().long().cpu(),
            reference["prompt_feat"].float().reshape(-1, MEL_BANDS).to(self.device),
            self._flow.spk_embed_affine_layer(speaker.to(self.device)),
        )

    def settled_frames(self, job: RenderJob) -> int:
        """How many frames of a render later tokens do not change (plan B), or hardly (plan A)."""
        count = len(job.tokens)
        if job.final:
            return FRAMES_PER_TOKEN * count
        count -= LOOKAHEAD_TOKENS
        if self.block_causal:
            prompt = len(job.prompt.tokens)
            count = (prompt + count) // BLOCK_TOKENS * BLOCK_TOKENS - prompt
        return max(0, FRAMES_PER_TOKEN * count)

    def warm_up(self, prompt: SoundPrompt, rows: int) -> None:
        """Capture renders of `rows` utterances' first seconds with a prompt like this. Blocks
        (seconds) on CUDA.
        """
        noise = Noise(torch.Generator(self.device))
        for tokens in range(_WARM_TOKENS, 0, -_PADDED_TO):
            job = RenderJob(prompt, prompt.tokens.new_zeros(tokens), noise, final=False)
            for _ in range(self.graphs.warm_ups):
                self.render([job] * rows)

    @torch.inference_mode()
    def render(self, jobs: Sequence[RenderJob]) -> list[Tensor]:
        """The mel of each job, (80, frames), 2 frames per token. The last `2 * LOOKAHEAD_TOKENS`
        frames of a job that is not final are unreliable.
        """
        batch = self.graphs.pad_rows(jobs)
        size = max(job.padded_length for job in batch)
        # One upload for all: each costs as much as some kernels.
        ids = torch.stack([_padded_tokens(job, size) for job in batch]).to(self.device)
        tokens, lengths = ids[:, :size], ids[:, size]
        given, x = (
            torch.zeros(len(batch), FRAMES_PER_TOKEN * size, MEL_BANDS, device=self.device)
            for _ in range(2)
        )
        for n, job in enumerate(batch):
            given[n, : len(job.prompt.mel)] = job.prompt.mel
            x[n, : FRAMES_PER_TOKEN * job.length] = job.noise_frames()
        speaker = torch.cat([job.prompt.speaker for job in batch])
        mels = self.graphs.run(
            tuple(x.shape), self._compute_mels, tokens, lengths, x, speaker, given
        )
        spans = [(len(job.prompt.mel), FRAMES_PER_TOKEN * job.length) for job in jobs]
        # A view would keep the whole batch in memory.
        return [each[:, low:high].clone() for each, (low, high) in zip(mels, spans, strict=False)]

    def _compute_mels(
        self, tokens: Tensor, lengths: Tensor, x: Tensor, speaker: Tensor, given: Tensor
    ) -> Tensor:
        """Mel, (n, 80, frames), from noise `x`, (n, frames, 80). `speaker`, (n, 80), and `given`,
        the prompts' mel, (n, frames, 80).
        """
        mu = self._encode_tokens(tokens, lengths)
        frames = x.size(1)
        mask = self._frame_mask(lengths, frames)
        conditions = [mu, speaker[:, None].expand(-1, frames, -1), given]
        for n, (t, r) in enumerate(pairwise(self._times)):
            x = x + (r - t) * self._velocity(x, conditions, mask, n)
        return x.transpose(1, 2)

    def _encode_tokens(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Upstream's encoder for rows of different lengths: (n, frames, 80). Masked first, because
        its lookahead reads past a row's end.
        """
        encoder, mask = self._flow.encoder, _padding_mask(tokens.size(1), lengths)
        x, places, _ = encoder.embed(self._flow.input_embedding(tokens), mask)
        x = encoder.pre_lookahead_layer(x * mask.transpose(1, 2))
        seen = LengthMask(lengths, x.size(1), self._block).keys()[:, 0]
        x = encoder.forward_layers(x, seen, places, mask)
        x, _ = encoder.up_layer(x.transpose(1, 2).contiguous(), 0)
        frames = self._frame_mask(lengths, x.size(2))
        mask, seen = _padding_mask(frames.size, frames.lengths), frames.keys()[:, 0]
        x, places, _ = encoder.up_embed(x.transpose(1, 2).contiguous(), mask)
        x = encoder.forward_up_layers(x, seen, places, mask)
        if encoder.normalize_before:
            x = encoder.after_norm(x)
        mu: Tensor = self._flow.encoder_proj(x)
        return mu

    def _frame_mask(self, lengths: Tensor, frames: int) -> LengthMask:
        """Of rows with `lengths` in tokens, padded to `frames`."""
        return LengthMask(FRAMES_PER_TOKEN * lengths, frames, FRAMES_PER_TOKEN * self._block)

    def _velocity(
        self, x: Tensor, conditions: Sequence[Tensor], mask: LengthMask, n: int
    ) -> Tensor:
        """The velocity of Euler step `n`; classifier-free guidance without meanflow."""
        if self._meanflow:
            return self._estimator(x, conditions, mask, n)
        # The second half of the batch is unconditional.
        conditions = [torch.cat([each, torch.zeros_like(each)]) for each in conditions]
        both = LengthMask(torch.cat([mask.lengths, mask.lengths]), mask.size, mask.block)
        with_text, without = self._estimator(torch.cat([x, x]), conditions, both, n).chunk(2)
        rate = self._flow.decoder.inference_cfg_rate
        return (1 + rate) * with_text - rate * without


def _euler_times(meanflow: bool, schedule: str) -> Tensor:
    """Upstream's time points of the Euler steps."""
    times = torch.linspace(0, 1, _EULER_STEPS[meanflow] + 1)
    if not meanflow and schedule == "cosine":
        times = 1 - torch.cos(times * 0.5 * torch.pi)
    return times


def _padding_mask(size: int, lengths: Tensor) -> Tensor:
    """True within each row's length: (rows, 1, size)."""
    return (torch.arange(size, device=lengths.device) < lengths[:, None])[:, None]


def _padded_tokens(job: RenderJob, size: int) -> Tensor:
    """The prompt's and the job's tokens, padded to `size`, then their number: (size + 1,)."""
    ids = F.pad(torch.cat([job.prompt.tokens, job.tokens]), (0, size - job.length))
    return torch.cat([ids, torch.tensor([job.length])])
