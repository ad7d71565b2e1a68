"""Downloading weights from a hub that is slow, broken, wrong or unreachable."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.engines import file_download as module
from backend.engines.download import download
from backend.engines.weights import WEIGHTS, Weights
from backend.errors import DownloadFailed
from tests.support.stand_in_hub import Hub, stand_in_hub

SMALL = b'{"vocab": 3}'
LARGE = random.Random(1).randbytes(300_000)
FILES = {"config.json": SMALL, "model.safetensors": LARGE, "README.md": b"#", "deep/x.json": b"{}"}
THEIRS = Weights("chatterbox-turbo", "someone/model", ("model.safetensors",), ("*.json",))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with stand_in_hub(THEIRS.repository, dict(FILES)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setattr(module, "_BACKOFF_S", 0.0)
        yield hub


def fetch(folder: Path) -> list[str]:
    return download(THEIRS, folder, lambda *_: None)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


WHOLE = {"config.json": SMALL, "model.safetensors": LARGE}


def test_only_the_files_of_the_engine_are_fetched(hub: Hub, tmp_path: Path) -> None:
    assert fetch(tmp_path / "models" / "turbo") == ["config.json", "model.safetensors"]
    assert contents(tmp_path / "models" / "turbo") == WHOLE


def test_progress_is_reported_to_the_last_byte(hub: Hub, tmp_path: Path) -> None:
    reports: list[tuple[str, int, int]] = []
    download(THEIRS, tmp_path, lambda *what: reports.append(what))
    of_model = [at for name, at, of in reports if (name, of) == ("model.safetensors", len(LARGE))]
    assert of_model[-1] == len(LARGE)
    assert of_model == sorted(of_model)


def test_intact_files_are_not_fetched_again(hub: Hub, tmp_path: Path) -> None:
    fetch(tmp_path)
    hub.requests.clear()
    assert fetch(tmp_path) == []
    assert hub.requests == []


def test_changed_files_are_fetched_again(hub: Hub, tmp_path: Path) -> None:
    fetch(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(LARGE[:-1] + b"?")
    (tmp_path / "config.json").write_bytes(b'{"vocab": 4}')
    assert fetch(tmp_path) == ["config.json", "model.safetensors"]
    assert contents(tmp_path) == WHOLE


def test_a_broken_connection_resumes_where_it_broke(hub: Hub, tmp_path: Path) -> None:
    hub.truncations["model.safetensors"] = [100_000, 50_000]
    fetch(tmp_path)
    starts = [start for name, start in hub.requests if name == "model.safetensors"]
    assert starts == [0, 100_000, 150_000]
    assert contents(tmp_path) == WHOLE


def test_an_interrupted_download_resumes_the_next_time(hub: Hub, tmp_path: Path) -> None:
    hub.truncations["model.safetensors"] = [100_000] + [0] * 10
    with pytest.raises(DownloadFailed, match="again: it resumes where it stopped"):
        fetch(tmp_path)
    assert THEIRS.missing_files(tmp_path) == ["model.safetensors"]
    hub.truncations.clear()
    hub.requests.clear()
    fetch(tmp_path)
    assert hub.requests == [("model.safetensors", 100_000)]
    assert contents(tmp_path) == WHOLE


def test_a_hub_without_range_requests_starts_from_the_beginning(hub: Hub, tmp_path: Path) -> None:
    hub.resumes = False
    hub.truncations["model.safetensors"] = [100_000]
    fetch(tmp_path)
    assert contents(tmp_path) == WHOLE


@pytest.mark.parametrize("lie", [LARGE[:-1] + b"?", LARGE + b"?"])
def test_files_with_a_wrong_digest_are_discarded(hub: Hub, tmp_path: Path, lie: bytes) -> None:
    hub.replacements["model.safetensors"] = lie
    with pytest.raises(
        DownloadFailed, match=r"model\.safetensors does not have the size or digest"
    ):
        fetch(tmp_path)
    assert contents(tmp_path) == {"config.json": SMALL}


def test_a_short_response_counts_as_a_broken_connection(hub: Hub, tmp_path: Path) -> None:
    hub.replacements["model.safetensors"] = LARGE[:1000]
    with pytest.raises(DownloadFailed, match="resumes where it stopped"):
        fetch(tmp_path)
    assert not (tmp_path / "model.safetensors").exists()


def test_a_corrupt_partial_file_is_fetched_again(hub: Hub, tmp_path: Path) -> None:
    hub.truncations["model.safetensors"] = [100_000] + [0] * 10
    with pytest.raises(DownloadFailed):
        fetch(tmp_path)
    (part,) = tmp_path.glob("*.part")
    part.write_bytes(b"?" * 100_000)
    hub.truncations.clear()
    fetch(tmp_path)
    assert contents(tmp_path) == WHOLE


def test_a_missing_repository_is_reported(hub: Hub, tmp_path: Path) -> None:
    gone = Weights("chatterbox", "someone/else", ("model.safetensors",))
    with pytest.raises(DownloadFailed, match=r"404 .*HF_ENDPOINT"):
        download(gone, tmp_path, lambda *_: None)


def test_a_file_removed_from_the_hub_is_reported(hub: Hub, tmp_path: Path) -> None:
    del hub.files["model.safetensors"]
    with pytest.raises(DownloadFailed, match=r"no longer has model\.safetensors"):
        fetch(tmp_path)


def test_an_unreachable_hub_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DownloadFailed, match="connection to the hub failed"):
        fetch(tmp_path)


def test_an_unwritable_folder_is_reported(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(DownloadFailed, match="cannot store the files"):
        fetch(tmp_path / "models")


def test_the_help_lists_the_engines() -> None:
    output = subprocess.run(
        [sys.executable, "-m", "duplex_tts", "download", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert "duplex-tts download" in output
    assert all(engine in output for engine in WEIGHTS)


def test_required_files_are_among_those_downloaded() -> None:
    assert list(WEIGHTS) == [
        "chatterbox-turbo",
        "chatterbox",
        "chatterbox-multilingual",
        "chatterbox-nano",
    ]
    for weights in WEIGHTS.values():
        assert all(map(weights.includes, weights.required))
        assert not weights.includes("../evil.json")


def test_without_the_hub_package_the_error_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(DownloadFailed, match=r"huggingface_hub.*pip install"):
        fetch(tmp_path)
