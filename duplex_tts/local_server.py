"""A server of one's own, as a child process: for a call of `say`, for tests, for a benchmark."""

from __future__ import annotations

import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from duplex_tts.errors import ClientError

READY_PREFIX = "duplex-tts ready on "
START_TIMEOUT_S = 300.0  # a large model reads gigabytes; a server that dies is noticed at once
STOP_TIMEOUT_S = 10.0
_LOG_TAIL_LINES = 5


class ServerFailed(ClientError):
    """The server did not start; the message ends with the last lines of its log."""


@contextmanager
def local_server(*flags: str, start_timeout_s: float = START_TIMEOUT_S) -> Iterator[str]:
    """Run a server on a free port; yields `http://host:port` once it is ready, stops it on leaving.

    Blocks while it starts (seconds). `flags` are those of `backend/main.py`. It stays in the
    caller's process group, so that a closed terminal ends it too. Raises `ServerFailed`.
    """
    # -P: a folder named `backend` where the user happens to be is not ours.
    command = [sys.executable, "-P", "-m", "backend.main", "--port", "0", *flags]
    with tempfile.TemporaryFile() as log:
        process = None
        try:  # from before it runs on: an interruption must not leave it behind
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True
            )
            yield _address(process, log, start_timeout_s)
        finally:
            if process is not None:
                _stop(process)


def _address(process: subprocess.Popen[str], log: IO[bytes], timeout_s: float) -> str:
    found: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:  # goes on reading: a full pipe would stop the server
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(READY_PREFIX):
                found.put(line.removeprefix(READY_PREFIX).strip())
        found.put(None)

    threading.Thread(target=read, name="server-stdout", daemon=True).start()
    try:
        address = found.get(timeout=timeout_s)
    except queue.Empty:
        raise ServerFailed(f"the server was not ready within {timeout_s:g} s{_tail(log)}") from None
    if address is None:
        raise ServerFailed(f"the server did not start{_tail(log)}")
    return address


def _tail(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
    return "".join(f"\n  {line}" for line in lines)


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
