"""docs/monitoring matches the server's metrics."""

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
def exported_names() -> set[str]:
    """The names of all exported samples."""
    metrics = Metrics()
    metrics.set_queue_depths(text=1, engine=1, outgoing=1)
    metrics.set_device_memory("a card", 1, 2)
    metrics.set_engine_memory({"weights": 1})
    metrics.set_slots(used=1, total=2)
    metrics.count_health_check(ok=True)
    metrics.count_error("bad_json")
    families = text_string_to_metric_families(metrics.render().decode())
    names = {sample.name for family in families for sample in family.samples}
    return {name for name in names if not name.endswith("_created")}


def join_expressions(board: dict[str, Any]) -> str:
    return " ".join(target["expr"] for panel in board["panels"] for target in panel["targets"])


def test_grafana_uses_only_exported_metrics(
    dashboard: dict[str, Any], exported_names: set[str]
) -> None:
    used = set(re.findall(r"\b(?:duplex_tts|process)_\w+", join_expressions(dashboard)))
    assert used <= exported_names, used - exported_names


def test_grafana_shows_every_own_metric(
    dashboard: dict[str, Any], exported_names: set[str]
) -> None:
    shown = join_expressions(dashboard)
    own_names = {name for name in exported_names if name.startswith("duplex_tts_")}
    figures = {name for name in own_names if not name.endswith(("_sum", "_count"))}
    shown_as_a_quotient = {"duplex_tts_rtf_bucket"}
    assert {name for name in figures if name not in shown} == shown_as_a_quotient


def test_grafana_panels_do_not_overlap(dashboard: dict[str, Any]) -> None:
    occupied: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        columns, rows = range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])
        cells = {(x, y) for x in columns for y in rows}
        assert max(columns) < 24
        assert not cells & occupied, panel["title"]
        occupied |= cells


def test_grafana_uses_the_job_of_prometheus_yml(dashboard: dict[str, Any]) -> None:
    scrape = (FOLDER / "prometheus.yml").read_text()
    (job,) = re.findall(r"job_name: (\S+)", scrape)
    assert set(re.findall(r'job="([^"]+)"', join_expressions(dashboard))) == {job}


def test_the_readme_names_every_metric(exported_names: set[str]) -> None:
    text = (FOLDER / "README.md").read_text()
    for name in exported_names:
        if name.startswith("duplex_tts_"):
            assert re.sub(r"_(bucket|sum|count)$", "", name) in text, name
