"""The wheel: what is in it, what is not, and that it serves where there is no checkout."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_string
from pathlib import Path

import httpx
import pytest

from duplex_tts.local_server import local_server
from tests.support.repository import ROOT

_NOT_SOURCE = ("models", "docs", "node_modules", "build", "dist", "*.egg-info", "__pycache__", ".*")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel was unpacked, as pip does it. Built from a copy: a `build/` of
    earlier days would get into the wheel, and this one's into the checkout.
    """
    source = tmp_path_factory.mktemp("source") / "duplex-tts"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*_NOT_SOURCE))
    wheels = source.parent / "wheels"
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(wheels)]
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", *options, str(source)]
    subprocess.run(command, check=True)
    (wheel,) = wheels.iterdir()
    folder = tmp_path_factory.mktemp("ein Ordner für Pakete")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


@pytest.fixture(scope="module")
def metadata_folder(installed: Path) -> Path:
    (folder,) = installed.glob("*.dist-info")
    return folder


def files(folder: Path, pattern: str) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob(pattern) if file.is_file()}


def test_nothing_but_the_two_packages_is_at_the_top(installed: Path, metadata_folder: Path) -> None:
    names = {path.name for path in installed.iterdir()}
    assert names == {"backend", "duplex_tts", metadata_folder.name}


@pytest.mark.parametrize("package", ["backend", "duplex_tts"])
def test_every_module_of_the_packages_is_in_it(installed: Path, package: str) -> None:
    assert files(installed / package, "*.py") == files(ROOT / package, "*.py")


def test_the_pages_are_in_it_byte_for_byte(installed: Path) -> None:
    pages = files(ROOT / "backend" / "web", "*")
    assert "index.html" in pages
    assert files(installed / "backend" / "web", "*") == pages
    for name in pages:
        here, there = (root / "backend" / "web" / name for root in (ROOT, installed))
        assert there.read_bytes() == here.read_bytes()


def test_the_licence_is_in_it_and_stated(metadata_folder: Path) -> None:
    for name in ("LICENSE", "NOTICE"):
        assert (metadata_folder / "licenses" / name).read_bytes() == (ROOT / name).read_bytes()
    stated = message_from_string((metadata_folder / "METADATA").read_text("utf-8"))
    assert stated["License-Expression"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text("utf-8")


def test_it_serves_the_pages_from_anywhere_without_a_home(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(installed))
    monkeypatch.setenv("HOME", "")
    monkeypatch.chdir(tmp_path)
    where = "import backend, duplex_tts; print(backend.__file__, duplex_tts.__file__, sep='\\n')"
    found = subprocess.check_output([sys.executable, "-P", "-c", where], text=True)
    assert all(Path(line).is_relative_to(installed) for line in found.splitlines())
    with local_server("--set", "engine.threads=1") as url:
        for page in ("/", "/dashboard", "/page/main.js"):
            assert httpx.get(url + page).status_code == 200
    assert not list(tmp_path.iterdir())


# --- what it asks for -----------------------------------------------------------------------------


def project() -> dict[str, object]:
    return dict(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"])


def locked(name: str) -> dict[str, str]:
    """Name and version of the packages that a file of requirements names."""
    text = (ROOT / name).read_text("utf-8").split("# brought along")[0]
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE))


def at_least(requirements: list[str]) -> dict[str, str]:
    found = (re.match(r"([\w.-]+)(?:>=|==)([^\s;]+)", each) for each in requirements)
    return {match[1]: match[2] for match in found if match}


def test_the_package_asks_for_what_the_lock_holds() -> None:
    needed = project()["dependencies"]
    assert isinstance(needed, list)
    assert at_least(needed) == locked("requirements.txt")


def test_the_extras_ask_for_what_the_tests_ran_with() -> None:
    extras = project()["optional-dependencies"]
    assert isinstance(extras, dict)
    assert at_least(extras["bench"]).items() <= locked("requirements-test.txt").items()
    assert at_least(extras["download"]).items() <= locked("requirements-chatterbox.txt").items()
