"""The screen readers' row at small scale, against the fake engine."""

import dataclasses

import pytest

from bench.harness.corpus import load_corpus
from bench.harness.setup import QUICK, Setup
from bench.speechd import latency
from tests.support.engines.fake_engine import FakeModel
from tests.support.live_server import live_server

pytestmark = pytest.mark.slow


async def test_every_figure_is_measured_without_a_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "missing_programs", lambda: ["pulseaudio"])
    monkeypatch.setattr(latency, "_AHEAD_S", 0.0)
    effort = dataclasses.replace(QUICK, cancels=3)
    async with live_server() as live:
        model, texts = FakeModel(), load_corpus(limit=2)
        setup = Setup(live.http, model, texts, effort, seed=1, progress=lambda _share: None)
        result = await latency.measure(setup)
    word, letter, stop, wrong = result.figures
    assert 0 < word.value < 1000
    assert 0 < letter.value < 1000
    assert 0 < stop.value < 1000
    assert wrong.value == 0
    assert "pulseaudio missing" in wrong.note
    assert len(result.details["letter_ms"]) == 26
