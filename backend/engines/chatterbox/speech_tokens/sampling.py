"""Sampling of speech tokens: many sessions in one call, each drawn as upstream would.

The samplers repeat the order of operations of `chatterbox-tts` 0.1.7 (`T3.inference`,
`T3.inference_turbo`). A token is drawn as `argmax(p / e)`, e exponential noise, as
`torch.multinomial` does (Gumbel-max trick), so that a session's generator gives the tokens that
upstream draws from the global one in the same state.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

TOP_K = 1000  # of Turbo; fixed upstream


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling parameters of one session."""

    temperature: float = 0.8
    top_p: float = 1.0
    min_p: float = 0.05
    repetition_penalty: float = 1.2
    cfg_weight: float = 0.5


class SamplingRows:
    """The sampling parameters of all slots: columns (slots, 1) on the model's device."""

    def __init__(self, slots: int, device: torch.device) -> None:
        def column() -> Tensor:
            return torch.ones(slots, 1, device=device)

        self.temperature, self.top_p, self.min_p = column(), column(), column()
        self.repetition_penalty, self.cfg_weight = column(), column()

    def set_row(self, slot: int, sampling: Sampling) -> None:
        """Set a slot's parameters."""
        self.temperature[slot] = sampling.temperature
        self.top_p[slot] = sampling.top_p
        self.min_p[slot] = sampling.min_p
        self.repetition_penalty[slot] = sampling.repetition_penalty
        self.cfg_weight[slot] = sampling.cfg_weight


def standard_scores(
    logits: Tensor, seen: Tensor, rows: SamplingRows, at: slice, *, sorts: bool = True
) -> Tensor:
    """The standard model: repetition penalty, temperature, min_p, top_p.

    `logits`, `seen`: (n, vocabulary), guidance applied; `at`: the sessions' slots; `sorts`: False
    if every `top_p` is 1, which saves a sort. Returns log-probabilities up to a constant, -inf for
    excluded tokens.
    """
    scores = (
        _apply_repetition_penalty(logits, seen, rows.repetition_penalty[at]) / rows.temperature[at]
    )
    probabilities = scores.softmax(-1)
    threshold = rows.min_p[at] * probabilities.amax(-1, keepdim=True)
    scores = scores.masked_fill(probabilities < threshold, float("-inf"))
    return _apply_top_p(scores, rows.top_p[at]) if sorts else scores


def draw_turbo(logits: Tensor, seen: Tensor, rows: SamplingRows, noise: Tensor) -> Tensor:
    """Draw one token per row, (n,), with Turbo's temperature, top_k, top_p, repetition penalty, of
    the first n slots. Works on the `TOP_K` best tokens, not on the vocabulary.
    """
    at = slice(0, len(logits))
    scores, tokens = (logits / rows.temperature[at]).topk(min(TOP_K, logits.size(-1)))
    worse = scores.softmax(-1).flip(-1).cumsum(-1).flip(-1)  # the share of this and worse tokens
    removed = (worse <= 1 - rows.top_p[at]) & (rows.top_p[at] < 1)
    removed[..., 0] = False
    scores = scores.masked_fill(removed, float("-inf"))
    penalty = rows.repetition_penalty[at]
    scores = _apply_repetition_penalty(scores, seen.gather(1, tokens), penalty)
    best = draw(scores, noise.gather(1, tokens))
    return tokens.gather(1, best[:, None])[:, 0]


def draw(scores: Tensor, noise: Tensor) -> Tensor:
    """Draw one token per row, (n,). `noise`: Exp(1), shaped like `scores`."""
    return (scores.softmax(-1) / noise).argmax(-1)


def _apply_repetition_penalty(scores: Tensor, seen: Tensor, penalty: Tensor) -> Tensor:
    return torch.where(seen, torch.where(scores < 0, scores * penalty, scores / penalty), scores)


def _apply_top_p(scores: Tensor, top_p: Tensor) -> Tensor:
    """Keep the most likely tokens that together reach `top_p`; all where it is 1."""
    ascending, order = scores.sort(descending=False)
    removed = ascending.softmax(-1).cumsum(-1) <= 1 - top_p
    removed[..., -1:] = False
    removed &= top_p < 1
    return scores.masked_fill(torch.zeros_like(removed).scatter(1, order, removed), float("-inf"))
