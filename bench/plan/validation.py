"""How far the simulator is off: its figures beside those of the machine that it simulates."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.plan.calibration import RESULTS, Calibration, simulate_card
from bench.plan.measures import Measures, measure
from bench.plan.workload import Workload
from bench.server.crowds import CROWDS
from bench.simulation.simulated_card import CardCosts
from bench.simulation.simulated_cluster import Cluster, simulate_cluster

_REQUESTS = 100


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure. `fitted`: the simulated machine was fitted to it, so it proves nothing."""

    name: str
    measured: float
    simulated: float
    unit: str
    fitted: bool = False

    @property
    def ratio(self) -> float | None:
        """Simulated over measured; None where nothing was measured to divide by."""
        return self.simulated / self.measured if self.measured else None


def compare(calibration: Calibration, folder: Path = RESULTS) -> list[Comparison]:
    """Compare all that was measured. Blocks for some seconds."""
    result = json.loads((folder / calibration.source).read_text(encoding="utf-8"))
    costs = calibration.machine.costs
    if isinstance(costs, CardCosts):
        return [*_compare_card(costs, calibration.machine.max_batch, result["details"])]
    return [*_compare_crowds(calibration, result)]


def _compare_crowds(calibration: Calibration, result: dict[str, Any]) -> Iterator[Comparison]:
    latency = result["details"]["latency"]["percentiles"]
    silent_ms = latency["client_sound_ms"]["p50"] - latency["client_ms"]["p50"]
    figures = {each["name"]: each for each in result["figures"]}
    for crowd in CROWDS:
        first = figures.get(f"{crowd.name}: first sound, p95")
        if first is None:
            continue
        heard = _simulate_crowd(calibration, crowd.size, crowd.within_s)
        p50_ms = re.search(r"p50 (\d+) ms", first["note"])
        if p50_ms:
            ours = heard.first_p50_s * 1000 + silent_ms
            yield Comparison(f"{crowd.name}: first sound, p50", float(p50_ms[1]), ours, "ms")
        ours = heard.first_p95_s * 1000 + silent_ms
        yield Comparison(f"{crowd.name}: first sound, p95", first["value"], ours, "ms")
        refused = figures[f"{crowd.name}: refused"]["value"]
        yield Comparison(f"{crowd.name}: refused", refused, heard.refused, "")
        gaps = figures[f"{crowd.name}: gaps over 20 ms"]["value"]
        yield Comparison(f"{crowd.name}: gaps over 20 ms", gaps, heard.gaps, "")


def _simulate_crowd(calibration: Calibration, size: int, within_s: float) -> Measures:
    callers = Workload(size, within_s).create_callers(random.Random(0))
    return measure(simulate_cluster(callers, Cluster(calibration.machine, 1)))


def _compare_card(costs: CardCosts, slots: int, details: dict[str, Any]) -> Iterator[Comparison]:
    requests = details["requests"]["requests"]
    heard = simulate_card(costs, slots, _REQUESTS, requests_per_s=requests["per_s"])
    for p in (50, 95):
        measured = float(np.percentile(requests["first_ms"], p))
        ours = float(np.percentile(heard.first_ms, p))
        name = f"{requests['per_s']:g} requests a second: first sound, p{p}"
        yield Comparison(name, measured, ours, "ms")
    for each in details["live"]["live"]:
        live = simulate_card(costs, slots, each["streams"])
        for p, fitted in ((50, True), (95, False)):
            ours = float(np.percentile(live.first_ms, p))
            name = f"{each['streams']} live: first sound, p{p}"
            yield Comparison(name, each[f"first_p{p}_ms"], ours, "ms", fitted)
        name = f"{each['streams']} live: chunks that came late"
        yield Comparison(name, each["underruns"], live.underruns, "")
