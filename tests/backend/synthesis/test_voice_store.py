"""Adding and removing voices while they are in use."""

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
from tests.support.live_server import wait_until


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
def blocked_model() -> Iterator[tuple[CloningModel, threading.Event]]:
    """A model that does not finish learning before the event is set."""
    may_finish = threading.Event()
    try:
        yield CloningModel(may_finish), may_finish
    finally:
        may_finish.set()


def learned_names(store: VoiceStore) -> set[str]:
    return {voice.name for voice in store.list_voices() if voice.learned}


async def test_a_voice_is_added_and_removed(file: Path) -> None:
    async with running_store(CloningModel()) as store:
        added = await store.add_voice("anna", file)
        assert (added.voice.name, added.voice.learned, added.warnings) == ("anna", True, ())
        assert learned_names(store) == {"anna"}
        await store.remove_voice("anna")
        assert learned_names(store) == set()


async def test_a_voice_in_use_is_deleted_after_its_last_use(file: Path) -> None:
    model = CloningModel()
    async with running_store(model) as store:
        await store.add_voice("anna", file)
        with store.in_use("anna"):
            with store.in_use("anna"):
                await store.remove_voice("anna")
            assert learned_names(store) == set()
            assert "anna" in model.learned
            with pytest.raises(UnknownVoice):
                await store.remove_voice("anna")
            with pytest.raises(VoiceExists, match="in use"):
                await store.add_voice("anna", file)
        await wait_until(lambda: not model.learned, within_s=10)


async def test_using_a_voice_does_not_remove_it(file: Path) -> None:
    async with running_store(CloningModel()) as store:
        await store.add_voice("anna", file)
        with store.in_use("anna"):
            pass
        assert learned_names(store) == {"anna"}


async def test_a_removed_voice_is_deleted_before_shutdown_ends(file: Path) -> None:
    model = CloningModel()
    async with running_store(model) as store:
        await store.add_voice("anna", file)
        with store.in_use("anna"):
            await store.remove_voice("anna")
    assert not model.learned


async def test_four_recordings_queue_and_more_are_refused(file: Path) -> None:
    with blocked_model() as (model, may_finish):
        async with running_store(model) as store:
            adding = [asyncio.create_task(store.add_voice(f"v{n}", file)) for n in range(4)]
            await asyncio.sleep(0)
            with pytest.raises(Overloaded):
                await store.add_voice("one-more", file)
            with pytest.raises(VoiceExists):
                await store.add_voice("v0", file)
            may_finish.set()
            await asyncio.gather(*adding)
            assert learned_names(store) == {"v0", "v1", "v2", "v3"}
            await store.add_voice("one-more", file)


async def test_a_cancelled_request_frees_its_place_in_the_queue(file: Path) -> None:
    with blocked_model() as (model, may_finish):
        async with running_store(model) as store:
            adding = [asyncio.create_task(store.add_voice(f"v{n}", file)) for n in range(4)]
            await asyncio.sleep(0)
            for task in adding:
                task.cancel()
            await asyncio.gather(*adding, return_exceptions=True)
            may_finish.set()
            await wait_until(lambda: not store._learning, within_s=10)
            await store.add_voice("anna", file)


async def test_a_bad_recording_leaves_no_voice(file: Path) -> None:
    model = CloningModel()
    async with running_store(model) as store:
        with pytest.raises(BadMessage, match="recording"):
            await store.add_voice("anna", Path(__file__))
        await store.add_voice("anna", file)
    assert list(model.learned) == ["anna"]


async def test_the_number_of_voices_is_limited(file: Path) -> None:
    model = CloningModel()
    model.learned = {f"v{n}": (6.0, 16_000) for n in range(MOST_VOICES)}
    async with running_store(model) as store:
        with pytest.raises(Overloaded):
            await store.add_voice("anna", file)


async def test_voices_of_the_engine_cannot_be_removed_or_replaced(file: Path) -> None:
    async with running_store(CloningModel()) as store:
        with pytest.raises(Unsupported):
            await store.remove_voice("heart")
        with pytest.raises(VoiceExists):
            await store.add_voice("heart", file)


async def test_an_engine_that_clones_no_voices_is_refused(file: Path) -> None:
    async with running_store(FakeModel()) as store:
        with pytest.raises(Unsupported, match="chatterbox-turbo"):
            await store.add_voice("anna", file)
