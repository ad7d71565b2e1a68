"""An engine thread that hangs mutes nobody but the utterance that it was at."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

from backend.engines.base import Release, Utterance
from backend.errors import EngineFailed, SpeechTimeout
from backend.monitoring.metrics import Metrics
from backend.synthesis.scheduler import Scheduler
from backend.synthesis.utterance_handle import UtteranceHandle
from tests.support.engines.fake_engine import heard
from tests.support.engines.troubled_engine import FRUITLESS, HANG, TroubledEngine, TroubledModel
from tests.support.live_server import eventually, live_server, said

LIMIT_S = 0.25  # a look of the watch


@asynccontextmanager
async def running_scheduler(model: TroubledModel, threads: int = 1) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(model, threads, Metrics(), patience_s=0.05)
    scheduler.start_threads()
    try:
        yield scheduler
    finally:
        model.let_go.set()
        await asyncio.to_thread(scheduler.stop_threads)


def opened(scheduler: Scheduler, text: str, deadline_s: float = 0.0) -> UtteranceHandle:
    handle = scheduler.open_utterance(Utterance(scheduler.next_id(), "heart", chunk_characters=5))
    handle.extend(Release(text, len(text), final=True), deadline_s)
    return handle


async def rest(handle: UtteranceHandle) -> str:
    heard_so_far = ""
    while True:
        chunk = await asyncio.wait_for(handle.next_chunk(), 10)
        heard_so_far += heard(chunk.pcm)
        if chunk.caught_up:
            return heard_so_far


async def hangs(model: TroubledModel, number: int = 0) -> None:
    """Wait until the engine hangs."""
    await eventually(lambda: len(model.engines) > number, 10)
    engine = model.engines[number]
    assert isinstance(engine, TroubledEngine)
    assert await asyncio.to_thread(engine.hangs.wait, 10)


async def test_who_the_hanging_engine_was_at_fails_alone() -> None:
    model = TroubledModel(step_limit_s=LIMIT_S)
    async with running_scheduler(model) as scheduler:
        bad = opened(scheduler, HANG)
        await hangs(model)
        good = opened(scheduler, "good one", deadline_s=1.0)
        scheduler.watch_threads()
        with pytest.raises(EngineFailed, match="was replaced"):
            await rest(bad)
        assert await rest(good) == "goodone"
        assert scheduler.has_all_threads
        assert len(model.engines) == 2


async def test_who_was_in_the_middle_of_a_sentence_goes_on_behind_what_was_heard() -> None:
    model = TroubledModel(step_limit_s=LIMIT_S)
    async with running_scheduler(model) as scheduler:
        async with scheduler.open_utterance(Utterance("u", "heart")) as handle:
            handle.extend(Release("one two three", 8), 0.0)
            first = await handle.next_chunk()
            assert (heard(first.pcm), first.caught_up) == ("onetwo", True)
            opened(scheduler, HANG)
            await hangs(model)
            scheduler.watch_threads()
            handle.extend(Release("one two three four", 18, final=True), 0.0)
            last = await asyncio.wait_for(handle.next_chunk(), 10)
        assert heard(last.pcm) == "threefour"
        assert (last.start, last.end) == (8, 18)
        assert [(w.start, w.end) for w in last.words] == [(8, 14), (14, 18)]
        assert last.words[0].start_ms == pytest.approx(60.0)


async def test_what_a_lost_thread_brings_in_the_end_is_thrown_away() -> None:
    model = TroubledModel(step_limit_s=LIMIT_S)
    async with running_scheduler(model) as scheduler:
        bad = opened(scheduler, HANG)
        await hangs(model)
        scheduler.watch_threads()
        with pytest.raises(EngineFailed):
            await rest(bad)
        model.let_go.set()
        await eventually(lambda: not any(t.is_alive for t in scheduler._lost), 10)
        assert await rest(opened(scheduler, "after")) == "after"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(bad.next_chunk(), 0.01)


async def test_threads_that_hang_are_not_replaced_without_end() -> None:
    model = TroubledModel(step_limit_s=LIMIT_S)
    async with running_scheduler(model) as scheduler:
        for number in range(20):
            bad = opened(scheduler, HANG)
            await hangs(model, number)
            scheduler.check_threads()
            scheduler.check_threads()
            with pytest.raises(EngineFailed):
                await rest(bad)
            if not scheduler.has_all_threads:
                break
        assert not scheduler.has_all_threads
        with pytest.raises(EngineFailed, match="no engine thread answers"):
            await rest(opened(scheduler, "nobody is left"))
        scheduler.watch_threads()
        model.let_go.set()  # when they come to themselves there is room again
        await eventually(lambda: scheduler.has_all_threads, 10)
        assert await rest(opened(scheduler, "after")) == "after"


async def test_a_thread_that_is_slow_but_moves_on_is_kept() -> None:
    model = TroubledModel(step_limit_s=2.0, step_s=0.02)  # eight looks
    async with running_scheduler(model) as scheduler:
        handle = opened(scheduler, "word " * 20)
        saying = asyncio.create_task(rest(handle))
        while not saying.done():
            scheduler.check_threads()  # far oftener than it would
            await asyncio.sleep(0.03)
        assert await saying == "word" * 20
        assert len(model.engines) == 1


# --- the engine's time, not the waiting -----------------------------------------------------------


async def test_an_engine_that_works_without_a_result_is_given_up_for_that_utterance() -> None:
    async with running_scheduler(TroubledModel()) as scheduler:
        with pytest.raises(SpeechTimeout, match="task_timeout"):
            await rest(opened(scheduler, FRUITLESS))
        assert await rest(opened(scheduler, "after")) == "after"


async def test_to_wait_for_a_thread_is_no_timeout() -> None:
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


async def test_a_context_goes_on_behind_the_sentence_that_hung() -> None:
    model = TroubledModel(step_limit_s=LIMIT_S)
    async with live_server(model) as live, live.client() as client, live.client() as other:
        await client.say("start", context="a", format="pcm_f32le")
        await client.say("text", context="a", text=f"This will {HANG}. Then on. ")
        await client.say("end", context="a")
        messages = await client.read_to("done")
        assert [m["code"] for m in messages if m["type"] == "error"] == ["engine_failed"]
        assert said([m for m in messages if m["type"] != "error"], "a") == "Thenon."
        assert await other.speak("b", "Nobody else.") == "Nobodyelse."
        model.let_go.set()


async def test_readiness_says_when_threads_hang() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        assert (await http.get("/readyz")).status_code == 200
        live.app.state.services.tts._scheduler._thread_target += 1  # one is missing
        assert (await http.get("/readyz")).status_code == 503


async def test_a_server_ends_while_a_thread_hangs() -> None:
    model = TroubledModel()
    started_s = 0.0
    async with live_server(model, server={"drain_timeout": 0.2}) as live, live.client() as client:
        await client.say("text", context="a", text=f"This will {HANG}. ")
        posting = asyncio.create_task(_post(live.http))
        await hangs(model)
        started_s = time.monotonic()
        live.stop()
        await live.serving
        took_s = time.monotonic() - started_s
        model.let_go.set()
        await posting
    assert took_s < 0.2 + 6.0  # a hanging thread may be waited for 1.5 s, a client 1 s


async def _post(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=30) as http:
        with suppress(httpx.HTTPError):  # the server goes away
            await http.post("/v1/speech", json={"text": "This waits behind it.", "mode": "batch"})
