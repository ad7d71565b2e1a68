"""Operations that have a kernel of their own on CUDA, and the same in torch elsewhere."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

import structlog
import torch
import torch.nn.functional as F
from torch import Tensor, nn

log = structlog.get_logger(__name__)


@cache
def load_kernels(device: torch.device) -> ModuleType | None:
    """The Triton kernels; None, logged once, where they cannot run: without CUDA, without Triton
    or without a C compiler, which Triton needs. Blocks (seconds) on CUDA.
    """
    if device.type != "cuda":
        return None
    try:
        from backend.engines.chatterbox.device import triton_kernels

        _try_kernels(triton_kernels, device)
    except Exception as error:  # noqa: BLE001 - whatever a compiler raises: slower, not wrong
        why = (str(error).splitlines() or [type(error).__name__])[0]
        log.warning("kernels.unavailable", why=why, remedy="install triton and a C compiler (gcc)")
        return None
    return triton_kernels


def _try_kernels(kernels: Any, device: torch.device) -> None:
    x = torch.ones(1, 1, 3 * 64, device=device, dtype=torch.bfloat16)  # as they are used
    keys = torch.zeros(1, 1, 8, 64, device=device, dtype=x.dtype)
    position, none = torch.zeros(1, 1, dtype=torch.long, device=device), x.new_empty(0)
    kernels.attend(x, keys, keys.clone(), position, (none, none))
    kernels.add_norm(x, None, x[0, 0], None, 1e-5, x.dtype)


def add_norm(
    x: Tensor, added: Tensor | None, norm: Any, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """`x + added` (or `x`) in `x`'s precision, and its norm in `dtype`. `norm`: a `LayerNorm` or
    upstream's `LlamaRMSNorm`.
    """
    centred = isinstance(norm, nn.LayerNorm)
    eps = norm.eps if centred else norm.variance_epsilon
    bias = norm.bias if centred else None
    if (kernels := load_kernels(x.device)) is not None:
        total, normed = kernels.add_norm(x, added, norm.weight, bias, eps, dtype)
        return total, normed
    total = x if added is None else x + added
    shape = norm.weight.shape
    if centred and total.dtype != norm.weight.dtype:
        return total, F.layer_norm(total.float(), shape, norm.weight, bias, eps).to(dtype)
    if centred:
        return total, F.layer_norm(total, shape, norm.weight, bias, eps).to(dtype)
    return total, F.rms_norm(total, shape, norm.weight, eps).to(dtype)
