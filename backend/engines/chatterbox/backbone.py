"""The language model's transformer layers, over upstream's weights and a preallocated cache.

Keys and values are in one tensor, a row per sequence; a call takes adjacent rows and the new
positions of each, so sequences of different lengths advance together. The arithmetic is that of
`transformers`' LlamaModel and GPT2Model in evaluation mode, in fewer operations: a step of one
session is bound by kernel launches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class KeyValueCache:
    """Keys and values: (layers, rows, heads, length, head size) each."""

    def __init__(self, backbone: Backbone, rows: int, length: int) -> None:
        shape = (backbone.layers, rows, backbone.heads, length, backbone.head_size)
        weight = backbone.reference
        self.keys = torch.zeros(shape, device=weight.device, dtype=weight.dtype)
        self.values = torch.zeros_like(self.keys)

    @property
    def length(self) -> int:
        """Positions per row."""
        return int(self.keys.size(3))

    def copy_row(self, row: int, source: KeyValueCache, source_row: int, positions: int) -> None:
        """Copy the first `positions` of a row of `source`, which may be this cache."""
        for target, origin in ((self.keys, source.keys), (self.values, source.values)):
            target[:, row, :, :positions] = origin[:, source_row, :, :positions]


@dataclass(frozen=True, slots=True)
class RowSpan:
    """The new `positions`, (n, m), of `n` rows from `first_row` on.

    `reach`: exclusive upper bound of all positions; attention is truncated to it.
    """

    first_row: int
    positions: Tensor
    reach: int

    def attention_mask(self, dtype: torch.dtype) -> Tensor:
        """Causal mask to add to the attention scores, (n, 1, m, reach): 0 or minus infinity."""
        steps = torch.arange(self.reach, device=self.positions.device)
        future = steps > self.positions[:, None, :, None]
        return torch.zeros_like(future, dtype=dtype).masked_fill_(future, float("-inf"))


class Backbone(Protocol):
    """A decoder-only transformer without embeddings and head.

    `reference`: any weight, for its device and dtype.
    """

    layers: int
    heads: int
    head_size: int
    reference: Tensor

    def __call__(self, x: Tensor, cache: KeyValueCache, span: RowSpan) -> Tensor:
        """Hidden states of the inputs of a span; both (n, m, size)."""


class _Attention:
    """Causal attention of one call: stores the new keys and values, then attends."""

    def __init__(self, cache: KeyValueCache, span: RowSpan, heads: int) -> None:
        self._cache = cache
        self._span = span
        self._heads = heads
        self._mask = span.attention_mask(cache.keys.dtype)  # shared by all layers
        self._row = torch.arange(span.positions.size(0), device=span.positions.device)[:, None]

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Output (n, m, size); queries, keys and values are (n, heads, m, head size)."""
        first, reach = self._span.first_row, self._span.reach
        rows = slice(first, first + query.size(0))
        keys, values = self._cache.keys[layer, rows], self._cache.values[layer, rows]
        keys[self._row, :, self._span.positions] = key.transpose(1, 2)
        values[self._row, :, self._span.positions] = value.transpose(1, 2)
        attended = F.scaled_dot_product_attention(
            query, keys[:, :, :reach], values[:, :, :reach], attn_mask=self._mask
        )
        return attended.transpose(1, 2).flatten(2)

    def split(self, fused: Tensor) -> Tensor:
        """Split a fused projection (n, m, 3 size) into (3, n, heads, m, head size)."""
        return fused.unflatten(2, (3, self._heads, -1)).permute(2, 0, 3, 1, 4)


class LlamaBackbone:
    """The standard model's `LlamaModel`. Fuses its projections in place: upstream's weights become
    views of the fused ones.
    """

    def __init__(self, model: Any) -> None:
        config = model.config
        self._model = model
        self.layers = len(model.layers)
        self.heads: int = config.num_attention_heads
        self.head_size: int = config.head_dim
        self.reference: Tensor = model.norm.weight
        self._projections = [
            _fuse(layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj)
            for layer in model.layers
        ]
        self._gates = [_fuse(layer.mlp.gate_proj, layer.mlp.up_proj) for layer in model.layers]
        self._angles: tuple[Tensor, Tensor] | None = None

    def __call__(self, x: Tensor, cache: KeyValueCache, span: RowSpan) -> Tensor:
        """See `Backbone`."""
        attend = _Attention(cache, span, self.heads)
        cos, sin = self._rotations(cache.length)
        angles = cos[span.positions][:, None], sin[span.positions][:, None]
        for n, layer in enumerate(self._model.layers):
            fused = F.linear(_rms_norm(x, layer.input_layernorm), self._projections[n])
            parts = attend.split(fused)
            query, key = _rotate(parts[:2], angles)
            x = x + layer.self_attn.o_proj(attend(n, query, key, parts[2]))
            fused = F.linear(_rms_norm(x, layer.post_attention_layernorm), self._gates[n])
            gate, up = fused.chunk(2, -1)
            x = x + layer.mlp.down_proj(F.silu(gate) * up)
        return _rms_norm(x, self._model.norm)

    def _rotations(self, length: int) -> tuple[Tensor, Tensor]:
        if self._angles is None or len(self._angles[0]) < length:
            at = torch.arange(length, device=self.reference.device)[None]
            cos, sin = self._model.rotary_emb(self.reference[:1], at)
            self._angles = cos[0], sin[0]
        return self._angles


class Gpt2Backbone:
    """Turbo's `GPT2Model`, with learned absolute positions."""

    def __init__(self, model: Any) -> None:
        config = model.config
        self._model = model
        self.layers = len(model.h)
        self.heads: int = config.n_head
        self.head_size: int = config.n_embd // config.n_head
        self.reference: Tensor = model.ln_f.weight

    def __call__(self, x: Tensor, cache: KeyValueCache, span: RowSpan) -> Tensor:
        """See `Backbone`."""
        attend = _Attention(cache, span, self.heads)
        x = x + self._model.wpe(span.positions)
        for n, block in enumerate(self._model.h):
            x = x + block.attn.c_proj(attend(n, *attend.split(block.attn.c_attn(block.ln_1(x)))))
            inner = F.gelu(block.mlp.c_fc(block.ln_2(x)), approximate="tanh")  # upstream's formula
            x = x + block.mlp.c_proj(inner)
        hidden: Tensor = self._model.ln_f(x)
        return hidden


def _fuse(*projections: nn.Linear) -> Tensor:
    weight = torch.cat([projection.weight.detach() for projection in projections])
    parts = weight.split([projection.out_features for projection in projections])
    for projection, part in zip(projections, parts, strict=True):
        projection.weight = nn.Parameter(part, requires_grad=False)
    return weight


def _rms_norm(x: Tensor, norm: Any) -> Tensor:
    """Upstream's `LlamaRMSNorm` in one operation: a step has 61."""
    return F.rms_norm(x, norm.weight.shape, norm.weight, norm.variance_epsilon)


def _rotate(x: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary position embedding (Su et al., 2021), halves swapped as in Llama."""
    cos, sin = angles
    low, high = x.chunk(2, -1)
    return x * cos + torch.cat([-high, low], -1) * sin


def create_backbone(tfmr: nn.Module) -> Backbone:
    """The backbone of an upstream `T3.tfmr`."""
    return Gpt2Backbone(tfmr) if hasattr(tfmr, "wpe") else LlamaBackbone(tfmr)
