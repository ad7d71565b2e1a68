"""Entries that several servers share: atomic, and robust against what else is there."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from backend.cluster.shared_entries import DamagedEntry, EntryConflict, SharedEntries, Version
from backend.errors import ConfigError, StoreUnavailable

_numbers = itertools.count()


@pytest.fixture(params=["directory", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return (
        str(tmp_path / "store") if request.param == "directory" else f"memory://t{next(_numbers)}"
    )


def test_entries_of_a_new_store_are_none(url: str) -> None:
    assert SharedEntries(url, "voices").list_versions() == {}


def test_another_server_reads_what_was_written(url: str) -> None:
    written = SharedEntries(url, "voices").write("anna", b"content", None)
    other = SharedEntries(url, "voices")
    assert other.list_versions() == {"anna": written}
    assert other.read("anna", written) == b"content"
    assert SharedEntries(url, "lexicons").list_versions() == {}


def test_a_change_replaces_the_version_before(url: str) -> None:
    entries = SharedEntries(url, "voices")
    first = entries.write("anna", b"one", None)
    second = entries.write("anna", b"two", first)
    assert entries.list_versions() == {"anna": second}
    assert entries.read("anna", second) == b"two"
    with pytest.raises(DamagedEntry):
        entries.read("anna", first)


def test_of_two_changes_of_the_same_version_one_wins(url: str) -> None:
    one, other = SharedEntries(url, "voices"), SharedEntries(url, "voices")
    first = one.write("anna", b"first", None)
    second = one.write("anna", b"one", first)
    with pytest.raises(EntryConflict):
        other.write("anna", b"other", first)
    with pytest.raises(EntryConflict):
        other.write("anna", b"other", None)  # number 1 has been cleared away
    assert one.list_versions() == {"anna": second}
    assert one.read("anna", second) == b"one"


def test_of_many_writers_at_once_exactly_one_wins(tmp_path: Path) -> None:
    def write(number: int) -> int | None:
        try:
            SharedEntries(str(tmp_path), "voices").write("anna", b"%d" % number, None)
        except EntryConflict:
            return None
        return number

    with ThreadPoolExecutor(16) as threads:
        winners = [each for each in threads.map(write, range(32)) if each is not None]
    entries = SharedEntries(str(tmp_path), "voices")
    (version,) = entries.list_versions().values()
    assert [b"%d" % each for each in winners] == [entries.read("anna", version)]


def test_a_removal_is_seen_and_the_name_is_free_again(url: str) -> None:
    entries = SharedEntries(url, "voices")
    removed = entries.remove("anna", entries.write("anna", b"", None))
    assert entries.list_versions() == {"anna": removed}
    assert removed.is_removed
    again = entries.write("anna", b"", removed)
    assert not again.is_removed
    assert entries.read("anna", again) == b""


def test_a_reader_never_sees_half_an_entry(tmp_path: Path) -> None:
    contents = [bytes([number]) * 300_000 for number in range(20)]
    entries, seen = SharedEntries(str(tmp_path), "voices"), []

    def write_all() -> None:
        version = None
        for content in contents:
            version = entries.write("anna", content, version)

    reader = SharedEntries(str(tmp_path), "voices")
    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write_all)
        while not writing.done():
            for version in reader.list_versions().values():
                try:
                    seen.append(reader.read("anna", version))
                except DamagedEntry as error:
                    assert "replaced" in str(error)  # noqa: PT017 - the other kind is the fault
        writing.result()
    assert all(each in contents for each in seen)


def test_damaged_and_foreign_files_disturb_no_entry(tmp_path: Path) -> None:
    entries = SharedEntries(str(tmp_path), "voices")
    good = entries.write("anna", b"good", None)
    folder = tmp_path / "voices"
    for name in (".part-x", "README.txt", "anna~2", "..~00000001", "~00000001", "a b~00000001"):
        (folder / name).write_bytes(b"junk")
    (folder / "folder~00000001").mkdir()
    (folder / "half~00000001").write_bytes(b"h")
    (folder / "flipped~00000001").write_bytes(b"\0" * 40)
    versions = entries.list_versions()
    assert versions.keys() == {"anna", "half", "flipped"}
    assert versions["anna"] == good
    for name in ("half", "flipped"):
        with pytest.raises(DamagedEntry):
            entries.read(name, versions[name])
        entries.write(name, b"mended", versions[name])
        assert entries.read(name, entries.list_versions()[name]) == b"mended"


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "a~b", ".hidden", "ä", "x" * 161])
def test_a_name_cannot_leave_the_store(name: str, tmp_path: Path) -> None:
    entries = SharedEntries(str(tmp_path / "store"), "voices")
    with pytest.raises(StoreUnavailable, match="cannot name"):
        entries.write(name, b"", None)
    with pytest.raises(StoreUnavailable):
        entries.read(name, Version(1, 40))
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_dies_leaves_nothing_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any) -> None:
        raise OSError("power cut")

    entries = SharedEntries(str(tmp_path), "voices")
    with monkeypatch.context() as patch:
        patch.setattr("backend.cluster.shared_entries.os.link", die)
        with pytest.raises(StoreUnavailable, match=r"cluster\.store"):
            entries.write("anna", b"content", None)
    assert entries.list_versions() == {}
    entries.write("anna", b"content", None)


def test_an_unreadable_store_is_reported_with_its_setting(tmp_path: Path) -> None:
    (tmp_path / "voices").write_bytes(b"a file where a folder should be")
    entries = SharedEntries(str(tmp_path), "voices")
    with pytest.raises(StoreUnavailable, match=r"cluster\.store"):
        entries.write("anna", b"", None)


def test_an_unknown_protocol_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"cluster\.store"):
        SharedEntries("nosuch://bucket", "voices")
