"""Runs the real server as a child process: the project's Python, the embedded voice, loopback."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.repository import ROOT

PYTHON = ROOT / ".venv" / "bin" / "python"
START_TIMEOUT_S = 60.0
_READY = "duplex-tts ready on http://"


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server's address and required key (None: no key needed)."""

    address: str
    key: str | None = None

    @property
    def http(self) -> str:
        """The base URL for HTTP."""
        return f"http://{self.address}"

    @property
    def ws(self) -> str:
        """The base URL for WebSockets."""
        return f"ws://{self.address}"


@contextmanager
def running_server(*flags: str, key: str | None = None) -> Iterator[RunningServer]:
    """Run a server on a free port until the block ends. Blocks while it starts (seconds)."""
    command = [str(PYTHON), "-P", "-m", "backend.main", "--port", "0", *flags]
    environment = {**os.environ, "DUPLEX_TTS_ACCESS__API_KEYS": key or ""}
    with tempfile.TemporaryFile() as log, tempfile.TemporaryDirectory() as lexicons:
        environment["DUPLEX_TTS_LEXICON__FOLDER"] = lexicons
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            yield RunningServer(_read_address(process), key)
        except BaseException:
            log.seek(0)
            print(log.read().decode(errors="replace")[-4000:])
            raise
        finally:
            process.terminate()
            process.wait(20)


def _read_address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    timeout = threading.Timer(START_TIMEOUT_S, process.kill)
    timeout.start()
    for line in process.stdout:
        if line.startswith(_READY):
            timeout.cancel()
            return line.removeprefix(_READY).strip()
    timeout.cancel()
    raise RuntimeError("the server did not start; its log is above")
