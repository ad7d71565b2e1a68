"""`--replicas`: refused starts, shares of the machine, and the whole program."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from backend.config import Settings
from backend.errors import ConfigError
from backend.main import main
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


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_program_announces_itself_and_ends_with_all_of_ray(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="make install-cluster")
    command = [sys.executable, str(ROOT / "backend" / "main.py"), "--replicas", "2", "--port", "0"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        announced = next(line for line in program.stdout if line.startswith("duplex-tts ready on"))
        assert httpx.get(f"{announced.split()[-1]}/readyz").json()["ready"] is True
        children = _descendants(program.pid)
        program.send_signal(signal.SIGINT)
        program.stdout.read()
        assert program.wait(timeout=60) == 0
    assert len(children) > 5
    assert not [each for each in children if Path(f"/proc/{each}").exists()]


def _descendants(ancestor: int) -> list[int]:
    found = []
    for child in Path(f"/proc/{ancestor}/task/{ancestor}/children").read_text().split():
        found += [int(child), *_descendants(int(child))]
    return found
