"""The other checks: the machine, the server's program, codecs, sound output, extras, torch."""

from __future__ import annotations

import importlib
import importlib.metadata
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from backend.audio import libopus
from backend.audio.formats import FORMATS
from backend.doctor import machine
from backend.doctor.checks import (
    chatterbox_packages,
    codecs,
    extras,
    server,
    sound_output,
    system,
    torch_build,
)
from backend.doctor.findings import CheckInputs, Finding, Status
from backend.transport import connection_limits
from tests.support.doctor_findings import by_name, inputs_for

TURBO = inputs_for(engine={"name": "chatterbox-turbo"})

# --- the machine ----------------------------------------------------------------------------------


def test_the_machine_and_the_program_are_described() -> None:
    found = by_name(system.run(CheckInputs()))
    assert set(found) == {
        "duplex-tts",
        "system",
        "python",
        "processor",
        "load",
        "memory",
        "disk",
    }
    assert sys.executable in found["python"].text
    assert not any(finding.status is Status.ERROR for finding in found.values())


def test_a_busy_and_full_machine_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "busy_share", lambda: 0.9)
    monkeypatch.setattr(system, "memory_bytes", lambda: (10**8, 10**9))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**9))
    found = by_name(system.run(CheckInputs()))
    assert found["load"].status is Status.WARNING
    assert found["memory"].text == "0.1 of 1.0 GB available"
    assert found["memory"].status is Status.WARNING
    assert found["disk"].status is Status.ABSENT


def test_a_containers_limits_count(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 1000 kB\nMemAvailable: 800 kB\n")
    assert machine.memory_bytes(meminfo, tmp_path) == (819_200, 1_024_000)
    (tmp_path / "memory.max").write_text("500000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    assert machine.memory_bytes(meminfo, tmp_path) == (100_000, 500_000)
    assert machine.memory_bytes(tmp_path / "none", tmp_path) == (0, 0)


def test_the_commit_is_of_the_checkout_only(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", "-C", str(tmp_path), *who, *arguments], check=True, timeout=30)

    git("init", "-q")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-qm", "one")
    commit = machine.git_commit(tmp_path)
    assert commit
    assert not commit.endswith("+")
    (tmp_path / "file").write_text("2")
    assert machine.git_commit(tmp_path) == f"{commit}+"
    (tmp_path / "inner").mkdir()
    assert machine.git_commit(tmp_path / "inner") is None


# --- the server -----------------------------------------------------------------------------------


def fail_to_import(monkeypatch: pytest.MonkeyPatch, name: str, error: Exception) -> None:
    original = importlib.import_module

    def import_module(wanted: str, package: str | None = None) -> ModuleType:
        if wanted == name:
            raise error
        return original(wanted, package)

    monkeypatch.setattr(importlib, "import_module", import_module)


def test_the_server_can_run() -> None:
    found = by_name(server.run(CheckInputs()))
    assert {finding.status for finding in found.values()} == {Status.OK}
    assert found["access"].text == "open to this machine only, no keys"


def test_a_key_that_the_server_will_create_counts() -> None:
    inputs = inputs_for(server={"host": "0.0.0.0"}, access={"create_key": True})
    finding = by_name(server.run(inputs))["access"]
    assert finding.text == "open to the network (0.0.0.0), keys required"


@pytest.mark.parametrize(
    ("is_checkout", "command"), [(True, "requirements.txt"), (False, "--force-reinstall")]
)
def test_a_missing_package_of_the_server_is_named(
    monkeypatch: pytest.MonkeyPatch, is_checkout: bool, command: str
) -> None:
    monkeypatch.setattr(server, "is_checkout", lambda: is_checkout)
    fail_to_import(monkeypatch, "backend.main", ModuleNotFoundError("No module named 'uvicorn'"))
    (finding,) = server.run(CheckInputs())
    assert finding.status is Status.ERROR
    assert "uvicorn" in finding.text
    assert command in finding.command


@pytest.mark.parametrize(
    ("sections", "text"),
    [
        ({"server": {"host": "0.0.0.0"}}, "open the server to every client"),
        ({"access": {"api_keys_file": "/nowhere/keys"}}, "/nowhere/keys"),
    ],
)
def test_access_that_the_server_refuses_is_an_error(
    sections: dict[str, dict[str, object]], text: str
) -> None:
    finding = by_name(server.run(inputs_for(**sections)))["access"]
    assert finding.status is Status.ERROR
    assert text in finding.text


@pytest.mark.parametrize(("limit", "status"), [(200, Status.WARNING), (1, Status.ERROR)])
def test_few_file_descriptors_are_reported(
    monkeypatch: pytest.MonkeyPatch, limit: int, status: Status
) -> None:
    monkeypatch.setattr(connection_limits, "_raise_limit", lambda _: limit)
    assert by_name(server.run(CheckInputs()))["connections"].status is status


# --- sound ----------------------------------------------------------------------------------------


def test_every_format_is_encoded() -> None:
    found = by_name(codecs.run(CheckInputs()))
    assert found["formats"].text == ", ".join(FORMATS)


def test_a_format_that_cannot_be_encoded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise ValueError("no codec libmp3lame")

    broken = SimpleNamespace(
        **{
            name: getattr(FORMATS["mp3"], name)
            for name in ("default_hz", "rates_hz", "bit_rates", "can_adapt")
        }
    )
    broken.open_codec, broken.blocking = refuse, True
    monkeypatch.setitem(FORMATS, "mp3", broken)
    monkeypatch.setattr(libopus, "load_libopus", lambda: None)
    found = by_name(codecs.run(CheckInputs()))
    assert found["mp3"].status is Status.WARNING
    assert "libmp3lame" in found["mp3"].text
    assert "mp3" not in found["formats"].text
    assert found["opus"].status is Status.ABSENT


class FakeSoundDevice(ModuleType):
    """PortAudio with a device, or with none."""

    class PortAudioError(Exception):
        """As in the package."""

    def __init__(self, device: str | None) -> None:
        super().__init__("sounddevice")
        self._device = device

    def query_devices(self, kind: str) -> dict[str, str]:
        if self._device is None:
            raise self.PortAudioError("Error querying device -1")
        return {"name": self._device}


@pytest.mark.parametrize(
    ("device", "programs", "status", "text"),
    [
        ("Speakers", [], Status.OK, "Speakers"),
        (None, ["aplay"], Status.OK, "none (PortAudio: Error querying device -1)"),
        (None, [], Status.ABSENT, "no device can play sound"),
    ],
)
def test_where_the_player_can_play(
    monkeypatch: pytest.MonkeyPatch,
    device: str | None,
    programs: list[str],
    status: Status,
    text: str,
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", FakeSoundDevice(device))
    monkeypatch.setattr(shutil, "which", lambda name: name if name in programs else None)
    found = by_name(sound_output.run(CheckInputs()))
    assert found["device"].status is status
    assert found["device"].text.startswith(text)
    assert ("programs" in found) is bool(programs)


def test_a_missing_portaudio_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert by_name(sound_output.run(CheckInputs()))["device"].status is Status.ABSENT


def test_extras_that_are_not_there_are_named_with_their_commands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(extras, "is_installed", lambda _: False)
    monkeypatch.setattr(
        "duplex_tts.cli.bench_check.bench_problem", lambda: "not here; run there: make bench"
    )
    found = by_name(extras.run(CheckInputs()))
    assert found["download"].status is Status.ABSENT
    assert found["bench"].remedy == "run there: make bench"
    assert found["speed"].status is Status.WARNING


# --- torch ----------------------------------------------------------------------------------------


class FakeMatrix:
    """A result of a device that computes rightly, or not."""

    def __init__(self, right: bool) -> None:
        self._right = right

    def __matmul__(self, _: object) -> FakeMatrix:
        return self

    def __eq__(self, _: object) -> Any:
        return SimpleNamespace(all=lambda: self._right)

    __hash__ = None  # type: ignore[assignment]


def fake_torch(
    *, cuda: str | None = "13.0", devices: int = 1, error: str = "", right: bool = True
) -> ModuleType:
    """Torch, built for this CUDA, that sees this many devices; their arithmetic raises `error`."""

    def ones(*_: object, **__: object) -> FakeMatrix:
        if error:
            raise RuntimeError(f"{error}\nCUDA kernel errors might be ...")
        return FakeMatrix(right)

    def init() -> None:
        raise RuntimeError("Found no NVIDIA driver on your system.\nPlease check")

    torch = ModuleType("torch")
    properties = SimpleNamespace(name="H100", major=9, minor=0)
    vars(torch).update(
        __version__="2.13.0+cpu" if cuda is None else "2.13.0",
        version=SimpleNamespace(cuda=cuda),
        ones=ones,
        cuda=SimpleNamespace(
            init=init,
            is_available=lambda: devices > 0,
            device_count=lambda: devices,
            get_device_properties=lambda _: properties,
            get_arch_list=lambda: ["sm_75", "sm_80"],
            mem_get_info=lambda _: (70 * 10**9, 80 * 10**9),
            is_bf16_supported=lambda: True,
        ),
    )
    return torch


Torch = Callable[..., dict[str, Finding]]


@pytest.fixture
def check_torch(monkeypatch: pytest.MonkeyPatch) -> Torch:
    monkeypatch.setattr(torch_build, "is_installed", lambda _: True)
    monkeypatch.setattr(torch_build, "has_nvidia_card", lambda: False)

    def check(inputs: CheckInputs = TURBO, **torch: Any) -> dict[str, Finding]:
        monkeypatch.setitem(sys.modules, "torch", fake_torch(**torch))
        return by_name(torch_build.run(inputs))

    return check


def test_torch_computes_on_every_device(check_torch: Torch) -> None:
    found = check_torch(devices=2)
    assert found["torch"].text == "2.13.0, built for CUDA 13.0"
    assert found["device 1"].text == "H100, sm_90, 70.0 of 80.0 GB free, computes"


def test_torch_without_a_driver_says_why(check_torch: Torch) -> None:
    finding = check_torch(devices=0)["device"]
    assert finding.status is Status.WARNING
    assert finding.text.endswith("Found no NVIDIA driver on your system.")


def test_a_torch_without_cuda_is_to_be_replaced_where_there_is_a_card(
    check_torch: Torch, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not check_torch(cuda=None, devices=0)["device"].command
    monkeypatch.setattr(torch_build, "has_nvidia_card", lambda: True)
    finding = check_torch(CheckInputs(), cuda=None, devices=0)["device"]
    assert finding.status is Status.WARNING
    assert finding.command.endswith("pip install --force-reinstall torch==2.13.0")


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        ("CUDA error: no kernel image is available for execution", "supports sm_75, sm_80"),
        ("CUDA error: an illegal memory access was encountered", "Xid"),
    ],
)
def test_a_device_that_cannot_compute_is_an_error(
    check_torch: Torch, error: str, remedy: str
) -> None:
    finding = check_torch(error=error)["device 0"]
    assert finding.status is Status.ERROR
    assert error in finding.text
    assert remedy in finding.remedy


def test_a_device_that_computes_wrongly_is_an_error(check_torch: Torch) -> None:
    finding = check_torch(right=False)["device 0"]
    assert (finding.status, "wrongly" in finding.text) == (Status.ERROR, True)


def test_a_missing_torch_matters_only_to_chatterbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_build, "is_installed", lambda _: False)
    for inputs, status in ((CheckInputs(), Status.ABSENT), (TURBO, Status.ERROR)):
        (finding,) = torch_build.run(inputs)
        assert finding.status is status
        assert finding.command == "make install-chatterbox"


# --- the packages of Chatterbox -------------------------------------------------------------------


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Version by package, as if installed; all of them can be imported."""
    installed = dict.fromkeys(chatterbox_packages.PACKAGES, "1.0")
    monkeypatch.setattr(chatterbox_packages, "_version", installed.get)
    for name in ("chatterbox", "chatterbox.tts", "chatterbox.tts_turbo", "perth"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setattr(sys.modules["perth"], "PerthImplicitWatermarker", object(), raising=False)
    return installed


@pytest.mark.usefixtures("packages")
def test_packages_that_are_all_there_are_ok() -> None:
    found = by_name(chatterbox_packages.run(TURBO))
    assert {finding.status for finding in found.values()} == {Status.OK}
    assert set(found) == {"packages", "models", "watermark"}


def test_a_package_that_is_not_installed_matters_only_if_it_is_needed(
    packages: dict[str, str],
) -> None:
    del packages["chatterbox-tts"]
    for inputs, status in ((CheckInputs(), Status.ABSENT), (TURBO, Status.ERROR)):
        (finding,) = chatterbox_packages.run(inputs)
        assert (finding.status, finding.command) == (status, "make install-chatterbox")


def test_a_missing_part_is_named(packages: dict[str, str]) -> None:
    del packages["librosa"]
    finding = by_name(chatterbox_packages.run(TURBO))["missing"]
    assert (finding.status, finding.text) == (Status.ERROR, "missing: librosa")


@pytest.mark.usefixtures("packages")
def test_a_model_that_cannot_be_imported_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_to_import(monkeypatch, "chatterbox.tts_turbo", ImportError("no module s3tokenizer\nat"))
    finding = by_name(chatterbox_packages.run(CheckInputs()))["models"]
    assert finding.status is Status.WARNING
    assert finding.text == "cannot be imported: no module s3tokenizer"


@pytest.mark.usefixtures("packages")
def test_a_watermark_without_its_package_is_an_error_unless_it_is_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.modules["perth"], "PerthImplicitWatermarker", None)
    finding = by_name(chatterbox_packages.run(TURBO))["watermark"]
    assert finding.status is Status.ERROR
    assert "setuptools below 81" in finding.remedy
    without = inputs_for(engine={"name": "chatterbox"}, chatterbox={"watermark": False})
    assert "watermark" not in by_name(chatterbox_packages.run(without))


def test_the_packages_are_those_that_are_installed() -> None:
    """The list agrees with the requirements."""
    root = Path(__file__).resolve().parents[3]
    text = "".join(path.read_text() for path in root.glob("requirements-chatterbox*.txt"))
    assert all(f"\n{name}==" in f"\n{text}" for name in chatterbox_packages.PACKAGES)
