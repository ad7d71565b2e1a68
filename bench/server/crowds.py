"""What listeners that arrive together hear: gaps, refusals, first sounds."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass

import numpy as np

from bench.harness.report import Figure, Result
from bench.harness.setup import Setup
from bench.server.streams import Probe, run_load_process

GAP_MS = 20.0  # shorter ones are not heard
_LISTEN_S = 12.0
_REST_S = 6.0  # between two crowds: listeners of the former are forgotten


@dataclass(frozen=True, slots=True)
class Crowd:
    """`size` listeners arrive within `within_s`. `refused`: how many may be refused; `first_s`: the
    goal for the first audible sound, p95.
    """

    size: int
    within_s: float
    refused: float
    first_s: float

    @property
    def name(self) -> str:
        """As the report calls it."""
        return f"{self.size} {f'in {self.within_s:g} s' if self.within_s else 'at once'}"


CROWDS = (
    Crowd(60, 0.0, 0, 1.2),
    Crowd(60, 3.0, 0, 0.5),
    Crowd(100, 3.0, math.nan, 1.0),
    Crowd(300, 0.0, math.nan, math.nan),
)


async def measure(setup: Setup) -> Result:
    """Let each crowd arrive, listen, and leave."""
    figures: list[Figure] = []
    probes: dict[str, Probe] = {}
    for number, crowd in enumerate(CROWDS, 1):
        probe = await run_load_process(setup.url, crowd.size, _LISTEN_S, crowd.within_s)
        probes[crowd.name] = probe
        figures += _figures(crowd, probe)
        setup.progress(number / len(CROWDS))
        await asyncio.sleep(_REST_S)
    return Result(figures, {name: _summary(probe) for name, probe in probes.items()})


def _figures(crowd: Crowd, probe: Probe) -> list[Figure]:
    gaps_ms = [gap_ms for gap_ms in probe["underruns_ms"] if gap_ms > GAP_MS]
    refused = probe["errors"].get("overloaded", 0)
    first_ms = probe["first_sound_ms"]
    p50_ms, p95_ms = np.percentile(first_ms, (50, 95)) if first_ms else (math.nan, math.nan)
    worst = f", worst {max(gaps_ms):.0f} ms" if gaps_ms else ""
    note = f"p50 {p50_ms:.0f} ms, of those admitted"
    return [
        Figure(f"{crowd.name}: gaps over 20 ms", len(gaps_ms), 0, at_most=True, note=worst[2:]),
        Figure(f"{crowd.name}: refused", refused, crowd.refused, at_most=True),
        Figure(
            f"{crowd.name}: first sound, p95",
            float(p95_ms),
            crowd.first_s * 1000,
            at_most=True,
            unit="ms",
            note=note,
        ),
    ]


def _summary(probe: Probe) -> Probe:
    lists = {"underruns_ms", "first_message_ms", "first_sound_ms"}
    return {name: value for name, value in probe.items() if name not in lists} | {
        "underruns_ms": [round(gap_ms, 1) for gap_ms in sorted(probe["underruns_ms"])[-20:]]
    }
