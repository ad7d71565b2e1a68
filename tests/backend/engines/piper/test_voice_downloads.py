"""Downloading voices from a mirror that breaks off, lies, loops or is not there."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from filelock import FileLock

from backend.engines import file_download
from backend.engines.piper import voice_downloads as module
from backend.engines.piper.catalogue import parse_catalogue
from backend.engines.piper.voice_downloads import VoiceDownloads, base_address
from backend.errors import ConfigError, DownloadFailed, UnknownVoice
from tests.support.stand_in_mirror import Mirror, create_files, stand_in_mirror

NAME, OTHER = "ar_JO-kareem-medium", "pt_PT-tugão-medium"
MODEL = random.Random(1).randbytes(300_000)
FILES = create_files(NAME, MODEL)
MODEL_PATH = f"ar/ar_JO/kareem/medium/{NAME}.onnx"
COMPLETE = {f"{NAME}.onnx", f"{NAME}.onnx.json", f"{NAME}.MODEL_CARD"}


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setattr(file_download, "_BACKOFF_S", 0.0)
    with stand_in_mirror(dict(FILES), create_files(OTHER, MODEL[:1000])) as mirror:
        catalogue = parse_catalogue(mirror.files["voices.json"])
        monkeypatch.setattr(module, "load_catalogue", lambda _: catalogue)
        monkeypatch.setattr(module, "shipped_catalogue", lambda: catalogue)
        yield mirror


def downloads(mirror: Mirror, folder: Path) -> VoiceDownloads:
    return VoiceDownloads(folder / "piper", mirror.url)


def fetch(mirror: Mirror, folder: Path, name: str = NAME) -> bool:
    here = downloads(mirror, folder)
    return here.get(here.find(name), lambda *_: None)


def visible(folder: Path) -> set[str]:
    """Files that the server may see: no locks, no partial ones."""
    return {
        path.name
        for path in (folder / "piper").glob("*")
        if not path.name.startswith(".") and path.suffix != ".part"
    }


def test_a_voice_is_fetched_with_its_config_and_card(mirror: Mirror, tmp_path: Path) -> None:
    assert fetch(mirror, tmp_path) is True
    assert visible(tmp_path) == COMPLETE
    assert (tmp_path / "piper" / f"{NAME}.onnx").read_bytes() == MODEL
    here = downloads(mirror, tmp_path)
    assert here.list_installed() == [NAME]
    assert here.find_licence(here.find(NAME)) == "CC0"  # from its card
    assert fetch(mirror, tmp_path) is False


def test_names_beyond_ascii_are_fetched(mirror: Mirror, tmp_path: Path) -> None:
    assert fetch(mirror, tmp_path, OTHER) is True
    assert downloads(mirror, tmp_path).list_installed() == [OTHER]


def test_progress_grows_to_the_last_byte(mirror: Mirror, tmp_path: Path) -> None:
    reports: list[tuple[str, int, int]] = []
    here = downloads(mirror, tmp_path)
    here.get(here.find(NAME), lambda *what: reports.append(what))
    of_model = [at for name, at, of in reports if (name, of) == (f"{NAME}.onnx", len(MODEL))]
    assert of_model == sorted(of_model)
    assert of_model[-1] == len(MODEL)


def test_a_broken_download_resumes_where_it_stopped(mirror: Mirror, tmp_path: Path) -> None:
    mirror.truncations[MODEL_PATH] = [100_000] + [0] * 10
    with pytest.raises(DownloadFailed, match=f"voices get {NAME}` again: it resumes"):
        fetch(mirror, tmp_path)
    assert visible(tmp_path) == set()  # nothing of a half voice, not even its config
    mirror.truncations.clear()
    mirror.requests.clear()
    fetch(mirror, tmp_path)
    assert mirror.requests == [(MODEL_PATH, 100_000)]
    assert visible(tmp_path) == COMPLETE


@pytest.mark.parametrize("ranges", ["ignored", "other", "lying", "gap"])
def test_wrong_answers_to_a_range_do_not_spoil_the_file(
    mirror: Mirror, tmp_path: Path, ranges: str
) -> None:
    mirror.ranges = ranges
    mirror.truncations[MODEL_PATH] = [100_000]
    fetch(mirror, tmp_path)
    assert (tmp_path / "piper" / f"{NAME}.onnx").read_bytes() == MODEL
    assert visible(tmp_path) == COMPLETE


@pytest.mark.parametrize("lie", [MODEL[:-1] + b"?", MODEL + b"?", b""])
def test_a_file_with_another_digest_is_discarded(
    mirror: Mirror, tmp_path: Path, lie: bytes
) -> None:
    mirror.files[MODEL_PATH] = lie
    with pytest.raises(DownloadFailed, match=r"size or digest|resumes where it stopped"):
        fetch(mirror, tmp_path)
    assert visible(tmp_path) == set()


@pytest.mark.parametrize("status", [404, 403, 302])
def test_a_missing_file_or_a_redirect_loop_names_the_remedy(
    mirror: Mirror, tmp_path: Path, status: int
) -> None:
    mirror.statuses[MODEL_PATH] = status
    with pytest.raises(DownloadFailed, match=r"engine\.piper_mirror"):
        fetch(mirror, tmp_path)
    assert visible(tmp_path) == set()


def test_a_failing_mirror_is_named(mirror: Mirror, tmp_path: Path) -> None:
    mirror.statuses[MODEL_PATH] = 503
    with pytest.raises(DownloadFailed, match=r"answers 503 .*again: it resumes"):
        fetch(mirror, tmp_path)


def test_no_network_is_reported(mirror: Mirror, tmp_path: Path) -> None:
    here = VoiceDownloads(tmp_path, "http://127.0.0.1:9")
    with pytest.raises(DownloadFailed, match=r"connection to .* failed"):
        here.get(here.find(NAME), lambda *_: None)


def test_a_full_disk_is_reported_before_the_download(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100_000))
    with pytest.raises(DownloadFailed, match=r"0\.1 MB are free in .*make room"):
        fetch(mirror, tmp_path)
    assert MODEL_PATH not in [path for path, _ in mirror.requests]
    assert visible(tmp_path) == set()


def test_a_slow_trickle_does_not_go_on_for_ever(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_download, "_PROGRESS_BYTES", 1 << 30)
    monkeypatch.setattr(file_download, "_SLOW_S", 0.0)
    monkeypatch.setattr(file_download, "_SLOWEST_BYTES_S", 1e12)
    with pytest.raises(DownloadFailed, match="less than 1 kB a second"):
        fetch(mirror, tmp_path)
    assert len(mirror.requests) < 50


def test_a_stopped_download_leaves_no_half_voice(mirror: Mirror, tmp_path: Path) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    here = downloads(mirror, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        here.get(here.find(NAME), stop)
    assert visible(tmp_path) == set()


def test_two_programs_do_not_fetch_the_same_voice(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "piper").mkdir()
    with (
        FileLock(tmp_path / "piper" / f".{NAME}.lock"),
        pytest.raises(DownloadFailed, match="another program"),
    ):
        fetch(mirror, tmp_path)


def test_a_changed_file_is_fetched_again(mirror: Mirror, tmp_path: Path) -> None:
    fetch(mirror, tmp_path)
    (tmp_path / "piper" / f"{NAME}.onnx").write_bytes(MODEL[:-1] + b"?")
    assert fetch(mirror, tmp_path) is True
    assert (tmp_path / "piper" / f"{NAME}.onnx").read_bytes() == MODEL


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", f"../{NAME}", f"{NAME}/..", "", "a\0b"])
def test_names_that_leave_the_folder_are_refused(mirror: Mirror, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "evil.onnx"
    outside.write_bytes(b"kept")
    here = downloads(mirror, tmp_path)
    with pytest.raises(UnknownVoice):
        here.find(name)
    with pytest.raises(UnknownVoice):
        here.remove(name)
    assert outside.read_bytes() == b"kept"


@pytest.mark.parametrize("name", ["ar_JO-karem-medium", "arabic", "AR_jo"])
def test_similar_names_are_suggested(mirror: Mirror, tmp_path: Path, name: str) -> None:
    with pytest.raises(UnknownVoice, match=f"did you mean {NAME}"):
        downloads(mirror, tmp_path).find(name)


def test_case_does_not_matter(mirror: Mirror, tmp_path: Path) -> None:
    assert downloads(mirror, tmp_path).find(NAME.upper()).name == NAME


def test_a_removed_voice_leaves_nothing(mirror: Mirror, tmp_path: Path) -> None:
    fetch(mirror, tmp_path)
    fetch(mirror, tmp_path, OTHER)
    (tmp_path / "piper" / f"{NAME}.onnx.0123.part").write_bytes(b"half")
    here = downloads(mirror, tmp_path)
    assert here.remove(NAME) >= len(MODEL)
    assert here.list_installed() == [OTHER]
    assert not list(here.folder.glob(f"{NAME}*"))
    with pytest.raises(UnknownVoice, match=f"there are: {OTHER}"):
        here.remove(NAME)


def test_the_catalogue_is_refreshed(mirror: Mirror, tmp_path: Path) -> None:
    newer = json.loads(mirror.files["voices.json"])
    newer["de_DE-neu-high"] = json.loads(
        json.dumps(newer[NAME]).replace("ar_JO-kareem-medium", "de_DE-neu-high")
    ) | {"quality": "high"}
    mirror.files["voices.json"] = json.dumps(newer).encode()
    before, after = downloads(mirror, tmp_path).refresh()
    assert set(after) - set(before) == {"de_DE-neu-high"}
    stored = parse_catalogue((tmp_path / "piper" / "voices.json").read_bytes())
    assert set(stored) == set(after)


@pytest.mark.parametrize(
    "answer", [b"", b"<html>", b"[]", b"{}", b'{"a": 1}', b"[" * 100_000, b"{" + b" " * (9 << 20)]
)
def test_a_broken_refresh_keeps_the_old_catalogue(
    mirror: Mirror, tmp_path: Path, answer: bytes
) -> None:
    here = downloads(mirror, tmp_path)
    here.refresh()
    stored = (here.folder / "voices.json").read_bytes()
    mirror.files["voices.json"] = answer
    with pytest.raises(DownloadFailed, match="that was there is kept"):
        here.refresh()
    assert (here.folder / "voices.json").read_bytes() == stored


def test_addresses_of_mirrors_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    assert base_address("").endswith("/rhasspy/piper-voices/resolve/main")
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.local/")
    assert base_address("") == "http://hub.local/rhasspy/piper-voices/resolve/main"
    assert base_address("http://mirror/piper/") == "http://mirror/piper"
    for wrong in ("mirror/piper", "file:///etc", "ftp://mirror", "http://"):
        with pytest.raises(ConfigError, match=r"engine\.piper_mirror: expected an address"):
            base_address(wrong)


def test_the_model_appears_last(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that looks at any moment sees a whole voice or none."""
    moved: list[str] = []
    move = file_download.move_into_place

    def watch(file: file_download.RemoteFile, part: Path, folder: Path) -> None:
        assert not (folder / f"{NAME}.onnx").exists()
        move(file, part, folder)
        moved.append(file.name)

    monkeypatch.setattr(module, "move_into_place", watch)
    fetch(mirror, tmp_path)
    assert moved[-1] == f"{NAME}.onnx"


@pytest.mark.parametrize("card", [None, b"License: another"])
def test_a_voice_comes_without_its_card_if_that_is_missing_or_changed(
    mirror: Mirror, tmp_path: Path, card: bytes | None
) -> None:
    path = "ar/ar_JO/kareem/medium/MODEL_CARD"
    if card is None:
        mirror.statuses[path] = 404
    else:
        mirror.files[path] = card
    assert fetch(mirror, tmp_path) is True
    assert visible(tmp_path) == COMPLETE - {f"{NAME}.MODEL_CARD"}
    here = downloads(mirror, tmp_path)
    assert here.find_licence(here.find(NAME)) == ""
    assert fetch(mirror, tmp_path) is False
