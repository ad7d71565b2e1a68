"""Fetching weights from a hub that is slow, broken, wrong or not there."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.engines import download as module
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


def test_what_the_engine_uses_is_fetched_and_nothing_else(hub: Hub, tmp_path: Path) -> None:
    assert fetch(tmp_path / "models" / "turbo") == ["config.json", "model.safetensors"]
    assert contents(tmp_path / "models" / "turbo") == WHOLE


def test_progress_is_told_to_the_last_byte(hub: Hub, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    download(THEIRS, tmp_path, lambda *what: told.append(what))
    of_model = [at for name, at, of in told if (name, of) == ("model.safetensors", len(LARGE))]
    assert of_model[-1] == len(LARGE)
    assert of_model == sorted(of_model)


def test_what_is_there_is_not_fetched_again(hub: Hub, tmp_path: Path) -> None:
    fetch(tmp_path)
    hub.requests.clear()
    assert fetch(tmp_path) == []
    assert hub.requests == []


def test_what_is_there_but_wrong_is_fetched_again(hub: Hub, tmp_path: Path) -> None:
    fetch(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(LARGE[:-1] + b"?")
    (tmp_path / "config.json").write_bytes(b'{"vocab": 4}')
    assert fetch(tmp_path) == ["config.json", "model.safetensors"]
    assert contents(tmp_path) == WHOLE


def test_a_connection_that_breaks_goes_on_where_it_broke(hub: Hub, tmp_path: Path) -> None:
    hub.truncations["model.safetensors"] = [100_000, 50_000]
    fetch(tmp_path)
    starts = [start for name, start in hub.requests if name == "model.safetensors"]
    assert starts == [0, 100_000, 150_000]
    assert contents(tmp_path) == WHOLE


def test_a_download_that_was_given_up_goes_on_the_next_time(hub: Hub, tmp_path: Path) -> None:
    hub.truncations["model.safetensors"] = [100_000] + [0] * 10
    with pytest.raises(DownloadFailed, match="again: it goes on where it stopped"):
        fetch(tmp_path)
    assert THEIRS.missing(tmp_path) == ["model.safetensors"]
    hub.truncations.clear()
    hub.requests.clear()
    fetch(tmp_path)
    assert hub.requests == [("model.safetensors", 100_000)]
    assert contents(tmp_path) == WHOLE


def test_a_hub_that_cannot_go_on_starts_anew(hub: Hub, tmp_path: Path) -> None:
    hub.resumes = False
    hub.truncations["model.safetensors"] = [100_000]
    fetch(tmp_path)
    assert contents(tmp_path) == WHOLE


@pytest.mark.parametrize("lie", [LARGE[:-1] + b"?", LARGE + b"?"])
def test_wrong_bytes_are_thrown_away(hub: Hub, tmp_path: Path, lie: bytes) -> None:
    hub.replacements["model.safetensors"] = lie
    with pytest.raises(DownloadFailed, match=r"model\.safetensors did not arrive as the hub"):
        fetch(tmp_path)
    assert contents(tmp_path) == {"config.json": SMALL}


def test_too_few_bytes_are_a_broken_connection(hub: Hub, tmp_path: Path) -> None:
    hub.replacements["model.safetensors"] = LARGE[:1000]
    with pytest.raises(DownloadFailed, match="goes on where it stopped"):
        fetch(tmp_path)
    assert not (tmp_path / "model.safetensors").exists()


def test_a_wrong_first_half_is_found_and_fetched_anew(hub: Hub, tmp_path: Path) -> None:
    hub.truncations["model.safetensors"] = [100_000] + [0] * 10
    with pytest.raises(DownloadFailed):
        fetch(tmp_path)
    (part,) = tmp_path.glob("*.part")
    part.write_bytes(b"?" * 100_000)
    hub.truncations.clear()
    fetch(tmp_path)
    assert contents(tmp_path) == WHOLE


def test_a_repository_that_is_not_there(hub: Hub, tmp_path: Path) -> None:
    gone = Weights("chatterbox", "someone/else", ("model.safetensors",))
    with pytest.raises(DownloadFailed, match=r"404 .*HF_ENDPOINT"):
        download(gone, tmp_path, lambda *_: None)


def test_a_file_that_is_not_there_any_more(hub: Hub, tmp_path: Path) -> None:
    del hub.files["model.safetensors"]
    with pytest.raises(DownloadFailed, match=r"no model\.safetensors any more"):
        fetch(tmp_path)


def test_no_hub_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DownloadFailed, match="connection to the hub failed"):
        fetch(tmp_path)


def test_a_folder_that_cannot_be_written(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(DownloadFailed, match="cannot keep the weights"):
        fetch(tmp_path / "models")


def test_the_command_knows_the_engines_and_says_what_it_can_do() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "duplex_tts", "download", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert "duplex-tts download" in said
    assert all(engine in said for engine in WEIGHTS)


def test_files_are_needed_that_the_repository_can_have() -> None:
    assert list(WEIGHTS) == ["chatterbox-turbo", "chatterbox"]
    for weights in WEIGHTS.values():
        assert all(map(weights.wants, weights.needed))
        assert not weights.wants("../evil.json")


def test_without_the_package_of_the_hub_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(DownloadFailed, match=r"huggingface_hub.*pip install"):
        fetch(tmp_path)
