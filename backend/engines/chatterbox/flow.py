"""Mel spectra from speech tokens: upstream's S3Gen flow, rendered while tokens still arrive.

The flow is not causal: later tokens change the last frames of earlier ones. Plan A renders all
tokens so far and keeps the frames that the newest hardly change; a render of all tokens is
upstream's. Plan B restricts attention to blocks of `BLOCK_TOKENS` (upstream's
`static_chunk_size`): finished blocks never change.

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

from backend.engines.chatterbox.graphs import GraphCache

FRAMES_PER_TOKEN = 2
MEL_BANDS = 80
LOOKAHEAD_TOKENS = 3  # of the encoder
BLOCK_TOKENS = 25
_EULER_STEPS = {True: 2, False: 10}  # Euler steps with and without meanflow: upstream's
_NOISE_FRAMES = 50  # per draw, so that the noise does not depend on the chunks
_PADDED_TO = 32  # tokens: lengths are rounded up to a multiple
_WARM_TOKENS = 6 * _PADDED_TO  # 7 s
_SMALL_BATCH = 4


@dataclass(frozen=True, slots=True)
class SoundPrompt:
    """The flow's voice prompt: `tokens` (n,), `mel` (2n, 80), `speaker` (1, 80)."""

    tokens: Tensor
    mel: Tensor
    speaker: Tensor


class Noise:
    """A passage's noise, frame by frame, starting with the prompt's frames."""

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator
        self._frames = torch.zeros(MEL_BANDS, 0, device=generator.device)

    def first_frames(self, frames: int) -> Tensor:
        """The first `frames` frames, (80, frames); the same on every call."""
        while self._frames.size(1) < frames:
            block = torch.randn(
                _NOISE_FRAMES, MEL_BANDS, generator=self._generator, device=self._frames.device
            )
            self._frames = torch.cat([self._frames, block.T], 1)
        return self._frames[:, :frames]


@dataclass(frozen=True, slots=True)
class RenderJob:
    """A render: the voice, the tokens so far, their noise; `final`: no more tokens follow."""

    prompt: SoundPrompt
    tokens: Tensor
    noise: Noise
    final: bool

    @property
    def length(self) -> int:
        """Tokens to render, including the prompt's."""
        return len(self.prompt.tokens) + len(self.tokens)

    @property
    def padded_length(self) -> int:
        """The padded length; jobs that share it are best rendered together."""
        return -(-self.length // _PADDED_TO) * _PADDED_TO


class Flow:
    """Renders with the weights of an upstream `S3Token2Wav` in evaluation mode, in fp32: its token
    ids pass through floats.
    """

    def __init__(self, s3gen: Any, *, block_causal: bool = False) -> None:
        self._flow = s3gen.flow
        self._meanflow = bool(s3gen.meanflow)
        self.block_causal = block_causal
        self.graphs = GraphCache(self.device)
        _patch_chunk_mask()
        self._times = _euler_times(self._meanflow, self._flow.decoder.t_scheduler).to(self.device)
        self._block = BLOCK_TOKENS if block_causal else 0
        self._flow.decoder.estimator.static_chunk_size = FRAMES_PER_TOKEN * self._block

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
            reference["prompt_token"].flatten().long().to(self.device),
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
        """Capture renders of `rows` utterances' first seconds with a prompt like this; of large
        batches only the shortest. Blocks (seconds) on CUDA.
        """
        noise = Noise(torch.Generator(self.device))
        for tokens in range(_WARM_TOKENS if rows <= _SMALL_BATCH else _PADDED_TO, 0, -_PADDED_TO):
            job = RenderJob(prompt, prompt.tokens.new_zeros(tokens), noise, final=False)
            for _ in range(self.graphs.warm_ups):
                self.render([job] * rows)

    @torch.inference_mode()
    def render(self, jobs: Sequence[RenderJob]) -> list[Tensor]:
        """The mel of each job, (80, frames), 2 frames per token. The last `2 * LOOKAHEAD_TOKENS`
        frames of a job that is not final are unreliable.
        """
        size = max(job.padded_length for job in jobs)
        batch = self.graphs.pad_rows(jobs)
        rows = [_pad_job(job, size) for job in batch]
        tokens, given, x = (torch.stack(column) for column in zip(*rows, strict=True))
        lengths = torch.tensor([job.length for job in batch], device=self.device)
        speaker = torch.cat([job.prompt.speaker for job in batch])
        mels = self.graphs.run(
            tuple(x.shape), self._compute_mels, tokens, lengths, x, speaker, given
        )
        spans = [(len(job.prompt.mel), FRAMES_PER_TOKEN * job.length) for job in jobs]
        # A view would keep the whole batch in memory.
        return [each[:, low:high].clone() for each, (low, high) in zip(mels, spans, strict=False)]

    def _compute_mels(self, tokens: Tensor, lengths: Tensor, x: Tensor, *voices: Tensor) -> Tensor:
        """Mel from noise `x`, (n, 80, frames). `voices`: speakers and prompt mels."""
        mu = self._encode_tokens(tokens, lengths)
        mask = _padding_mask(x.size(2), FRAMES_PER_TOKEN * lengths).float()
        for t, r in pairwise(self._times):
            x = x + (r - t) * self._velocity(x, mask, (mu, *voices), t, r)
        return x

    def _encode_tokens(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Upstream's encoder for rows of different lengths: (n, 80, frames). Masked first, because
        its lookahead reads past a row's end.
        """
        encoder, mask = self._flow.encoder, _padding_mask(tokens.size(1), lengths)
        x, places, _ = encoder.embed(self._flow.input_embedding(tokens), mask)
        x = encoder.pre_lookahead_layer(x * mask.transpose(1, 2))
        x = encoder.forward_layers(x, _block_mask(mask, self._block), places, mask)
        x, _ = encoder.up_layer(x.transpose(1, 2).contiguous(), 0)
        mask = _padding_mask(x.size(2), FRAMES_PER_TOKEN * lengths)
        x, places, _ = encoder.up_embed(x.transpose(1, 2).contiguous(), mask)
        seen = _block_mask(mask, FRAMES_PER_TOKEN * self._block)
        x = encoder.forward_up_layers(x, seen, places, mask)
        if encoder.normalize_before:
            x = encoder.after_norm(x)
        mu: Tensor = self._flow.encoder_proj(x).transpose(1, 2).contiguous()
        return mu

    def _velocity(
        self, x: Tensor, mask: Tensor, conditions: Sequence[Tensor], t: Tensor, r: Tensor
    ) -> Tensor:
        """The velocity of an Euler step from `t` to `r`; classifier-free guidance without meanflow.
        `conditions`: encoded tokens, speaker, prompt mel.
        """
        decoder = self._flow.decoder
        if self._meanflow:
            mu, speaker, given = conditions
            velocity: Tensor = decoder.estimator(x, mask, mu, t[None], speaker, given, r=r[None])
            return velocity
        # The second half of the batch is unconditional.
        mu, speaker, given = (torch.cat([each, torch.zeros_like(each)]) for each in conditions)
        both = torch.cat([x, x]), torch.cat([mask, mask])
        velocity = decoder.estimator(*both, mu, t.expand(len(mu)), speaker, given)
        with_text, without = velocity.chunk(2)
        rate = decoder.inference_cfg_rate
        return (1 + rate) * with_text - rate * without


def _euler_times(meanflow: bool, schedule: str) -> Tensor:
    """Upstream's time points of the Euler steps."""
    times = torch.linspace(0, 1, _EULER_STEPS[meanflow] + 1)
    if not meanflow and schedule == "cosine":
        times = 1 - torch.cos(times * 0.5 * torch.pi)
    return times


def _patch_chunk_mask() -> None:
    """Replace upstream's check for an empty mask, which synchronises with the device at every layer
    and cannot be captured. The mask is never empty.
    """
    from chatterbox.models.s3gen import decoder

    decoder.add_optional_chunk_mask = _chunk_mask


def _padding_mask(size: int, lengths: Tensor) -> Tensor:
    """True within each row's length: (rows, 1, size)."""
    return (torch.arange(size, device=lengths.device) < lengths[:, None])[:, None]


def _chunk_mask(x: Tensor, mask: Tensor, *options: Any) -> Tensor:
    """Upstream's `add_optional_chunk_mask` with static chunks or none."""
    return _block_mask(mask, options[3])


def _block_mask(mask: Tensor, size: int) -> Tensor:
    """Attention mask, (rows, n or 1, n): `mask`, (rows, 1, n), restricted for `size` > 0 to the
    position's own block of `size` and earlier blocks.
    """
    if not size:
        return mask
    block = torch.arange(mask.size(2), device=mask.device) // size
    return mask & (block[None, :] <= block[:, None])[None]


def _pad_job(job: RenderJob, tokens: int) -> tuple[Tensor, Tensor, Tensor]:
    """A job's tokens, prompt mel and noise, padded to `tokens`."""
    frames = FRAMES_PER_TOKEN * tokens
    ids = F.pad(torch.cat([job.prompt.tokens, job.tokens]), (0, tokens - job.length))
    given = F.pad(job.prompt.mel.T, (0, frames - len(job.prompt.mel)))
    noise = job.noise.first_frames(FRAMES_PER_TOKEN * job.length)
    return ids, given, F.pad(noise, (0, frames - noise.size(1)))
