"""A hanging engine thread fails only the utterances of its step."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

from backend.engines.base import Release, Utterance
from backend.errors import DuplexError, EngineDead, EngineFailed, SpeechTimeout
from backend.monitoring.metrics import Metrics
from backend.synthesis.scheduler import Limits, Scheduler
from backend.synthesis.utterance_handle import UtteranceHandle
from tests.support.engines.fake_engine import FakeModel, decode_pcm
from tests.support.engines.troubled_engine import FRUITLESS, HANG, TroubledEngine, TroubledModel
from tests.support.live_server import decode_speech, live_server, wait_until

LIMIT_S = 0.25  # one check of the threads


@asynccontextmanager
async def running_scheduler(model: TroubledModel, threads: int = 1) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(model, threads, Metrics(), Limits(patience_s=0.05))
    scheduler.start_threads()
    try:
        yield scheduler
    finally:
        model.let_go.set()
        await asyncio.to_thread(scheduler.stop_threads)


def open_final(scheduler: Scheduler, text: str, deadline_s: float = 0.0) -> UtteranceHandle:
    handle = scheduler.open_utterance(Utterance(scheduler.next_id(), "heart", chunk_characters=5))
    handle.extend(Release(text, len(text), final=True), deadline_s)
    return handle


async def read_rest(handle: UtteranceHandle) -> str:
    heard_so_far = ""
    while True:
        chunk = await asyncio.wait_for(handle.next_chunk(), 10)
        heard_so_far += decode_pcm(chunk.pcm)
        if chunk.caught_up:
            return heard_so_far


async def wait_until_hanging(model: TroubledModel, number: int = 0) -> None:
    """Wait until the engine hangs."""
    await wait_until(lambda: len(model.engines) > number, 10)
    engine = model.engines[number]
    assert isinstance(engine, TroubledEngine)
    assert await asyncio.to_thread(engine.hangs.wait, 10)


async def test_only_the_utterance_of_the_hanging_step_fails() -> None:
    model = TroubledModel(step_limit_s=LIMIT_S)
    async with running_scheduler(model) as scheduler:
        bad = open_final(scheduler, HANG)
        await wait_until_hanging(model)
        good = open_final(scheduler, "good one", deadline_s=1.0)
        scheduler.watch_threads()
        with pytest.raises(EngineFailed, match="was replaced"):
            await read_rest(bad)
        assert await read_rest(good) == "goodone"
        assert scheduler.has_all_threads
        assert len(model.engines) == 2


async def test_an_utterance_moved_to_a_new_thread_continues_behind_its_delivered_audio() -> None:
    model = TroubledModel(step_limit_s=LIMIT_S)
    async with running_scheduler(model) as scheduler:
        async with scheduler.open_utterance(Utterance("u", "heart")) as handle:
            handle.extend(Release("one two three", 8), 0.0)
            first = await handle.next_chunk()
            assert (decode_pcm(first.pcm), first.caught_up) == ("onetwo", True)
            open_final(scheduler, HANG)
            await wait_until_hanging(model)
            scheduler.watch_threads()
            handle.extend(Release("one two three four", 18, final=True), 0.0)
            last = await asyncio.wait_for(handle.next_chunk(), 10)
        assert decode_pcm(last.pcm) == "threefour"
        assert (last.start, last.end) == (8, 18)
        assert [(w.start, w.end) for w in last.words] == [(8, 14), (14, 18)]
        assert last.words[0].start_ms == pytest.approx(60.0)


async def test_late_results_of_an_abandoned_thread_are_discarded() -> None:
    model = TroubledModel(step_limit_s=LIMIT_S)
    async with running_scheduler(model) as scheduler:
        bad = open_final(scheduler, HANG)
        await wait_until_hanging(model)
        scheduler.watch_threads()
        with pytest.raises(EngineFailed):
            await read_rest(bad)
        model.let_go.set()
        await wait_until(lambda: not any(t.is_alive for t in scheduler._lost), 10)
        assert await read_rest(open_final(scheduler, "after")) == "after"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(bad.next_chunk(), 0.01)


async def test_hanging_threads_are_replaced_up_to_a_limit() -> None:
    model = TroubledModel(step_limit_s=LIMIT_S)
    async with running_scheduler(model) as scheduler:
        for number in range(20):
            bad = open_final(scheduler, HANG)
            await wait_until_hanging(model, number)
            scheduler.check_threads()
            scheduler.check_threads()
            with pytest.raises(EngineFailed):
                await read_rest(bad)
            if not scheduler.has_all_threads:
                break
        assert not scheduler.has_all_threads
        with pytest.raises(EngineFailed, match="no engine thread answers"):
            await read_rest(open_final(scheduler, "nobody is left"))
        scheduler.watch_threads()
        model.let_go.set()  # once they end, threads can be replaced again
        await wait_until(lambda: scheduler.has_all_threads, 10)
        assert await read_rest(open_final(scheduler, "after")) == "after"


async def test_a_slow_thread_that_makes_progress_is_kept() -> None:
    model = TroubledModel(step_limit_s=2.0, step_s=0.02)  # eight checks
    async with running_scheduler(model) as scheduler:
        handle = open_final(scheduler, "word " * 20)
        saying = asyncio.create_task(read_rest(handle))
        while not saying.done():
            scheduler.check_threads()  # far more often than usual
            await asyncio.sleep(0.03)
        assert await saying == "word" * 20
        assert len(model.engines) == 1


# --- the timeout counts engine time, not waiting --------------------------------------------------


async def test_an_utterance_without_a_result_times_out() -> None:
    async with running_scheduler(TroubledModel()) as scheduler:
        with pytest.raises(SpeechTimeout, match="task_timeout"):
            await read_rest(open_final(scheduler, FRUITLESS))
        assert await read_rest(open_final(scheduler, "after")) == "after"


@pytest.mark.slow
async def test_waiting_for_a_thread_does_not_time_out() -> None:
    model = TroubledModel(step_s=0.02)
    streaming = {"task_timeout": 0.2}  # sixty of them take six times as long
    async with (
        live_server(model, bidirectional_streaming=streaming) as live,
        httpx.AsyncClient(base_url=live.http, timeout=60) as http,
    ):
        body = {"text": "Hello there.", "format": "pcm_f32le", "mode": "batch"}
        answers = await asyncio.gather(*(http.post("/v1/speech", json=body) for _ in range(60)))
        assert [answer.status_code for answer in answers] == [200] * 60
        assert all('"done"' in answer.text for answer in answers)
        assert all('"error"' not in answer.text for answer in answers)


# --- the server -----------------------------------------------------------------------------------


async def test_a_context_continues_after_a_sentence_that_hung() -> None:
    model = TroubledModel(step_limit_s=LIMIT_S)
    async with live_server(model) as live, live.connect() as client, live.connect() as other:
        await client.send("start", context="a", format="pcm_f32le")
        await client.send("text", context="a", text=f"This will {HANG}. Then on. ")
        await client.send("end", context="a")
        messages = await client.receive_until("done")
        assert [m["code"] for m in messages if m["type"] == "error"] == ["engine_failed"]
        assert decode_speech([m for m in messages if m["type"] != "error"], "a") == "Thenon."
        assert await other.speak_text("b", "Nobody else.") == "Nobodyelse."
        model.let_go.set()


@pytest.mark.slow
async def test_of_several_engines_one_that_hangs_again_and_again_is_given_up() -> None:
    hanging, sound = TroubledModel(step_limit_s=LIMIT_S), FakeModel()
    dead: list[tuple[object, str]] = []
    scheduler = Scheduler(sound, 1, Metrics(), None, lambda *died: dead.append(died))
    scheduler.add_model(hanging)
    scheduler.start_threads()
    scheduler.watch_threads()
    try:
        for _ in range(4):
            handle = scheduler.open_utterance(utterance(scheduler), None, hanging)
            handle.extend(Release(HANG, len(HANG), final=True), 0.0)
            with pytest.raises(DuplexError, match="hung for"):
                await asyncio.wait_for(handle.next_chunk(), 10)
        assert [(model, "hangs in 4 threads" in str(error)) for model, error in dead] == [
            (hanging, True)
        ]
        refused = scheduler.open_utterance(utterance(scheduler), None, hanging)
        with pytest.raises(EngineDead, match="hangs in 4 threads"):
            await refused.next_chunk()
        assert await read_rest(open_final(scheduler, "still here")) == "stillhere"
    finally:
        hanging.let_go.set()
        await asyncio.to_thread(scheduler.stop_threads)


def utterance(scheduler: Scheduler) -> Utterance:
    return Utterance(scheduler.next_id(), "heart")


async def test_readiness_fails_while_threads_are_missing() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        assert (await http.get("/readyz")).status_code == 200
        live.app.state.services.tts.main.scheduler._thread_target += 1  # one missing
        assert (await http.get("/readyz")).status_code == 503


@pytest.mark.slow
async def test_the_server_stops_while_a_thread_hangs() -> None:
    model = TroubledModel()
    started_s = 0.0
    async with live_server(model, server={"drain_timeout": 0.2}) as live, live.connect() as client:
        await client.send("text", context="a", text=f"This will {HANG}. ")
        posting = asyncio.create_task(_post(live.http))
        await wait_until_hanging(model)
        started_s = time.monotonic()
        live.request_shutdown()
        await live.serving
        took_s = time.monotonic() - started_s
        model.let_go.set()
        await posting
    assert took_s < 0.2 + 6.0  # waits at most 1.5 s for a hanging thread, 1 s for a client


async def _post(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=30) as http:
        with suppress(httpx.HTTPError):  # the server stops meanwhile
            await http.post("/v1/speech", json={"text": "This waits behind it.", "mode": "batch"})
