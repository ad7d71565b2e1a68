"""The configuration file for Ray Serve."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("ray", reason="make install-cluster")

from backend.ray_serve.config_file import check_config, main
from backend.ray_serve.deployment import read_given
from tests.support.repository import ROOT

FILE = ROOT / "deploy" / "ray" / "serve.yaml"


@pytest.fixture(autouse=True)
def _with_a_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DUPLEX_TTS_ACCESS__API_KEYS", "a-key-of-the-environment")
    monkeypatch.chdir(tmp_path)


def written(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    main(flags)
    return capsys.readouterr().out


def test_the_file_of_the_repository_is_what_the_command_writes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = ("--set", "cluster.gpus_per_replica=1", "--set", "cluster.max_replicas=8")
    assert FILE.read_text("utf-8") == written(capsys, *flags)


def test_a_written_file_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    check_config(written(capsys, "--replicas", "4", "--set", "engine.speed=1.2"))


def test_settings_reach_the_replica() -> None:
    given = {"engine": {"speed": 1.5}, "bidirectional_streaming": {"enabled": False}}
    settings = read_given(given)
    assert settings.engine.speed == 1.5
    assert settings.bidirectional_streaming.enabled is False
    assert settings.access.api_keys == "a-key-of-the-environment"


def test_secrets_are_not_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "a-key-of" not in written(capsys)
    with pytest.raises(SystemExit) as stop:
        main(["--set", "access.admin_key=secret"])
    assert "environment" in str(stop.value.code)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("proxy_location: EveryNode", "proxy_location: Everywhere", "proxy_location"),
        ("replicas: 2", "replicas: many", "cluster.replicas"),
        ("max_replicas: 8", "max_replicsa: 8", "max_replicas"),
        ("import_path: backend.ray_serve.deployment:build", "import_path: a.b:c", "import_path"),
        ("address: auto", "address: ''", "cluster.address"),
        ("    server:\n", "    server: 3\n    more:\n", "server"),
        ("applications:", "applications: [", "YAML"),
    ],
)
def test_mistakes_are_named(
    old: str, new: str, problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = FILE.read_text("utf-8")
    assert old in text
    wrong = tmp_path / "serve.yaml"
    wrong.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(SystemExit) as stop:
        main(["--check", str(wrong)])
    assert problem in str(stop.value.code)


def test_an_open_cluster_needs_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DUPLEX_TTS_ACCESS__API_KEYS")
    with pytest.raises(SystemExit) as stop:
        main(["--check", str(FILE)])
    assert "duplex-tts key" in str(stop.value.code)
