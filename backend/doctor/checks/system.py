"""The machine and the program: what a report must say."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from backend.cores import core_quota
from backend.doctor.findings import CHECKOUT, CheckInputs, Finding, Status, is_checkout
from backend.doctor.machine import (
    busy_share,
    git_commit,
    machine_name,
    memory_bytes,
    operating_system,
)

_BUSY_SHARE = 0.8
_LITTLE_MEMORY_BYTES = 1 << 30  # the server with the embedded voice takes 0.4 GB
_LITTLE_DISK_BYTES = 4 << 30  # the weights of one model


def run(inputs: CheckInputs) -> Iterator[Finding]:
    """What runs where, and whether the machine has time and memory left."""
    yield _describe_program()
    yield Finding("system", Status.OK, operating_system())
    yield Finding("python", Status.OK, f"{platform.python_version()}, {sys.executable}")
    yield _describe_processor()
    yield _check_load()
    yield _check_memory()
    yield _check_disk(inputs.models)


def _describe_program() -> Finding:
    try:
        version = importlib.metadata.version("duplex-tts")
    except importlib.metadata.PackageNotFoundError:
        version = "not installed"
    commit = git_commit()
    kind = f"checkout {commit}" if commit else "checkout" if is_checkout() else "installed package"
    values = {"version": version, "commit": commit}
    return Finding("duplex-tts", Status.OK, f"{version}, {kind}, in {CHECKOUT}", values=values)


def _describe_processor() -> Finding:
    quota = core_quota()
    limit = f", limited to the time of {quota:g} cores" if quota else ""
    return Finding("processor", Status.OK, machine_name() + limit)


def _check_load() -> Finding:
    busy = busy_share()
    text = f"{busy:.0%} busy over the last minute"
    if busy < _BUSY_SHARE:
        return Finding("load", Status.OK, text, values={"busy_share": busy})
    remedy = "end other programs (`top` shows them): the times below are worse than they could be"
    return Finding("load", Status.WARNING, text, remedy, values={"busy_share": busy})


def _check_memory() -> Finding:
    free, total = memory_bytes()
    values = {"free_bytes": free, "total_bytes": total}
    if not total:
        return Finding("memory", Status.OK, "unknown on this system", values=values)
    text = f"{free / 1e9:.1f} of {total / 1e9:.1f} GB available"
    if free >= _LITTLE_MEMORY_BYTES:
        return Finding("memory", Status.OK, text, values=values)
    remedy = "end other programs: the server takes 0.4 GB, 4 GB more with Chatterbox on a CPU"
    return Finding("memory", Status.WARNING, text, remedy, values=values)


def _check_disk(models: Path) -> Finding:
    folder = next((each for each in (models, *models.parents) if each.exists()), Path("/"))
    free = shutil.disk_usage(folder).free
    text = f"{free / 1e9:.1f} GB free for {models}"
    if free >= _LITTLE_DISK_BYTES:
        return Finding("disk", Status.OK, text, values={"free_bytes": free})
    remedy = "the weights of Chatterbox take 3.2 GB: free some, or set engine.models elsewhere"
    return Finding("disk", Status.ABSENT, text, remedy, values={"free_bytes": free})
