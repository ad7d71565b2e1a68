"""`--replicas`: refused starts, shares of the machine, and the whole program."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from backend.config import Settings
from backend.errors import ConfigError
from backend.main import main
from backend.transport.listener import listen
from tests.support.repository import ROOT


def test_without_ray_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise ModuleNotFoundError("No module named 'ray'", name="ray")

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(SystemExit) as stop:
        main(["--replicas", "2"])
    assert "pip install 'duplex-tts[cluster]'" in str(stop.value.code)


def test_a_machine_is_divided_equally(monkeypatch: pytest.MonkeyPatch) -> None:
    program = pytest.importorskip("backend.ray_serve.program", reason="make install-cluster")
    monkeypatch.setattr(program, "_CORES", 8)

    def shares(**cluster: object) -> tuple[float, int]:
        settings = program.divide_machine(Settings.model_validate({"cluster": cluster}))
        return settings.cluster.cpus_per_replica, settings.engine.threads

    assert shares(replicas=2) == (4, 4)
    assert shares(replicas=3) == (2, 2)
    assert shares(replicas=16) == (1, 1)
    assert shares(replicas=2, cpus_per_replica=3.0) == (3, 3)
    assert shares(replicas=2, cpus_per_replica=0.5) == (0.5, 1)
    assert shares(replicas=2, address="auto") == (1, 1)


def test_wyoming_is_refused() -> None:
    deployment = pytest.importorskip("backend.ray_serve.deployment", reason="make install-cluster")
    settings = Settings.model_validate({"wyoming": {"port": 10200}})
    with pytest.raises(ConfigError, match="without --replicas"):
        deployment.create_application(settings)


def test_a_signal_of_the_start_leaves_no_alarm_of_rays_handler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = pytest.importorskip("backend.ray_serve.program", reason="make install-cluster")
    monkeypatch.setattr(program, "_handle_signals", lambda _: None)
    signal.alarm(100)
    with pytest.raises(KeyboardInterrupt):
        program._interrupt()
    assert signal.alarm(0) == 0


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_program_announces_itself_and_ends_with_all_of_ray(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="make install-cluster")
    with listen("127.0.0.1", 0) as listener:
        port = str(listener.getsockname()[1])
    command = [sys.executable, str(ROOT / "backend" / "main.py"), "--replicas", "2", "--port", port]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        ) as program,
    ):
        assert program.stdout is not None
        announced = next(line for line in program.stdout if line.startswith("duplex-tts ready on"))
        assert httpx.get(f"{announced.split()[-1]}/readyz").json()["ready"] is True
        children = _descendants(program.pid)
        program.send_signal(signal.SIGTERM)
        program.stdout.read()
        assert program.wait(timeout=60) == 0
    # By Ray's own handler, which aborts the process if ending takes more than 3 seconds.
    assert "SIGTERM received" not in (tmp_path / "log").read_text()
    assert len(children) > 5
    assert not [each for each in children if Path(f"/proc/{each}").exists()]


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("stage", "number"),
    [
        ("gcs_server", signal.SIGINT),
        ("ray::ServeReplica", signal.SIGTERM),
    ],
)
def test_an_interrupted_start_leaves_no_process(
    stage: str, number: signal.Signals, tmp_path: Path
) -> None:
    pytest.importorskip("ray", reason="make install-cluster")
    mark = f"MARK_OF_A_TEST={tmp_path}"
    with listen("127.0.0.1", 0) as listener:
        port = str(listener.getsockname()[1])
    command = [sys.executable, str(ROOT / "backend" / "main.py"), "--replicas", "2", "--port", port]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["MARK_OF_A_TEST"] = str(tmp_path)
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as program:
        _wait_for(lambda: any(stage in each for each in _marked(mark).values()))
        program.send_signal(number)
        assert program.wait(timeout=60) != 0
    # Ray's agents look from time to time whether their raylet lives: seconds, on a busy machine.
    _wait_for(lambda: not _marked(mark), lambda: _marked(mark))


def _wait_for(
    condition: Callable[[], bool], describe: Callable[[], object] = lambda: "", within_s: float = 60
) -> None:
    until_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until_s, describe()
        time.sleep(0.05)


def _marked(mark: str) -> dict[int, str]:
    """The processes with this in their environment, orphans too, and their command lines."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (folder / "cmdline").read_text()
    return found


def _descendants(ancestor: int) -> list[int]:
    found = []
    for thread in Path(f"/proc/{ancestor}/task").iterdir():
        for child in (thread / "children").read_text().split():
            found += [int(child), *_descendants(int(child))]
    return found
