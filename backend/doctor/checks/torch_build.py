"""Torch: its build, and whether it can compute on each card."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from backend.doctor.checks.card import card_status, has_nvidia_card, unusable_status
from backend.doctor.findings import CheckInputs, Finding, Status, is_installed

INSTALL = "make install-chatterbox"
_SIZE = 256


def run(inputs: CheckInputs) -> Iterator[Finding]:
    """Version and CUDA; a product of matrices on each device."""
    if not is_installed("torch"):
        text = "not installed: Chatterbox needs it, the embedded voice does not"
        yield Finding("torch", inputs.if_missing, text, "in a checkout run", INSTALL)
        return
    import torch

    cuda = torch.version.cuda
    text = f"{torch.__version__}, {f'built for CUDA {cuda}' if cuda else 'built without CUDA'}"
    yield Finding("torch", Status.OK, text, values={"version": torch.__version__, "cuda": cuda})
    if not torch.cuda.is_available():
        yield _explain_no_device(inputs, torch)
        return
    for number in range(torch.cuda.device_count()):
        yield _try_device(inputs, torch, number)


def _explain_no_device(inputs: CheckInputs, torch: Any) -> Finding:
    status = card_status(inputs)
    if torch.version.cuda:
        try:
            torch.cuda.init()
            why = "no reason given"
        except (RuntimeError, AssertionError) as error:
            why = (str(error).splitlines() or [type(error).__name__])[0]
        remedy = "mend what the lines on the card say; then it is found"
        return Finding("device", status, f"torch finds no CUDA device: {why}", remedy)
    if not has_nvidia_card():
        text = "the CPU: Chatterbox is far slower than real time on it"
        return Finding("device", status, text, "use the embedded voice (--engine hibari)")
    text = "there is a card of NVIDIA, and this torch is built without CUDA"
    remedy = "install the same torch with CUDA"
    version = torch.__version__.partition("+")[0]
    command = f"{sys.executable} -m pip install --force-reinstall torch=={version}"
    return Finding("device", unusable_status(inputs), text, remedy, command)


def _try_device(inputs: CheckInputs, torch: Any, number: int) -> Finding:
    name = f"device {number}"
    properties = torch.cuda.get_device_properties(number)
    text = f"{properties.name}, sm_{properties.major}{properties.minor}"
    try:
        ones = torch.ones(_SIZE, _SIZE, device=f"cuda:{number}")
        is_right = bool(((ones @ ones) == _SIZE).all())
        free, total = torch.cuda.mem_get_info(number)
    except RuntimeError as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        remedy = "see `nvidia-smi` and `dmesg` (Xid); a torch for another CUDA may support it"
        if "no kernel image" in why:
            remedy = f"this torch supports {', '.join(torch.cuda.get_arch_list())}: install another"
        return Finding(name, inputs.if_broken, f"{text}: cannot compute ({why})", remedy)
    text += f", {free / 1e9:.1f} of {total / 1e9:.1f} GB free"
    values = {"free_bytes": free, "total_bytes": total, "bf16": torch.cuda.is_bf16_supported()}
    if is_right:
        return Finding(name, Status.OK, f"{text}, computes", values=values)
    remedy = "the card or its memory is faulty: test it (`nvidia-smi -q -d ECC`), restart"
    return Finding(name, inputs.if_broken, f"{text}, computes wrongly", remedy, values=values)
