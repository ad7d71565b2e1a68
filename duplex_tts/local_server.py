"""Runs a server as a child process: for one call of `say`, for tests, for benchmarks."""

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
START_TIMEOUT_S = 300.0  # loading a large model; a server that exits is noticed at once
STOP_TIMEOUT_S = 10.0
_LOG_TAIL_LINES = 5
# Whatever the environment and the settings file say for a server that others use: this one is the
# caller's alone.
_OWN = (
    *("--host", "127.0.0.1", "--port", "0", "--replicas", "0", "--set", "wyoming.port=0"),
    *("--set", "access.create_key=false", "--set", "access.api_keys_file="),
    *("--set", "access.api_keys=", "--set", "access.admin_key="),
)


class ServerFailed(ClientError):
    """The server did not start; the message ends with the last lines of its log."""


@contextmanager
def local_server(*flags: str, start_timeout_s: float = START_TIMEOUT_S) -> Iterator[str]:
    """Run a server on a free port; yields `http://host:port` when ready, stops it on exit.

    Blocks while it starts (seconds). `flags` are those of `backend/main.py`. It stays in the
    caller's process group, so that closing the terminal ends it; it also ends with a caller that
    is killed. Raises `ServerFailed`.
    """
    # -P: do not import a `backend` folder of the current directory.
    command = [sys.executable, "-P", "-m", "backend.main", "--stop-with-stdin", *_OWN]
    with tempfile.TemporaryFile() as log:
        process = None
        try:  # entered before the start: an interrupt must not leave the process running
            process = subprocess.Popen(
                [*command, *flags],
                stdin=subprocess.PIPE,  # the system closes it when this process is killed
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
            yield _wait_for_address(process, log, start_timeout_s)
        finally:
            if process is not None:
                _stop_process(process)


def _wait_for_address(process: subprocess.Popen[str], log: IO[bytes], timeout_s: float) -> str:
    addresses: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read_stdout() -> None:  # keeps reading: a full pipe would block the server
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(READY_PREFIX):
                addresses.put(line.removeprefix(READY_PREFIX).strip())
        addresses.put(None)

    threading.Thread(target=read_stdout, name="server-stdout", daemon=True).start()
    try:
        address = addresses.get(timeout=timeout_s)
    except queue.Empty:
        message = f"the server was not ready within {timeout_s:g} s{_log_tail(log)}"
        raise ServerFailed(message) from None
    if address is None:
        raise ServerFailed(f"the server did not start{_log_tail(log)}")
    return address


def _log_tail(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
    return "".join(f"\n  {line}" for line in lines)


def _stop_process(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
