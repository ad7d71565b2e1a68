"""The units, as systemd itself reads them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from duplex_tts.cli.service.systemd_unit import ServiceOptions, service_unit, socket_unit

SYSTEM = ServiceOptions(
    command=(sys.executable, "-P", "-m", "duplex_tts", "serve"),
    needed=[Path("/usr")],
    gpu=False,
    system=True,
)
USER = replace(SYSTEM, system=False)


def systemd_version() -> int:
    """The version of systemd-analyze; 0: there is none."""
    if shutil.which("systemd-analyze") is None:
        return 0
    said = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True).stdout
    return int(said.split()[1])


needs_systemd = pytest.mark.skipif(
    systemd_version() < 250, reason="needs systemd-analyze 250: install systemd"
)


def analyze(folder: Path, units: dict[str, str], verb: str, *options: str) -> str:
    """What `systemd-analyze` says about the units; fails if it fails."""
    for name, text in units.items():
        (folder / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", verb, *options, *(str(folder / name) for name in units)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def exposure(folder: Path, unit: str) -> float:
    """The exposure level, of 10."""
    said = analyze(folder, {"duplex-tts.service": unit}, "security", "--offline=yes", "--no-pager")
    found = re.search(r"Overall exposure level for duplex-tts.service: ([\d.]+)", said)
    assert found, said
    return float(found[1])


@needs_systemd
@pytest.mark.parametrize("options", [SYSTEM, USER, replace(SYSTEM, gpu=True)])
def test_systemd_finds_no_mistake(options: ServiceOptions, tmp_path: Path) -> None:
    units = {
        "duplex-tts.service": service_unit(options),
        "duplex-tts.socket": socket_unit([("127.0.0.1", 8000), ("::", 10200)]),
    }
    said = analyze(tmp_path, units, "verify", "--man=no")
    ours = [line for line in said.splitlines() if "duplex-tts" in line]
    assert ours == []


@needs_systemd
@pytest.mark.parametrize(("gpu", "limit"), [(False, 1.5), (True, 2.0)])
def test_a_service_of_the_machine_is_confined(gpu: bool, limit: float, tmp_path: Path) -> None:
    assert exposure(tmp_path, service_unit(replace(SYSTEM, gpu=gpu))) <= limit


def test_only_a_program_in_a_hidden_folder_is_shown_to_the_service() -> None:
    needed = [Path("/home/a/x/.venv"), Path("/home/a/x"), Path("/usr"), Path("/run/user/1/python")]
    unit = service_unit(replace(SYSTEM, needed=needed))
    assert re.findall("BindReadOnlyPaths=(.*)", unit) == ["/home/a/x", "/run/user/1/python"]
    assert "BindReadOnlyPaths" not in service_unit(replace(USER, needed=needed))


def test_a_gpu_keeps_its_devices_and_may_compile() -> None:
    unit = service_unit(replace(SYSTEM, gpu=True))
    assert "PrivateDevices" not in unit
    assert "MemoryDenyWriteExecute" not in unit
    assert "DeviceAllow=char-nvidia* rw" in unit


def test_a_service_of_a_user_asks_for_nothing_that_needs_root() -> None:
    unit = service_unit(USER)
    assert not re.search("DynamicUser|Protect|Private|Capability|network-online", unit)
    assert "WantedBy=default.target" in unit


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("a b", '"a b"'),
        ("9%", "9%%"),
        ("$HOME", "$$HOME"),
        ('a"b\\', '"a\\"b\\\\"'),
        ("", '""'),
        ("two\nlines\r", '"two\\nlines\\r"'),
    ],
)
def test_options_reach_the_server_unchanged(word: str, written: str) -> None:
    unit = service_unit(replace(SYSTEM, command=("/bin/x", word)))
    assert f"\nExecStart=/bin/x {written}\n" in unit


@needs_systemd
def test_a_program_in_an_odd_folder_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "a 100% $HOME:b;c"
    folder.mkdir()
    program = folder / "python"
    program.symlink_to(sys.executable)
    units = {"duplex-tts.service": service_unit(replace(USER, command=(str(program), "$HOME")))}
    assert "not executable" not in analyze(tmp_path, units, "verify", "--man=no")


def test_a_colon_in_a_folder_is_no_second_folder() -> None:
    unit = service_unit(replace(SYSTEM, needed=[Path("/home/a:b")]))
    assert '\nBindReadOnlyPaths="/home/a:b"\n' in unit
