"""The figures of `docs/scaling.md`: `python -m bench.plan.scaling_page` writes them there.

Each block of the page between `<!-- NAME -->` and `<!-- end -->` is the result of a function here.
"""

from __future__ import annotations

import logging
import math
import random
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import structlog

from backend.audio.formats import parse_format
from backend.config import Settings
from backend.monitoring.metrics import Metrics
from bench.harness.corpus import TOKENS_PER_S
from bench.plan.calibration import Calibration, calibrate, find_newest, find_result
from bench.plan.measures import measure
from bench.plan.validation import compare
from bench.plan.workload import Workload
from bench.simulation.autoscaling import ScalingRule
from bench.simulation.routing import create_rules
from bench.simulation.simulated_cluster import Cluster, Fault, Outcome, simulate_cluster
from bench.simulation.simulated_engine import Costs, Machine

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"
POWERS = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
SAFE_SHARE = 0.8

_PROXY_MESSAGE_S = 0.001  # a proxy in Python, a message: as issue 18 assumes
_EPHEMERAL_PORTS = 60_999 - 32_768 + 1  # of Linux, for one address of the other side
_REPORT_BYTES = 2_000  # of a replica's status, once a second: assumed
_TIB = 1 << 40
_ANSWER_S = 15.0  # about an answer's duration
_GROWN_TO, _GROWTH_S = 36, 90.0  # listeners, more than two small replicas hold


def list_arithmetic() -> str:
    """What follows from settings and sizes alone."""
    server = Settings().server
    kept, writers = server.resume_bytes, round(1 / (_PROXY_MESSAGE_S * TOKENS_PER_S))
    pcm_s, opus_s = (kept / _bytes_per_s(name) for name in ("pcm_s16le", "opus"))
    series = _count_series()
    rows = [
        (
            "audio kept for resuming, a session",
            f"`server.resume_bytes` = {kept / (1 << 20):g} MiB: {pcm_s:.0f} s of pcm_s16le, "
            f"{opus_s:.0f} s of opus",
        ),
        (
            "the same, 1,000,000 sessions",
            f"1,000,000 × {kept:,} B = {1e6 * kept / _TIB:.2f} TiB at most",
        ),
        (
            "writers through a proxy that takes 1 ms a message",
            f"1 / (0.001 s × {TOKENS_PER_S:g} tokens/s) = {writers}",
        ),
        (
            "connections from one proxy address to one replica's port",
            f"60,999 − 32,768 + 1 = {_EPHEMERAL_PORTS:,} (Linux, `ip_local_port_range`)",
        ),
        ("connections of a replica", f"`server.max_connections` = {server.max_connections:,}"),
        (
            "listeners behind one address",
            f"`server.connections_per_address` = {server.connections_per_address}",
        ),
        ("time series of a replica", f"{series:,} (its `/metrics`, idle)"),
        ("of 1,000 replicas", f"{1000 * series:,}"),
        (
            "reports, each replica to each of 1,000",
            f"1,000² × {_REPORT_BYTES:,} B / s = {1000**2 * _REPORT_BYTES / 1e9:.0f} GB/s",
        ),
    ]
    return _table(("what", "how much"), rows)


def list_bandwidth() -> str:
    """Bits a second of a listener, and of many."""
    rows = []
    for name in ("pcm_f32le", "pcm_s16le", "mulaw", "mp3", "opus"):
        bits = 8 * _bytes_per_s(name)
        rows.append(
            (name, f"{bits / 1000:,.0f}", f"{bits * 1e3 / 1e6:,.0f}", f"{bits * 1e6 / 1e9:,.0f}")
        )
    return _table(("format", "a listener, kbit/s", "1,000, Mbit/s", "1,000,000, Gbit/s"), rows)


def list_capacity() -> str:
    """Replicas for each power of ten, at 80 % of the first refusal."""
    found = [_calibrated(), _calibrated("h100")]
    safe = [find_safe_load(each) for each in found]
    heads = [f"{each.unit} ({each.name}): {n} each" for each, n in zip(found, safe, strict=True)]
    rows = [(f"{n:,}", *(f"{math.ceil(n / each):,}" for each in safe)) for n in POWERS]
    return _table(("listeners", *heads), rows)


def find_safe_load(calibration: Calibration) -> int:
    """Listeners of one replica: 80 % of the first refusal, and no more than were measured."""
    most = 400 if calibration.is_card else 100 * calibration.machine.threads
    ramp = Workload(most, 45.0, answers=4).create_callers(random.Random(0))
    cluster = Cluster(calibration.machine, 1, stops_at=("refusal", "gap"))
    full = len(simulate_cluster(ramp, cluster).calls)
    return min(math.floor(SAFE_SHARE * full), calibration.most_listeners or full)


def list_accuracy() -> str:
    """Simulated beside measured."""
    rows = []
    for calibration in (_calibrated(), _calibrated("h100")):
        for each in compare(calibration):
            values = (f"{each.measured:,.0f}", f"{each.simulated:,.0f}")
            ratio = "" if each.ratio is None else f"{each.ratio:.2f}"
            name = f"{calibration.name}: {each.name}" + (f", {each.unit}" if each.unit else "")
            rows.append((name, *values, "fitted" if each.fitted else ratio))
    return _table(("", "measured", "simulated", "simulated / measured"), rows)


def list_routing() -> str:
    """The rules against two crowds: one that comes at once, one with a slow replica."""
    machine = _calibrated().machine
    slow = [Fault(0.0, 0, "slow", 3.0)]
    rows = []
    for rule in create_rules():
        crowd = _run(Workload(270, 3.0), Cluster(machine, 3, rule))
        uneven = _run(Workload(150, 15.0), Cluster(machine, 3, rule, faults=slow))
        first, second = measure(crowd), measure(uneven)
        there = sum(call.replicas[0] == 0 for call in uneven.calls)
        rows.append(
            (
                rule,
                f"{first.refused}",
                f"{first.first_p95_s * 1000:.0f}",
                f"{first.spread:.0%}",
                f"{second.refused}",
                f"{second.first_p95_s * 1000:.0f}",
                f"{second.gaps}",
                f"{there}",
            )
        )
    heads = ("rule", "refused", "p95, ms", "spread", "refused", "p95, ms", "gaps", "sent to it")
    return _table(heads, rows)


SCALING_RULES = {
    "forecast wait over 0.3 s": ScalingRule(15.0, up_share=9.0, trend_s=1.0),
    "share over 0.7": ScalingRule(15.0, up_share=0.7, trend_s=0.0),
    "share over 0.7 at its trend": ScalingRule(15.0, up_share=0.7),
    "share over 0.5 at its trend": ScalingRule(15.0, up_share=0.5),
}


def list_scaling() -> str:
    """Refused while the load grows from none to three replicas' worth, by rule and start."""
    rows = []
    for name, rule in SCALING_RULES.items():
        cells = []
        for start_s in (15.0, 60.0):
            outcome = simulate_growth(rule, start_s, _GROWTH_S)
            refused = sum(call.is_refused for call in outcome.calls)
            most = max(sample.replicas for sample in outcome.samples)
            cells.append(f"{refused} ({most})")
        rows.append((name, *cells))
    heads = ("start one on", "ready after 15 s", "ready after 60 s")
    return _table(heads, rows)


SMALL = Machine(Costs(0.05, 0.02), threads=1)  # a replica that some 15 listeners fill: cheap to try


def simulate_growth(rule: ScalingRule, start_s: float, ramp_s: float) -> Outcome:
    """Listeners come evenly within `ramp_s` and stay; one replica at the beginning."""
    until_s = ramp_s + 2 * _ANSWER_S
    answers = math.ceil(until_s / _ANSWER_S)
    callers = [
        replace(each, answers=each.answers[: math.ceil((until_s - each.at_s) / _ANSWER_S)])
        for each in Workload(_GROWN_TO, ramp_s, answers).create_callers(random.Random(0))
    ]
    return simulate_cluster(callers, Cluster(SMALL, 1, scaling=replace(rule, start_s=start_s)))


BLOCKS: dict[str, Callable[[], str]] = {
    "arithmetic": list_arithmetic,
    "bandwidth": list_bandwidth,
    "capacity": list_capacity,
    "accuracy": list_accuracy,
    "routing": list_routing,
    "scaling": list_scaling,
}


def read_block(name: str, page: str) -> str:
    """The block as it is in the page."""
    found = _block(name).search(page)
    assert found, f"docs/scaling.md has no block {name}"
    return found[2].strip()


def write_block(name: str, page: str, text: str) -> str:
    """The page with the block replaced."""
    return _block(name).sub(lambda found: f"{found[1]}\n\n{text}\n\n{found[3]}", page)


def _block(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name} -->)(.*?)(<!-- end -->)", re.DOTALL)


@cache
def _calibrated(name: str = "") -> Calibration:
    return calibrate(find_result(name) if name else find_newest())


def _run(workload: Workload, cluster: Cluster) -> Outcome:
    return simulate_cluster(workload.create_callers(random.Random(0)), cluster)


def _bytes_per_s(name: str) -> float:
    """On average: a variable rate peaks above its target."""
    format_ = parse_format(name, None)
    return format_.bits_per_s / 8 if format_.bits_per_s else format_.bytes_per_s


def _count_series() -> int:
    lines = Metrics().render().decode().splitlines()
    return sum(bool(line) and not line.startswith("#") for line in lines)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(names: Sequence[str]) -> None:
    """Write these blocks, or all."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    for name in names or BLOCKS:
        text = BLOCKS[name]()
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(write_block(name, page, text), encoding="utf-8")
        print(f"{name}: written", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
