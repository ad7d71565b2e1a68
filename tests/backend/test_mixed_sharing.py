"""Several engines whose learned voices are shared by several servers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from backend.config import EngineSettings
from backend.events import Start
from backend.monitoring.metrics import Metrics
from backend.synthesis import voice_store
from backend.tts_manager import TTSManager
from tests.support.engines.cloning_model import CloningModel, recording
from tests.support.engines.fake_engine import FakeModel
from tests.support.live_server import wait_until

SEVENTH_S = 7.0


class NamedModel(CloningModel):
    """A cloning model with a name of its own."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.info = replace(self.info, name=name)


def create(url: str, *models: FakeModel, **engine: object) -> TTSManager:
    main, *others = models
    tts = TTSManager(main, EngineSettings.model_validate(engine), Metrics(), 1)
    for other in others:
        tts.add_engine(other)
    tts.share_voices(url)
    return tts


@asynccontextmanager
async def pair(tmp_path: Path) -> AsyncIterator[tuple[TTSManager, TTSManager]]:
    """Two servers, each with an engine that clones nothing and two that clone."""
    async with AsyncExitStack() as stack:
        one, other = [
            await stack.enter_async_context(
                create(str(tmp_path / "store"), FakeModel(), NamedModel("a-1"), NamedModel("b"))
            )
            for _ in range(2)
        ]
        yield one, other


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "recording"
    path.write_bytes(recording(SEVENTH_S))
    return path


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice_store, "_LOOK_S", 0.02)


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice_store, "_LOOK_S", 1000.0)


def learned(tts: TTSManager) -> dict[str, str]:
    """Names of the learned voices, with their engines."""
    return {voice.name: voice.engine for voice in tts.voices() if voice.learned}


@pytest.mark.usefixtures("soon")
async def test_each_engine_has_the_voices_that_the_same_engine_learned_elsewhere(
    tmp_path: Path, file: Path
) -> None:
    async with pair(tmp_path) as (one, other):
        await one.engines[1].store.add_voice("anna", file)
        await one.engines[2].store.add_voice("anna", file)
        await one.engines[2].store.add_voice("ben", file)
        expected = {"anna": "a-1", "b/anna": "b", "ben": "b"}
        await wait_until(lambda: learned(other) == expected, within_s=20)
    assert {path.name for path in (tmp_path / "store").iterdir()} == {"voices-a-1", "voices-b"}


@pytest.mark.usefixtures("never")
@pytest.mark.parametrize("name", ["ben", "b/ben", "b:ben"])
async def test_an_unknown_voice_is_looked_for_in_every_engine(
    tmp_path: Path, file: Path, name: str
) -> None:
    async with pair(tmp_path) as (one, other):
        await one.engines[2].store.add_voice("ben", file)
        await other.look_for_voice(name)
        assert learned(other) == {"ben": "b"}


@pytest.mark.usefixtures("never")
async def test_a_known_voice_is_not_looked_for(tmp_path: Path, file: Path) -> None:
    async with pair(tmp_path) as (one, other):
        await one.engines[2].store.add_voice("ben", file)
        for name in ("heart", "fake/heart", None, "a-1/ben"):  # the last is of another engine
            await other.look_for_voice(name)
        assert learned(other) == {}


@pytest.mark.usefixtures("never")
async def test_a_voice_that_was_just_learned_elsewhere_can_be_removed(
    tmp_path: Path, file: Path
) -> None:
    async with pair(tmp_path) as (one, other):
        await one.engines[2].store.add_voice("ben", file)
        await other.remove_voice("ben")
        await one.engines[2].store.look_for("another")
        assert learned(one) == learned(other) == {}


@pytest.mark.usefixtures("soon")
async def test_a_removal_elsewhere_forgets_what_was_measured_of_just_that_voice(
    tmp_path: Path, file: Path
) -> None:
    async with pair(tmp_path) as (one, other):
        for engine in one.engines[1:]:
            await engine.store.add_voice("anna", file)
        await wait_until(lambda: set(learned(other)) == {"anna", "b/anna"}, within_s=20)
        for name in ("anna", "b/anna"):
            other.resolve_params(Start("a", voice=name))
            await other.load_voice(name)
        await one.remove_voice("anna")
        await wait_until(lambda: learned(other) == {"anna": "b"}, within_s=20)
        assert [list(engine.gains) for engine in other.engines[1:]] == [[], ["anna"]]
        assert other.engine_of("anna") is other.engines[2]


async def test_a_removed_voice_stays_that_of_its_engine_while_it_is_used(
    tmp_path: Path, file: Path
) -> None:
    tts = create(str(tmp_path / "store"), FakeModel(), NamedModel("b"))
    async with tts:
        await tts.add_voice("anna", file)
        params = tts.resolve_params(Start("a", voice="anna"))
        with tts.hold_voice(params.voice):
            await tts.remove_voice("anna")
            assert tts.engine_of("anna") is tts.engines[1]


async def test_the_default_voice_may_be_one_of_the_store(tmp_path: Path, file: Path) -> None:
    url = str(tmp_path / "store")
    async with create(url, FakeModel(), NamedModel("b")) as one:
        await one.add_voice("anna", file)
    async with create(url, FakeModel(), NamedModel("b"), voice="anna") as other:
        assert other.engine_of(other.default_voice) is other.engines[1]
        assert list(other.engines[1].gains) == ["anna"]
