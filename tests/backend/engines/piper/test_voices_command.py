"""`duplex-tts voices available | get | refresh | remove` against a stand-in mirror."""

from __future__ import annotations

import json
import random
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backend.engines import file_download
from backend.engines.piper import voice_downloads, voices_command
from backend.engines.piper.catalogue import parse_catalogue
from tests.support.stand_in_mirror import Mirror, create_files, stand_in_mirror

NAMES = ("ar_JO-kareem-medium", "de_DE-a-low", "de_DE-b-low", "fr_FR-c-low", "fr_FR-d-low")
MODEL = random.Random(2).randbytes(50_000)
Run = Callable[..., int]


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setattr(file_download, "_BACKOFF_S", 0.0)
    with stand_in_mirror(*(create_files(name, MODEL, "CC BY 4.0") for name in NAMES)) as mirror:
        catalogue = parse_catalogue(mirror.files["voices.json"])
        monkeypatch.setattr(voice_downloads, "load_catalogue", lambda _: catalogue)
        monkeypatch.setattr(voice_downloads, "shipped_catalogue", lambda: catalogue)
        monkeypatch.setenv("DUPLEX_TTS_ENGINE__PIPER_MIRROR", mirror.url)
        yield mirror


@pytest.fixture
def run(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DUPLEX_TTS_ENGINE__MODELS", str(tmp_path / "models"))

    def run(*arguments: str) -> int:
        with pytest.raises(SystemExit) as exited:
            voices_command.main(arguments)
        code = exited.value.code
        return code if isinstance(code, int) else 1

    return run


def test_voices_are_listed_by_language(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("get", NAMES[0]) == 0
    capsys.readouterr()
    assert run("available", "arabic") == 0
    output = capsys.readouterr().out
    assert "Arabic, العربية" in output
    row = next(line.split() for line in output.splitlines() if NAMES[0] in line)
    assert row == [NAMES[0], "medium", "0", "1", "CC", "BY", "4.0", "installed"]
    assert "de_DE" not in output
    assert f"voices get {NAMES[0]}" in output


def test_json_has_every_fact(run: Run, mirror: Mirror, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("available", "--json") == 0
    listed = {voice["name"]: voice for voice in json.loads(capsys.readouterr().out)}
    assert set(listed) == set(NAMES)
    facts = listed[NAMES[0]]
    assert facts["size_bytes"] > len(MODEL)
    assert (facts["licence"], facts["installed"], facts["quality"]) == (None, False, "medium")
    assert facts["sample"] == f"{mirror.url}/ar/ar_JO/kareem/medium/samples/speaker_0.mp3"


def test_an_unknown_language_names_those_there_are(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("available", "klingon") == 1
    assert "there are: Arabic, de, fr" in capsys.readouterr().err


def test_several_voices_are_fetched_at_once_but_not_all(
    run: Run, mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror.gate = threading.Event()

    def open_gate_once_three_wait() -> None:
        while mirror.busy < 3:
            threading.Event().wait(0.005)
        assert mirror.gate is not None
        mirror.gate.set()

    opener = threading.Thread(target=open_gate_once_three_wait, daemon=True)
    opener.start()
    assert run("get", *NAMES) == 0
    assert mirror.busiest == 3
    assert len(list((tmp_path / "models" / "piper").glob("*.onnx"))) == len(NAMES)
    output = capsys.readouterr().out
    assert len(re.findall(r"downloaded, all files verified; licence: CC BY 4\.0", output)) == 5


def test_one_that_fails_does_not_stop_the_others(
    run: Run, mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror.statuses["de/de_DE/a/low/de_DE-a-low.onnx"] = 404
    assert run("get", *NAMES) == 1
    assert "duplex-tts: de_DE-a-low: " in capsys.readouterr().err
    installed = {path.stem for path in (tmp_path / "models" / "piper").glob("*.onnx")}
    assert installed == set(NAMES) - {"de_DE-a-low"}


def test_nothing_is_fetched_if_a_name_is_wrong(
    run: Run, mirror: Mirror, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("get", NAMES[0], "../../etc/passwd") == 1
    assert mirror.requests == []


def test_removing_frees_the_disk(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("get", NAMES[0]) == 0
    assert run("remove", NAMES[0]) == 0
    assert not list((tmp_path / "models" / "piper").glob(f"{NAMES[0]}*"))
    assert run("remove", NAMES[0]) == 1


def test_refresh_says_what_is_new(
    run: Run, mirror: Mirror, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("refresh") == 0
    assert "5 voices: 0 new, 0 changed" in capsys.readouterr().out
    mirror.statuses["voices.json"] = 404
    assert run("refresh") == 1


def test_a_wrong_mirror_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUPLEX_TTS_ENGINE__PIPER_MIRROR", "not an address")
    assert run("available") == 1
