"""Kernels for CUDA, in Triton: what torch does in several launches or with a mask, in one.

Import only where Triton works: `fused` decides that.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

# Kernels' parameters carry no types but `constexpr`: Triton reads the annotations.
_BLOCK = 64  # keys that a program reads at once
_PROGRAMS = 256  # enough to fill a card: with fewer rows their keys are split
_MAX_SPLITS = 8


@triton.jit
def _rotated(at, cos, sin, size: tl.constexpr, half: tl.constexpr):  # type: ignore[no-untyped-def]
    lanes = tl.arange(0, size)
    value = tl.load(at + lanes).to(tl.float32)
    other = tl.load(at + (lanes + half) % size).to(tl.float32)
    return value * cos + tl.where(lanes < half, -other, other) * sin


@triton.jit
def _attend_kernel(  # type: ignore[no-untyped-def]  # noqa: PLR0913 - a kernel has no objects
    fused, keys, values, positions, cosines, sines,
    out, maxima, sums, parts, row_stride, head_stride,
    heads: tl.constexpr, size: tl.constexpr, splits: tl.constexpr, block: tl.constexpr,
    rotary: tl.constexpr, scale: tl.constexpr,
):  # fmt: skip
    pair, split = tl.program_id(0), tl.program_id(1)
    row, head = pair // heads, pair % heads
    position = tl.load(positions + row)
    lanes = tl.arange(0, size)
    given = fused + row * 3 * heads * size + head * size
    if rotary:
        cos = tl.load(cosines + position * size + lanes).to(tl.float32)
        sin = tl.load(sines + position * size + lanes).to(tl.float32)
        query = _rotated(given, cos, sin, size, size // 2) * scale
    else:
        query = tl.load(given + lanes).to(tl.float32) * scale
    start_of_row = row.to(tl.int64) * row_stride + head * head_stride
    chunk = tl.cdiv(tl.cdiv(position, splits), block) * block
    start = split * chunk
    end = tl.minimum(start + chunk, position)
    largest = tl.full((), float("-inf"), tl.float32)
    total = tl.full((), 0.0, tl.float32)
    sum_ = tl.zeros((size,), tl.float32)
    for first in range(start, end, block):
        at = first + tl.arange(0, block)
        known = at < end
        place = start_of_row + at[:, None] * size + lanes[None, :]
        key = tl.load(keys + place, mask=known[:, None], other=0.0).to(tl.float32)
        value = tl.load(values + place, mask=known[:, None], other=0.0).to(tl.float32)
        score = tl.where(known, tl.sum(key * query[None, :], 1), float("-inf"))
        higher = tl.maximum(largest, tl.max(score, 0))
        weight = tl.exp(score - higher)
        rest = tl.exp(largest - higher)
        sum_ = sum_ * rest + tl.sum(weight[:, None] * value, 0)
        total = total * rest + tl.sum(weight, 0)
        largest = higher
    if split == 0:  # the new position: from the projection, and into the cache
        new_key, new_value = given + heads * size, given + 2 * heads * size
        stored_value = tl.load(new_value + lanes)
        if rotary:
            stored_key = _rotated(new_key, cos, sin, size, size // 2).to(stored_value.dtype)
        else:
            stored_key = tl.load(new_key + lanes)
        place = start_of_row + position * size + lanes
        tl.store(keys + place, stored_key)
        tl.store(values + place, stored_value)
        score = tl.sum(stored_key.to(tl.float32) * query, 0)
        higher = tl.maximum(largest, score)
        weight = tl.exp(score - higher)
        rest = tl.exp(largest - higher)
        sum_ = sum_ * rest + weight * stored_value.to(tl.float32)
        total = total * rest + weight
        largest = higher
    if splits == 1:
        tl.store(out + pair * size + lanes, (sum_ / total).to(out.dtype.element_ty))
    else:
        part = pair * splits + split
        tl.store(maxima + part, largest)
        tl.store(sums + part, total)
        tl.store(parts + part * size + lanes, sum_)


@triton.jit
def _merge_kernel(  # type: ignore[no-untyped-def]  # noqa: PLR0913
    maxima, sums, parts, out, size: tl.constexpr, splits: tl.constexpr
):
    pair = tl.program_id(0)
    each, lanes = tl.arange(0, splits), tl.arange(0, size)
    largest = tl.load(maxima + pair * splits + each)
    weight = tl.exp(largest - tl.max(largest, 0))
    total = tl.sum(weight * tl.load(sums + pair * splits + each), 0)
    part = tl.load(parts + (pair * splits + each[:, None]) * size + lanes[None, :])
    merged = tl.sum(weight[:, None] * part, 0) / total
    tl.store(out + pair * size + lanes, merged.to(out.dtype.element_ty))


@triton.jit
def _add_norm_kernel(  # type: ignore[no-untyped-def]  # noqa: PLR0913
    x, added, weight, bias, total, normed,
    columns: tl.constexpr, padded: tl.constexpr, eps: tl.constexpr, centred: tl.constexpr,
    adds: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * columns
    lanes = tl.arange(0, padded)
    inside = lanes < columns
    value = tl.load(x + row + lanes, mask=inside, other=0.0)
    if adds:
        value = (value + tl.load(added + row + lanes, mask=inside, other=0.0)).to(value.dtype)
        tl.store(total + row + lanes, value, mask=inside)
    value = value.to(tl.float32)
    if centred:
        value = tl.where(inside, value - tl.sum(value, 0) / columns, 0.0)
    scale = tl.rsqrt(tl.sum(value * value, 0) / columns + eps)
    value = value * scale * tl.load(weight + lanes, mask=inside, other=0.0).to(tl.float32)
    if centred:
        value += tl.load(bias + lanes, mask=inside, other=0.0).to(tl.float32)
    tl.store(normed + row + lanes, value.to(normed.dtype.element_ty), mask=inside)


def attend(
    fused: Tensor, keys: Tensor, values: Tensor, positions: Tensor, angles: tuple[Tensor, Tensor]
) -> Tensor:
    """Attention of one new position per row, (n, 1, heads * size), which also stores its key and
    value. `fused`: (n, 1, 3 * heads * size); `keys`, `values`: (n, heads, length, size) of one
    layer; `positions`: (n, 1), each row's own; `angles`: cosines and sines of the rotary embedding,
    (length, size) each, or empty. Split over the keys as in Flash-Decoding (Dao et al., 2023).
    """
    rows, heads, _, size = keys.shape
    splits = max(1, min(_MAX_SPLITS, _PROGRAMS // (rows * heads)))
    splits = 1 << (splits.bit_length() - 1)
    pairs = rows * heads
    out = fused.new_empty(rows, 1, heads * size)
    maxima, sums = (fused.new_empty(pairs, splits, dtype=torch.float32) for _ in range(2))
    parts = fused.new_empty(pairs, splits, size, dtype=torch.float32)
    cosines, sines = angles
    _attend_kernel[(pairs, splits)](
        fused, keys, values, positions, cosines, sines, out, maxima, sums, parts,
        keys.stride(0), keys.stride(1), heads, size, splits, _BLOCK, cosines.numel() > 0,
        size**-0.5, num_warps=4 if splits == 1 else 2,
    )  # fmt: skip
    if splits > 1:
        _merge_kernel[(pairs,)](maxima, sums, parts, out, size, splits, num_warps=1)
    return out


def add_norm(  # noqa: PLR0913 - the parts of a norm
    x: Tensor,
    added: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    eps: float,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """`x + added` (or `x`) in `x`'s precision, and its layer norm in `dtype`; without `bias` its
    RMS norm. `x`, `added`: (..., columns), `added` contiguous.
    """
    x = x.contiguous()  # a part of several rows is not, as when a text is extended
    columns = x.size(-1)
    total = x if added is None else torch.empty_like(x)
    normed = torch.empty_like(x, dtype=dtype)
    _add_norm_kernel[(x.numel() // columns,)](
        x, x if added is None else added, weight, weight if bias is None else bias, total, normed,
        columns, triton.next_power_of_2(columns), eps, bias is not None, added is not None,
        num_warps=2,
    )  # fmt: skip
    return total, normed
