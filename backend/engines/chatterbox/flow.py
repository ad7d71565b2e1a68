"""Mel spectra from speech tokens: upstream's S3Gen flow, rendered while tokens still come.

The flow is not causal, so a longer utterance changes the frames at the end of a shorter one. Plan A
renders all tokens so far and keeps what the newest ones no longer change much; a render of all
tokens is upstream's. Plan B restricts attention to blocks of `BLOCK_TOKENS` (upstream's
`static_chunk_size`): then finished blocks never change.

Utterances of different lengths are rendered together: each is padded, and nothing looks at the
padding. Lengths are rounded up, so that few shapes come, and come again (`graphs`).
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
_PADDED_TO = 32  # tokens: lengths are rounded up to a multiple
_WARM_TOKENS = 6 * _PADDED_TO  # 7 s
_FEW = 4


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
    def length(self) -> int:
        """Tokens that are run through the flow, the prompt's included."""
        return len(self.prompt.tokens) + len(self.tokens)

    @property
    def padded(self) -> int:
        """The length that it is rendered at: jobs that share it are best rendered together."""
        return -(-self.length // _PADDED_TO) * _PADDED_TO


class Flow:
    """Renders with the weights of an upstream `S3Token2Wav` in evaluation mode; fp32, because
    its token ids pass through floats.
    """

    def __init__(self, s3gen: Any, *, block_causal: bool = False) -> None:
        self._flow = s3gen.flow
        self._meanflow = bool(s3gen.meanflow)
        self.block_causal = block_causal
        self.graphs = Graphs(self.device)
        _ask_nothing()
        self._times = _times(self._meanflow, self._flow.decoder.t_scheduler).to(self.device)
        self._block = BLOCK_TOKENS if block_causal else 0
        self._flow.decoder.estimator.static_chunk_size = FRAMES_PER_TOKEN * self._block

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

    def warm_up(self, prompt: SoundPrompt, rows: int) -> None:
        """Capture what so many utterances of a voice like this need in their first seconds: of many
        only the beginning. Blocks (seconds) on a card.
        """
        noise = Noise(torch.Generator(self.device))
        for tokens in range(_WARM_TOKENS if rows <= _FEW else _PADDED_TO, 0, -_PADDED_TO):
            job = Job(prompt, prompt.tokens.new_zeros(tokens), noise, final=False)
            for _ in range(self.graphs.warm_ups):
                self.render([job] * rows)

    @torch.inference_mode()
    def render(self, jobs: Sequence[Job]) -> list[Tensor]:
        """The mel of each job, (80, frames), 2 frames a token. The last `2 * LOOKAHEAD_TOKENS` of a
        job that is not final are of little worth.
        """
        size = max(job.padded for job in jobs)
        batch = self.graphs.padded(jobs)
        rows = [_row(job, size) for job in batch]
        tokens, given, x = (torch.stack(column) for column in zip(*rows, strict=True))
        lengths = torch.tensor([job.length for job in batch], device=self.device)
        speaker = torch.cat([job.prompt.speaker for job in batch])
        mels = self.graphs.run(tuple(x.shape), self._mels, tokens, lengths, x, speaker, given)
        spans = [(len(job.prompt.mel), FRAMES_PER_TOKEN * job.length) for job in jobs]
        # What is kept of a row must not keep the whole batch.
        return [each[:, low:high].clone() for each, (low, high) in zip(mels, spans, strict=False)]

    def _mels(self, tokens: Tensor, lengths: Tensor, x: Tensor, *voices: Tensor) -> Tensor:
        """From noise `x`, (n, 80, frames), to mel. `voices`: their speakers and given mel."""
        mu = self._encoded(tokens, lengths)
        mask = _mask(x.size(2), FRAMES_PER_TOKEN * lengths).float()
        for t, r in pairwise(self._times):
            x = x + (r - t) * self._slope(x, mask, (mu, *voices), t, r)
        return x

    def _encoded(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """What the tokens say of each frame, (n, 80, frames): upstream's encoder, for rows of
        different lengths. It looks ahead over a row's end, where there must be nothing.
        """
        encoder, mask = self._flow.encoder, _mask(tokens.size(1), lengths)
        x, places, _ = encoder.embed(self._flow.input_embedding(tokens), mask)
        x = encoder.pre_lookahead_layer(x * mask.transpose(1, 2))
        x = encoder.forward_layers(x, _blocks(mask, self._block), places, mask)
        x, _ = encoder.up_layer(x.transpose(1, 2).contiguous(), 0)
        mask = _mask(x.size(2), FRAMES_PER_TOKEN * lengths)
        x, places, _ = encoder.up_embed(x.transpose(1, 2).contiguous(), mask)
        seen = _blocks(mask, FRAMES_PER_TOKEN * self._block)
        x = encoder.forward_up_layers(x, seen, places, mask)
        if encoder.normalize_before:
            x = encoder.after_norm(x)
        mu: Tensor = self._flow.encoder_proj(x).transpose(1, 2).contiguous()
        return mu

    def _slope(
        self, x: Tensor, mask: Tensor, conditions: Sequence[Tensor], t: Tensor, r: Tensor
    ) -> Tensor:
        """Where an Euler step from `t` to `r` goes; without meanflow with classifier-free guidance.
        `conditions`: encoded tokens, speaker, given mel.
        """
        decoder = self._flow.decoder
        if self._meanflow:
            mu, speaker, given = conditions
            slope: Tensor = decoder.estimator(x, mask, mu, t[None], speaker, given, r=r[None])
            return slope
        # A second half, unconditional, for guidance.
        mu, speaker, given = (torch.cat([each, torch.zeros_like(each)]) for each in conditions)
        both = torch.cat([x, x]), torch.cat([mask, mask])
        slope = decoder.estimator(*both, mu, t.expand(len(mu)), speaker, given)
        with_text, without = slope.chunk(2)
        rate = decoder.inference_cfg_rate
        return (1 + rate) * with_text - rate * without


def _times(meanflow: bool, schedule: str) -> Tensor:
    """The ends of the Euler steps: upstream's."""
    times = torch.linspace(0, 1, _STEPS[meanflow] + 1)
    if not meanflow and schedule == "cosine":
        times = 1 - torch.cos(times * 0.5 * torch.pi)
    return times


def _ask_nothing() -> None:
    """Upstream's estimator asks the device at every layer whether a mask is empty, and so waits for
    it, which no graph can hold. It never is empty.
    """
    from chatterbox.models.s3gen import decoder

    decoder.add_optional_chunk_mask = _chunk_mask


def _mask(size: int, lengths: Tensor) -> Tensor:
    """True where a row of this length is: (rows, 1, size)."""
    return (torch.arange(size, device=lengths.device) < lengths[:, None])[:, None]


def _chunk_mask(x: Tensor, mask: Tensor, *options: Any) -> Tensor:
    """Upstream's `add_optional_chunk_mask` with static chunks or none."""
    return _blocks(mask, options[3])


def _blocks(mask: Tensor, size: int) -> Tensor:
    """Where each position may look, (rows, n or 1, n): at all that `mask`, (rows, 1, n), leaves; in
    blocks of `size`, if that is not 0, at its own block and those before.
    """
    if not size:
        return mask
    block = torch.arange(mask.size(2), device=mask.device) // size
    return mask & (block[None, :] <= block[:, None])[None]


def _row(job: Job, tokens: int) -> tuple[Tensor, Tensor, Tensor]:
    """A job's tokens, given mel and noise, padded to so many tokens."""
    frames = FRAMES_PER_TOKEN * tokens
    ids = F.pad(torch.cat([job.prompt.tokens, job.tokens]), (0, tokens - job.length))
    given = F.pad(job.prompt.mel.T, (0, frames - len(job.prompt.mel)))
    noise = job.noise.first(FRAMES_PER_TOKEN * job.length)
    return ids, given, F.pad(noise, (0, frames - noise.size(1)))
