"""The lexicon in a place that replicas share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from backend.cluster.shared_entries import SharedEntries
from backend.errors import BadLexicon, UnknownLexicon
from backend.synthesis import lexicon_store
from backend.synthesis.lexicon_store import LexiconStore
from backend.synthesis.shared_lexicons import SharedLexicons
from backend.text.reading.lexicon_text import parse_entry
from tests.support.live_server import wait_until


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexicon_store, "_LOOK_S", 0.02)


@asynccontextmanager
async def replica(tmp_path: Path, own: str = "own") -> AsyncIterator[LexiconStore]:
    """The lexicons of one replica; `own`: the folder of its own."""
    entries = SharedEntries(str(tmp_path / "store"), "lexicons")
    async with LexiconStore(SharedLexicons(entries, tmp_path / own)) as store:
        yield store


def written(store: LexiconStore, voice: str | None = None) -> set[str]:
    return {entry.written for entry in store.get_file(voice).lexicon.entries}


async def test_entries_arrive_on_all_replicas_and_leave_all(tmp_path: Path) -> None:
    async with replica(tmp_path) as one, replica(tmp_path) as other:
        await one.add_entries(None, [parse_entry("Nguyen", "win")])
        await one.add_entries("anna", [parse_entry("SQL", "sequel")])
        await wait_until(
            lambda: (written(other), written(other, "anna")) == ({"Nguyen"}, {"SQL"}), within_s=10
        )
        await other.remove_entry(None, "Nguyen")
        await other.forget_voice("anna")
        await wait_until(
            lambda: (written(one), written(one, "anna")) == (set(), set()), within_s=10
        )


async def test_no_change_is_lost_when_all_replicas_change_the_lexicon_at_once(
    tmp_path: Path,
) -> None:
    words = [f"word{letter}" for letter in "abcdefghijkl"]
    async with (
        replica(tmp_path) as one,
        replica(tmp_path) as two,
        replica(tmp_path) as three,
    ):
        stores = [one, two, three] * 4
        await asyncio.gather(
            *(
                store.add_entries(None, [parse_entry(word, "said")])
                for store, word in zip(stores, words, strict=True)
            )
        )
        for store in (one, two, three):
            await store.read_changed_files()
            assert written(store) == set(words)


async def test_dictionaries_are_shared_and_an_unknown_one_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lexicon_store, "_LOOK_S", 1000.0)
    async with replica(tmp_path) as one, replica(tmp_path) as other:
        id_ = (await one.create_dictionary("names", "", [parse_entry("Nguyen", "win")])).id
        with pytest.raises(UnknownLexicon):
            other.get_dictionary(id_)
        await other.look_for([id_])
        assert other.get_dictionary(id_).name == "names"
        await other.delete_dictionary(id_)
        await one.read_changed_files()
        assert one.list_dictionaries() == []


async def test_files_of_a_replica_are_shared_once(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "lexicon.txt").write_text("Nguyen = win\n")
    async with replica(tmp_path) as one, replica(tmp_path, "none") as other:
        assert written(one) == written(other) == {"Nguyen"}
        await other.remove_entry(None, "Nguyen")
        await wait_until(lambda: written(one) == set(), within_s=10)
    async with replica(tmp_path) as again:
        assert written(again) == set()


async def test_a_damaged_lexicon_keeps_what_was_read_and_can_be_replaced(tmp_path: Path) -> None:
    async with replica(tmp_path) as one, replica(tmp_path) as other:
        await one.add_entries(None, [parse_entry("Nguyen", "win")])
        await wait_until(lambda: written(other) == {"Nguyen"}, within_s=10)
        (tmp_path / "store" / "lexicons" / "lexicon~00000009").write_bytes(b"half")
        (tmp_path / "store" / "lexicons" / "junk").write_bytes(b"junk")
        await other.read_changed_files()
        assert written(other) == {"Nguyen"}
        await one.add_entries(None, [parse_entry("SQL", "sequel")])
        await wait_until(lambda: written(other) == {"SQL"}, within_s=10)


async def test_too_large_a_lexicon_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.synthesis.lexicon_files.LARGEST_BYTES", 10)
    async with replica(tmp_path) as store:
        with pytest.raises(BadLexicon, match="at most"):
            await store.add_entries(None, [parse_entry("Nguyen", "win")])
        assert written(store) == set()
