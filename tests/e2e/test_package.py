"""The wheel: its contents, and that it serves without a checkout."""

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
def wheel_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the unpacked wheel. Built from a copy: an old `build/` would get into the
    wheel, and the new one into the checkout.
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
def metadata_folder(wheel_folder: Path) -> Path:
    (folder,) = wheel_folder.glob("*.dist-info")
    return folder


def find_files(folder: Path, pattern: str) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob(pattern) if file.is_file()}


@pytest.mark.slow
def test_the_wheel_has_only_the_two_packages(wheel_folder: Path, metadata_folder: Path) -> None:
    names = {path.name for path in wheel_folder.iterdir()}
    assert names == {"backend", "duplex_tts", metadata_folder.name}


@pytest.mark.parametrize("package", ["backend", "duplex_tts"])
def test_the_wheel_has_every_module(wheel_folder: Path, package: str) -> None:
    assert find_files(wheel_folder / package, "*.py") == find_files(ROOT / package, "*.py")


def test_the_wheel_has_the_pages_unchanged(wheel_folder: Path) -> None:
    pages = find_files(ROOT / "backend" / "web", "*")
    assert "index.html" in pages
    assert find_files(wheel_folder / "backend" / "web", "*") == pages
    for name in pages:
        expected, packed = (root / "backend" / "web" / name for root in (ROOT, wheel_folder))
        assert packed.read_bytes() == expected.read_bytes()


def test_the_wheel_has_and_states_the_licence(metadata_folder: Path) -> None:
    for name in ("LICENSE", "NOTICE"):
        assert (metadata_folder / "licenses" / name).read_bytes() == (ROOT / name).read_bytes()
    metadata = message_from_string((metadata_folder / "METADATA").read_text("utf-8"))
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text("utf-8")


@pytest.mark.slow
def test_the_wheel_serves_the_pages_from_any_folder_without_a_home(
    wheel_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(wheel_folder))
    monkeypatch.setenv("HOME", "")
    monkeypatch.chdir(tmp_path)
    code = "import backend, duplex_tts; print(backend.__file__, duplex_tts.__file__, sep='\\n')"
    paths = subprocess.check_output([sys.executable, "-P", "-c", code], text=True)
    assert all(Path(line).is_relative_to(wheel_folder) for line in paths.splitlines())
    with local_server("--set", "engine.threads=1") as url:
        for page in ("/", "/dashboard", "/page/main.js"):
            assert httpx.get(url + page).status_code == 200
    assert not list(tmp_path.iterdir())


# --- requirements -------------------------------------------------------------------------------


def read_project() -> dict[str, object]:
    return dict(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"])


def read_pins(name: str) -> dict[str, str]:
    """The names and versions in a requirements file."""
    text = (ROOT / name).read_text("utf-8").split("# brought along")[0]
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE))


def minimum_versions(requirements: list[str]) -> dict[str, str]:
    matches = (
        re.match(r"([\w.-]+)(?:>=|==)([^\s;]+)", requirement) for requirement in requirements
    )
    return {match[1]: match[2] for match in matches if match}


# Versions that are older than those pinned, because a package of an extra allows no newer one.
FOR_EXTRAS = {"soundfile": "0.13.1"}  # pipecat-ai; the version of requirements-clients.txt


def test_dependencies_match_the_pinned_versions() -> None:
    needed = read_project()["dependencies"]
    assert isinstance(needed, list)
    assert minimum_versions(needed) == {**read_pins("requirements.txt"), **FOR_EXTRAS}
    clients = (ROOT / "requirements-clients.txt").read_text("utf-8").splitlines()
    assert {f"{name}=={version}" for name, version in FOR_EXTRAS.items()} <= set(clients)


def test_extras_match_the_pinned_versions() -> None:
    extras = read_project()["optional-dependencies"]
    assert isinstance(extras, dict)
    pins = read_pins("requirements-test.txt")
    for extra in ("bench", "cluster", "languages", "mcp"):
        assert minimum_versions(extras[extra]).items() <= pins.items()
    clients = (ROOT / "requirements-clients.txt").read_text("utf-8")
    for extra in ("livekit", "pipecat"):
        ((name, version),) = minimum_versions(extras[extra]).items()
        assert re.search(rf"^{name}(\[.*\])?=={version}$", clients, re.MULTILINE)
    assert (
        minimum_versions(extras["download"]).items()
        <= read_pins("requirements-chatterbox.txt").items()
    )
