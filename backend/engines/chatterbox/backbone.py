"""The language model's layers, run over upstream's weights with a cache that never moves.

Keys and values lie in one tensor, a row for each sequence; a call takes neighbouring rows and the
positions that are new in each, so that sequences of any length advance together. The arithmetic is
that of `transformers`' LlamaModel and GPT2Model in evaluation mode, in fewer operations: a step of
one session takes as long as they take to launch.
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
        """Positions in a row."""
        return int(self.keys.size(3))

    def load(self, row: int, source: KeyValueCache, source_row: int, positions: int) -> None:
        """Fill a row's first `positions` from another cache, or from another row of this one."""
        for mine, theirs in ((self.keys, source.keys), (self.values, source.values)):
            mine[:, row, :, :positions] = theirs[:, source_row, :, :positions]


@dataclass(frozen=True, slots=True)
class Span:
    """What a call advances: `positions`, (n, m), of the rows from `first_row` on.

    `reach`: a bound above all positions, to which attention is cut.
    """

    first_row: int
    positions: Tensor
    reach: int

    def mask(self, dtype: torch.dtype) -> Tensor:
        """What is added to a position's attention, (n, 1, m, reach): nothing at itself and what
        lies before, minus infinity behind.
        """
        steps = torch.arange(self.reach, device=self.positions.device)
        behind = steps > self.positions[:, None, :, None]
        return torch.zeros_like(behind, dtype=dtype).masked_fill_(behind, float("-inf"))


class Backbone(Protocol):
    """A decoder-only transformer without its embeddings and head.

    `reference`: a weight, for its device and type.
    """

    layers: int
    heads: int
    head_size: int
    reference: Tensor

    def __call__(self, x: Tensor, cache: KeyValueCache, span: Span) -> Tensor:
        """Hidden states for the inputs of a span; (n, m, size) both."""


class _Attention:
    """One call's attention: stores the new keys and values, looks at all up to each position."""

    def __init__(self, cache: KeyValueCache, span: Span, heads: int) -> None:
        self._cache = cache
        self._span = span
        self._heads = heads
        self._mask = span.mask(cache.keys.dtype)  # as each layer wants it, made once
        self._row = torch.arange(span.positions.size(0), device=span.positions.device)[:, None]

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(n, m, size) for queries, keys and values (n, heads, m, head size)."""
        first, reach = self._span.first_row, self._span.reach
        rows = slice(first, first + query.size(0))
        keys, values = self._cache.keys[layer, rows], self._cache.values[layer, rows]
        keys[self._row, :, self._span.positions] = key.transpose(1, 2)
        values[self._row, :, self._span.positions] = value.transpose(1, 2)
        seen = F.scaled_dot_product_attention(
            query, keys[:, :, :reach], values[:, :, :reach], attn_mask=self._mask
        )
        return seen.transpose(1, 2).flatten(2)

    def split(self, fused: Tensor) -> Tensor:
        """Query, key, value of a fused projection (n, m, 3 size): (3, n, heads, m, head size)."""
        return fused.unflatten(2, (3, self._heads, -1)).permute(2, 0, 3, 1, 4)


class LlamaBackbone:
    """The standard model's `LlamaModel`. Its projections are fused in place: upstream's modules
    become views of the fused weights.
    """

    def __init__(self, model: Any) -> None:
        config = model.config
        self._model = model
        self.layers = len(model.layers)
        self.heads: int = config.num_attention_heads
        self.head_size: int = config.head_dim
        self.reference: Tensor = model.norm.weight
        self._projections = [
            _fused(layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj)
            for layer in model.layers
        ]
        self._gates = [_fused(layer.mlp.gate_proj, layer.mlp.up_proj) for layer in model.layers]
        self._angles: tuple[Tensor, Tensor] | None = None

    def __call__(self, x: Tensor, cache: KeyValueCache, span: Span) -> Tensor:
        """See `Backbone`."""
        attend = _Attention(cache, span, self.heads)
        cos, sin = self._rotations(cache.length)
        turn = cos[span.positions][:, None], sin[span.positions][:, None]
        for n, layer in enumerate(self._model.layers):
            fused = F.linear(_normed(x, layer.input_layernorm), self._projections[n])
            parts = attend.split(fused)
            query, key = _turned(parts[:2], turn)
            x = x + layer.self_attn.o_proj(attend(n, query, key, parts[2]))
            fused = F.linear(_normed(x, layer.post_attention_layernorm), self._gates[n])
            gate, up = fused.chunk(2, -1)
            x = x + layer.mlp.down_proj(F.silu(gate) * up)
        return _normed(x, self._model.norm)

    def _rotations(self, length: int) -> tuple[Tensor, Tensor]:
        if self._angles is None or len(self._angles[0]) < length:
            at = torch.arange(length, device=self.reference.device)[None]
            cos, sin = self._model.rotary_emb(self.reference[:1], at)
            self._angles = cos[0], sin[0]
        return self._angles


class Gpt2Backbone:
    """Turbo's `GPT2Model`, whose positions are absolute and learned."""

    def __init__(self, model: Any) -> None:
        config = model.config
        self._model = model
        self.layers = len(model.h)
        self.heads: int = config.n_head
        self.head_size: int = config.n_embd // config.n_head
        self.reference: Tensor = model.ln_f.weight

    def __call__(self, x: Tensor, cache: KeyValueCache, span: Span) -> Tensor:
        """See `Backbone`."""
        attend = _Attention(cache, span, self.heads)
        x = x + self._model.wpe(span.positions)
        for n, block in enumerate(self._model.h):
            x = x + block.attn.c_proj(attend(n, *attend.split(block.attn.c_attn(block.ln_1(x)))))
            inner = F.gelu(block.mlp.c_fc(block.ln_2(x)), approximate="tanh")  # upstream's formula
            x = x + block.mlp.c_proj(inner)
        hidden: Tensor = self._model.ln_f(x)
        return hidden


def _fused(*projections: nn.Linear) -> Tensor:
    weight = torch.cat([each.weight.detach() for each in projections])
    parts = weight.split([each.out_features for each in projections])
    for each, part in zip(projections, parts, strict=True):
        each.weight = nn.Parameter(part, requires_grad=False)
    return weight


def _normed(x: Tensor, norm: Any) -> Tensor:
    """Upstream's `LlamaRMSNorm` in one operation: a step has 61 of them."""
    return F.rms_norm(x, norm.weight.shape, norm.weight, norm.variance_epsilon)


def _turned(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary position embedding (Su et al., 2021), halves swapped as in Llama."""
    cos, sin = turn
    low, high = x.chunk(2, -1)
    return x * cos + torch.cat([-high, low], -1) * sin


def backbone(tfmr: nn.Module) -> Backbone:
    """The backbone of an upstream `T3.tfmr`."""
    return Gpt2Backbone(tfmr) if hasattr(tfmr, "wpe") else LlamaBackbone(tfmr)
