import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from duplex_tts.cli import speechd as command
from duplex_tts.cli.app import app
from duplex_tts.speechd import installation
from duplex_tts.speechd.installation import (
    CannotInstall,
    Place,
    check_daemon,
    install,
    is_default,
    uninstall,
)
from duplex_tts.speechd.module_config import read_config


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    system = tmp_path / "etc"
    system.mkdir()
    (system / "speechd.conf").write_text("LogLevel 3\n")
    monkeypatch.setattr(installation, "SYSTEM_CONFIG", system)
    return Place(tmp_path / "modules", tmp_path / "config")


def test_the_program_runs_the_module(place: Place) -> None:
    install(place, {"Server": "127.0.0.1:1"}, default=True)
    config = place.module_config.read_text().replace("127.0.0.1:1", "not an address")
    place.module_config.write_text(config)
    answer = subprocess.run(
        [place.program, place.module_config], input=b"INIT\n", capture_output=True, check=True
    )
    assert b"399-'not an address' is not an address" in answer.stdout


def test_a_users_configuration_includes_the_systems(place: Place) -> None:
    install(place, {}, default=True)
    lines = place.daemon_config.read_text().splitlines()
    assert lines[0] == f'Include "{installation.SYSTEM_CONFIG}/speechd.conf"'
    assert "DefaultModule duplex-tts" in lines
    assert is_default(place)


def test_a_users_own_configuration_is_kept(place: Place) -> None:
    place.config.mkdir()
    place.daemon_config.write_text("DefaultRate 30")
    for _ in range(2):
        install(place, {}, default=True)
    assert place.daemon_config.read_text().count("DefaultModule duplex-tts") == 1
    assert "AddModule" not in place.daemon_config.read_text()
    uninstall(place)
    assert place.daemon_config.read_text() == "DefaultRate 30\n"


def test_modules_that_are_listed_are_joined_by_this_one(place: Place) -> None:
    place.config.mkdir()
    place.daemon_config.write_text('AddModule "espeak-ng" "sd_espeak-ng" "espeak-ng.conf"\n')
    install(place, {}, default=True)
    assert 'AddModule "duplex-tts" "sd_duplex-tts"' in place.daemon_config.read_text()


def test_uninstall_leaves_nothing(place: Place) -> None:
    install(place, {"Voice": "heart"}, default=True)
    changed = uninstall(place)
    assert changed == [place.program, place.module_config, place.daemon_config]
    assert not [path for path in place.config.rglob("*") if path.is_file()]
    assert not place.program.exists()
    assert uninstall(place) == []


def test_without_default_the_daemons_configuration_is_not_touched(place: Place) -> None:
    install(place, {}, default=False)
    assert not place.daemon_config.exists()
    assert not is_default(place)


def test_an_edited_configuration_is_kept_and_a_key_is_private(place: Place) -> None:
    install(place, {"Key": "dtts_secret"}, default=False)
    assert place.module_config.stat().st_mode & 0o777 == 0o600
    install(place, {}, default=False)
    assert 'Key "dtts_secret"' in place.module_config.read_text()
    with pytest.raises(CannotInstall, match="quotation mark"):
        install(place, {"Voice": 'a"b'}, default=False)


def test_a_setting_replaces_its_former_value_and_no_other(place: Place) -> None:
    install(place, {"Server": "box:1", "Key": "dtts_x"}, default=True)
    install(place, {"Voice": "emma"}, default=True)
    install(place, {"Server": "box:2"}, default=True)
    config = read_config(place.module_config)
    assert (config.url, config.key, config.voice) == ("ws://box:2/ws/tts", "dtts_x", "emma")
    assert place.module_config.read_text().count("\nServer ") == 1
    assert place.module_config.stat().st_mode & 0o77 == 0


def test_a_configuration_in_another_encoding_is_kept(place: Place) -> None:
    place.config.mkdir()
    place.daemon_config.write_bytes(b"# caf\xe9\n")
    install(place, {}, default=True)
    assert is_default(place)
    uninstall(place)
    assert place.daemon_config.read_bytes() == b"# caf\xe9\n"


def test_a_missing_or_old_daemon_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotInstall, match="apt install speech-dispatcher"):
        check_daemon()
    daemon = tmp_path / "speech-dispatcher"
    daemon.write_text("#!/bin/sh\necho speech-dispatcher 0.10.2\n")
    daemon.chmod(0o755)
    with pytest.raises(CannotInstall, match=r"0\.11 or newer is needed, this is 0\.10\.2"):
        check_daemon()


def test_the_commands_install_show_and_remove(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "check_daemon", lambda: "0.11.4")
    monkeypatch.setattr(command, "user_place", lambda: place)
    runner = CliRunner()
    installed = runner.invoke(app, ["speechd", "install", "--url", "127.0.0.1:9", "--voice", "x"])
    assert installed.exit_code == 0, installed.output
    assert "spd-say hello" in installed.output
    status = runner.invoke(app, ["speechd", "status"])
    assert "default:   yes" in status.output
    assert "no answer; the module starts one" in status.output
    removed = runner.invoke(app, ["speechd", "uninstall"])
    assert f"removed {place.program}" in removed.output


def test_a_mistyped_address_is_told_at_the_installation(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "check_daemon", lambda: "0.11.4")
    monkeypatch.setattr(command, "user_place", lambda: place)
    result = CliRunner().invoke(app, ["speechd", "install", "--url", "http://"])
    assert result.exit_code == 2
    assert not place.program.exists()
    assert "not an address" in result.output
