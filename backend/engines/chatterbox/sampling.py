"""Choosing speech tokens: many sessions in one call, each as upstream would choose its own.

The samplers repeat the order of operations of `chatterbox-tts` 0.1.7 (`T3.inference`,
`T3.inference_turbo`). A token is drawn as `argmax(p / e)`, e exponential noise: the race that
`torch.multinomial` runs (Gumbel-max trick), so that a session's own generator gives the tokens that
upstream draws from the global one in the same state.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

TOP_K = 1000  # of Turbo; upstream offers no other


@dataclass(frozen=True, slots=True)
class Sampling:
    """How one session's tokens are chosen."""

    temperature: float = 0.8
    top_p: float = 1.0
    min_p: float = 0.05
    repetition_penalty: float = 1.2
    cfg_weight: float = 0.5


class SamplingRows:
    """The sessions' parameters as columns, shape (slots, 1) each, on the model's device."""

    def __init__(self, slots: int, device: torch.device) -> None:
        def column() -> Tensor:
            return torch.ones(slots, 1, device=device)

        self.temperature, self.top_p, self.min_p = column(), column(), column()
        self.repetition_penalty, self.cfg_weight = column(), column()

    def put(self, slot: int, sampling: Sampling) -> None:
        """Set a slot's parameters."""
        self.temperature[slot] = sampling.temperature
        self.top_p[slot] = sampling.top_p
        self.min_p[slot] = sampling.min_p
        self.repetition_penalty[slot] = sampling.repetition_penalty
        self.cfg_weight[slot] = sampling.cfg_weight


def standard_scores(logits: Tensor, seen: Tensor, rows: SamplingRows, at: slice) -> Tensor:
    """The standard model: repetition penalty, temperature, min_p, top_p.

    `logits`, `seen`: (n, vocabulary), guidance applied; `at`: the sessions' slots. Returns
    log-probabilities up to a constant, -inf for what must not be drawn.
    """
    scores = _penalised(logits, seen, rows.repetition_penalty[at]) / rows.temperature[at]
    probabilities = scores.softmax(-1)
    least = rows.min_p[at] * probabilities.amax(-1, keepdim=True)
    scores = scores.masked_fill(probabilities < least, float("-inf"))
    return _nucleus(scores, rows.top_p[at])


def turbo_scores(logits: Tensor, seen: Tensor, rows: SamplingRows, at: slice) -> Tensor:
    """Turbo: temperature, top_k, top_p, repetition penalty. See `standard_scores`."""
    scores = logits / rows.temperature[at]
    kth = scores.topk(min(TOP_K, scores.size(-1)))[0][..., -1:]
    scores = _nucleus(scores.masked_fill(scores < kth, float("-inf")), rows.top_p[at])
    return _penalised(scores, seen, rows.repetition_penalty[at])


def draw(scores: Tensor, noise: Tensor) -> Tensor:
    """One token a row, (n,): the winner of the exponential race. `noise`: Exp(1), like `scores`."""
    return (scores.softmax(-1) / noise).argmax(-1)


def _penalised(scores: Tensor, seen: Tensor, penalty: Tensor) -> Tensor:
    return torch.where(seen, torch.where(scores < 0, scores * penalty, scores / penalty), scores)


def _nucleus(scores: Tensor, top_p: Tensor) -> Tensor:
    """Keep the likeliest tokens that together reach `top_p`; all of them where it is 1."""
    ascending, order = scores.sort(descending=False)
    out = ascending.softmax(-1).cumsum(-1) <= 1 - top_p
    out[..., -1:] = False
    out &= top_p < 1
    return scores.masked_fill(torch.zeros_like(out).scatter(1, order, out), float("-inf"))
