"""The run script of the add-on: its options become settings, and Home Assistant is told the port.

Runs as root, which alone may read the options; the server runs as the user of the image. Only the
standard library and the installed package: this file is in no package.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

OPTIONS = Path("/data/options.json")
USER, GROUP = 10001, 0  # of deploy/containers/Dockerfile
WYOMING_PORT = 10200

_PROGRAM = (sys.executable, "-P", "-m", "duplex_tts")
_QUALITIES = ("medium", "high", "low", "x_low")  # high: too slow for a small machine
_NOT_PASSED = (
    "SUPERVISOR",
    "HASSIO",
    "DUPLEX_TTS_ACCESS__CREATE_KEY",
    "DUPLEX_TTS_SERVER__PUBLIC_URL",
)
_STOPPED = (0, -signal.SIGTERM, 128 + signal.SIGTERM)
_TRIES, _FIRST_PAUSE_S, _ANSWER_S = 6, 1.0, 10.0


def log(message: str) -> None:
    """Print a line of the add-on's log."""
    print(f"duplex-tts add-on: {message}", file=sys.stderr, flush=True)


# --- the settings ---------------------------------------------------------------------------------


def to_environment(options: dict[str, Any], voice: str) -> dict[str, str]:
    """The server's settings, as environment variables. Exits if a key is impossible."""
    keys = [key for key in options.get("api_keys") or [] if key]
    if any("," in key for key in keys):  # it would be two keys, each easier to guess
        sys.exit("duplex-tts add-on: an API key must not have a comma")
    settings = {
        "SERVER__HOST": "0.0.0.0" if keys else "127.0.0.1",
        "ACCESS__API_KEYS": ",".join(keys),
        # Wyoming has no keys: it is reachable inside of Home Assistant, and elsewhere only if the
        # user opens its port. HTTP requires the keys all the same.
        "ACCESS__INSECURE": "true",
        "WYOMING__HOST": "0.0.0.0",
        "WYOMING__PORT": str(WYOMING_PORT),
        "WYOMING__ANNOUNCE": "never",  # the Supervisor is told instead
        "ENGINE__VOICE": voice,
        "ENGINE__SPEED": str(options.get("speed") or 1.0),
        "LOG__LEVEL": str(options.get("log_level") or "info"),
    }
    return {f"DUPLEX_TTS_{name}": value for name, value in settings.items()}


def server_environment() -> dict[str, str]:
    """The environment without what is for the add-on, or for the image on its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_NOT_PASSED)}


# --- voices ---------------------------------------------------------------------------------------


def choose_voice(options: dict[str, Any]) -> str:
    """The default voice; one of Piper's is downloaded. Empty: the server's own."""
    voice = (options.get("voice") or "").strip()
    language = (options.get("language") or "").strip()
    if not voice and language and not language.lower().startswith("en"):
        voice = find_voice(language)
    if "_" in voice and run_voices("get", voice) is None:
        log(f"the voice {voice} cannot be had: see the lines above; the built-in voice speaks")
        return ""
    return voice


def find_voice(language: str) -> str:
    """The voice of Piper's for a language: one that is here already, else that of one speaker in
    the best quality.
    """
    listed = run_voices("available", language, "--json")
    found = json.loads(listed) if listed else []
    if not found:
        log(f"there is no voice for {language!r}; the built-in voice speaks")
        return ""
    best = min(
        found,
        key=lambda each: (
            not each["installed"],
            each["speakers"] > 1,  # recorded by volunteers, often poorly
            _QUALITIES.index(each["quality"]),
        ),
    )
    return str(best["name"])


def run_voices(*arguments: str) -> str | None:
    """What `duplex-tts voices` prints; None if it fails, which its own message explains."""
    done = subprocess.run(
        [*_PROGRAM, "voices", *arguments],
        env=server_environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        **identity(),
    )
    return done.stdout if done.returncode == 0 else None


# --- the server -----------------------------------------------------------------------------------


def identity() -> dict[str, Any]:
    """The user of a child process: that of the image."""
    return {"user": USER, "group": GROUP, "extra_groups": []} if os.geteuid() == 0 else {}


def run_server(settings: dict[str, str]) -> int:
    """Run the server; tell Home Assistant once it is ready. Returns its exit status."""
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready,
    ):
        os.chmod(folder, 0o755)
        ready.bind(f"{folder}/notify")
        os.chmod(f"{folder}/notify", 0o666)
        environment = {**server_environment(), **settings, "NOTIFY_SOCKET": f"{folder}/notify"}
        server = subprocess.Popen([*_PROGRAM, "serve"], env=environment, **identity())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: server.send_signal(signal.SIGTERM))
        if wait_until_ready(ready, server):
            announce(f"tcp://{socket.gethostname()}:{WYOMING_PORT}", server)
        status = server.wait()
    return 0 if status in _STOPPED else status


def wait_until_ready(ready: socket.socket, server: subprocess.Popen[bytes]) -> bool:
    """Wait for the server's notification (see sd_notify(3)); False if it ends before."""
    ready.settimeout(0.5)
    while server.poll() is None:
        try:
            if b"READY=1" in ready.recv(4096).splitlines():
                return True
        except TimeoutError:
            continue
    return False


def announce(uri: str, server: subprocess.Popen[bytes]) -> None:
    """Have the Supervisor tell Home Assistant where Wyoming is."""
    token = os.environ.get("SUPERVISOR_TOKEN")
    if not token:
        log(f"no Supervisor here: add the integration Wyoming Protocol by hand, {uri}")
        return
    request = urllib.request.Request(
        f"{os.environ.get('SUPERVISOR_API', 'http://supervisor')}/discovery",
        json.dumps({"service": "wyoming", "config": {"uri": uri}}).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    for attempt in range(_TRIES):
        try:
            with urllib.request.urlopen(request, timeout=_ANSWER_S):
                log(f"Home Assistant was told of {uri}")
                return
        except OSError as error:
            why = error
        with suppress(subprocess.TimeoutExpired):
            server.wait(_FIRST_PAUSE_S * 2**attempt)
            return
    log(f"the Supervisor does not answer ({why}): add the integration by hand, {uri}")


def main() -> int:
    """Run the add-on."""
    options = json.loads(OPTIONS.read_text("utf-8"))
    if os.geteuid() == 0:
        os.chown(OPTIONS.parent, USER, GROUP)
    return run_server(to_environment(options, choose_voice(options)))


if __name__ == "__main__":
    sys.exit(main())
