"""The Chatterbox benchmark, with the tiny model."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from backend.config import ChatterboxSettings
from backend.engines.chatterbox.model import ChatterboxModel
from backend.engines.chatterbox.variants import VARIANTS
from bench.__main__ import app
from bench.chatterbox.engine_bench import BenchPlan, ChatterboxBench, limit_upstream_length
from bench.chatterbox.random_weights import ENGINES
from bench.harness.report import BenchReport, Figure, Result, to_markdown
from tests.support.chatterbox.drawn import NoWatermark
from tests.support.chatterbox.tiny import quiet, tiny


@pytest.mark.parametrize("engine", ENGINES)
def test_every_row_is_measured(engine: str, tmp_path: Path) -> None:
    upstream = tiny(turbo=VARIANTS[engine].turbo, engine=engine)
    upstream.watermarker = NoWatermark()
    model = ChatterboxModel(upstream, ChatterboxSettings(slots=2, watermark=False), tmp_path)
    assert model.info.name == engine
    plan = BenchPlan(
        batches=(1, 2, 64), streams=(1, 2), tokens=3, seconds=0.5, texts=("Good day.",)
    )
    bench = ChatterboxBench(model, upstream, plan)
    done: list[float] = []
    results = {name: row(done.append) for name, (_, row) in bench.rows().items()}
    names = [figure.name for result in results.values() for figure in result.figures]
    assert names[:2] == ["time per token, batch 1", "time per token, batch 2"]
    assert "first sound p95, 2 live" in names
    assert names[-1] == "whole sentence, faster than upstream"
    figures = [figure for result in results.values() for figure in result.figures]
    assert all(math.isnan(figure.goal) for figure in figures), "no goals for a CPU"
    assert all(f.value > 0 for f in figures if "underrun" not in f.name)
    assert done[-1] == 1.0
    shown = to_markdown(BenchReport("here", {}, results))
    assert "time per token, batch 1" in shown
    assert "missed" not in shown


def test_upstream_speech_has_the_requested_length() -> None:
    upstream = tiny(turbo=False)
    upstream.watermarker = NoWatermark()
    with quiet(), limit_upstream_length(upstream, 8):
        short = upstream.generate("Good day.").shape[1]
    assert short == 8 * 960
    with quiet():
        assert upstream.generate("Good day.").shape[1] > short


class CannedBench:
    """Rows with fixed results."""

    def rows(self) -> Any:
        tokens = Result([Figure("a token", 1.0, 1.5, True)], {"batches": [_BATCH]})
        live = Result([Figure("streams", 3, math.nan, False)], {"live": [_LIVE]})
        return {"tokens": ("tokens", lambda _: tokens), "live": ("live", lambda _: live)}


_BATCH = {"batch": 1, "token_ms": 1.0, "bandwidth_share": 0.5}
_LIVE = {"streams": 3, "first_p50_ms": 1.0, "first_p95_ms": 2.0}


def test_command_writes_results_and_plot_named_after_the_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.chatterbox.run.prepare", lambda *_, **__: ("A Card", CannedBench()))
    arguments = ["--engine", "chatterbox", "--random-weights", "--out", str(tmp_path)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    stem = "a-card-chatterbox"
    assert {p.name for p in tmp_path.iterdir()} == {f"{stem}.{e}" for e in ("json", "md", "png")}
    assert json.loads((tmp_path / f"{stem}.json").read_text())["details"]["live"] == {
        "live": [_LIVE]
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--engine", "nobody"], "chatterbox-turbo"),
        (["--engine", "chatterbox"], "--random-weights"),
    ],
)
def test_missing_engine_or_weights_error_names_the_remedy(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.chatterbox.run.weights_folder", lambda _: tmp_path)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code != 0
    assert message in " ".join(result.output.split())
