"""What lies in docs/monitoring fits the server's metrics."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from backend.monitoring.metrics import Metrics
from tests.support.repository import ROOT

FOLDER = ROOT / "docs" / "monitoring"


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    board: dict[str, Any] = json.loads((FOLDER / "grafana-dashboard.json").read_text())
    return board


@pytest.fixture(scope="module")
def exported() -> set[str]:
    """The names of all samples that the server exports."""
    metrics = Metrics()
    metrics.set_queue_depths(text=1, engine=1, outgoing=1)
    metrics.set_device_memory("a card", 1, 2)
    metrics.count_error("bad_json")
    families = text_string_to_metric_families(metrics.render().decode())
    names = {sample.name for family in families for sample in family.samples}
    return {name for name in names if not name.endswith("_created")}


def expressions(board: dict[str, Any]) -> str:
    return " ".join(target["expr"] for panel in board["panels"] for target in panel["targets"])


def test_grafana_asks_for_metrics_that_there_are(
    dashboard: dict[str, Any], exported: set[str]
) -> None:
    asked = set(re.findall(r"\b(?:duplex_tts|process)_\w+", expressions(dashboard)))
    assert asked <= exported, asked - exported


def test_grafana_shows_every_metric_of_ours(dashboard: dict[str, Any], exported: set[str]) -> None:
    shown = expressions(dashboard)
    ours = {name for name in exported if name.startswith("duplex_tts_")}
    figures = {name for name in ours if not name.endswith(("_sum", "_count"))}
    by_computing_over_audio = {"duplex_tts_rtf_bucket"}
    assert {name for name in figures if name not in shown} == by_computing_over_audio


def test_no_panel_lies_on_another(dashboard: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        columns, rows = range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])
        cells = {(x, y) for x in columns for y in rows}
        assert max(columns) < 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_grafana_looks_for_the_job_that_prometheus_scrapes(dashboard: dict[str, Any]) -> None:
    scrape = (FOLDER / "prometheus.yml").read_text()
    (job,) = re.findall(r"job_name: (\S+)", scrape)
    assert set(re.findall(r'job="([^"]+)"', expressions(dashboard))) == {job}


def test_the_readme_names_every_metric(exported: set[str]) -> None:
    text = (FOLDER / "README.md").read_text()
    for name in exported:
        if name.startswith("duplex_tts_"):
            assert re.sub(r"_(bucket|sum|count)$", "", name) in text, name
