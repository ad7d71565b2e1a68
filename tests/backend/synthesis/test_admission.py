"""`Scheduler.is_overloaded`: the share of the engine threads that listeners may take."""

from __future__ import annotations

import asyncio

import pytest

from backend.engines.base import Utterance
from backend.monitoring.metrics import Metrics
from backend.synthesis.engine_thread import StepResult
from backend.synthesis.scheduler import Scheduler
from tests.support.engines.fake_engine import FakeModel


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize(("share", "overloaded"), [(0.949, False), (0.951, True)])
async def test_listeners_may_take_95_percent_of_the_engine_threads(
    threads: int, share: float, overloaded: bool
) -> None:
    scheduler = Scheduler(FakeModel(), threads, Metrics())
    scheduler.start_threads()
    try:
        open_listeners = 3
        rtf = share * threads / (open_listeners + 1)  # one more would take `share`
        scheduler._deliver_step(StepResult([], busy_s=rtf, audio_s=1.0))
        for _ in range(open_listeners):
            handle = scheduler.open_utterance(Utterance(scheduler.next_id(), "heart"))
            handle.deadline_s = asyncio.get_running_loop().time() + 60
        assert scheduler.is_overloaded is overloaded
    finally:
        scheduler.stop_threads()
