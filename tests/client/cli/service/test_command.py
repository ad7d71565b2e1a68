"""The `service` commands, against a stand-in of systemctl that notes what it is asked."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from backend.config import Settings
from duplex_tts.cli.app import app
from duplex_tts.cli.service.systemd_unit import MARK

_STAND_IN = """\
#!/bin/sh
echo "${0##*/} $*" >> "$NOTES"
case " $* " in
  *" $FAILING "*) echo "it failed" >&2; exit 1;;
  *" show "*) echo "duplex-tts ready on http://127.0.0.1:9150";;
esac
case "$0" in *journalctl) echo "the last line of the log";; esac
"""


@pytest.fixture
def settings_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files of a machine that runs systemd."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("systemctl", "journalctl"):
        (programs / name).write_text(_STAND_IN)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    monkeypatch.setenv("FAILING", "nothing")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr("duplex_tts.cli.service.systemd_service._RUNNING", tmp_path)
    monkeypatch.setattr("duplex_tts.cli.service.systemd_service._SYSTEM_FOLDER", tmp_path / "etc")
    monkeypatch.setattr("duplex_tts.cli.service.systemd_service.is_root", lambda: True)
    monkeypatch.setattr("duplex_tts.cli.service.command.is_root", lambda: False)
    return tmp_path


@pytest.fixture
def machine(settings_machine: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, but the settings are the defaults: reading them takes a second."""
    settings = {f"{section}.{key}": value for section, group in Settings() for key, value in group}
    monkeypatch.setattr("duplex_tts.cli.service.command._read_settings", lambda *_: settings)
    return settings_machine


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(app, ["service", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def said(result: Result) -> str:
    return " ".join(re.sub(r"\x1b\[[\d;]*m", "", result.output).split())


def notes(machine: Path) -> list[str]:
    return (machine / "notes").read_text().splitlines()


def unit(machine: Path, name: str = "duplex-tts.service", folder: str = "config") -> Path:
    kind = "user" if folder == "config" else "system"
    return machine / folder / "systemd" / kind / name


def test_install_enables_and_starts_the_service_of_the_user(machine: Path) -> None:
    result = run("install", "--", "--port", "9150")
    assert result.exit_code == 0, result.output
    assert "-m duplex_tts serve --port 9150\n" in unit(machine).read_text()
    assert "ready on http://127.0.0.1:9150" in said(result)
    assert "loginctl enable-linger" in said(result)
    assert [note for note in notes(machine) if "show" not in note] == [
        "systemctl --user daemon-reload",
        "systemctl --user enable duplex-tts.service",
        "systemctl --user restart duplex-tts.service",
    ]


def test_install_for_the_machine_has_the_folders_of_the_machine(machine: Path) -> None:
    assert run("install", "--system").exit_code == 0
    assert "DynamicUser=yes" in unit(machine, folder="etc").read_text()
    assert (machine / "etc" / "duplex-tts").is_dir()
    assert not any("--user" in note for note in notes(machine))


def test_installing_again_replaces_the_service_and_its_socket(machine: Path) -> None:
    assert run("install", "--socket").exit_code == 0
    listening = unit(machine, "duplex-tts.socket")
    assert "ListenStream=127.0.0.1:8000\n" in listening.read_text()
    assert "systemctl --user restart duplex-tts.socket" in notes(machine)
    assert run("install", "--", "--port", "9151").exit_code == 0
    assert not listening.exists()
    assert "systemctl --user disable --now duplex-tts.socket" in notes(machine)
    assert "--port 9151" in unit(machine).read_text()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--port", "99999"], "from 0 to 65535"),
        (["--bogus"], "unrecognized arguments: --bogus"),
        (["--help"], "cannot have these options: --help"),
    ],
)
def test_options_that_the_server_refuses_are_not_installed(
    settings_machine: Path, flags: list[str], told: str
) -> None:
    result = run("install", "--", *flags)
    assert result.exit_code == 1
    assert told in said(result)
    assert not unit(settings_machine).exists()


def test_a_socket_for_several_replicas_is_not_installed(settings_machine: Path) -> None:
    result = run("install", "--socket", "--", "--replicas", "2")
    assert result.exit_code == 1
    assert "--socket is not possible with --replicas" in said(result)
    assert not unit(settings_machine).exists()


def test_the_settings_of_the_service_count_not_those_of_the_shell(
    settings_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (settings_machine / "config" / "duplex-tts").mkdir(parents=True)
    settings = "[server]\nport = 9152\n[wyoming]\nport = 10200\n"
    (settings_machine / "config" / "duplex-tts" / "duplex-tts.toml").write_text(settings)
    monkeypatch.setenv("DUPLEX_TTS_SERVER__PORT", "1")
    result = run("install", "--socket", "--print", "--", "--lan")
    assert result.exit_code == 0, result.output
    found = re.findall("ListenStream=(.*)", result.output)
    assert found == ["0.0.0.0:9152", "127.0.0.1:10200"]
    assert not unit(settings_machine).exists()  # only printed


def test_a_server_that_does_not_start_is_reported_with_its_log(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILING", "restart")
    result = run("install")
    assert result.exit_code == 1
    assert "the last line of the log" in said(result)


def test_units_of_others_are_left_alone(machine: Path) -> None:
    unit(machine).parent.mkdir(parents=True)
    unit(machine).write_text("[Service]\nExecStart=/bin/true\n")
    for command in ("install", "uninstall"):
        result = run(command)
        assert result.exit_code == 1
        assert "remove it first" in said(result)
    assert unit(machine).exists()


def test_uninstall_stops_and_removes_the_units_and_keeps_the_settings(machine: Path) -> None:
    run("install", "--socket")
    result = run("uninstall")
    assert result.exit_code == 0, result.output
    assert not unit(machine).exists()
    assert not unit(machine, "duplex-tts.socket").exists()
    assert (machine / "config" / "duplex-tts").is_dir()
    assert "systemctl --user disable --now duplex-tts.socket duplex-tts.service" in notes(machine)
    assert notes(machine)[-1] == "systemctl --user daemon-reload"


def test_a_unit_that_cannot_be_deleted_is_an_error_without_traceback(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("install")

    def refuse(file: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "unlink", refuse)
    result = run("uninstall")
    assert result.exit_code == 1
    assert "cannot delete" in said(result)


def test_a_unit_in_a_folder_of_another_user_is_no_traceback(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with `sudo -u other`, which may keep HOME."""
    stat = os.stat

    def refuse(path: Any, *rest: Any, **options: Any) -> os.stat_result:
        if "systemd" in os.fspath(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return stat(path, *rest, **options)

    monkeypatch.setattr(os, "stat", refuse)
    assert "service install" in said(run("status"))


@pytest.mark.parametrize("command", ["status", "logs", "restart", "uninstall"])
def test_what_is_not_installed_is_named_with_the_remedy(machine: Path, command: str) -> None:
    result = run(command)
    assert result.exit_code == 1
    assert "duplex-tts service install" in said(result)


@pytest.mark.parametrize(
    ("arguments", "called"),
    [
        (["status"], "systemctl --user status --no-pager duplex-tts.service"),
        (["stop"], "systemctl --user stop duplex-tts.service"),
        (
            ["logs", "-f", "-n", "3", "-p", "err"],
            "journalctl --quiet --no-pager --lines=3 --follow --priority=err "
            "--user-unit=duplex-tts.service",
        ),
    ],
)
def test_the_other_commands_are_those_of_systemd(
    machine: Path, arguments: list[str], called: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("install")
    executed: list[list[str]] = []

    def note_program(program: str, words: list[str]) -> None:
        executed.append(words)
        raise SystemExit(0)

    monkeypatch.setattr("os.execvp", note_program)
    run(*arguments)
    assert [" ".join(words) for words in executed] == [called]


def test_stop_also_closes_the_socket_and_restart_does_not(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("install", "--socket")
    executed: list[str] = []
    monkeypatch.setattr("os.execvp", lambda program, words: executed.append(" ".join(words)))
    for command in ("stop", "restart"):
        run(command)
    assert executed == [
        "systemctl --user stop duplex-tts.socket duplex-tts.service",
        "systemctl --user restart duplex-tts.service",
    ]


def test_a_user_finds_the_service_of_the_machine(machine: Path) -> None:
    run("install", "--system")
    unit(machine, folder="etc").write_text(MARK)
    assert run("uninstall").exit_code == 0
    assert not unit(machine, folder="etc").exists()


def test_without_systemd_the_error_names_what_else_to_do(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("duplex_tts.cli.service.systemd_service._RUNNING", machine / "none")
    result = run("install")
    assert result.exit_code == 1
    assert "docs/service.md" in said(result)
    assert not unit(machine).exists()


def test_a_user_without_systemd_of_its_own_is_told(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILING", "show-environment")
    result = run("install")
    assert result.exit_code == 1
    assert "sudo" in said(result)


def test_a_service_of_the_machine_needs_root(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("duplex_tts.cli.service.systemd_service.is_root", lambda: False)
    result = run("install", "--system")
    assert result.exit_code == 1
    assert "needs root" in said(result)
