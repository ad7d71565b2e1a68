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
from backend.synthesis.scheduler import Scheduler
from backend.synthesis.utterance_handle import UtteranceHandle
from tests.support.engines.fake_engine import FakeEngine, FakeModel, heard

ALL = 1000  # more steps than any test takes


def release(text: str) -> Release:
    return Release(text, len(text), final=True)


@asynccontextmanager
async def scheduler(model: FakeModel, threads: int = 1) -> AsyncIterator[Scheduler]:
    made = Scheduler(model, threads, Metrics())
    made.start()
    try:
        yield made
    finally:
        if model.gate is not None:
            model.gate.release(ALL)
        await asyncio.to_thread(made.stop)


def opened(
    made: Scheduler, text: str, deadline_s: float = math.inf, voice: str = "heart"
) -> UtteranceHandle:
    speech = made.open(Utterance(made.next_id(), voice, chunk_characters=5))
    speech.extend(release(text), deadline_s)
    return speech


async def rest(speech: UtteranceHandle) -> str:
    """What the speech says from here on, to the end of its release."""
    said = ""
    while True:
        chunk = await asyncio.wait_for(speech.next_chunk(), 10)
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
    async with scheduler(FakeModel()) as made, opened(made, "one two three four") as speech:
        chunks = [await speech.next_chunk()]
        while not chunks[-1].caught_up:
            chunks.append(await speech.next_chunk())
        assert [(chunk.start, chunk.end) for chunk in chunks] == [(0, 8), (8, 14), (14, 18)]


async def test_an_utterance_grows_release_by_release() -> None:
    async with scheduler(FakeModel()) as made, made.open(Utterance("u", "heart")) as speech:
        speech.extend(Release("one two ", 4), 0.0)
        assert await rest(speech) == "one"
        speech.extend(Release("one two three", 8), 0.0)
        assert await rest(speech) == "two"
        speech.extend(release("one two three"), 0.0)
        assert await rest(speech) == "three"


async def test_many_at_once_each_get_their_own() -> None:
    texts = [f"number {n} of many utterances" for n in range(40)]

    async def speak(made: Scheduler, text: str) -> str:
        async with opened(made, text) as speech:
            return await rest(speech)

    async with scheduler(FakeModel(), threads=2) as made:
        said = await asyncio.gather(*(speak(made, text) for text in texts))
    assert said == ["".join(text.split()) for text in texts]


# --- who comes first -----------------------------------------------------------------------------


async def test_the_earliest_deadline_comes_first() -> None:
    with gated() as (model, gate):
        async with scheduler(model) as made:
            first = opened(made, "first")
            engine = await busy(model)
            others = [opened(made, "later", deadline_s) for deadline_s in (5.0, 1.0, math.inf, 3.0)]
            gate.release(ALL)
            await asyncio.gather(*map(rest, [first, *others]))
            assert engine.steps == [("u1",), ("u3",), ("u5",), ("u2",), ("u4",)]


async def test_a_more_urgent_utterance_comes_between_the_chunks_of_a_long_one() -> None:
    with gated() as (model, gate):
        async with scheduler(model) as made:
            long = opened(made, "aaaaa bbbbb ccccc", 10.0)
            engine = await busy(model)
            urgent = opened(made, "now", 1.0)
            gate.release(ALL)
            assert [await rest(long), await rest(urgent)] == ["aaaaabbbbbccccc", "now"]
            assert engine.steps == [("u1",), ("u2",), ("u1",), ("u1",)]


async def test_a_deadline_that_moves_counts_from_the_next_step_on() -> None:
    with gated() as (model, gate):
        async with scheduler(model) as made:
            first = opened(made, "first", 0.0)
            engine = await busy(model)
            patient, other = opened(made, "patient", 5.0), opened(made, "other", 3.0)
            patient.deadline_s = 1.0
            gate.release(ALL)
            await asyncio.gather(*map(rest, [first, patient, other]))
            assert engine.steps == [("u1",), ("u2",), ("u3",)]


async def test_a_step_advances_as_many_as_the_engine_can() -> None:
    gate = threading.Semaphore(0)
    model = FakeModel(max_batch=2, gate=gate)
    async with scheduler(model) as made:
        first = opened(made, "first")
        engine = await busy(model)
        others = [opened(made, "later", deadline_s) for deadline_s in (3.0, 1.0, 2.0)]
        gate.release(ALL)
        assert await asyncio.gather(*map(rest, [first, *others])) == ["first", *["later"] * 3]
        assert engine.steps == [("u1",), ("u3", "u4"), ("u2",)]


async def test_utterances_are_spread_over_the_threads() -> None:
    with gated() as (model, gate):
        async with scheduler(model, threads=2) as made:
            speeches = [opened(made, "one"), opened(made, "two")]
            await asyncio.gather(busy(model, 0), busy(model, 1))
            assert made.waiting == 0
            assert sorted(engine.steps for engine in model.engines) == [[("u1",)], [("u2",)]]
            gate.release(ALL)
            assert await asyncio.gather(*map(rest, speeches)) == ["one", "two"]


async def test_work_goes_to_whichever_thread_is_idle() -> None:
    with gated() as (model, gate):
        async with scheduler(model, threads=2) as made:
            first, second = opened(made, "one"), opened(made, "two")
            await asyncio.gather(busy(model, 0), busy(model, 1))
            third = opened(made, "three")
            assert made.waiting == 1
            gate.release(1)
            await asyncio.wait(
                [asyncio.create_task(rest(first)), asyncio.create_task(rest(second))],
                return_when=asyncio.FIRST_COMPLETED,
            )
            gate.release(ALL)
            assert await rest(third) == "three"


async def test_an_utterance_stays_with_the_thread_that_has_its_state() -> None:
    model = FakeModel()
    async with scheduler(model, threads=2) as made, made.open(Utterance("u", "heart")) as speech:
        for at in (4, 8):
            speech.extend(Release("one two three", at), 0.0)
            await rest(speech)
        assert sorted(engine.steps for engine in model.engines) == [[], [("u",), ("u",)]]


async def test_a_release_that_no_thread_has_taken_is_replaced() -> None:
    with gated() as (model, gate):
        async with scheduler(model) as made:
            first = opened(made, "first")
            await busy(model)
            speech = made.open(Utterance("u", "heart", chunk_characters=0))
            speech.extend(Release("one two ", 4), 1.0)
            assert speech.replace(Release("one two three", 8))
            gate.release(ALL)
            assert [await rest(first), await rest(speech)] == ["first", "onetwo"]
            assert not speech.replace(Release("one two three", 13)), "nothing waits"


async def test_a_release_that_is_being_rendered_is_not_replaced() -> None:
    with gated() as (model, gate):
        async with scheduler(model) as made:
            speech = opened(made, "one two")
            await busy(model)
            assert not speech.replace(release("one two three"))
            gate.release(ALL)
            assert await rest(speech) == "onetwo"


# --- leaving -------------------------------------------------------------------------------------


async def test_leaving_forgets_the_utterance() -> None:
    async with scheduler(FakeModel()) as made:
        async with made.open(Utterance("u", "heart")) as speech:
            speech.extend(Release("one two three", 4), 0.0)
            await rest(speech)
        await rest(opened(made, "after"))  # the thread obeys in order
        (engine,) = made_model(made).engines
        assert engine.open_utterances == 0


def made_model(made: Scheduler) -> FakeModel:
    model = made._threads[0]._model
    assert isinstance(model, FakeModel)
    return model


async def test_leaving_while_a_step_runs_throws_its_result_away() -> None:
    with gated() as (model, gate):
        async with scheduler(model) as made:
            async with opened(made, "aaaaa bbbbb ccccc"):
                engine = await busy(model)
            other = opened(made, "other")
            gate.release(ALL)
            assert await rest(other) == "other"
            assert engine.steps == [("u1",), ("u2",)]
            assert engine.open_utterances == 0


async def test_a_cancelled_wait_loses_no_chunk() -> None:
    with gated() as (model, gate):
        async with scheduler(model) as made:
            speech = opened(made, "aaaaa bbbbb")
            await busy(model)
            waiting = asyncio.create_task(speech.next_chunk())
            await asyncio.sleep(0)
            waiting.cancel()
            gate.release(ALL)
            assert await rest(speech) == "aaaaabbbbb"


# --- what goes wrong -----------------------------------------------------------------------------


async def test_a_failure_concerns_one_of_many() -> None:
    gate = threading.Semaphore(0)
    model = FakeModel(max_batch=4, gate=gate)
    async with scheduler(model) as made:
        first = opened(made, "first")
        await busy(model)
        bad, good = opened(made, "explode"), opened(made, "good")
        gate.release(ALL)
        with pytest.raises(EngineFailed, match="out of memory"):
            await rest(bad)
        assert await rest(good) == "good"
        assert await rest(first) == "first"


async def test_a_bug_of_the_engine_is_told_and_the_thread_goes_on() -> None:
    model = FakeModel()
    async with scheduler(model) as made:
        async with opened(made, "crash") as speech:
            with pytest.raises(EngineFailed, match="ZeroDivisionError"):
                await rest(speech)
        assert await rest(opened(made, "after")) == "after"
        assert model.open_utterances == 0


async def test_an_utterance_that_the_engine_refuses_fails_at_its_first_chunk() -> None:
    async with scheduler(FakeModel()) as made:
        async with opened(made, "hello", voice="broken") as speech:
            with pytest.raises(VoiceUnavailable):
                await rest(speech)
        assert await rest(opened(made, "after")) == "after"


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
    async with scheduler(StubbornModel()) as made:
        async with opened(made, text) as speech:
            with pytest.raises(EngineFailed):
                await rest(speech)
        assert await rest(opened(made, "after")) == "after"


class UselessModel(FakeModel):
    def create_engine(self) -> Engine:
        raise OSError("no such device")


async def test_an_engine_that_cannot_be_created_fails_its_utterances() -> None:
    async with scheduler(UselessModel()) as made, opened(made, "hello") as speech:
        with pytest.raises(EngineFailed, match="OSError"):
            await rest(speech)


# --- start and stop ------------------------------------------------------------------------------


def engine_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("engine-")]


async def test_stop_ends_the_threads_also_in_the_middle_of_speech() -> None:
    with gated() as (model, gate):
        made = Scheduler(model, 1, Metrics())
        made.start()
        opened(made, "aaaaa bbbbb ccccc ddddd")
        engine = await busy(model)
        stopping = asyncio.create_task(asyncio.to_thread(made.stop))
        while not made._threads[0].seat.leaving:  # noqa: ASYNC110 - a thread is about to
            await asyncio.sleep(0)
        assert engine_threads() != []
        gate.release(1)
        await stopping
        assert engine_threads() == []
        assert engine.steps == [("u1",)]


def test_stop_before_start_does_nothing() -> None:
    Scheduler(FakeModel(), 2, Metrics()).stop()


def test_a_result_for_a_loop_that_has_closed_is_dropped() -> None:
    with gated() as (model, gate):

        async def leave_early() -> Scheduler:
            made = Scheduler(model, 1, Metrics())
            made.start()
            opened(made, "aaaaa bbbbb")
            await busy(model)
            return made

        made = asyncio.run(leave_early())
        gate.release(ALL)
        made.stop()
        assert engine_threads() == []
