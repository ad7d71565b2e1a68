"""A plan as a table and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from bench.plan.calibration import Calibration
from bench.plan.measures import Measures
from bench.plan.planning import SAFE_SHARE, Plan
from bench.plan.validation import Comparison

_GIB = 1 << 30


def create_plan_table(plan: Plan) -> Table:
    """A table for a terminal."""
    shown = Table(title=_title(plan), title_justify="left", show_header=False)
    shown.add_column("", no_wrap=True)
    shown.add_column("", overflow="fold")
    for name, text in _rows(plan):
        shown.add_row(name, text)
    return shown


def _title(plan: Plan) -> str:
    workload = plan.demand.workload
    who = "writers" if workload.written else "listeners"
    return f"{workload.listeners:,} {who} on replicas of {plan.calibration.unit} ({_name(plan)})"


def _name(plan: Plan) -> str:
    return plan.calibration.name


def _rows(plan: Plan) -> Iterator[tuple[str, str]]:
    unit = "cards" if plan.calibration.is_card else "replicas"
    yield unit, f"{plan.replicas:,}; run {plan.with_spare:,}, so that one may be gone"
    limit = f"{plan.full_at:,} at a time ({plan.full_at / plan.replicas:.0f} each)"
    yield f"full on {plan.replicas:,} {unit}", f"{limit}: the first is refused, or hears a gap"
    yield "with this load", describe(plan, plan.at_goal)
    yield f"at {SAFE_SHARE:.0%} of the first refusal", describe(plan, plan.at_safe_load)
    if plan.after_loss is not None:
        moved = f", {plan.after_loss.moved} went on elsewhere" if plan.after_loss.moved else ""
        yield "one of them dies", describe(plan, plan.after_loss) + moved
    yield "memory", _memory(plan)
    if plan.simulated < plan.replicas:
        yield "simulated", f"{plan.simulated} of the {unit}, with their part of the listeners"
    for fact in plan.calibration.facts:
        yield "measured", fact
    yield "from", f"bench/results/{plan.calibration.source}; how far off: duplex-tts plan --check"


def describe(plan: Plan, found: Measures) -> str:
    """What listeners hear, in a line."""
    if math.isnan(found.first_p50_s):
        return "no listener heard anything"
    text = f"first sound p50 {found.first_p50_s:.2f} s, p95 {found.first_p95_s:.2f} s"
    if plan.demand.workload.written:
        text += f" ({plan.written_first_s:.2f} s with a few writers: a phrase is written first)"
    else:
        text += f", {found.gaps} gaps"
    return f"{text}, {found.refused} refused"


def _memory(plan: Plan) -> str:
    retained = f"at most {plan.retained_bytes / _GIB:.1f} GiB kept for resuming"
    where = "of the cards" if plan.calibration.is_card else "of the processes"
    if plan.memory_bytes is None:
        return f"{retained}; that of the processes was not measured with this result"
    return f"{plan.memory_bytes / _GIB:.1f} GiB {where}, and {retained} (server.resume_bytes)"


def to_json(plan: Plan) -> dict[str, Any]:
    """All of it; times in seconds, memory in bytes."""
    return {
        "replica": {
            "unit": plan.calibration.unit,
            "machine": plan.calibration.name,
            "result": plan.calibration.source,
            "costs": plan.calibration.facts,
        },
        "demand": asdict(plan.demand.workload) | {"first_sound_s": plan.demand.first_sound_s},
        "replicas": {
            "needed": plan.replicas,
            "with_spare": plan.with_spare,
            "simulated": plan.simulated,
        },
        "first_refusal_at": plan.full_at,
        "safe_load": plan.safe_load,
        "at_goal": _to_json(plan.at_goal),
        "at_safe_load": _to_json(plan.at_safe_load),
        "one_dies": None if plan.after_loss is None else _to_json(plan.after_loss),
        "memory_bytes": plan.memory_bytes,
        "retained_bytes": plan.retained_bytes,
    }


def _to_json(found: Measures) -> dict[str, Any]:
    """NaN, which JSON lacks, becomes None."""
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in asdict(found).items()
    }


def create_comparison_table(calibration: Calibration, compared: Sequence[Comparison]) -> Table:
    """Simulated beside measured."""
    shown = Table(title=f"{calibration.name}: {calibration.source}", title_justify="left")
    for column in ("", "measured", "simulated", "ratio", ""):
        shown.add_column(column, justify="right" if column else "left")
    for each in compared:
        ratio = "" if each.ratio is None else f"{each.ratio:.2f}"
        values = (f"{value:,.0f} {each.unit}".strip() for value in (each.measured, each.simulated))
        shown.add_row(each.name, *values, ratio, "fitted" if each.fitted else "")
    return shown
