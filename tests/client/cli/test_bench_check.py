"""`duplex-tts bench` where it cannot run: one line with the remedy, no traceback."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from duplex_tts.cli import app as cli
from duplex_tts.cli import bench_check
from duplex_tts.cli.bench_check import bench_problem, plan_problem


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone whose package is installed with the metadata of a wheel."""
    needed = ["numpy>=2", 'no-such-package>=1; extra == "bench"', "other>=1; extra == 'download'"]
    monkeypatch.setattr(metadata, "requires", lambda _: needed)
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "__main__.py").touch()
    (tmp_path / "pyproject.toml").touch()
    return tmp_path


def test_a_missing_clone_is_reported_with_the_remedy(tmp_path: Path) -> None:
    assert "clone the repository" in (bench_problem(tmp_path) or "")


def test_a_foreign_bench_folder_is_not_accepted(clone: Path) -> None:
    (clone / "pyproject.toml").unlink()
    assert "clone the repository" in (bench_problem(clone) or "")


def test_missing_packages_are_reported_with_the_install_command(clone: Path) -> None:
    why = bench_problem(clone) or ""
    assert "needs no-such-package;" in why
    assert "pip install -e '.[bench]'" in why


def test_a_clone_with_the_extra_has_no_problem(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "requires", lambda _: ['numpy>=2; extra == "bench"'])
    assert bench_problem(clone) is None


def test_the_command_ends_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "bench_problem", lambda: "the benchmark needs a checkout")
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("it was started"))
    result = CliRunner().invoke(cli.app, ["bench"])
    assert result.exit_code != 0
    assert "the benchmark needs a checkout" in str(result.exception) + result.stderr


def test_a_clone_without_installation_has_no_problem(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", unknown)
    assert bench_check.bench_problem(clone) is None


def test_plan_needs_a_clone_and_no_package(clone: Path, tmp_path: Path) -> None:
    assert plan_problem(clone) is None
    (clone / "pyproject.toml").unlink()
    assert "clone the repository" in (plan_problem(clone) or "")


def test_plan_ends_with_the_reason_where_it_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "plan_problem", lambda: "the simulator needs a checkout")
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("it was started"))
    result = CliRunner().invoke(cli.app, ["plan"])
    assert result.exit_code != 0
    assert "the simulator needs a checkout" in str(result.exception) + result.stderr
