"""What the listeners of a simulated cluster heard, in figures."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bench.simulation.simulated_cluster import GAP_S, Outcome


@dataclass(frozen=True, slots=True)
class Measures:
    """`sessions` came and `refused` of them were refused. `first_p50_s`, `first_p95_s`: from the
    first token to the first sound, of answers that were spoken; NaN if none was. `gaps`: over 20
    ms, for want of speech, not of text. `spread`: of the listeners of replicas when there are most,
    (most - fewest) / mean.
    """

    sessions: int
    refused: int
    first_p50_s: float
    first_p95_s: float
    gaps: int
    moved: int
    spread: float


def measure(outcome: Outcome) -> Measures:
    """Sum up."""
    first_s = [
        heard.first_s for call in outcome.calls for heard in call.heard if heard.first_s is not None
    ]
    p50_s, p95_s = np.percentile(first_s, (50, 95)) if first_s else (math.nan, math.nan)
    return Measures(
        len(outcome.calls),
        sum(call.is_refused for call in outcome.calls),
        float(p50_s),
        float(p95_s),
        sum(gap_s > GAP_S for gap_s in outcome.late_gaps_s),
        sum(call.is_moved for call in outcome.calls),
        _spread(outcome),
    )


def _spread(outcome: Outcome) -> float:
    busiest = max(outcome.samples, key=lambda each: sum(each.listeners), default=None)
    if busiest is None or not sum(busiest.listeners):
        return 0.0
    counts = busiest.listeners
    return (max(counts) - min(counts)) * len(counts) / sum(counts)
