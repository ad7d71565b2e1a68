"""`duplex-tts doctor` as a stranger runs it: an empty home, a broken torch, no network."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.repository import ROOT

# Of every process: raises if it would reach another machine.
_OFFLINE = """
import sys

def refuse(event, arguments):
    if event == "socket.connect" and arguments[1][0] not in ("127.0.0.1", "::1"):
        raise OSError(f"this test allows no network: {arguments[1]}")
    if event == "socket.getaddrinfo" and arguments[0] not in ("127.0.0.1", "localhost"):
        raise OSError(f"this test allows no network: {arguments[0]}")

sys.addaudithook(refuse)
"""
_KEY = "a-very-secret-key"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder of packages that are found first: torch is broken, the network closed."""
    folder = tmp_path / "packages"
    (folder / "torch").mkdir(parents=True)
    (folder / "torch" / "__init__.py").write_text("raise OSError('libcudart is broken')")
    (folder / "sitecustomize.py").write_text(_OFFLINE)
    return folder


def start(home: Path, packages: Path, *options: str) -> subprocess.Popen[str]:
    environment = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join((str(packages), str(ROOT))),
        "PYTHONDONTWRITEBYTECODE": "1",
        "DUPLEX_TTS_ACCESS__API_KEYS": _KEY,
        "TMPDIR": str(packages.parent),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "duplex_tts", "doctor", "--port", "0", *options],
        env=environment,
        cwd=home,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run_json(home: Path, packages: Path, *options: str) -> tuple[int, list[dict[str, Any]]]:
    process = start(home, packages, "--json", *options)
    out, errors = process.communicate(timeout=300)
    assert not errors
    assert _KEY not in out
    return process.returncode, json.loads(out)["findings"]


@pytest.mark.slow
@pytest.mark.timeout(330)
def test_a_broken_torch_keeps_nobody_from_the_embedded_voice(home: Path, packages: Path) -> None:
    models = packages.parent / "models"
    code, findings = run_json(home, packages, "--set", f"engine.models={models}")
    found = {(each["section"], each["name"]): each for each in findings}
    assert code == 0, [each for each in findings if each["status"] == "error"]
    assert found["Torch", "check"]["status"] == "warning"
    assert "libcudart is broken" in found["Torch", "check"]["text"]
    assert found["Self-test", "engine"]["text"].startswith("hibari: ")
    assert found["Self-test", "sound"]["status"] == "ok"
    assert found["Self-test", "speed"]["values"]["first_sound_ms"] > 0
    assert found["Settings", "access.api_keys"]["text"].startswith("*** ")
    assert [*home.iterdir()] == []
    assert not models.exists()
    assert {path.name for path in packages.parent.iterdir()} == {"home", "packages"}
    for each in findings:
        assert each["status"] == "ok" or each["remedy"] or each["command"]


@pytest.mark.slow
@pytest.mark.timeout(330)
def test_a_broken_torch_is_an_error_for_who_wants_chatterbox(home: Path, packages: Path) -> None:
    options = ("--quick", "--engine", "chatterbox", "--set", "engine.models=none")
    code, findings = run_json(home, packages, *options)
    errors = {each["section"] for each in findings if each["status"] == "error"}
    assert code == 1
    assert {"Torch", "Weights"} <= errors
    assert [*home.iterdir()] == []


@pytest.mark.slow
def test_ctrl_c_ends_a_hanging_check_at_once(home: Path, packages: Path) -> None:
    started = packages.parent / "started"
    hang = f"import pathlib, time\npathlib.Path({str(started)!r}).touch()\ntime.sleep(600)"
    (packages / "torch" / "__init__.py").write_text(hang)
    process = start(home, packages, "--quick")
    while not started.exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert "Traceback" not in errors


def test_without_a_temporary_folder_it_says_so(home: Path, packages: Path) -> None:
    (packages / "sitecustomize.py").write_text("import tempfile\ntempfile.tempdir = '/nowhere'")
    _, errors = start(home, packages, "--quick").communicate(timeout=60)
    assert errors.startswith("duplex-tts: ")
    assert errors.endswith("set TMPDIR to a folder that can be written\n")
    assert errors.count("\n") == 1


def test_help_teaches(home: Path, packages: Path) -> None:
    out, _ = start(home, packages, "--help").communicate(timeout=60)
    for word in ("--all", "--quick", "--random-weights", "--timeout", "--json", "Exit status"):
        assert word in out
    assert all(len(line) <= 80 for line in out.splitlines())
