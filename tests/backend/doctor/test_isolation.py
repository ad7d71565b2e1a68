"""A check that crashes, hangs, prints or raises costs only its own lines."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from backend.doctor.checks.catalogue import CHECKS, Check, self_test
from backend.doctor.findings import CheckInputs, Finding, Status
from backend.doctor.isolation import CheckRunner
from tests.support.doctor_findings import inputs_for
from tests.support.repository import ROOT

TORCH = next(check for check in CHECKS if check.module == "torch_build")
NEEDED = inputs_for(engine={"name": "chatterbox-turbo"})


@pytest.fixture
def runner(tmp_path: Path) -> CheckRunner:
    return CheckRunner(tmp_path)


@pytest.fixture
def fake_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The source of a package `torch` that is found before the real one."""
    source = tmp_path / "packages" / "torch" / "__init__.py"
    source.parent.mkdir(parents=True)
    paths = [str(source.parent.parent), str(ROOT), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    return source


def check_torch(runner: CheckRunner, inputs: CheckInputs, timeout_s: float = 60.0) -> Finding:
    (finding,) = runner.run(dataclasses.replace(TORCH, timeout_s=timeout_s), inputs)
    return finding


def test_a_torch_that_ends_the_interpreter_is_an_error_where_it_is_needed(
    runner: CheckRunner, fake_torch: Path
) -> None:
    fake_torch.write_text("import os\nos.abort()")
    finding = check_torch(runner, NEEDED)
    assert (finding.status, finding.text) == (Status.ERROR, "it crashes (SIGABRT)")
    assert finding.command.endswith("-m pip install --force-reinstall torch")
    assert check_torch(runner, CheckInputs()).status is Status.WARNING


@pytest.mark.slow
def test_a_torch_that_hangs_is_given_up(runner: CheckRunner, fake_torch: Path) -> None:
    fake_torch.write_text("import time\ntime.sleep(600)")
    finding = check_torch(runner, NEEDED, timeout_s=1.0)
    assert finding.text == "it hangs: no result within 1 s"
    assert finding.status is Status.ERROR
    assert "--engine hibari" in finding.remedy


def is_running(pid: int) -> bool:
    """Whether a process runs: not ended, and no zombie that nobody has waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise OSError('libcudart.so.13: cannot open')", "OSError: libcudart.so.13: cannot open"),
        ("raise ModuleNotFoundError('No module named sympy')", "No module named sympy"),
        ("import sys; sys.exit(7)", "fails with status 7"),
        ("1 +", "SyntaxError"),
    ],
)
def test_a_torch_that_cannot_be_imported_is_named_with_its_error(
    runner: CheckRunner, fake_torch: Path, source: str, reason: str
) -> None:
    fake_torch.write_text(source)
    finding = check_torch(runner, NEEDED)
    assert reason in finding.text
    assert finding.status is Status.ERROR
    assert finding.command


def test_findings_before_a_crash_are_kept_and_printing_disturbs_nothing(
    runner: CheckRunner, fake_torch: Path
) -> None:
    fake_torch.write_text(
        "import os, types\n"
        "print('a banner')\n"
        "os.system('echo another')\n"
        "__version__ = '9'\n"
        "version = types.SimpleNamespace(cuda='13.0')\n"
        "cuda = types.SimpleNamespace(is_available=os.abort)\n"
    )
    first, second = runner.run(TORCH, NEEDED)
    assert (first.name, first.status) == ("torch", Status.OK)
    assert second.text == "it crashes (SIGABRT)"


def test_a_stopped_runner_ends_checks_with_what_they_started_and_begins_no_others(
    runner: CheckRunner, fake_torch: Path, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    fake_torch.write_text(
        "import pathlib, subprocess, time\n"
        "process = subprocess.Popen(['sleep', '600'])\n"
        f"pathlib.Path({str(started)!r}).write_text(str(process.pid))\n"
        "time.sleep(600)"
    )
    thread = threading.Thread(target=runner.run, args=(TORCH, NEEDED))
    thread.start()
    while not (started.exists() and started.read_text()):
        assert thread.is_alive()
        time.sleep(0.01)
    runner.stop()
    thread.join(30)
    assert not thread.is_alive()
    assert not is_running(int(started.read_text()))
    assert "SIGKILL" in runner.run(TORCH, NEEDED)[-1].text


def test_a_process_that_cannot_be_started_is_said(
    runner: CheckRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    (finding,) = runner.run(TORCH, NEEDED)
    assert finding.status is Status.ERROR
    assert finding.text.startswith("it cannot be run: ")


def test_the_checks_neither_reach_the_network_nor_write_caches_elsewhere(
    runner: CheckRunner, fake_torch: Path, tmp_path: Path
) -> None:
    names = ("HF_HUB_OFFLINE", "XDG_CACHE_HOME", "PYTHONDONTWRITEBYTECODE")
    fake_torch.write_text(f"import os\nraise OSError([os.environ[name] for name in {names}])")
    assert f"['1', '{tmp_path}', '1']" in check_torch(runner, NEEDED).text


def test_every_check_can_be_run_and_says_what_to_do_when_it_crashes() -> None:
    for check in (*CHECKS, self_test(CheckInputs())):
        assert (ROOT / "backend" / "doctor" / "checks" / f"{check.module}.py").is_file()
        assert check.remedy or check.command


def test_only_what_the_server_needs_is_an_error_when_it_crashes() -> None:
    def status(check: Check, inputs: CheckInputs) -> Status:
        return check.failure_status(inputs)

    assert status(self_test(CheckInputs()), CheckInputs()) is Status.ERROR
    other = CheckInputs(engine="hibari")
    assert status(self_test(other), other) is Status.WARNING
    essential = {check.module for check in CHECKS if status(check, CheckInputs()) is Status.ERROR}
    assert essential == {"server", "port"}
    chatterbox = {check.module for check in CHECKS if status(check, NEEDED) is Status.ERROR}
    assert chatterbox == essential | {"torch_build", "chatterbox_packages", "weights"}
