"""The language model's transformer layers, over upstream's weights and a preallocated cache.

Keys and values are in one tensor, a row per sequence; a call takes adjacent rows and the new
positions of each, so sequences of different lengths advance together. The arithmetic is that of
`transformers`' LlamaModel and GPT2Model in evaluation mode, in fewer operations: a step of one
session is bound by kernel launches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.engines.chatterbox.device.fused import add_norm, load_kernels

Heads = Sequence[tuple[int, int]]  # layer and head of each


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


class AttentionWatch:
    """Notes how much some heads attend to each position of a text, in every `step`th row.

    `heads`: layer and head of each; `start`, `length`: of the text, (n,) each, of these rows.
    """

    def __init__(self, heads: Heads, start: Tensor, length: Tensor, step: int) -> None:
        self._heads = heads
        self._start, self._length = start[:, None], length[:, None]
        self._step = step
        self._weights: Tensor | None = None  # (n, positions)

    def note(self, layer: int, queries: Callable[[], Tensor], keys: Tensor) -> None:
        """Add the attention of a layer's heads. `queries`: computes (rows, heads, size); `keys`:
        (rows, heads, positions, size).
        """
        heads = [head for each, head in self._heads if each == layer]
        if not heads:
            return
        query, keys = queries()[:: self._step], keys[:: self._step]
        at = torch.arange(keys.size(2), device=keys.device)
        outside = (at < self._start) | (at >= self._start + self._length)
        for head in heads:  # a list as an index would be copied to the device
            scores = (keys[:, head] @ query[:, head, :, None])[..., 0].float()
            scores = scores * query.size(-1) ** -0.5
            weights = scores.masked_fill(outside, float("-inf")).softmax(-1)
            self._weights = weights if self._weights is None else self._weights + weights

    def most_attended(self) -> Tensor:
        """Index in the text of the token most attended to, (n,); 0 if no head was watched."""
        if self._weights is None:
            return torch.zeros_like(self._start[:, 0])
        return self._weights.argmax(-1) - self._start[:, 0]


@dataclass(frozen=True, slots=True)
class RowSpan:
    """The new `positions`, (n, m), of `n` rows: a slice, or their indices, (n,).

    `reach`: exclusive upper bound of all positions; attention is truncated to it. None: each row
    attends to its own positions, one new per row (only where the kernels are available). `watch`:
    notes attention, of spans of one new position per row.
    """

    rows: slice | Tensor
    positions: Tensor
    reach: int | None
    watch: AttentionWatch | None = None

    def attention_mask(self, dtype: torch.dtype) -> Tensor:
        """Causal mask to add to the attention scores, (n, 1, m, reach): 0 or minus infinity."""
        steps = torch.arange(self.reach or 0, device=self.positions.device)
        future = steps > self.positions[:, None, :, None]
        return torch.zeros_like(future, dtype=dtype).masked_fill_(future, float("-inf"))

    def row_index(self) -> Tensor:
        """The rows, (n, 1)."""
        if isinstance(self.rows, Tensor):
            return self.rows[:, None]
        start = self.rows.start
        rows = torch.arange(start, start + len(self.positions), device=self.positions.device)
        return rows[:, None]


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
    """Causal attention of one call: stores the new keys and values, then attends. `angles`: of the
    rotary embedding, cosines and sines by position.
    """

    def __init__(
        self, cache: KeyValueCache, span: RowSpan, heads: int, angles: Sequence[Tensor] = ()
    ) -> None:
        self._cache = cache
        self._span = span
        self._heads = heads
        self._angles = angles
        self._kernels = load_kernels(cache.keys.device) if span.reach is None else None
        if self._kernels is None:  # shared by all layers
            self._mask = span.attention_mask(cache.keys.dtype)
            self._rows = span.row_index()

    def __call__(self, layer: int, fused: Tensor) -> Tensor:
        """Output (n, m, size) of a fused projection, (n, m, 3 size)."""
        keys, values = self._cache.keys[layer], self._cache.values[layer]
        rows, reach, positions = self._span.rows, self._span.reach, self._span.positions
        if self._kernels is not None:
            angles = self._angles or (fused.new_empty(0), fused.new_empty(0))
            arguments = keys[rows], values[rows], positions, angles
            attended: Tensor = self._kernels.attend(fused, *arguments)
            self._note(layer, fused)
            return attended
        query, key, value = self._split(fused)
        keys[self._rows, :, positions] = key.transpose(1, 2)
        values[self._rows, :, positions] = value.transpose(1, 2)
        known = keys[:, :, :reach][rows], values[:, :, :reach][rows]
        result = F.scaled_dot_product_attention(query, *known, attn_mask=self._mask)
        self._note(layer, fused)
        return result.transpose(1, 2).flatten(2)

    def _split(self, fused: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, rotated, (n, heads, m, head size) each."""
        query, key, value = fused.unflatten(2, (3, self._heads, -1)).permute(2, 0, 3, 1, 4)
        if self._angles:
            turns = [each[self._span.positions][:, None] for each in self._angles]
            query, key = _rotate(torch.stack([query, key]), turns)
        return query, key, value

    def _note(self, layer: int, fused: Tensor) -> None:
        if (watch := self._span.watch) is not None:
            keys = self._cache.keys[layer][self._span.rows]
            keys = keys if self._span.reach is None else keys[:, :, : self._span.reach]
            watch.note(layer, lambda: self._split(fused)[0][:, :, 0], keys)


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
        attend = _Attention(cache, span, self.heads, self._rotations(cache.length))
        added: Tensor | None = None
        for n, layer in enumerate(self._model.layers):
            x, normed = add_norm(x, added, layer.input_layernorm, x.dtype)
            attended = attend(n, F.linear(normed, self._projections[n]))
            added = layer.self_attn.o_proj(attended)
            x, normed = add_norm(x, added, layer.post_attention_layernorm, x.dtype)
            gate, up = F.linear(normed, self._gates[n]).chunk(2, -1)
            added = layer.mlp.down_proj(F.silu(gate) * up)
        return add_norm(x, added, self._model.norm, x.dtype)[1]

    def _rotations(self, length: int) -> tuple[Tensor, Tensor]:
        if self._angles is None or len(self._angles[0]) < length:
            at = torch.arange(length, device=self.reference.device)[None]
            cos, sin = self._model.rotary_emb(self.reference[:1], at)
            self._angles = cos[0].contiguous(), sin[0].contiguous()
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
        added: Tensor | None = None
        for n, block in enumerate(self._model.h):
            x, normed = add_norm(x, added, block.ln_1, x.dtype)
            added = block.attn.c_proj(attend(n, block.attn.c_attn(normed)))
            x, normed = add_norm(x, added, block.ln_2, x.dtype)
            inner = F.gelu(block.mlp.c_fc(normed), approximate="tanh")  # upstream's formula
            added = block.mlp.c_proj(inner)
        return add_norm(x, added, self._model.ln_f, x.dtype)[1]


def _fuse(*projections: nn.Linear) -> Tensor:
    weight = torch.cat([projection.weight.detach() for projection in projections])
    parts = weight.split([projection.out_features for projection in projections])
    for projection, part in zip(projections, parts, strict=True):
        projection.weight = nn.Parameter(part, requires_grad=False)
    return weight


def _rotate(x: Tensor, angles: Sequence[Tensor]) -> Tensor:
    """Rotary position embedding (Su et al., 2021), halves swapped as in Llama."""
    cos, sin = angles
    low, high = x.chunk(2, -1)
    return x * cos + torch.cat([-high, low], -1) * sin


def create_backbone(tfmr: nn.Module) -> Backbone:
    """The backbone of an upstream `T3.tfmr`."""
    return Gpt2Backbone(tfmr) if hasattr(tfmr, "wpe") else LlamaBackbone(tfmr)
