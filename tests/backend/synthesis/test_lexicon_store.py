"""The lexicons of a server: files, what applies to a context, changes without a restart."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from backend.errors import BadLexicon, Overloaded, UnknownLexicon
from backend.synthesis import lexicon_files, lexicon_store
from backend.synthesis.lexicon_store import MOST_ADDITIONS, MOST_CHOSEN, LexiconStore
from backend.text.reading.lexicon_entry import create_entry
from tests.support.live_server import wait_until


def said(
    store: LexiconStore,
    written: str,
    additions: Mapping[str, str] | None = None,
    dictionaries: Sequence[str] | None = None,
    voice: str = "heart",
) -> str | None:
    lexicon = store.lexicon_for(voice, additions, dictionaries)
    return {entry.written: entry.said for entry in lexicon.entries}.get(written)


def list_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


async def test_context_before_dictionary_before_voice_before_server(tmp_path: Path) -> None:
    write(tmp_path / "lexicon.txt", "A = server\nB = server\nC = server\nD = server\nE = server\n")
    write(tmp_path / "voices/heart.txt", "B = voice\nC = voice\nD = voice\nE = voice\n")
    write(tmp_path / "dictionaries/two.txt", "C = two\nD = two\nE = two\n")
    write(tmp_path / "dictionaries/one.txt", "D = one\nE = one\n")
    async with LexiconStore(tmp_path) as store:
        assert said(store, "B") == "voice"
        assert said(store, "B", voice="other") == "server"
        chosen = ("one", "two")
        heard = [said(store, written, {"E": "context"}, chosen) for written in "ABCDE"]
        assert heard == ["server", "voice", "two", "one", "context"]


async def test_changed_file_applies_without_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lexicon_store, "_LOOK_S", 0.01)
    async with LexiconStore(tmp_path / "later") as store:
        assert said(store, "Nguyen") is None
        write(tmp_path / "later/lexicon.txt", "Nguyen = win\n")
        await wait_until(lambda: said(store, "Nguyen") == "win")
        write(tmp_path / "later/lexicon.txt", "Nguyen = wen you\n")
        await wait_until(lambda: said(store, "Nguyen") == "wen you")
        (tmp_path / "later/lexicon.txt").unlink()
        await wait_until(lambda: said(store, "Nguyen") is None)


async def test_unchanged_files_are_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "lexicon.txt", "Nguyen = win\n")
    async with LexiconStore(tmp_path) as store:
        monkeypatch.setattr(lexicon_files, "_read_file", None)
        await store.read_changed_files()
        assert said(store, "Nguyen") == "win"


async def test_bad_lines_do_not_disable_the_rest(tmp_path: Path) -> None:
    write(tmp_path / "lexicon.txt", "what\nNguyen = win\nX = 1\n")
    async with LexiconStore(tmp_path) as store:
        assert said(store, "Nguyen") == "win"
        assert [line.number for line in store.get_file(None).bad_lines] == [1, 3]


async def test_file_that_is_no_text_is_reported(tmp_path: Path) -> None:
    (tmp_path / "lexicon.txt").write_bytes(b"a = b\nc = \xff\n")
    async with LexiconStore(tmp_path) as store:
        assert [line.number for line in store.get_file(None).bad_lines] == [2]
        with pytest.raises(BadLexicon, match="cannot read"):  # it is not overwritten
            await store.add_entries(None, [create_entry("d", "e")])


async def test_too_large_file_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexicon_files, "LARGEST_BYTES", 10)
    write(tmp_path / "lexicon.txt", "Nguyen = win\n")
    async with LexiconStore(tmp_path) as store:
        assert said(store, "Nguyen") is None
        assert store.get_file(None).bad_lines
        with pytest.raises(BadLexicon, match="at most"):
            await store.add_entries("anna", [create_entry("Nguyen", "win")])


async def test_additions_apply_at_once_and_keep_comments(tmp_path: Path) -> None:
    write(tmp_path / "lexicon.txt", "# ours\nAnna = ahna\n")
    os.chmod(tmp_path / "lexicon.txt", 0o600)
    async with LexiconStore(tmp_path) as store:
        await store.add_entries(None, [create_entry("Nguyen", "win")])
        await store.add_entries("heart", [create_entry("Anna", "anner")])
        assert (said(store, "Nguyen"), said(store, "Anna")) == ("win", "anner")
        file = tmp_path / "lexicon.txt"
        assert file.read_text("utf-8") == "# ours\nAnna = ahna\nNguyen = win\n"
        assert file.stat().st_mode & 0o777 == 0o600
        await store.remove_entry(None, "nguyen")
        assert said(store, "Nguyen") is None
        with pytest.raises(UnknownLexicon, match="Nguyen"):
            await store.remove_entry(None, "Nguyen")
    assert list_files(tmp_path) == ["heart.txt", "lexicon.txt"]


async def test_edit_of_a_file_that_was_just_changed_by_hand(tmp_path: Path) -> None:
    async with LexiconStore(tmp_path) as store:
        write(tmp_path / "lexicon.txt", "Anna = ahna\n")
        await store.add_entries(None, [create_entry("Nguyen", "win")])
        assert (said(store, "Anna"), said(store, "Nguyen")) == ("ahna", "win")


async def test_removed_voice_takes_its_entries_along(tmp_path: Path) -> None:
    async with LexiconStore(tmp_path) as store:
        await store.add_entries("anna", [create_entry("Nguyen", "win")])
        await store.forget_voice("anna")
        assert said(store, "Nguyen", voice="anna") is None
        assert not (tmp_path / "voices/anna.txt").exists()


@pytest.mark.parametrize("voice", ["", "../x", "a/b", ".", "a\0b", "x" * 200])
async def test_no_voice_leaves_the_folder(tmp_path: Path, voice: str) -> None:
    async with LexiconStore(tmp_path / "in") as store:
        with pytest.raises(BadLexicon):
            await store.add_entries(voice, [create_entry("Nguyen", "win")])
        assert not list_files(tmp_path)


async def test_dictionaries(tmp_path: Path) -> None:
    async with LexiconStore(tmp_path) as store:
        made = await store.create_dictionary("Our\nnames", "", [create_entry("Nguyen", "win")])
        assert (made.name, [entry.said for entry in made.lexicon.entries]) == ("Our names", ["win"])
        assert made.created_s > 0
        assert said(store, "Nguyen") is None
        assert said(store, "Nguyen", dictionaries=[made.id]) == "win"
        changed = await store.change_dictionary(
            made.id, lambda old: [*old, create_entry("Anna", "ahna")], name="Names"
        )
        assert (changed.name, len(changed.lexicon)) == ("Names", 2)
        assert (changed.id, changed.created_s) == (made.id, made.created_s)
        assert changed.version != made.version
        assert [dictionary.id for dictionary in store.list_dictionaries()] == [made.id]
        await store.delete_dictionary(made.id)
        for call in (store.get_dictionary, lambda id_: store.lexicon_for("heart", None, [id_])):
            with pytest.raises(UnknownLexicon):
                call(made.id)


async def test_dictionaries_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexicon_store, "MOST_FILES", 1)
    async with LexiconStore(tmp_path) as store:
        await store.create_dictionary("a", "", [])
        with pytest.raises(Overloaded):
            await store.create_dictionary("b", "", [])


@pytest.mark.parametrize(
    ("additions", "dictionaries"),
    [
        ({"Nguyen": "w1n"}, None),
        ({"Nguyen": ""}, None),
        ({f"name{'x' * n}"[:100] + str(n): "win" for n in range(MOST_ADDITIONS + 1)}, None),
        (None, ["x"] * (MOST_CHOSEN + 1)),
    ],
)
async def test_bad_additions_are_refused(
    additions: dict[str, str] | None, dictionaries: list[str] | None
) -> None:
    with pytest.raises(BadLexicon):
        LexiconStore().lexicon_for("heart", additions, dictionaries)


async def test_additions_take_the_flags_of_files() -> None:
    lexicon = LexiconStore().lexicon_for("heart", {"May": "my [match case]"})
    assert [(entry.said, entry.is_exact) for entry in lexicon.entries] == [("my", True)]


async def test_without_a_folder_nothing_is_stored() -> None:
    async with LexiconStore() as store:
        with pytest.raises(BadLexicon, match="no folder"):
            await store.add_entries(None, [create_entry("Nguyen", "win")])
