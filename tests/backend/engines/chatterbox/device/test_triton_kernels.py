"""The kernels compute what torch does. They run on CUDA; where Triton is installed without a card,
`TRITON_INTERPRET=1` runs them on the CPU.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from backend.engines.chatterbox.device.fused import add_norm, load_kernels
from backend.engines.chatterbox.speech_tokens.backbone import _rotate

pytest.importorskip("triton")
ON_CUDA = torch.cuda.is_available()
if not (ON_CUDA or os.environ.get("TRITON_INTERPRET")):
    pytest.skip("needs a CUDA device or Triton's interpreter", allow_module_level=True)

from backend.engines.chatterbox.device import triton_kernels as kernels  # noqa: E402

DEVICE = "cuda" if ON_CUDA else "cpu"
LENGTH = 300


@pytest.fixture(autouse=True)
def repeatable() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.device(DEVICE):
        yield


@pytest.mark.parametrize("rotary", [False, True])
@pytest.mark.parametrize("rows", [1, 3, 40])  # many, few and no parts of the keys
def test_attention_of_a_new_position(rows: int, rotary: bool) -> None:
    heads, size = 4, 16
    fused = torch.randn(rows, 1, 3 * heads * size)
    keys, values = torch.randn(2, rows, heads, LENGTH, size)
    positions = torch.randint(0, LENGTH, (rows, 1))
    positions[0] = 0
    angles: Any = torch.randn(2, LENGTH, size) if rotary else torch.zeros(2, 0)
    query, key, value = fused.unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    if rotary:
        query, key = _rotate(torch.stack([query, key]), angles[:, positions][:, :, None])
    expected_keys, expected_values, row = keys.clone(), values.clone(), torch.arange(rows)[:, None]
    expected_keys[row, :, positions] = key.transpose(1, 2)
    expected_values[row, :, positions] = value.transpose(1, 2)
    known = (torch.arange(LENGTH) <= positions)[:, None, None]
    expected = F.scaled_dot_product_attention(
        query, expected_keys, expected_values, attn_mask=known
    )
    actual = kernels.attend(fused, keys, values, positions, tuple(angles))
    torch.testing.assert_close(actual, expected.transpose(1, 2).flatten(2), atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(keys, expected_keys)
    torch.testing.assert_close(values, expected_values)


@pytest.mark.parametrize("columns", [100, 256])
@pytest.mark.parametrize("adds", [False, True])
def test_norms_of_sums(columns: int, adds: bool) -> None:
    x, added = torch.randn(3, 9, columns)[:, 2:], torch.randn(3, 7, columns)
    weight, bias = torch.randn(2, columns)
    given: Tensor | None = added if adds else None
    total, normed = kernels.add_norm(x, given, weight, bias, 1e-5, torch.float32)
    torch.testing.assert_close(total, x + added if adds else x)
    torch.testing.assert_close(normed, F.layer_norm(total, (columns,), weight, bias, 1e-5))
    total, normed = kernels.add_norm(x, given, weight, None, 1e-6, torch.bfloat16)
    expected = F.rms_norm(total, (columns,), weight, 1e-6)
    torch.testing.assert_close(normed.float(), expected, atol=0.05, rtol=0.01)


def test_kernels_are_used_on_cuda_only() -> None:
    assert (load_kernels(torch.device(DEVICE)) is not None) == ON_CUDA
    norm = torch.nn.LayerNorm(64)
    _, normed = add_norm(torch.randn(2, 64), torch.randn(2, 64), norm, torch.float32)
    assert normed.shape == (2, 64)
