"""The graphics card and its driver, as `nvidia-smi` sees them: works also if torch does not."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from backend.doctor.findings import CheckInputs, Finding, Status

_LIMIT_S = 20.0  # a card that has just been powered takes some seconds
_FIELDS = "name,driver_version,memory.total,memory.free,compute_cap,utilization.gpu"
_NVIDIA, _DISPLAY = "0x10de", "0x03"  # PCI vendor, and the class of display controllers
_PCI = Path("/sys/bus/pci/devices")
# The oldest driver for each major version of CUDA (NVIDIA's compatibility of minor versions).
_DRIVERS = {11: 450, 12: 525, 13: 580}
_DRIVER = _DRIVERS[13]  # for the torch of `make install-chatterbox`
_TURING, _AMPERE = 7.5, 8.0
_LITTLE_MIB = 4096  # Turbo's weights and a few slots


def run(inputs: CheckInputs) -> Iterator[Finding]:
    """Each card with its memory, and the driver against what torch needs."""
    program = shutil.which("nvidia-smi")
    if program is None:
        yield _explain_no_driver(inputs)
        return
    command = [program, f"--query-gpu={_FIELDS}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S)
    except OSError as error:
        yield _explain_failure(inputs, str(error))
        return
    except subprocess.TimeoutExpired:
        yield _explain_failure(inputs, f"no answer within {_LIMIT_S:.0f} s")
        return
    rows = [line.split(", ") for line in done.stdout.splitlines()]
    rows = [row for row in rows if len(row) == len(_FIELDS.split(","))]
    if done.returncode or not rows:
        yield _explain_failure(inputs, (done.stdout + done.stderr).strip())
        return
    yield _check_driver(inputs, rows[0][1])
    for number, row in enumerate(rows):
        yield _describe_card(inputs, f"card {number}", row)
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        yield Finding("selection", Status.OK, f"CUDA_VISIBLE_DEVICES={visible}")


def cuda_of_torch() -> int | None:
    """The major version of CUDA that the installed torch is built for, without importing it; None
    if it is built without, or not installed.
    """
    spec = importlib.util.find_spec("torch")
    with suppress(OSError):
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            source = (Path(folder) / "version.py").read_text(encoding="utf-8")
            if found := re.search(r"^cuda\b.*=\s*['\"](\d+)", source, re.MULTILINE):
                return int(found[1])
    return None


def has_nvidia_card(pci: Path = _PCI) -> bool:
    """Whether the machine has a card of NVIDIA, with a driver or without (Linux; else False)."""
    for device in pci.glob("*"):
        with suppress(OSError):
            vendor, kind = (device / "vendor").read_text(), (device / "class").read_text()
            if vendor.strip() == _NVIDIA and kind.startswith(_DISPLAY):
                return True
    return False


def card_status(inputs: CheckInputs) -> Status:
    """The status of a missing or unusable card: Chatterbox runs without, slowly, if it may."""
    device = inputs.settings.chatterbox.device
    if not inputs.needs_chatterbox or device == "cpu":
        return Status.ABSENT
    return Status.ERROR if device == "cuda" else Status.WARNING


def unusable_status(inputs: CheckInputs) -> Status:
    """The status of a card that is there and cannot be used."""
    status = card_status(inputs)
    return Status.WARNING if status is Status.ABSENT else status


def _explain_no_driver(inputs: CheckInputs) -> Finding:
    if has_nvidia_card():
        text = "there is a card of NVIDIA, and no nvidia-smi: its driver is not installed"
        remedy = (
            f"install NVIDIA's driver, {_DRIVER} or newer, and restart the machine; "
            "a container must be started with the card (docker run --gpus all)"
        )
        return Finding("card", unusable_status(inputs), text, remedy)
    text = "no card of NVIDIA found: the embedded voice needs none, Chatterbox does"
    remedy = f"a machine with a CUDA card (Turing or newer) and NVIDIA's driver {_DRIVER} or newer"
    return Finding("card", card_status(inputs), text, remedy)


def _explain_failure(inputs: CheckInputs, output: str) -> Finding:
    status = unusable_status(inputs)
    first = output.partition("\n")[0][:200] or "no output"
    if "not a valid field" in output.lower():
        remedy = f"the driver is too old: install {_DRIVER} or newer and restart the machine"
    else:
        remedy = (
            "restart the machine; if it stays so, install NVIDIA's driver again "
            f"({_DRIVER} or newer), and see `dmesg` (NVRM, Xid)"
        )
    return Finding("driver", status, f"nvidia-smi: {first}", remedy)


def _check_driver(inputs: CheckInputs, version: str) -> Finding:
    cuda = cuda_of_torch()
    needed = _DRIVERS.get(cuda, _DRIVER) if cuda else _DRIVER
    why = f"torch for CUDA {cuda} needs" if cuda else "torch of `make install-chatterbox` needs"
    text = f"{version}; {why} {needed} or newer"
    values = {"driver": version, "needed": needed}
    major = version.partition(".")[0]
    if not major.isdecimal() or int(major) >= needed:
        return Finding("driver", Status.OK, text, values=values)
    remedy = (
        f"install NVIDIA's driver {needed} or newer and restart the machine, "
        "or install a build of the same torch for an older CUDA"
    )
    status = unusable_status(inputs)
    return Finding("driver", status, f"too old: {text}", remedy, values=values)


def _describe_card(inputs: CheckInputs, name: str, row: list[str]) -> Finding:
    card, _, total, free, capability, busy = row
    text = f"{card}, compute capability {capability}"
    if free.isdecimal() and total.isdecimal():
        text += f", {int(free) / 1024:.1f} of {int(total) / 1024:.1f} GiB free"
    if busy.isdecimal():
        text += f", {busy} % busy"
    values = dict(zip(_FIELDS.split(","), row, strict=True))
    generation = _to_float(capability)
    if generation is not None and generation < _TURING:
        remedy = "Chatterbox needs a Turing card (compute capability 7.5) or newer"
        status = unusable_status(inputs)
        return Finding(name, status, text, remedy, values=values)
    if free.isdecimal() and int(free) < _LITTLE_MIB:
        remedy = "end what holds its memory; this lists it"
        return Finding(name, Status.WARNING, text, remedy, "nvidia-smi", values)
    if generation is not None and generation < _AMPERE:
        remedy = "it works; Ampere or newer (bfloat16, TF32) is several times as fast"
        return Finding(name, Status.WARNING, text, remedy, values=values)
    return Finding(name, Status.OK, text, values=values)


def _to_float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
