"""The catalogue of voices: the one that is shipped, and what a hub may send instead."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from backend.engines.piper.catalogue import load_catalogue, parse_catalogue, shipped_catalogue
from tests.support.stand_in_mirror import create_files, describe_voice

NAME = "ar_JO-kareem-medium"


def entry(name: str = NAME, **changes: Any) -> dict[str, Any]:
    return describe_voice(name, create_files(name, b"model")) | changes


def parse(entries: dict[str, Any]) -> set[str]:
    valid = {"de_DE-good-low": entry("de_DE-good-low")}
    return set(parse_catalogue(json.dumps(entries | valid).encode())) - set(valid)


def test_the_shipped_catalogue_is_complete() -> None:
    voices = shipped_catalogue()
    assert len(voices) == 176
    assert len({voice.language.partition("-")[0] for voice in voices.values()}) == 52
    joe = voices["en_US-joe-medium"]
    assert (joe.model.size_bytes, joe.model.md5) == (63201294, "74fd6a4dc39e0aa9dce145d7f5acd4f6")
    assert (joe.licence, joe.quality, joe.language) == ("CC0", "medium", "en-US")
    assert joe.sample_path == "en/en_US/joe/medium/samples/speaker_0.mp3"
    assert all(voice.card for voice in voices.values())
    assert 50 <= sum(bool(voice.licence) for voice in voices.values()) < 176


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        *(("ar", 2), ("ar_JO", 2), ("ar-jo", 2), ("arabic", 2), ("Arabic", 2), ("العربية", 2)),
        *(("deutsch", 10), ("German", 10), ("bengali", 1), ("farsi", 5), ("persian", 5)),
        *(("ar_EG", 0), ("klingon", 0), ("", 0), ("..", 0), ("e", 0)),
    ],
)
def test_languages_are_found_by_tag_and_name(wanted: str, count: int) -> None:
    assert sum(voice.speaks(wanted) for voice in shipped_catalogue().values()) == count


@pytest.mark.parametrize(
    "name",
    ["../evil-x-medium", "ar_JO-../../etc-medium", "ar_JO-a/b-medium", "ar_JO-.a-medium", "medium"],
)
def test_names_that_leave_the_folder_are_left_out(name: str) -> None:
    files = {f"ar/{name}.onnx": b"m", f"ar/{name}.onnx.json": b"c"}
    assert parse({name: describe_voice(NAME, files)}) == set()


@pytest.mark.parametrize(
    "change",
    [
        {"quality": "high"},
        {"num_speakers": 0},
        {"num_speakers": True},
        {"num_speakers": 1.5},
        {"language": {}},
        {"language": "ar"},
        {"files": {}},
        {"files": []},
        {"files": {f"../{NAME}.onnx": {"size_bytes": 1, "md5_digest": "0" * 32}}},
    ],
)
def test_entries_of_another_form_are_left_out(change: dict[str, Any]) -> None:
    assert parse({NAME: entry()}) == {NAME}
    assert parse({NAME: entry(**change)}) == set()


@pytest.mark.parametrize(
    "facts",
    [
        {"size_bytes": -1, "md5_digest": "0" * 32},
        {"size_bytes": 1 << 40, "md5_digest": "0" * 32},
        {"size_bytes": "5", "md5_digest": "0" * 32},
        {"size_bytes": 5, "md5_digest": "../" * 10 + "aa"},
        {"size_bytes": 5, "md5_digest": ""},
        {"size_bytes": 5},
    ],
)
def test_sizes_and_digests_are_checked(facts: dict[str, Any]) -> None:
    files = dict.fromkeys(entry()["files"], facts)
    assert parse({NAME: entry(files=files)}) == set()


def test_control_characters_reach_no_terminal() -> None:
    language = entry()["language"] | {"name_english": "Ara\x1b[31mbic", "name_native": "\u200fع"}
    data = json.dumps({NAME: entry(language=language)}).encode()
    assert parse_catalogue(data)[NAME].language_names == ("Ara[31mbic", "ع")


def store(folder: Path, data: bytes, age_s: float) -> None:
    path = folder / "voices.json"
    path.write_bytes(data)
    import backend.engines.piper.catalogue as module

    shipped_s = Path(module.__file__).with_name("voices.json").stat().st_mtime
    os.utime(path, (shipped_s - age_s, shipped_s - age_s))


def test_a_newer_catalogue_is_used_until_the_release_has_a_newer_one(tmp_path: Path) -> None:
    shipped = shipped_catalogue()
    hubs = {name: entry(name) for name in shipped if name != "zh_CN-xiao_ya-medium"}
    data = json.dumps(hubs, ensure_ascii=False).encode()
    store(tmp_path, data, age_s=-10)
    assert set(load_catalogue(tmp_path)) == set(hubs)
    store(tmp_path, data, age_s=10)
    assert set(load_catalogue(tmp_path)) == set(shipped)


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff\xfe", b'{"ar_JO-kareem-medium": {}}'])
def test_a_broken_newer_catalogue_is_ignored(tmp_path: Path, data: bytes) -> None:
    store(tmp_path, data, age_s=-10)
    assert len(load_catalogue(tmp_path)) == 176


def test_a_licence_is_kept_while_the_card_is_the_same() -> None:
    known = parse_catalogue(json.dumps({NAME: entry(licence="CC BY 4.0")}).encode())
    same = parse_catalogue(json.dumps({NAME: entry()}).encode(), known)
    assert same[NAME].licence == "CC BY 4.0"
    files = create_files(NAME, b"model", licence="All rights reserved")
    changed = json.dumps({NAME: describe_voice(NAME, files)}).encode()
    assert parse_catalogue(changed, known)[NAME].licence == ""
