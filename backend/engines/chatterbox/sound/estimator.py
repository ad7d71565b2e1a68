"""The flow's estimator: upstream's `ConditionalDecoder`, in fewer operations and half the bytes.

Matrix products run in `dtype`; the residual stream and the norms' statistics stay in fp32. Rows of
different lengths are padded: attention skips the padding, and convolutions are causal, so padding,
which follows a row's frames, changes none of them. Everything is (rows, frames, channels), which
saves upstream's transpositions, and what depends on the time alone is computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.engines.chatterbox.device.fused import add_norm

_TAPS = 3  # of every convolution


@dataclass(frozen=True, slots=True)
class LengthMask:
    """Which positions attend to which: those within their row's `lengths`, (n,), of `size`; for
    `block` > 0 only those of the own block of so many positions and of earlier blocks.
    """

    lengths: Tensor
    size: int
    block: int = 0

    def keys(self) -> Tensor:
        """Boolean, (n, 1, size or 1, size): keys of each query."""
        at = torch.arange(self.size, device=self.lengths.device)
        mask = (at < self.lengths[:, None])[:, None, None]
        if not self.block:
            return mask
        block = at // self.block
        return mask & (block[None, :] <= block[:, None])

    def bounds(self) -> Tensor:
        """Bounds of sequences in the flattened rows, (2 n + 1,): each row, then its padding as a
        sequence of its own.
        """
        starts = self.size * torch.arange(len(self.lengths), device=self.lengths.device)
        bounds = torch.stack([starts, starts + self.lengths], 1).flatten()
        return F.pad(bounds, (0, 1), value=self.size * len(self.lengths)).int()


class _Attention:
    """Self-attention of one call; its masks are shared by all layers."""

    def __init__(self, mask: LengthMask, dtype: torch.dtype) -> None:
        # Flash attention, twice as fast on CUDA, takes lengths but no mask.
        by_length = not mask.block and dtype != torch.float32 and _has_flash(mask.lengths.device)
        self._bounds = mask.bounds() if by_length else None
        self._keys = mask.keys() if self._bounds is None else None
        self._size = mask.size

    def __call__(self, fused: Tensor, heads: int) -> Tensor:
        """Output (n, size, heads * head size) of a fused projection with three times as many."""
        rows = fused.size(0)
        if self._bounds is not None:
            query, key, value = fused.view(rows * self._size, 3, heads, -1).unbind(1)
            from torch.nn.attention.varlen import varlen_attn  # takes seconds, on CUDA only

            limits = (self._bounds, self._bounds, self._size, self._size)
            attended = varlen_attn(query, key, value, *limits)
            return attended.reshape(rows, self._size, -1)
        query, key, value = fused.unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=self._keys)
        return attended.transpose(1, 2).flatten(2)


@cache
def _has_flash(device: torch.device) -> bool:
    """Whether the device has flash attention: Ampere and newer."""
    return device.type == "cuda" and bool(torch.cuda.get_device_capability(device) >= (8, 0))


class _Linear:
    """A linear layer in another precision."""

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        self._weight = weight.detach().to(dtype)
        self._bias = None if bias is None else bias.detach().to(dtype)

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self._weight, self._bias)


class _CausalConvolution:
    """A convolution over this and the two previous frames, as one matrix product."""

    def __init__(self, convolution: nn.Conv1d, dtype: torch.dtype) -> None:
        weight = convolution.weight.permute(0, 2, 1).flatten(1)
        self._linear = _Linear(weight, convolution.bias, dtype)

    def __call__(self, x: Tensor) -> Tensor:
        padded = F.pad(x, (0, 0, _TAPS - 1, 0))
        taps = [padded[:, n : n + x.size(1)] for n in range(_TAPS)]
        return self._linear(torch.cat(taps, 2))


class _ConvolutionBlock:
    """Upstream's `CausalBlock1D`."""

    def __init__(self, block: Any, dtype: torch.dtype) -> None:
        convolution, _, norm, *_ = block.block
        self._convolve = _CausalConvolution(convolution, dtype)
        self._norm = norm

    def __call__(self, x: Tensor) -> Tensor:
        return F.mish(add_norm(self._convolve(x), None, self._norm, x.dtype)[1])


class _Resnet:
    """Upstream's `CausalResnetBlock1D`."""

    def __init__(self, resnet: Any, dtype: torch.dtype) -> None:
        self._first = _ConvolutionBlock(resnet.block1, dtype)
        self._second = _ConvolutionBlock(resnet.block2, dtype)
        around = resnet.res_conv
        self._around = _Linear(around.weight[:, :, 0], around.bias, dtype)

    def __call__(self, x: Tensor, time: Tensor) -> Tensor:
        return self._second(self._first(x) + time) + self._around(x)


class _Transformer:
    """Upstream's `BasicTransformerBlock`, self-attention only."""

    def __init__(self, block: Any, dtype: torch.dtype) -> None:
        attention, (up, _, down) = block.attn1, block.ff.net
        projections = [each.weight for each in (attention.to_q, attention.to_k, attention.to_v)]
        self._heads: int = attention.heads
        self._fused = _Linear(torch.cat(projections), None, dtype)
        out = attention.to_out[0]
        self._out = _Linear(out.weight, out.bias, dtype)
        self._up = _Linear(up.proj.weight, up.proj.bias, dtype)
        self._down = _Linear(down.weight, down.bias, dtype)
        self._norms = block.norm1, block.norm3
        self._dtype = dtype

    def __call__(
        self, x: Tensor, added: Tensor | None, attend: _Attention
    ) -> tuple[Tensor, Tensor]:
        """The residual stream, to which `added` is still to be added, and what this block adds."""
        before_attention, before_mlp = self._norms
        x, normed = add_norm(x, added, before_attention, self._dtype)
        added = self._out(attend(self._fused(normed), self._heads))
        x, normed = add_norm(x, added, before_mlp, self._dtype)
        return x, self._down(F.gelu(self._up(normed)))


@dataclass(frozen=True, slots=True)
class _Stage:
    """A resnet, its transformer blocks, and a convolution after them."""

    resnet: _Resnet
    blocks: Sequence[_Transformer]
    after: _CausalConvolution | None = None


class FlowEstimator:
    """The velocity of the flow, with the weights of an upstream `ConditionalDecoder` in evaluation
    mode: one level, causal, as all Chatterbox models have it.

    `times`: the Euler steps' time points, (steps + 1,).
    """

    def __init__(self, decoder: Any, times: Tensor, dtype: torch.dtype) -> None:
        self._dtype = dtype
        ((down_resnet, down, convolve_down),) = decoder.down_blocks
        ((up_resnet, up, convolve_up),) = decoder.up_blocks
        levels = [
            (down_resnet, down, convolve_down),
            *((resnet, blocks, None) for resnet, blocks in decoder.mid_blocks),
            (up_resnet, up, convolve_up),
        ]
        self._stages = [
            _Stage(
                _Resnet(resnet, dtype),
                [_Transformer(block, dtype) for block in blocks],
                None if after is None else _CausalConvolution(after, dtype),
            )
            for resnet, blocks, after in levels
        ]
        self._final = _ConvolutionBlock(decoder.final_block, dtype)
        projection = decoder.final_proj
        self._project = _Linear(projection.weight[:, :, 0], projection.bias, dtype)
        self._time_biases = _compute_time_biases(decoder, [level[0] for level in levels], times)

    def __call__(self, x: Tensor, conditions: Sequence[Tensor], mask: LengthMask, n: int) -> Tensor:
        """The velocity, (rows, frames, 80), at Euler step `n`. `x`: (rows, frames, 80);
        `conditions`: encoded tokens, speaker and given mel, (rows, frames, 80) each.
        """
        attend = _Attention(mask, self._dtype)
        x = torch.cat([x, *conditions], 2)
        biases = self._time_biases[n].to(self._dtype)
        skip = None
        for stage, bias in zip(self._stages, biases, strict=True):
            if stage is self._stages[-1]:
                x = torch.cat([x, skip.to(x)], 2) if skip is not None else x
            x, added = stage.resnet(x.to(self._dtype), bias).float(), None
            for block in stage.blocks:
                x, added = block(x, added, attend)
            x = x if added is None else x + added
            skip = x if skip is None else skip
            if stage.after is not None:
                x = stage.after(x.to(self._dtype))
        return self._project(self._final(x)).float()


@torch.inference_mode()
def _compute_time_biases(decoder: Any, resnets: Sequence[Any], times: Tensor) -> Tensor:
    """What each resnet adds for the time of each Euler step, (steps, resnets, channels)."""
    embedded = decoder.time_mlp(decoder.time_embeddings(times))
    start = embedded[:-1]
    if decoder.meanflow:  # its steps also know where they end
        start = decoder.time_embed_mixer(torch.cat([start, embedded[1:]], 1))
    return torch.stack([resnet.mlp(start) for resnet in resnets], 1)
