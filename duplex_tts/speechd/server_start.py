"""Starts a server that outlives the output module, because the daemon ends modules when idle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from platformdirs import user_state_path

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_COMMAND_MARK = "backend.main"


def state_folder() -> Path:
    """Where the started server's log and process id are."""
    return user_state_path("duplex-tts") / "speechd"


def can_start(url: str) -> bool:
    """Whether a server of this address can be started: it is this machine's, without TLS or path.

    `url`: as from `websocket_url`.
    """
    parts = urlsplit(url)
    return parts.scheme == "ws" and parts.hostname in _LOOPBACK and parts.path == "/ws/tts"


def start_server(url: str) -> subprocess.Popen[bytes]:
    """Start a server at this address, in a session of its own. Returns at once.

    Raises `OSError`.
    """
    parts = urlsplit(url)
    folder = state_folder()
    folder.mkdir(parents=True, exist_ok=True)
    # -P: do not import a `backend` folder of the current directory.
    command = [sys.executable, "-P", "-m", _COMMAND_MARK, "--port", str(parts.port or 80)]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--host", parts.hostname or _LOOPBACK[0]],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (folder / "server.pid").write_text(f"{process.pid}\n", encoding="ascii")
    return process


def started_server() -> int | None:
    """The process id of the server that a module has started; None if it does not run."""
    with suppress(OSError, ValueError):
        pid = int((state_folder() / "server.pid").read_text(encoding="ascii"))
        if _COMMAND_MARK.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    return None


def stop_started_server() -> int | None:
    """End it; returns its process id, None if none runs. Does not wait."""
    pid = started_server()
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
    return pid


def last_log_line() -> str:
    """The last line of the started server's log; empty if there is none."""
    with suppress(OSError):
        lines = (state_folder() / "server.log").read_text(errors="replace").splitlines()
        return lines[-1] if lines else ""
    return ""
