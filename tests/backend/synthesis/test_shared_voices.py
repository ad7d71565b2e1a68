"""Voices that are learned once and are there on all replicas."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from backend.cluster.shared_entries import SharedEntries, Version
from backend.errors import StoreUnavailable, UnknownVoice, VoiceExists
from backend.synthesis import voice_store
from backend.synthesis.voice_store import VoiceStore
from tests.support.engines.cloning_model import CloningModel, recording
from tests.support.engines.fake_engine import FakeModel
from tests.support.live_server import wait_until

FIRST = (6.0, 16_000)
OTHER = (5.5, 16_000)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice_store, "_LOOK_S", 0.02)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "recording"
    path.write_bytes(recording())
    return path


@pytest.fixture
def url(tmp_path: Path) -> str:
    return str(tmp_path / "store")


@asynccontextmanager
async def replica(url: str, model: FakeModel | None = None) -> AsyncIterator[VoiceStore]:
    """The voices of one replica."""
    store = VoiceStore(model or CloningModel())
    try:
        await store.share(SharedEntries(url, "voices-fake"))
        yield store
    finally:
        await store.stop_sharing()
        await asyncio.to_thread(store.shut_down)


def names(store: VoiceStore) -> set[str]:
    return {voice.name for voice in store.list_voices() if voice.learned}


async def test_a_voice_is_learned_once_and_there_on_all_replicas(url: str, file: Path) -> None:
    second = CloningModel()
    async with replica(url) as one, replica(url, second) as other:
        await one.add_voice("anna", file)
        assert names(one) == {"anna"}
        await wait_until(lambda: names(other) == {"anna"}, within_s=10)
        assert second.learned["anna"] == FIRST
        async with replica(url) as late:
            assert names(late) == {"anna"}


async def test_a_voice_is_removed_everywhere_also_by_a_replica_that_did_not_learn_it(
    url: str, file: Path
) -> None:
    gone: list[str] = []
    async with replica(url) as one, replica(url) as other:
        one.on_removed = gone.append
        await one.add_voice("anna", file)
        await wait_until(lambda: names(other) == {"anna"}, within_s=10)
        await other.remove_voice("anna")
        await wait_until(lambda: not names(one), within_s=10)
        assert gone == ["anna"]  # so that what was measured of it is forgotten
        async with replica(url) as late:
            assert names(late) == set()


async def test_an_unknown_voice_is_looked_for_before_the_next_regular_look(
    url: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voice_store, "_LOOK_S", 1000.0)
    async with replica(url) as one, replica(url) as other:
        await one.add_voice("anna", file)
        await other.look_for("anna")
        assert names(other) == {"anna"}
        await other.remove_voice("anna")
        with pytest.raises(UnknownVoice):
            await other.remove_voice("anna")


async def test_of_two_replicas_that_learn_a_name_one_wins(
    url: str, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voice_store, "_LOOK_S", 1000.0)
    shorter = tmp_path / "shorter"
    shorter.write_bytes(recording(OTHER[0]))
    first, second = CloningModel(), CloningModel()
    async with replica(url, first) as one, replica(url, second) as other:
        results = await asyncio.gather(
            one.add_voice("anna", file), other.add_voice("anna", shorter), return_exceptions=True
        )
        failed = [each for each in results if isinstance(each, BaseException)]
        assert [type(each) for each in failed] == [VoiceExists]
        winner = FIRST if isinstance(results[1], VoiceExists) else OTHER
        for store, model in ((one, first), (other, second)):
            await store.look_for("anna")
            assert model.learned["anna"] == winner


async def test_a_voice_is_hidden_until_it_is_shared(url: str, file: Path) -> None:
    seen: list[set[str]] = []

    class Watched(CloningModel):
        def export_voice(self, name: str) -> bytes:
            seen.append(names(store))
            return super().export_voice(name)

    async with replica(url, Watched()) as store:
        await store.add_voice("anna", file)
    assert seen == [set()]


async def test_a_voice_removed_elsewhere_stays_until_its_last_use(url: str, file: Path) -> None:
    model = CloningModel()
    async with replica(url, model) as one, replica(url) as other:
        await one.add_voice("anna", file)
        with one.in_use("anna"):
            await other.remove_voice("anna")
            await wait_until(lambda: not names(one), within_s=10)
            assert "anna" in model.learned
        await wait_until(lambda: not model.learned, within_s=10)


async def test_a_voice_learned_anew_elsewhere_replaces_the_old_after_its_last_use(
    url: str, file: Path, tmp_path: Path
) -> None:
    shorter = tmp_path / "shorter"
    shorter.write_bytes(recording(OTHER[0]))
    model = CloningModel()
    async with replica(url, model) as one, replica(url) as other:
        await one.add_voice("anna", file)
        with one.in_use("anna"):
            await other.remove_voice("anna")
            await other.add_voice("anna", shorter)
            await wait_until(lambda: not names(one), within_s=10)
            assert model.learned["anna"] == FIRST
        await wait_until(lambda: model.learned.get("anna") == OTHER, within_s=10)
        assert names(one) == {"anna"}


async def test_voices_learned_before_the_store_was_set_are_shared(url: str) -> None:
    first = CloningModel()
    first.learned["anna"] = FIRST
    async with replica(url, first) as one, replica(url) as other:
        await wait_until(lambda: names(other) == {"anna"}, within_s=10)
        await other.remove_voice("anna")
        await wait_until(lambda: not first.learned, within_s=10)
        assert names(one) == set()


async def test_a_replica_that_was_away_learns_of_a_removal(url: str, file: Path) -> None:
    async with replica(url) as one:
        await one.add_voice("anna", file)
        await one.remove_voice("anna")
    returning = CloningModel()
    returning.learned["anna"] = FIRST  # on its disk, from before
    async with replica(url, returning) as store:
        await wait_until(lambda: not returning.learned, within_s=10)
        assert names(store) == set()


async def test_a_damaged_entry_disturbs_no_other_and_can_be_learned_again(
    url: str, file: Path
) -> None:
    folder = Path(url) / "voices-fake"
    folder.mkdir(parents=True)
    (folder / "anna~00000001").write_bytes(b"half of it")
    SharedEntries(url, "voices-fake").write("bob", b"not what the engine exports", None)
    async with replica(url) as one, replica(url) as other:
        await one.add_voice("carl", file)
        await one.add_voice("anna", file)
        await wait_until(lambda: names(other) == {"anna", "carl"}, within_s=10)
        await one.remove_voice("carl")
        await wait_until(lambda: names(other) == {"anna"}, within_s=10)


async def test_a_voice_of_the_engine_is_not_replaced_by_the_store(url: str, file: Path) -> None:
    SharedEntries(url, "voices-fake").write("heart", b"[1, 2]", None)
    model = CloningModel()
    async with replica(url, model) as store:
        await store.add_voice("anna", file)
        assert model.learned.keys() == {"anna"}


async def test_without_the_store_voices_stay_and_changes_are_refused(
    url: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = CloningModel()
    async with replica(url, model) as store:
        await store.add_voice("anna", file)
        with monkeypatch.context() as patch:
            patch.setattr(
                "backend.cluster.shared_entries._create_local",
                lambda *_: (_ for _ in ()).throw(OSError("full")),
            )
            with pytest.raises(StoreUnavailable):
                await store.add_voice("bob", file)
            with pytest.raises(StoreUnavailable):
                await store.remove_voice("anna")
        assert model.learned.keys() == {"anna"}
        assert names(store) == {"anna"}
        (Path(url) / "voices-fake").rename(Path(url) / "away")
        (Path(url) / "voices-fake").write_bytes(b"")  # now it cannot be listed
        await store.look_for("carl")
        assert names(store) == {"anna"}
        (Path(url) / "voices-fake").unlink()
        (Path(url) / "away").rename(Path(url) / "voices-fake")
        await store.add_voice("bob", file)


async def test_an_engine_that_learns_no_voices_shares_none(url: str) -> None:
    async with replica(url, FakeModel()) as store:
        await store.look_for("anna")
    assert not os.path.exists(url)  # noqa: ASYNC240 - nobody waits


async def test_looking_reads_each_version_once(url: str) -> None:
    read: list[str] = []

    class Counting(SharedEntries):
        def read(self, name: str, version: Version) -> bytes:
            read.append(name)
            return super().read(name, version)

    entries = Counting(url, "voices-fake")
    for name in ("anna", "heart", "no.voice"):
        entries.write(name, b"[1, 2]", None)
    store = VoiceStore(CloningModel())
    await store.share(entries)
    for _ in range(3):
        await store.look_for("unknown")
    await store.stop_sharing()
    await asyncio.to_thread(store.shut_down)
    assert sorted(read) == ["anna", "heart", "no.voice"]
