"""Weights whose attention over the text is known: in the first layer of a tiny T3 one head attends
to text token `t // pace` when speech token `t` is drawn, whatever the text and the speech are.

Keys hold the code of the text token's number, queries that of the token to attend to: points on
circles that turn at different speeds. Their product is largest where all agree.
The codes come from the position embeddings, in channels that nothing else uses. All text
embeddings have the same length and mean, so normalisation scales all keys alike; what it subtracts
cancels out, since heads read the code less its negative. Rotary embedding leaves
the slowest pairs of a head as they are; the codes are put there.

Turbo has positions of the whole sequence only: there the speech starts behind `text_tokens`, and
other texts are attended to in the wrong place.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from tests.support.chatterbox.tiny import SIZE, TURBO_PROMPT, tiny_t3

LAYER, HEAD = 0, 1
_HEAD_SIZE = SIZE // 4
_SLOW_PAIRS = (5, 13, 6, 14, 7, 15)  # of rotary embedding: cosines and sines of the circles
_KEYS, _QUERIES = slice(8, 20), slice(20, 32)  # channels: a code and its negative
_SHARPNESS = 40.0  # of the attention
_TURNS = (16, 128, 1024)  # text tokens


def attending_t3(*, turbo: bool, pace: int, text_tokens: int = 0) -> Any:
    """A tiny T3 that attends so with head `HEAD` of layer `LAYER`."""
    t3 = tiny_t3(turbo=turbo)
    with torch.no_grad():
        for embedding in (t3.text_emb, t3.speech_emb):
            embedding.weight[:, _KEYS.start : _QUERIES.stop] = 0
        text = t3.text_emb.weight
        used = text != 0
        text -= used * text.sum(1, keepdim=True) / used.sum(1, keepdim=True)
        text /= text.norm(dim=1, keepdim=True)
        if turbo:
            _plant_positions(t3.tfmr.wpe.weight, pace, text_tokens)
            _plant_fused_head(t3.tfmr.h[LAYER].attn.c_attn)
        else:
            places, speech = t3.text_pos_emb.emb.weight, t3.speech_pos_emb.emb.weight
            places[:] = 0
            places[:, _KEYS] = _encode(torch.arange(len(places)))
            speech[:, _KEYS.start : _QUERIES.stop] = 0
            speech[:, _QUERIES] = _encode(torch.arange(len(speech)) // pace)
            attention = t3.tfmr.layers[LAYER].self_attn
            _plant_head(attention.q_proj.weight, _QUERIES, _SHARPNESS)
            _plant_head(attention.k_proj.weight, _KEYS, 1)
    return t3


def _encode(numbers: Tensor) -> Tensor:
    """The codes of numbers (n,): (n, 12)."""
    angles = [2 * math.pi * numbers / turn for turn in _TURNS]
    code = torch.stack([part for angle in angles for part in (angle.cos(), angle.sin())], 1)
    return torch.cat([code, -code], 1)


def _plant_positions(weight: Tensor, pace: int, text_tokens: int) -> None:
    first = 1 + TURBO_PROMPT
    spoken = first + text_tokens
    weight[first:, 1:] = 0
    weight[first:spoken, _KEYS] = _encode(torch.arange(text_tokens))
    weight[spoken:, _QUERIES] = _encode(torch.arange(len(weight) - spoken) // pace)


def _plant_head(weight: Tensor, channels: slice, scale: float) -> None:
    """Let the head's rows of a projection, (out, in), read the code in `channels`."""
    rows = weight[HEAD * _HEAD_SIZE : (HEAD + 1) * _HEAD_SIZE]
    rows[:] = 0
    for n, row in enumerate(_SLOW_PAIRS):
        rows[row, channels.start + n] = scale / 2
        rows[row, channels.start + len(_SLOW_PAIRS) + n] = -scale / 2


def _plant_fused_head(projection: Any) -> None:
    queries, keys, _ = projection.weight.T.split(SIZE)
    _plant_head(queries, _QUERIES, _SHARPNESS)
    _plant_head(keys, _KEYS, 1)
    head = slice(HEAD * _HEAD_SIZE, (HEAD + 1) * _HEAD_SIZE)
    projection.bias[head] = projection.bias[SIZE:][head] = 0
