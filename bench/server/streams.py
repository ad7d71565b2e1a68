"""How many real-time listeners the server can serve, relative to the engine's own limit."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import numpy as np

from backend.cores import core_count
from bench.harness import engine_baseline
from bench.harness.report import Figure, Result
from bench.harness.setup import Setup

GOAL_SHARE = 0.85
START_S = 5.0  # start-up and shutdown of a load generator

Probe = dict[str, Any]


async def run_load_process(
    url: str, streams: int, for_s: float, within_s: float | None = None
) -> Probe:
    """Run a load generator process and return its totals. `within_s`: see `load.run_load`."""
    command = [
        "-P",
        "-m",
        "bench.server.load",
        url,
        "--streams",
        str(streams),
        "--seconds",
        str(for_s),
        *(() if within_s is None else ("--within", str(within_s))),
    ]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    probe: Probe = json.loads(output)
    return probe


async def measure(setup: Setup) -> Result:
    """The largest number of streams without an underrun, by bisection, over the engine's limit."""
    cores = core_count()
    texts, for_s = setup.speakable, setup.effort.engine_s

    async def engine_alone(threads: int) -> float:
        return await asyncio.to_thread(
            engine_baseline.measure_realtime_limit, setup.model, texts, threads, for_s
        )

    single, limit = await engine_alone(1), await engine_alone(cores)
    probes: list[Probe] = []
    passed, failed = 0, int(limit) + 1
    streams = round(GOAL_SHARE * limit)
    while len(probes) < setup.effort.probes and passed < streams < failed:
        probe = await run_load_process(setup.url, streams, setup.effort.probe_s)
        probes.append(probe)
        if count_served(probe) == streams:
            passed = streams
        else:
            passed, failed = max(passed, count_served(probe)), streams
        streams = (passed + failed) // 2
        setup.progress(len(probes) / setup.effort.probes)
    # Measure again: a disturbed first measurement would make the share look better.
    limit = max(limit, await engine_alone(cores))
    return _result(passed, limit, single, probes)


def count_served(probe: Probe) -> int:
    """How many listeners were served; 0 if any had a gap or an error.

    Listeners refused as `overloaded` are not counted, but are no failure.
    """
    if probe["underruns_ms"] or probe["errors"].keys() - {"overloaded"}:
        return 0
    return int(probe["streams"]) - int(probe["errors"].get("overloaded", 0))


def _result(passed: int, limit: float, single: float, probes: list[Probe]) -> Result:
    best = next((probe for probe in probes if passed and count_served(probe) == passed), None)
    note = f"{passed} streams; the engine alone {limit:.0f} on {core_count()} threads"
    if best:
        refused = best["streams"] - passed
        note += f" ({refused} more were refused)" if refused else ""
        message_ms, sound_ms = (
            np.median(best[name]) for name in ("first_message_ms", "first_sound_ms")
        )
        note += (
            f"; first message p50 {message_ms:.0f} ms, first audible sound p50 {sound_ms:.0f} ms"
        )
        note += f"; the load generator used {best['client_cpu_share']:.0%} of the cores"
    share = Figure(
        "real-time streams without an underrun, of the engine's limit",
        passed / limit,
        GOAL_SHARE,
        at_most=False,
        note=note,
    )
    found = [_summary(probe) for probe in probes]
    limits = {"engine_limit": round(limit, 1), "one_thread": round(single, 1), "streams": passed}
    return Result([share], limits | {"probes": found})


def _summary(probe: Probe) -> Probe:
    lists = {"underruns_ms", "first_message_ms", "first_sound_ms"}
    numbers = {name: value for name, value in probe.items() if name not in lists}
    for name in lists:
        values = probe[name]
        numbers[name] = {"count": len(values)} | {
            f"p{p}": round(float(np.percentile(values, p)), 1) for p in (50, 95, 100) if values
        }
    return numbers
