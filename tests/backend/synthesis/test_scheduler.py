"""The bridge between asyncio and the engine threads, with real threads and gates."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import pytest

from backend.engines.base import Chunk, Engine, Failure, Release, Utterance
from backend.errors import EngineFailed, Overloaded, VoiceUnavailable
from backend.monitoring.metrics import Metrics
from backend.synthesis.live_listeners import LiveListener
from backend.synthesis.scheduler import Scheduler
from backend.synthesis.utterance_handle import UtteranceHandle
from tests.support.engines.fake_engine import FakeEngine, FakeModel, decode_pcm

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


def open_final(
    scheduler: Scheduler, text: str, deadline_s: float = math.inf, voice: str = "heart"
) -> UtteranceHandle:
    handle = scheduler.open_utterance(Utterance(scheduler.next_id(), voice, chunk_characters=5))
    handle.extend(release(text), deadline_s)
    return handle


async def read_rest(handle: UtteranceHandle) -> str:
    """What is spoken from here on, to the end of the release."""
    spoken = ""
    while True:
        chunk = await asyncio.wait_for(handle.next_chunk(), 10)
        spoken += decode_pcm(chunk.pcm)
        if chunk.caught_up:
            return spoken


async def wait_until_busy(model: FakeModel, number: int = 0) -> FakeEngine:
    """The engine, once it is inside a step (and waits there for the gate)."""
    while len(model.engines) <= number:  # noqa: ASYNC110 - a thread is about to
        await asyncio.sleep(0)
    assert await asyncio.to_thread(model.engines[number].entered.wait, 10)
    return model.engines[number]


@contextmanager
def gated_model() -> Iterator[tuple[FakeModel, threading.Semaphore]]:
    gate = threading.Semaphore(0)
    yield FakeModel(gate=gate), gate


# --- speaking ------------------------------------------------------------------------------------


async def test_chunks_come_in_order_until_the_release_is_caught_up() -> None:
    async with (
        running_scheduler(FakeModel()) as scheduler,
        open_final(scheduler, "one two three four") as handle,
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
        assert await read_rest(handle) == "one"
        handle.extend(Release("one two three", 8), 0.0)
        assert await read_rest(handle) == "two"
        handle.extend(release("one two three"), 0.0)
        assert await read_rest(handle) == "three"


async def test_concurrent_utterances_get_their_own_audio() -> None:
    texts = [f"number {n} of many utterances" for n in range(40)]

    async def speak(scheduler: Scheduler, text: str) -> str:
        async with open_final(scheduler, text) as handle:
            return await read_rest(handle)

    async with running_scheduler(FakeModel(), threads=2) as scheduler:
        spoken = await asyncio.gather(*(speak(scheduler, text) for text in texts))
    assert spoken == ["".join(text.split()) for text in texts]


# --- order ---------------------------------------------------------------------------------------


async def test_the_earliest_deadline_comes_first() -> None:
    with gated_model() as (model, gate):
        async with running_scheduler(model) as scheduler:
            first = open_final(scheduler, "first")
            engine = await wait_until_busy(model)
            others = [
                open_final(scheduler, "later", deadline_s)
                for deadline_s in (5.0, 1.0, math.inf, 3.0)
            ]
            gate.release(ALL)
            await asyncio.gather(*map(read_rest, [first, *others]))
            assert engine.steps == [("u1",), ("u3",), ("u5",), ("u2",), ("u4",)]


async def test_a_more_urgent_utterance_preempts_a_long_one_between_chunks() -> None:
    with gated_model() as (model, gate):
        async with running_scheduler(model) as scheduler:
            long = open_final(scheduler, "aaaaa bbbbb ccccc", 10.0)
            engine = await wait_until_busy(model)
            urgent = open_final(scheduler, "now", 1.0)
            gate.release(ALL)
            assert [await read_rest(long), await read_rest(urgent)] == ["aaaaabbbbbccccc", "now"]
            assert engine.steps == [("u1",), ("u2",), ("u1",), ("u1",)]


async def test_a_changed_deadline_applies_from_the_next_step() -> None:
    with gated_model() as (model, gate):
        async with running_scheduler(model) as scheduler:
            first = open_final(scheduler, "first", 0.0)
            engine = await wait_until_busy(model)
            patient, other = (
                open_final(scheduler, "patient", 5.0),
                open_final(scheduler, "other", 3.0),
            )
            patient.deadline_s = 1.0
            gate.release(ALL)
            await asyncio.gather(*map(read_rest, [first, patient, other]))
            assert engine.steps == [("u1",), ("u2",), ("u3",)]


async def test_a_step_advances_up_to_max_batch_utterances() -> None:
    gate = threading.Semaphore(0)
    model = FakeModel(max_batch=2, gate=gate)
    async with running_scheduler(model) as scheduler:
        first = open_final(scheduler, "first")
        engine = await wait_until_busy(model)
        others = [open_final(scheduler, "later", deadline_s) for deadline_s in (3.0, 1.0, 2.0)]
        gate.release(ALL)
        assert await asyncio.gather(*map(read_rest, [first, *others])) == ["first", *["later"] * 3]
        assert engine.steps == [("u1",), ("u3", "u4"), ("u2",)]


async def test_utterances_are_spread_over_the_threads() -> None:
    with gated_model() as (model, gate):
        async with running_scheduler(model, threads=2) as scheduler:
            handles = [open_final(scheduler, "one"), open_final(scheduler, "two")]
            await asyncio.gather(wait_until_busy(model, 0), wait_until_busy(model, 1))
            assert scheduler.waiting_count == 2
            assert sorted(engine.steps for engine in model.engines) == [[("u1",)], [("u2",)]]
            gate.release(ALL)
            assert await asyncio.gather(*map(read_rest, handles)) == ["one", "two"]


async def test_work_goes_to_whichever_thread_is_idle() -> None:
    with gated_model() as (model, gate):
        async with running_scheduler(model, threads=2) as scheduler:
            first, second = open_final(scheduler, "one"), open_final(scheduler, "two")
            await asyncio.gather(wait_until_busy(model, 0), wait_until_busy(model, 1))
            third = open_final(scheduler, "three")
            assert scheduler.waiting_count == 3
            gate.release(1)
            await asyncio.wait(
                [asyncio.create_task(read_rest(first)), asyncio.create_task(read_rest(second))],
                return_when=asyncio.FIRST_COMPLETED,
            )
            gate.release(ALL)
            assert await read_rest(third) == "three"


async def test_an_utterance_stays_with_the_thread_that_has_its_state() -> None:
    model = FakeModel()
    async with (
        running_scheduler(model, threads=2) as scheduler,
        scheduler.open_utterance(Utterance("u", "heart")) as handle,
    ):
        for at in (4, 8):
            handle.extend(Release("one two three", at), 0.0)
            await read_rest(handle)
        assert sorted(engine.steps for engine in model.engines) == [[], [("u",), ("u",)]]


async def test_a_release_that_no_thread_has_taken_is_replaced() -> None:
    with gated_model() as (model, gate):
        async with running_scheduler(model) as scheduler:
            first = open_final(scheduler, "first")
            await wait_until_busy(model)
            handle = scheduler.open_utterance(Utterance("u", "heart", chunk_characters=0))
            handle.extend(Release("one two ", 4), 1.0)
            assert handle.replace(Release("one two three", 8))
            gate.release(ALL)
            assert [await read_rest(first), await read_rest(handle)] == ["first", "onetwo"]
            assert not handle.replace(Release("one two three", 13)), "nothing waits"


async def test_a_release_that_is_being_rendered_is_not_replaced() -> None:
    with gated_model() as (model, gate):
        async with running_scheduler(model) as scheduler:
            handle = open_final(scheduler, "one two")
            await wait_until_busy(model)
            assert not handle.replace(release("one two three"))
            gate.release(ALL)
            assert await read_rest(handle) == "onetwo"


# --- leaving -------------------------------------------------------------------------------------


async def test_leaving_forgets_the_utterance() -> None:
    async with running_scheduler(FakeModel()) as scheduler:
        async with scheduler.open_utterance(Utterance("u", "heart")) as handle:
            handle.extend(Release("one two three", 4), 0.0)
            await read_rest(handle)
        await read_rest(open_final(scheduler, "after"))  # commands run in order
        (engine,) = model_of(scheduler).engines
        assert engine.open_utterances == 0


def model_of(scheduler: Scheduler) -> FakeModel:
    model = scheduler._threads[0]._first
    assert isinstance(model, FakeModel)
    return model


async def test_leaving_during_a_step_discards_its_result() -> None:
    with gated_model() as (model, gate):
        async with running_scheduler(model) as scheduler:
            async with open_final(scheduler, "aaaaa bbbbb ccccc"):
                engine = await wait_until_busy(model)
            other = open_final(scheduler, "other")
            gate.release(ALL)
            assert await read_rest(other) == "other"
            assert engine.steps == [("u1",), ("u2",)]
            assert engine.open_utterances == 0


async def test_a_cancelled_wait_loses_no_chunk() -> None:
    with gated_model() as (model, gate):
        async with running_scheduler(model) as scheduler:
            handle = open_final(scheduler, "aaaaa bbbbb")
            await wait_until_busy(model)
            waiting = asyncio.create_task(handle.next_chunk())
            await asyncio.sleep(0)
            waiting.cancel()
            gate.release(ALL)
            assert await read_rest(handle) == "aaaaabbbbb"


# --- failures ------------------------------------------------------------------------------------


async def test_a_failure_affects_only_its_utterance() -> None:
    gate = threading.Semaphore(0)
    model = FakeModel(max_batch=4, gate=gate)
    async with running_scheduler(model) as scheduler:
        first = open_final(scheduler, "first")
        await wait_until_busy(model)
        bad, good = open_final(scheduler, "explode"), open_final(scheduler, "good")
        gate.release(ALL)
        with pytest.raises(EngineFailed, match="out of memory"):
            await read_rest(bad)
        assert await read_rest(good) == "good"
        assert await read_rest(first) == "first"


async def test_an_engine_bug_is_reported_and_the_thread_continues() -> None:
    model = FakeModel()
    async with running_scheduler(model) as scheduler:
        async with open_final(scheduler, "crash") as handle:
            with pytest.raises(EngineFailed, match="ZeroDivisionError"):
                await read_rest(handle)
        assert await read_rest(open_final(scheduler, "after")) == "after"
        assert model.open_utterances == 0


async def test_an_utterance_refused_by_the_engine_fails_at_its_first_chunk() -> None:
    async with running_scheduler(FakeModel()) as scheduler:
        async with open_final(scheduler, "hello", voice="broken") as handle:
            with pytest.raises(VoiceUnavailable):
                await read_rest(handle)
        assert await read_rest(open_final(scheduler, "after")) == "after"


class RaisingEngine(FakeEngine):
    """An engine that raises in `extend` and `abort`."""

    def extend(self, utterance_id: str, release: Release) -> None:
        if "extend" in release.text:
            raise ValueError("a bug in extend")
        super().extend(utterance_id, release)

    def step(self, urgent: Sequence[str]) -> list[Chunk | Failure]:
        return super().step(urgent)

    def abort(self, utterance_id: str) -> None:
        super().abort(utterance_id)
        raise ValueError("a bug in abort")


class RaisingModel(FakeModel):
    def create_engine(self) -> Engine:
        self.engines.append(RaisingEngine(self.info))
        return self.engines[-1]


@pytest.mark.parametrize("text", ["extend", "crash"])
async def test_an_engine_that_raises_everywhere_does_not_end_its_thread(text: str) -> None:
    async with running_scheduler(RaisingModel()) as scheduler:
        async with open_final(scheduler, text) as handle:
            with pytest.raises(EngineFailed):
                await read_rest(handle)
        assert await read_rest(open_final(scheduler, "after")) == "after"


class FailingModel(FakeModel):
    def create_engine(self) -> Engine:
        raise OSError("no such device")


async def test_an_engine_that_cannot_be_created_fails_its_utterances() -> None:
    async with (
        running_scheduler(FailingModel()) as scheduler,
        open_final(scheduler, "hello") as handle,
    ):
        with pytest.raises(EngineFailed, match="OSError"):
            await read_rest(handle)


# --- start and stop ------------------------------------------------------------------------------


def engine_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("engine-")]


async def test_stop_ends_the_threads_during_speech() -> None:
    with gated_model() as (model, gate):
        scheduler = Scheduler(model, 1, Metrics())
        scheduler.start_threads()
        open_final(scheduler, "aaaaa bbbbb ccccc ddddd")
        engine = await wait_until_busy(model)
        stopping = asyncio.create_task(asyncio.to_thread(scheduler.stop_threads))
        while not scheduler._threads[0].seat.leaving:  # noqa: ASYNC110 - a thread is about to
            await asyncio.sleep(0)
        assert engine_threads() != []
        gate.release(1)
        await stopping
        assert engine_threads() == []
        assert engine.steps == [("u1",)]


def test_stop_before_start_does_nothing() -> None:
    Scheduler(FakeModel(), 2, Metrics()).stop_threads()


def test_a_result_for_a_closed_event_loop_is_dropped() -> None:
    with gated_model() as (model, gate):

        async def leave_early() -> Scheduler:
            scheduler = Scheduler(model, 1, Metrics())
            scheduler.start_threads()
            open_final(scheduler, "aaaaa bbbbb")
            await wait_until_busy(model)
            return scheduler

        scheduler = asyncio.run(leave_early())
        gate.release(ALL)
        scheduler.stop_threads()
        assert engine_threads() == []


# --- what is measured ----------------------------------------------------------------------------


async def speak_to(scheduler: Scheduler, listener: LiveListener, ahead_s: float) -> None:
    """Speak one release to a listener that has so much left to hear."""
    now_s = asyncio.get_running_loop().time()
    listener.dry_at_s = now_s + ahead_s
    async with scheduler.open_utterance(Utterance(scheduler.next_id(), "heart"), listener) as made:
        made.extend(release("one two"), max(listener.dry_at_s, now_s - 1))
        await read_rest(made)


async def test_audio_after_its_deadline_means_overload() -> None:
    async with running_scheduler(FakeModel(), threads=8) as scheduler:
        listener, now_s = LiveListener(), asyncio.get_running_loop().time()
        scheduler.listeners.add(listener, now_s)
        for _ in range(20):
            await speak_to(scheduler, listener, ahead_s=60.0)
        scheduler.listeners.check_capacity(now_s)
        for _ in range(20):
            await speak_to(scheduler, listener, ahead_s=-1.0)
        with pytest.raises(Overloaded):
            scheduler.listeners.check_capacity(asyncio.get_running_loop().time())


async def test_first_sounds_are_never_late_however_long_they_wait() -> None:
    async with running_scheduler(FakeModel(), threads=8) as scheduler:
        for _ in range(20):
            await speak_to(scheduler, LiveListener(), ahead_s=-math.inf)
        now_s = asyncio.get_running_loop().time()
        scheduler.listeners.add(LiveListener(), now_s)
        scheduler.listeners.check_capacity(now_s)


async def test_the_cost_of_first_sounds_is_measured() -> None:
    async with running_scheduler(FakeModel()) as scheduler:
        now_s = asyncio.get_running_loop().time()
        scheduler.listeners.add(LiveListener(), now_s)
        assumed_s = scheduler.listeners.first_wait_s(now_s)
        for _ in range(60):
            await speak_to(scheduler, LiveListener(), ahead_s=60.0)
        assert scheduler.listeners.first_wait_s(now_s) > 0.9 * assumed_s
        for _ in range(60):
            await speak_to(scheduler, LiveListener(), ahead_s=-math.inf)
        assert scheduler.listeners.first_wait_s(now_s) < 0.5 * assumed_s, "it renders at once"
