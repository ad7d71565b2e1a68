"""Renders that prove that an idle engine works, and never come in a listener's way."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import httpx
import numpy as np
import pytest

from backend.engines.base import Chunk, Failure
from backend.errors import EngineFailed
from backend.monitoring.metrics import Metrics
from backend.synthesis.health_check import Health, HealthCheck
from tests.support import clock
from tests.support.engines.fake_engine import FakeEngine, FakeModel
from tests.support.engines.unloadable_model import UnloadableModel
from tests.support.live_server import live_server, wait_until

INTERVAL_S = 60.0
SOUND = np.full(240, 0.2, np.float32)


class ScriptedScheduler:
    """What a check reads of the scheduler. Everything was rendered `rendered_at_s`."""

    def __init__(self) -> None:
        self.waiting_count = 0
        self.is_loaded = True
        self.patience_s = 30.0
        self.rendered_at_s = -math.inf


class ScriptedUtterance:
    """An utterance whose chunks are given; an exception among them is raised. `delay_s`: before
    each.
    """

    def __init__(self, chunks: list[Any], delay_s: float = 0.0) -> None:
        self.chunks, self.delay_s = list(chunks), delay_s
        self.is_probe = False
        self.deadline_s = 0.0
        self.is_closed = False

    async def __aenter__(self) -> ScriptedUtterance:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.is_closed = True

    def extend(self, release: Any, deadline_s: float) -> None:
        assert self.is_probe, "counts as a listener's"
        assert release.final
        self.deadline_s = deadline_s

    async def next_chunk(self) -> Chunk:
        await asyncio.sleep(self.delay_s)
        result = self.chunks.pop(0)
        if isinstance(result, Exception):
            raise result
        return Chunk("u", result, 0, 0, caught_up=not self.chunks)


class Script:
    """A check whose utterances are given."""

    def __init__(self, *utterances: ScriptedUtterance, interval_s: float = INTERVAL_S) -> None:
        self.scheduler, self.metrics = ScriptedScheduler(), Metrics()
        self.opened: list[ScriptedUtterance] = []
        self._utterances = list(utterances)
        self.health = HealthCheck(
            cast(Any, self.scheduler), cast(Any, self._open), interval_s, self.metrics
        )

    def _open(self) -> ScriptedUtterance:
        self.opened.append(self._utterances.pop(0))
        return self.opened[-1]

    def play(self, act: Callable[[], Awaitable[None]]) -> None:
        async def acting() -> None:
            await act()
            await self.health.stop()

        clock.run(acting())

    async def check(self) -> Health:
        return await self.health.check()


def test_an_idle_engine_renders_once_an_interval() -> None:
    script = Script(*(ScriptedUtterance([SOUND]) for _ in range(2)))

    async def act() -> None:
        assert await script.check() == Health(None, 0.0)
        await asyncio.sleep(INTERVAL_S / 2)
        assert await script.check() == Health(None, INTERVAL_S / 2)
        assert len(script.opened) == 1
        await asyncio.sleep(INTERVAL_S / 2)
        assert await script.check() == Health(None, 0.0)
        assert len(script.opened) == 2

    script.play(act)
    assert 'health_checks_total{outcome="ok"} 2.0' in script.metrics.render().decode()


def test_speech_proves_the_same() -> None:
    script = Script()

    async def act() -> None:
        script.scheduler.rendered_at_s = asyncio.get_running_loop().time()
        await asyncio.sleep(INTERVAL_S - 1)
        assert await script.check() == Health(None, INTERVAL_S - 1)

    script.play(act)
    assert not script.opened


def test_nothing_is_rendered_while_others_wait_or_the_engine_is_unloaded_or_never() -> None:
    busy, unloaded, never = Script(), Script(), Script(interval_s=0)
    busy.scheduler.waiting_count = 1
    unloaded.scheduler.is_loaded = False
    for script in (busy, unloaded, never):

        async def act(script: Script = script) -> None:
            assert await script.check() == Health(None, None)

        script.play(act)
        assert not script.opened


def test_a_check_has_no_deadline_and_ends_with_its_first_sound() -> None:
    utterance = ScriptedUtterance([np.zeros(240, np.float32), SOUND, SOUND])
    script = Script(utterance)

    async def act() -> None:
        assert (await script.check()).problem is None

    script.play(act)
    assert utterance.deadline_s == math.inf
    assert utterance.is_closed
    assert len(utterance.chunks) == 1


@pytest.mark.parametrize(
    ("chunks", "problem"),
    [
        ([EngineFailed("out of memory")], "out of memory"),
        ([np.zeros(240, np.float32)], "silence"),
        ([np.zeros(0, np.float32)], "silence"),
        ([np.full(240, np.nan, np.float32)], "not numbers"),
    ],
)
def test_an_engine_that_renders_no_sound_is_not_ready_until_it_does(
    chunks: list[Any], problem: str
) -> None:
    script = Script(ScriptedUtterance(chunks), ScriptedUtterance([SOUND]))

    async def act() -> None:
        for _ in range(2):  # not tried again at once
            assert problem in str((await script.check()).problem)
        exported = script.metrics.render().decode()
        assert 'health_checks_total{outcome="failed"} 1.0' in exported
        assert "duplex_tts_engine_healthy 0.0" in exported
        await asyncio.sleep(10)
        assert (await script.check()).problem is None
        assert "duplex_tts_engine_healthy 1.0" in script.metrics.render().decode()

    script.play(act)


def test_speech_after_a_failed_check_is_proof_too() -> None:
    script = Script(ScriptedUtterance([EngineFailed("out of memory")]))

    async def act() -> None:
        assert (await script.check()).problem
        await asyncio.sleep(1)
        script.scheduler.rendered_at_s = asyncio.get_running_loop().time()
        assert (await script.check()).problem is None

    script.play(act)


def test_a_slow_check_answers_at_once_and_fails_after_the_patience() -> None:
    utterance = ScriptedUtterance([SOUND], delay_s=1000)
    script = Script(utterance)

    async def act() -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        both = list(await asyncio.gather(script.check(), script.check()))
        assert both == [Health(None, None)] * 2
        assert loop.time() - began_s < 1
        await asyncio.sleep(30)
        assert "task_timeout" in str((await script.check()).problem)

    script.play(act)
    assert (len(script.opened), utterance.is_closed) == (1, True)


def test_a_check_in_progress_ends_with_the_server() -> None:
    utterance = ScriptedUtterance([SOUND], delay_s=1000)
    script = Script(utterance)

    async def act() -> None:
        await script.check()

    script.play(act)
    assert utterance.is_closed


# --- the server -----------------------------------------------------------------------------------


@pytest.mark.parametrize("max_batch", [1, 8])
async def test_readiness_follows_what_the_engine_renders(max_batch: int) -> None:
    model = FakeModel(max_batch=max_batch)
    engine = {"health_interval": 1e-6, "threads": 1}
    async with (
        live_server(model, engine=engine) as live,
        httpx.AsyncClient(base_url=live.http) as http,
    ):
        (working,) = model.engines
        steps = len(working.steps)
        assert (await http.get("/readyz")).status_code == 200
        assert len(working.steps) > steps, "nothing was rendered"
        await wait_until(lambda: working.open_utterances == 0, within_s=10)
        _break(working)
        response = await http.get("/readyz")
        assert (response.status_code, response.json()["ready"]) == (503, False)
        assert "ZeroDivisionError" in response.json()["problem"]
        assert "duplex_tts_engine_healthy 0.0" in (await http.get("/metrics")).text


def _break(engine: FakeEngine) -> None:
    def fail(urgent: Sequence[str]) -> list[Chunk | Failure]:
        raise ZeroDivisionError

    engine.step = fail  # type: ignore[method-assign]


@pytest.mark.slow
async def test_readiness_leaves_an_unloaded_engine_alone() -> None:
    model = UnloadableModel()
    engine = {"health_interval": 1e-6, "idle_unload": 0.05}
    async with (
        live_server(model, engine=engine) as live,
        httpx.AsyncClient(base_url=live.http) as http,
    ):
        answer: dict[str, Any] = {"loaded": True}
        for _ in range(1000):  # checks do not keep it on its device, either
            answer = (await http.get("/readyz")).json()
            if not answer["loaded"]:
                break
        assert (answer["loaded"], answer["ready"]) == (False, True)
        # In the engine's thread; a check that had begun may have brought it back once.
        await wait_until(lambda: model.moves[-1:] == ["release"], within_s=10)
        moves = len(model.moves)
        for _ in range(5):
            assert not (await http.get("/readyz")).json()["loaded"]
        assert len(model.moves) == moves
