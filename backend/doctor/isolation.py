"""Runs a check in a process of its own, with a time limit: it may crash, hang, or print."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from backend.doctor.checks.catalogue import Check
from backend.doctor.findings import CheckInputs, Finding

_END_S = 2.0  # until a killed process is left alone: one that waits for a driver cannot end
_COMMAND = (sys.executable, "-P", "-m", "backend.doctor.child")
_FOLDERS = (
    "CUDA_CACHE_PATH",
    "NUMBA_CACHE_DIR",
    "TORCHINDUCTOR_CACHE_DIR",
    "TRITON_CACHE_DIR",
    "XDG_CACHE_HOME",
    *("TMPDIR", "TEMP", "TMP"),  # some libraries leave files there
)
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")

Process = subprocess.Popen[bytes]


class CheckRunner:
    """Runs checks, several at a time from several threads. `scratch`: a temporary folder for
    whatever libraries cache.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._lock = threading.Lock()
        self._running: set[Process] = set()
        self._stopped = False

    def run(self, check: Check, inputs: CheckInputs) -> list[Finding]:
        """The check's findings, with one more if it crashed or hung. Blocks for the check's time
        limit at most, and some seconds.
        """
        try:
            with tempfile.TemporaryFile(dir=self._scratch) as errors:
                findings, failure = self._run(check, inputs, errors)
        except OSError as error:  # no memory, too many processes, a full disk
            findings, failure = [], f"cannot be run: {error}"
        return [*findings, _describe_failure(check, inputs, failure)] if failure else findings

    def _run(
        self, check: Check, inputs: CheckInputs, errors: IO[bytes]
    ) -> tuple[list[Finding], str]:
        """The findings, and what went wrong with the check itself; empty if nothing did."""
        process = self._start(errors)
        try:
            _send(process, {"module": check.module, "inputs": inputs.to_json()})
            findings, in_time = _receive(process, time.monotonic() + check.timeout_s)
        finally:
            _end(process)
            with self._lock:
                self._running.discard(process)
        if not in_time:
            return findings, f"hangs: no result within {check.timeout_s:.0f} s"
        errors.seek(0)
        return findings, _describe_end(process.returncode, errors.read())

    def stop(self) -> None:
        """End all checks, also those that have not begun; their findings are of no use."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                _kill(process)

    def _start(self, errors: IO[bytes]) -> Process:
        process = subprocess.Popen(
            _COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=_environment(self._scratch),
            start_new_session=True,  # to end also what it has started
        )
        with self._lock:
            self._running.add(process)
            if self._stopped:
                _kill(process)
        return process


def _environment(scratch: Path) -> Mapping[str, str]:
    """The environment of a check: no network, nothing written but temporary files."""
    return {
        **os.environ,
        **dict.fromkeys(_FOLDERS, str(scratch)),
        **dict.fromkeys((*_OFFLINE, "PYTHONDONTWRITEBYTECODE"), "1"),
    }


def _send(process: Process, task: Mapping[str, object]) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError), process.stdin:  # it has crashed already
        process.stdin.write(json.dumps(task).encode())


def _receive(process: Process, until_s: float) -> tuple[list[Finding], bool]:
    """The findings until the process ends, and whether it did so in time."""
    assert process.stdout is not None
    lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    # A thread, because a read has no time limit; it may stay behind with a process that cannot end.
    threading.Thread(target=_read_lines, args=(process.stdout, lines), daemon=True).start()
    findings: list[Finding] = []
    try:
        while (line := lines.get(timeout=max(0.0, until_s - time.monotonic()))) is not None:
            findings.append(Finding.from_json(json.loads(line)))
        process.wait(max(0.0, until_s - time.monotonic()))
    except (queue.Empty, subprocess.TimeoutExpired):
        return findings, False
    return findings, True


def _read_lines(stream: IO[bytes], lines: queue.SimpleQueue[bytes | None]) -> None:
    with stream:
        for line in stream:
            lines.put(line)
    lines.put(None)


def _kill(process: Process) -> None:
    """Kill the process and all that it has started."""
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _end(process: Process) -> None:
    _kill(process)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END_S)


def _describe_end(code: int | None, stderr: bytes) -> str:
    """Why a process ended by itself: its signal, or the last line that it printed."""
    if code == 0:
        return ""
    if code is not None and code < 0:
        with suppress(ValueError):
            return f"crashes ({signal.Signals(-code).name})"
        return f"crashes (signal {-code})"
    last = stderr.decode(errors="replace").strip().rpartition("\n")[2]
    return f"fails: {last[:300]}" if last else f"fails with status {code}"


def _describe_failure(check: Check, inputs: CheckInputs, failure: str) -> Finding:
    status = check.failure_status(inputs)
    return Finding("check", status, f"it {failure}", check.remedy, check.command)
