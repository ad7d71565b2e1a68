"""The bridge between asyncio and the engine threads, with real threads and gates."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import pytest

from backend.engines.base import Chunk, Engine, Failure, Release, Utterance
from backend.errors import EngineFailed, VoiceUnavailable
from backend.monitoring.metrics import Metrics
from backend.synthesis.engine_thread import StepResult
from backend.synthesis.scheduler import Scheduler
from backend.synthesis.utterance_handle import UtteranceHandle
from tests.support.engines.fake_engine import FakeEngine, FakeModel, heard

ALL = 1000  # more steps than any test takes


def release(text: str) -> Release:
    return Release(text, len(text), final=True)


@asynccontextmanager
async def running_scheduler(model: FakeModel, threads: int = 1) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(model, threads, Metrics())
    scheduler.start_threads()
    try:
        yield scheduler
    finally:
        if model.gate is not None:
            model.gate.release(ALL)
        await asyncio.to_thread(scheduler.stop_threads)


def opened(
    scheduler: Scheduler, text: str, deadline_s: float = math.inf, voice: str = "heart"
) -> UtteranceHandle:
    handle = scheduler.open_utterance(Utterance(scheduler.next_id(), voice, chunk_characters=5))
    handle.extend(release(text), deadline_s)
    return handle


async def rest(handle: UtteranceHandle) -> str:
    """What the speech says from here on, to the end of its release."""
    said = ""
    while True:
        chunk = await asyncio.wait_for(handle.next_chunk(), 10)
        said += heard(chunk.pcm)
        if chunk.caught_up:
            return said


async def busy(model: FakeModel, number: int = 0) -> FakeEngine:
    """The engine, once it is within a step (and waits there for the gate)."""
    while len(model.engines) <= number:  # noqa: ASYNC110 - a thread is about to
        await asyncio.sleep(0)
    assert await asyncio.to_thread(model.engines[number].entered.wait, 10)
    return model.engines[number]


@contextmanager
def gated() -> Iterator[tuple[FakeModel, threading.Semaphore]]:
    gate = threading.Semaphore(0)
    yield FakeModel(gate=gate), gate


# --- speaking ------------------------------------------------------------------------------------


async def test_chunks_come_in_order_until_the_release_is_caught_up() -> None:
    async with (
        running_scheduler(FakeModel()) as scheduler,
        opened(scheduler, "one two three four") as handle,
    ):
        chunks = [await handle.next_chunk()]
        while not chunks[-1].caught_up:
            chunks.append(await handle.next_chunk())
        assert [(chunk.start, chunk.end) for chunk in chunks] == [(0, 8), (8, 14), (14, 18)]


async def test_an_utterance_grows_release_by_release() -> None:
    async with (
        running_scheduler(FakeModel()) as scheduler,
        scheduler.open_utterance(Utterance("u", "heart")) as handle,
    ):
        handle.extend(Release("one two ", 4), 0.0)
        assert await rest(handle) == "one"
        handle.extend(Release("one two three", 8), 0.0)
        assert await rest(handle) == "two"
        handle.extend(release("one two three"), 0.0)
        assert await rest(handle) == "three"


async def test_many_at_once_each_get_their_own() -> None:
    texts = [f"number {n} of many utterances" for n in range(40)]

    async def speak(scheduler: Scheduler, text: str) -> str:
        async with opened(scheduler, text) as handle:
            return await rest(handle)

    async with running_scheduler(FakeModel(), threads=2) as scheduler:
        said = await asyncio.gather(*(speak(scheduler, text) for text in texts))
    assert said == ["".join(text.split()) for text in texts]


# --- who comes first -----------------------------------------------------------------------------


async def test_the_earliest_deadline_comes_first() -> None:
    with gated() as (model, gate):
        async with running_scheduler(model) as scheduler:
            first = opened(scheduler, "first")
            engine = await busy(model)
            others = [
                opened(scheduler, "later", deadline_s) for deadline_s in (5.0, 1.0, math.inf, 3.0)
            ]
            gate.release(ALL)
            await asyncio.gather(*map(rest, [first, *others]))
            assert engine.steps == [("u1",), ("u3",), ("u5",), ("u2",), ("u4",)]


async def test_a_more_urgent_utterance_comes_between_the_chunks_of_a_long_one() -> None:
    with gated() as (model, gate):
        async with running_scheduler(model) as scheduler:
            long = opened(scheduler, "aaaaa bbbbb ccccc", 10.0)
            engine = await busy(model)
            urgent = opened(scheduler, "now", 1.0)
            gate.release(ALL)
            assert [await rest(long), await rest(urgent)] == ["aaaaabbbbbccccc", "now"]
            assert engine.steps == [("u1",), ("u2",), ("u1",), ("u1",)]


async def test_a_deadline_that_moves_counts_from_the_next_step_on() -> None:
    with gated() as (model, gate):
        async with running_scheduler(model) as scheduler:
            first = opened(scheduler, "first", 0.0)
            engine = await busy(model)
            patient, other = opened(scheduler, "patient", 5.0), opened(scheduler, "other", 3.0)
            patient.deadline_s = 1.0
            gate.release(ALL)
            await asyncio.gather(*map(rest, [first, patient, other]))
            assert engine.steps == [("u1",), ("u2",), ("u3",)]


async def test_a_step_advances_as_many_as_the_engine_can() -> None:
    gate = threading.Semaphore(0)
    model = FakeModel(max_batch=2, gate=gate)
    async with running_scheduler(model) as scheduler:
        first = opened(scheduler, "first")
        engine = await busy(model)
        others = [opened(scheduler, "later", deadline_s) for deadline_s in (3.0, 1.0, 2.0)]
        gate.release(ALL)
        assert await asyncio.gather(*map(rest, [first, *others])) == ["first", *["later"] * 3]
        assert engine.steps == [("u1",), ("u3", "u4"), ("u2",)]


async def test_utterances_are_spread_over_the_threads() -> None:
    with gated() as (model, gate):
        async with running_scheduler(model, threads=2) as scheduler:
            handles = [opened(scheduler, "one"), opened(scheduler, "two")]
            await asyncio.gather(busy(model, 0), busy(model, 1))
            assert scheduler.waiting_count == 2
            assert sorted(engine.steps for engine in model.engines) == [[("u1",)], [("u2",)]]
            gate.release(ALL)
            assert await asyncio.gather(*map(rest, handles)) == ["one", "two"]


async def test_an_open_utterance_that_waits_for_text_counts_too() -> None:
    model = FakeModel()
    async with running_scheduler(model, threads=2) as scheduler:
        first = opened(scheduler, "one")
        await rest(first)
        await rest(opened(scheduler, "two"))
        assert sorted(engine.steps for engine in model.engines) == [[("u1",)], [("u2",)]]


# --- leaving -------------------------------------------------------------------------------------


async def test_leaving_forgets_the_utterance() -> None:
    async with running_scheduler(FakeModel()) as scheduler:
        async with scheduler.open_utterance(Utterance("u", "heart")) as handle:
            handle.extend(Release("one two three", 4), 0.0)
            await rest(handle)
        await rest(opened(scheduler, "after"))  # the thread obeys in order
        (engine,) = made_model(scheduler).engines
        assert engine.open_utterances == 0


def made_model(scheduler: Scheduler) -> FakeModel:
    model = scheduler._threads[0]._model
    assert isinstance(model, FakeModel)
    return model


async def test_leaving_while_a_step_runs_throws_its_result_away() -> None:
    with gated() as (model, gate):
        async with running_scheduler(model) as scheduler:
            async with opened(scheduler, "aaaaa bbbbb ccccc"):
                engine = await busy(model)
            other = opened(scheduler, "other")
            gate.release(ALL)
            assert await rest(other) == "other"
            assert engine.steps == [("u1",), ("u2",)]
            assert engine.open_utterances == 0


async def test_a_cancelled_wait_loses_no_chunk() -> None:
    with gated() as (model, gate):
        async with running_scheduler(model) as scheduler:
            handle = opened(scheduler, "aaaaa bbbbb")
            await busy(model)
            waiting = asyncio.create_task(handle.next_chunk())
            await asyncio.sleep(0)
            waiting.cancel()
            gate.release(ALL)
            assert await rest(handle) == "aaaaabbbbb"


# --- what goes wrong -----------------------------------------------------------------------------


async def test_a_failure_concerns_one_of_many() -> None:
    gate = threading.Semaphore(0)
    model = FakeModel(max_batch=4, gate=gate)
    async with running_scheduler(model) as scheduler:
        first = opened(scheduler, "first")
        await busy(model)
        bad, good = opened(scheduler, "explode"), opened(scheduler, "good")
        gate.release(ALL)
        with pytest.raises(EngineFailed, match="out of memory"):
            await rest(bad)
        assert await rest(good) == "good"
        assert await rest(first) == "first"


async def test_a_bug_of_the_engine_is_told_and_the_thread_goes_on() -> None:
    model = FakeModel()
    async with running_scheduler(model) as scheduler:
        async with opened(scheduler, "crash") as handle:
            with pytest.raises(EngineFailed, match="ZeroDivisionError"):
                await rest(handle)
        assert await rest(opened(scheduler, "after")) == "after"
        assert model.open_utterances == 0


async def test_an_utterance_that_the_engine_refuses_fails_at_its_first_chunk() -> None:
    async with running_scheduler(FakeModel()) as scheduler:
        async with opened(scheduler, "hello", voice="broken") as handle:
            with pytest.raises(VoiceUnavailable):
                await rest(handle)
        assert await rest(opened(scheduler, "after")) == "after"


class Stubborn(FakeEngine):
    """Raises wherever an engine can."""

    def extend(self, utterance_id: str, release: Release) -> None:
        if "extend" in release.text:
            raise ValueError("a bug in extend")
        super().extend(utterance_id, release)

    def step(self, urgent: Sequence[str]) -> list[Chunk | Failure]:
        return super().step(urgent)

    def abort(self, utterance_id: str) -> None:
        super().abort(utterance_id)
        raise ValueError("a bug in abort")


class StubbornModel(FakeModel):
    def create_engine(self) -> Engine:
        self.engines.append(Stubborn(self.info))
        return self.engines[-1]


@pytest.mark.parametrize("text", ["extend", "crash"])
async def test_an_engine_that_raises_everywhere_does_not_end_its_thread(text: str) -> None:
    async with running_scheduler(StubbornModel()) as scheduler:
        async with opened(scheduler, text) as handle:
            with pytest.raises(EngineFailed):
                await rest(handle)
        assert await rest(opened(scheduler, "after")) == "after"


class UselessModel(FakeModel):
    def create_engine(self) -> Engine:
        raise OSError("no such device")


async def test_an_engine_that_cannot_be_created_fails_its_utterances() -> None:
    async with running_scheduler(UselessModel()) as scheduler, opened(scheduler, "hello") as handle:
        with pytest.raises(EngineFailed, match="OSError"):
            await rest(handle)


# --- start and stop ------------------------------------------------------------------------------


def engine_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("engine-")]


async def test_stop_ends_the_threads_also_in_the_middle_of_speech() -> None:
    with gated() as (model, gate):
        scheduler = Scheduler(model, 1, Metrics())
        scheduler.start_threads()
        opened(scheduler, "aaaaa bbbbb ccccc ddddd")
        engine = await busy(model)
        stopping = asyncio.create_task(asyncio.to_thread(scheduler.stop_threads))
        while not scheduler._threads[0]._stopping:  # noqa: ASYNC110 - a thread is about to
            await asyncio.sleep(0)
        assert engine_threads() != []
        gate.release(1)
        await stopping
        assert engine_threads() == []
        assert engine.steps == [("u1",)]


def test_stop_before_start_does_nothing() -> None:
    Scheduler(FakeModel(), 2, Metrics()).stop_threads()


def test_a_result_for_a_loop_that_has_closed_is_dropped() -> None:
    with gated() as (model, gate):

        async def leave_early() -> Scheduler:
            scheduler = Scheduler(model, 1, Metrics())
            scheduler.start_threads()
            opened(scheduler, "aaaaa bbbbb")
            await busy(model)
            return scheduler

        scheduler = asyncio.run(leave_early())
        gate.release(ALL)
        scheduler.stop_threads()
        assert engine_threads() == []


# --- admission -----------------------------------------------------------------------------------


def measured(scheduler: Scheduler, rtf: float) -> None:
    scheduler._deliver_step(StepResult([], busy_s=rtf, audio_s=1.0))


def listener(scheduler: Scheduler, deadline_s: float) -> UtteranceHandle:
    handle = scheduler.open_utterance(Utterance(scheduler.next_id(), "heart"))
    handle.deadline_s = deadline_s
    return handle


def now_s() -> float:
    return asyncio.get_running_loop().time()


async def test_full_when_one_listener_more_would_not_fit() -> None:
    async with running_scheduler(FakeModel(), threads=2) as scheduler:
        assert not scheduler.is_overloaded
        measured(scheduler, rtf=0.5)  # 2 threads x 0.85 carry 3 listeners of 0.5
        assert not scheduler.is_overloaded
        listener(scheduler, now_s() + 1)
        listener(scheduler, now_s() + 1)
        assert not scheduler.is_overloaded
        third = listener(scheduler, now_s() + 1)
        assert scheduler.is_overloaded
        await third.__aexit__()
        assert not scheduler.is_overloaded


async def test_batch_and_those_who_stopped_listening_are_no_load() -> None:
    async with running_scheduler(FakeModel(), threads=1) as scheduler:
        measured(scheduler, rtf=0.5)
        for deadline_s in (math.inf, now_s() - 60):
            listener(scheduler, deadline_s)
        assert not scheduler.is_overloaded
        listener(scheduler, now_s())
        assert scheduler.is_overloaded


async def test_a_machine_that_is_late_is_full_whatever_it_could_do() -> None:
    async with running_scheduler(FakeModel(), threads=8) as scheduler:
        measured(scheduler, rtf=0.001)
        handle = listener(scheduler, now_s() - 1)
        late = Chunk(handle.utterance.id, [], 0, 0)  # type: ignore[arg-type]
        for _ in range(3):
            scheduler._deliver_step(StepResult([(handle, late)], 0.001, 1.0))
        assert not scheduler.is_overloaded
        for _ in range(10):
            scheduler._deliver_step(StepResult([(handle, late)], 0.001, 1.0))
        assert scheduler.is_overloaded
        handle.deadline_s = now_s() + 60
        for _ in range(30):
            scheduler._deliver_step(StepResult([(handle, late)], 0.001, 1.0))
        assert not scheduler.is_overloaded


async def test_a_machine_that_was_late_is_not_full_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running_scheduler(FakeModel(), threads=8) as scheduler:
        measured(scheduler, rtf=0.001)
        handle = listener(scheduler, now_s() - 1)
        late = Chunk(handle.utterance.id, [], 0, 0)  # type: ignore[arg-type]
        for _ in range(50):
            scheduler._deliver_step(StepResult([(handle, late)], 0.001, 1.0))
        handle.deadline_s = now_s() + 3600
        assert scheduler.is_overloaded
        later_s = now_s() + 30
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: later_s)
        assert not scheduler.is_overloaded
        scheduler._deliver_step(StepResult([(handle, late)], 0.001, 1.0))
        assert not scheduler.is_overloaded, "what has faded does not come back"


async def test_an_engine_that_takes_many_at_a_time_is_full_when_it_is_late_and_not_before() -> None:
    async with running_scheduler(FakeModel(max_batch=64), threads=1) as scheduler:
        measured(scheduler, rtf=0.9)
        handle = listener(scheduler, now_s() - 1)
        listener(scheduler, now_s() + 1)
        assert not scheduler.is_overloaded
        late = Chunk(handle.utterance.id, [], 0, 0)  # type: ignore[arg-type]
        for _ in range(10):
            scheduler._deliver_step(StepResult([(handle, late)], 0.9, 1.0))
        assert scheduler.is_overloaded


async def test_a_machine_that_nobody_listens_to_is_never_full() -> None:
    async with running_scheduler(FakeModel(), threads=1) as scheduler:
        measured(scheduler, rtf=100.0)
        assert not scheduler.is_overloaded
