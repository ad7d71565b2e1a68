"""Engines that leave their device while they are idle."""

from __future__ import annotations

import asyncio
import gc
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import structlog
from structlog.testing import capture_logs

from backend.config import EngineSettings
from backend.engines.base import Release, Utterance
from backend.errors import ConfigError, DuplexError, EngineDead, EngineFailed
from backend.monitoring.metrics import Metrics
from backend.synthesis.limits import Limits
from backend.synthesis.live_listeners import LiveListeners
from backend.synthesis.scheduler import Scheduler
from backend.synthesis.utterance_handle import UtteranceHandle
from backend.synthesis.work_queue import Seat, WorkQueue
from tests.support.engines.fake_engine import FakeModel, decode_pcm
from tests.support.engines.unloadable_model import UnloadableModel
from tests.support.live_server import live_server, wait_until

IDLE_S = 0.05
TEXT = "Hello there."
SPOKEN = "Hellothere."


@pytest.fixture(autouse=True)
def _unfrozen() -> Iterator[None]:
    yield
    gc.unfreeze()


@asynccontextmanager
async def running_scheduler(
    model: FakeModel, idle_unload_s: float = IDLE_S
) -> AsyncIterator[Scheduler]:
    dead: list[EngineDead] = []
    limits = Limits(idle_unload_s=idle_unload_s)
    scheduler = Scheduler(model, 1, Metrics(), limits, lambda _, error: dead.append(error))
    scheduler.dead = dead  # type: ignore[attr-defined]
    scheduler.start_threads()
    try:
        yield scheduler
    finally:
        await asyncio.to_thread(scheduler.stop_threads)


async def speak(scheduler: Scheduler, *, final: bool = True) -> str:
    async with scheduler.open_utterance(Utterance(scheduler.next_id(), "heart")) as handle:
        return await read(handle, Release(TEXT, len(TEXT), final=final))


async def read(handle: UtteranceHandle, release: Release) -> str:
    handle.extend(release, math.inf)
    spoken, caught_up = "", False
    while not caught_up:
        chunk = await asyncio.wait_for(handle.next_chunk(), 10)
        spoken += decode_pcm(chunk.pcm)
        caught_up = chunk.caught_up
    return spoken


async def wait_unloaded(scheduler: Scheduler, model: UnloadableModel) -> None:
    await wait_until(lambda: model.is_released and not scheduler.is_loaded, within_s=20)


@pytest.mark.slow
async def test_an_idle_engine_leaves_and_returns_for_the_next_utterance() -> None:
    model = UnloadableModel()
    structlog.reset_defaults()
    with capture_logs() as logs:
        async with running_scheduler(model) as scheduler:
            for _ in range(2):
                assert await speak(scheduler) == SPOKEN
                await wait_unloaded(scheduler, model)
            assert await speak(scheduler) == SPOKEN
            assert scheduler.is_loaded
    assert model.moves[:4] == ["release", "restore"] * 2
    events = [line["event"] for line in logs]
    assert events.count("engine.reloaded") == events.count("engine.first_sound_after_reload") == 2
    assert all(line["seconds"] >= 0 for line in logs if line["event"] == "engine.reloaded")


@pytest.mark.slow
async def test_an_announced_utterance_brings_the_engine_back_early() -> None:
    model = UnloadableModel()
    async with running_scheduler(model) as scheduler:
        await wait_unloaded(scheduler, model)
        scheduler.announce_utterance()
        await wait_until(lambda: "restore" in model.moves, within_s=20)


@pytest.mark.slow
async def test_an_engine_that_holds_an_utterance_stays() -> None:
    model = UnloadableModel()
    async with running_scheduler(model) as scheduler:
        handle = scheduler.open_utterance(Utterance(scheduler.next_id(), "heart"))
        async with handle:
            assert await read(handle, Release("One ", 4)) == "One"
            await asyncio.sleep(4 * IDLE_S)
            assert not model.moves
            assert await read(handle, Release("One two.", 8, final=True)) == "two."
        await wait_unloaded(scheduler, model)


async def test_without_the_setting_an_engine_stays() -> None:
    model = UnloadableModel()
    async with running_scheduler(model, math.inf) as scheduler:
        assert await speak(scheduler) == SPOKEN
        scheduler.announce_utterance()
        assert scheduler.is_loaded
    assert not model.moves


async def test_a_model_that_cannot_leave_stays() -> None:
    async with running_scheduler(FakeModel(), 1e-6) as scheduler:
        assert await speak(scheduler) == SPOKEN
        assert await speak(scheduler) == SPOKEN
        assert scheduler.is_loaded


@pytest.mark.slow
async def test_a_return_that_fails_is_said_and_tried_again() -> None:
    model = UnloadableModel()
    async with running_scheduler(model) as scheduler:
        await wait_unloaded(scheduler, model)
        model.refusal = ConfigError("the GPU's memory is full")
        for _ in range(2):
            with pytest.raises(EngineFailed, match="memory is full"):
                await speak(scheduler)
        model.refusal = None
        assert await speak(scheduler) == SPOKEN


@pytest.mark.slow
async def test_a_device_lost_meanwhile_is_reported() -> None:
    model = UnloadableModel()
    async with running_scheduler(model) as scheduler:
        await wait_unloaded(scheduler, model)
        model.refusal = EngineDead("the GPU is lost")
        with pytest.raises(EngineDead):
            await speak(scheduler)
        assert [str(each.message) for each in scheduler.dead] == [  # type: ignore[attr-defined]
            "the GPU is lost"
        ]


@pytest.mark.slow
async def test_a_release_that_fails_is_undone_at_the_next_utterance() -> None:
    class Stubborn(UnloadableModel):
        def release(self) -> None:
            super().release()
            raise DuplexError("no memory")

    model = Stubborn()
    async with running_scheduler(model) as scheduler:
        await wait_unloaded(scheduler, model)
        assert await speak(scheduler) == SPOKEN


@pytest.mark.slow
async def test_a_cancelled_utterance_does_not_bring_the_engine_back() -> None:
    model = UnloadableModel()
    async with running_scheduler(model) as scheduler:
        handle = scheduler.open_utterance(Utterance(scheduler.next_id(), "heart"))
        async with handle:
            await read(handle, Release(TEXT, len(TEXT), final=True))
        await wait_unloaded(scheduler, model)
        await asyncio.sleep(2 * IDLE_S)
        assert model.is_released


# --- the queue's clock ----------------------------------------------------------------------------


class Clock:
    """Time passes only while a thread waits."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.waits: list[float | None] = []

    def notify(self) -> None:
        pass

    def wait(self, timeout: float | None = None) -> None:
        self.waits.append(timeout)
        assert timeout is not None, "nothing would ever come"
        self.now_s += timeout


def create_queue() -> tuple[WorkQueue, Seat, Clock]:
    clock = Clock()
    queue = WorkQueue(LiveListeners(1, batched=True), lambda: clock.now_s)
    return queue, queue.join(8, clock), clock


def open_handle(queue: WorkQueue, *, is_probe: bool = False) -> UtteranceHandle:
    model = FakeModel(max_batch=8)
    handle = UtteranceHandle(Utterance("a", "heart"), model, queue, None, lambda _: None)
    handle.is_probe = is_probe
    return handle


@pytest.mark.parametrize(("is_probe", "left_s"), [(False, 10.0), (True, 4.0)])
def test_idle_time_counts_from_the_last_utterance_that_is_no_probe(
    is_probe: bool, left_s: float
) -> None:
    queue, seat, clock = create_queue()
    handle = open_handle(queue, is_probe=is_probe)
    queue.offer(handle, Release("one", 3))
    assert queue.take(seat, 10.0) is not None
    clock.now_s += 6
    queue.give_back(handle, 0.0, caught_up=True, failed=False)
    work = queue.take(seat, 10.0)
    assert work is not None
    assert work.unload
    assert clock.waits == [left_s]


def test_an_announcement_restarts_the_idle_time() -> None:
    queue, seat, clock = create_queue()
    clock.now_s += 6
    queue.announce()
    work = queue.take(seat, 10.0)
    assert work is not None
    assert (work.unload, work.utterances) == (False, ())
    work = queue.take(seat, 10.0)
    assert work is not None
    assert work.unload
    assert clock.waits == [10.0]


# --- the server -----------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_context_that_starts_brings_the_engine_back_before_its_text() -> None:
    model = UnloadableModel()
    engine: dict[str, Any] = {"idle_unload": IDLE_S}
    async with live_server(model, engine=engine) as live, live.connect() as client:
        assert await client.speak_text("a", TEXT) == SPOKEN
        await wait_until(lambda: model.is_released, within_s=20)
        await client.send("start", context="b")
        restores = model.moves.count("restore")
        await wait_until(lambda: model.moves.count("restore") > restores, within_s=20)
        assert await client.speak_text("c", TEXT) == SPOKEN
        async with httpx.AsyncClient(base_url=live.http) as http:
            assert (await http.get("/readyz")).status_code == 200


def test_the_setting_is_off_by_default() -> None:
    assert EngineSettings().idle_unload == 0
    assert Limits().idle_unload_s == math.inf
