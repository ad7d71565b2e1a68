"""Voices that come and go while others speak."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from backend.errors import BadMessage, Overloaded, UnknownVoice, Unsupported, VoiceExists
from backend.synthesis.voice_store import MOST_VOICES, VoiceStore
from tests.support.engines.cloning_model import CloningModel, recording
from tests.support.engines.fake_engine import FakeModel
from tests.support.live_server import eventually


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "recording"
    path.write_bytes(recording())
    return path


@asynccontextmanager
async def running_store(model: FakeModel) -> AsyncIterator[VoiceStore]:
    store = VoiceStore(model)
    try:
        yield store
    finally:
        await asyncio.to_thread(store.shut_down)


@contextmanager
def held() -> Iterator[tuple[CloningModel, threading.Event]]:
    """A model that does not finish learning before the event is set."""
    hears = threading.Event()
    try:
        yield CloningModel(hears), hears
    finally:
        hears.set()


def names(store: VoiceStore) -> set[str]:
    return {voice.name for voice in store.list_voices() if voice.learned}


async def test_a_voice_comes_and_goes(file: Path) -> None:
    async with running_store(CloningModel()) as store:
        voice = await store.add_voice("anna", file)
        assert (voice.name, voice.learned) == ("anna", True)
        assert names(store) == {"anna"}
        await store.remove_voice("anna")
        assert names(store) == set()


async def test_a_voice_in_use_goes_with_its_last_user(file: Path) -> None:
    model = CloningModel()
    async with running_store(model) as store:
        await store.add_voice("anna", file)
        with store.in_use("anna"):
            with store.in_use("anna"):
                await store.remove_voice("anna")
            assert names(store) == set()
            assert "anna" in model.learned
            with pytest.raises(UnknownVoice):
                await store.remove_voice("anna")
            with pytest.raises(VoiceExists, match="in use"):
                await store.add_voice("anna", file)
        await eventually(lambda: not model.learned, within_s=10)


async def test_using_a_voice_does_not_remove_it(file: Path) -> None:
    async with running_store(CloningModel()) as store:
        await store.add_voice("anna", file)
        with store.in_use("anna"):
            pass
        assert names(store) == {"anna"}


async def test_a_voice_in_use_at_the_end_is_removed_before_it(file: Path) -> None:
    model = CloningModel()
    async with running_store(model) as store:
        await store.add_voice("anna", file)
        with store.in_use("anna"):
            await store.remove_voice("anna")
    assert not model.learned


async def test_some_wait_for_their_turn_and_more_are_told_to_come_back(file: Path) -> None:
    with held() as (model, hears):
        async with running_store(model) as store:
            adding = [asyncio.create_task(store.add_voice(f"v{n}", file)) for n in range(4)]
            await asyncio.sleep(0)
            with pytest.raises(Overloaded):
                await store.add_voice("one-more", file)
            with pytest.raises(VoiceExists):
                await store.add_voice("v0", file)
            hears.set()
            await asyncio.gather(*adding)
            assert names(store) == {"v0", "v1", "v2", "v3"}
            await store.add_voice("one-more", file)


async def test_who_leaves_while_a_voice_is_made_takes_its_place_from_nobody(file: Path) -> None:
    with held() as (model, hears):
        async with running_store(model) as store:
            adding = [asyncio.create_task(store.add_voice(f"v{n}", file)) for n in range(4)]
            await asyncio.sleep(0)
            for task in adding:
                task.cancel()
            await asyncio.gather(*adding, return_exceptions=True)
            hears.set()
            await eventually(lambda: not store._learning, within_s=10)
            await store.add_voice("anna", file)


async def test_a_recording_that_is_none_leaves_nothing(file: Path) -> None:
    model = CloningModel()
    async with running_store(model) as store:
        with pytest.raises(BadMessage, match="recording"):
            await store.add_voice("anna", Path(__file__))
        await store.add_voice("anna", file)
    assert list(model.learned) == ["anna"]


async def test_there_is_an_end_to_the_number_of_voices(file: Path) -> None:
    model = CloningModel()
    model.learned = {f"v{n}": (6.0, 16_000) for n in range(MOST_VOICES)}
    async with running_store(model) as store:
        with pytest.raises(Overloaded):
            await store.add_voice("anna", file)


async def test_voices_that_came_with_the_engine_stay(file: Path) -> None:
    async with running_store(CloningModel()) as store:
        with pytest.raises(Unsupported):
            await store.remove_voice("heart")
        with pytest.raises(VoiceExists):
            await store.add_voice("heart", file)


async def test_an_engine_that_makes_no_voices(file: Path) -> None:
    async with running_store(FakeModel()) as store:
        with pytest.raises(Unsupported, match="chatterbox-turbo"):
            await store.add_voice("anna", file)
