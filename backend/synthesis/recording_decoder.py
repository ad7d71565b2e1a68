"""Has a recording decoded by another process, with limits (`audio/decoder_process`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import structlog

import backend
from backend.audio.recordings import FORMATS, FloatArray
from backend.errors import BadMessage

log = structlog.get_logger(__name__)

_PROGRAM = (sys.executable, "-m", "backend.audio.decoder_process")
_TIMEOUT_S = 30.0  # a second on an idle machine, most of it imports
# Nothing else is passed on: the server's environment may hold its API keys.
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "TEMP")
_FOLDER = Path(backend.__file__).resolve().parents[1]


def decode_recording(
    recording: Path, program: Sequence[str] = _PROGRAM, timeout_s: float = _TIMEOUT_S
) -> tuple[FloatArray, int]:
    """The samples (frames, channels) of a recording, of little more than `LONGEST_S` at most, and
    their rate. Blocks (a second). Raises `BadMessage`, also if the decoder crashes or exceeds its
    memory, its computing time or `timeout_s`.
    """
    try:
        done = subprocess.run(
            [*program, os.fspath(recording.absolute())],
            cwd=_FOLDER,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:  # `run` has killed it
        raise _undecodable(f"no result in {timeout_s:g} s") from error
    if done.returncode:
        last_line = (done.stderr.decode(errors="replace").strip().splitlines() or [""])[-1]
        raise _undecodable(f"exit status {done.returncode} {last_line[:200]}".strip())
    return _parse(done.stdout)


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    # One thread of BLAS: each reserves memory that counts for the limit.
    return {**kept, "PYTHONPATH": os.fspath(_FOLDER), "OPENBLAS_NUM_THREADS": "1"}


def _parse(output: bytes) -> tuple[FloatArray, int]:
    line, _, body = output.partition(b"\n")
    head = json.loads(line)
    if "error" in head:
        raise BadMessage(head["error"])
    samples = np.frombuffer(body, np.float32).reshape(-1, head["channels"])
    return samples, head["rate_hz"]


def _undecodable(why: str) -> BadMessage:
    log.warning("recording.not_decoded", why=why)
    return BadMessage(
        "audio: the recording could not be decoded: its decoder crashed, or needed too much time "
        f"or memory; export it again ({FORMATS})"
    )
