"""A simulated machine from a benchmark's result: every cost is a measured one or fitted to one."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from backend.config import Settings
from backend.engines.base import EngineInfo
from backend.events import Start
from backend.sessions.pacer_setup import create_pacing
from bench.chatterbox.live_listeners import LiveResult, run_listeners, run_requests
from bench.harness.corpus import load_corpus, split_tokens
from bench.plan.workload import Workload
from bench.server.latency import find_opening
from bench.server.load import RAMP_S
from bench.simulation.simulated_card import FIRST_TOKENS, LOOKAHEAD_TOKENS, CardCosts, CardEngine
from bench.simulation.simulated_cluster import Cluster, simulate_cluster
from bench.simulation.simulated_engine import (
    CHARACTER_S,
    CHARACTERS_PER_WORD,
    RATE_HZ,
    Costs,
    Machine,
    SimulatedModel,
)

RESULTS = Path(__file__).parents[1] / "results"
_CHUNK_CHARACTERS = 25  # of the engine's first chunk when it is timed alone
_CPU_START_S, _CARD_START_S = 15.0, 60.0  # until a new replica is ready: assumed
_SECONDS = 8.0  # of listening, in the benchmark of a card
_ROW_GRID_S = [step * 0.00025 for step in range(4, 33)]  # tried for a row of a render
_LOOP_S = 0.002  # mean time until the card's benchmark sees a new listener, and begins it


class PlanError(Exception):
    """The message names the remedy."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """`machine`: what a replica runs on. `facts`: its costs in words. `memory_bytes`: of a replica;
    None if it was not measured. `most_listeners`: hearing at a time, the most that were measured
    without a late chunk; None where the simulation itself finds the limit.
    """

    name: str
    source: str
    machine: Machine
    start_s: float
    facts: list[str] = field(default_factory=list)
    memory_bytes: float | None = None
    most_listeners: int | None = None

    @property
    def is_card(self) -> bool:
        """Whether a replica is a GPU with its process; else the cores of the measured machine."""
        return isinstance(self.machine.costs, CardCosts)

    @property
    def unit(self) -> str:
        """What one replica needs."""
        return "1 card" if self.is_card else f"{self.machine.threads} cores"


def find_result(name: str, folder: Path = RESULTS) -> Path:
    """The result with this path, or the one whose file name contains it. Raises `PlanError`."""
    if Path(name).is_file():
        return Path(name)
    usable = {path.stem: path for path in sorted(folder.glob("*.json")) if _is_usable(path)}
    found = [stem for stem in usable if name.lower() in stem]
    exact = [stem for stem in found if stem == name.lower()]
    if len(exact or found) == 1:
        return usable[(exact or found)[0]]
    known = ", ".join(usable) or "none: run `make bench` first"
    why = "several results are" if found else "no result is"
    raise PlanError(f"{why} named like {name!r}; choose from: {known}; or give a path")


def find_newest(folder: Path = RESULTS) -> Path:
    """The newest result of a CPU. Raises `PlanError`."""
    usable = [path for path in folder.glob("*.json") if _is_usable(path)]
    dated = {path: json.loads(path.read_text(encoding="utf-8")) for path in usable}
    of_cpus = [path for path, result in dated.items() if "tokens" not in result["details"]]
    if not of_cpus:
        raise PlanError(f"no result of a CPU in {folder}; measure this machine: make bench")
    return max(of_cpus, key=lambda path: str(dated[path].get("started", "")))


def _is_usable(path: Path) -> bool:
    try:
        details = json.loads(path.read_text(encoding="utf-8"))["details"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return "tokens" in details or {"latency", "streams"} <= set(details)


def calibrate(path: Path) -> Calibration:
    """Build the machine of a result. Blocks for some seconds. Raises `PlanError`."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        details = result["details"]
        if "tokens" in details:
            return _calibrate_card(path, result)
        if missing := {"latency", "streams"} - set(details):
            raise PlanError(
                f"{path.name} lacks the rows {', '.join(sorted(missing))}; measure them: "
                "duplex-tts bench --only latency --only streams"
            )
        return _calibrate_cpu(path, result)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise PlanError(
            f"{path.name} is not a result of `duplex-tts bench` ({error!r}); give a file of "
            "bench/results, or measure this machine: make bench"
        ) from error


# --- a CPU ----------------------------------------------------------------------------------------


def _calibrate_cpu(path: Path, result: dict[str, Any]) -> Calibration:
    streams, latency = result["details"]["streams"], result["details"]["latency"]
    threads = max(1, round(streams["engine_limit"] / streams["one_thread"]))
    texts = [each.text for each in load_corpus() if each.speakable]
    words = float(np.mean([len(text) for text in texts])) / CHARACTERS_PER_WORD
    whole_s = words * CHARACTERS_PER_WORD * CHARACTER_S / streams["one_thread"]
    first_s = latency["percentiles"]["engine_ms"]["p50"] / 1000
    first_words = _mean_first_words(texts)
    word_s = max(0.0, (whole_s - first_s) / (words - first_words))
    costs = Costs(first_s - first_words * word_s, word_s)
    served, slower = _measured_streams(streams), 1.0
    for _ in range(2):  # the second run corrects what is not proportional
        slower *= _simulate_streams(_scaled(costs, slower), threads, streams) / served
    facts = [
        f"a render alone: {costs.utterance_s * 1000:.1f} ms and {word_s * 1000:.1f} ms a word",
        f"in a full server {slower:.2f} times as long: {served:.0f} listeners were served",
    ]
    machine = Machine(_scaled(costs, slower), threads)
    memory = _measured_memory(path)
    return Calibration(result["machine"], path.name, machine, _CPU_START_S, facts, memory)


def _scaled(costs: Costs, times: float) -> Costs:
    return Costs(costs.utterance_s * times, costs.word_s * times)


def _mean_first_words(texts: Sequence[str]) -> float:
    """Words of the first chunk that the server has rendered of a text, on average."""
    model = SimulatedModel(Machine(Costs()), lambda: 0.0)
    pacing = create_pacing(Settings(), Start("plan"), model)
    openings = [find_opening(split_tokens(text), pacing) for text in texts]
    sizes = [min(_CHUNK_CHARACTERS, each.release.speak_to) for each in openings if each]
    return float(np.mean(sizes)) / CHARACTERS_PER_WORD


def _measured_streams(streams: dict[str, Any]) -> float:
    """Listeners at a time that the machine served while it refused others, without a gap."""
    refusing = [
        probe["streams"] - probe["errors"]["overloaded"]
        for probe in streams["probes"]
        if "overloaded" in probe["errors"] and not probe["underruns_ms"]["count"]
    ]
    return float(np.mean(refusing)) if refusing else float(streams["streams"])


def _simulate_streams(costs: Costs, threads: int, streams: dict[str, Any]) -> float:
    """Listeners of the benchmark's largest probe that are not refused."""
    most = max(probe["streams"] for probe in streams["probes"])
    callers = Workload(most, RAMP_S, answers=1).create_callers(random.Random(0))
    outcome = simulate_cluster(callers, Cluster(Machine(costs, threads), 1))
    return float(sum(not call.is_refused for call in outcome.calls))


def _measured_memory(path: Path) -> float | None:
    beside = path.with_name(f"{path.stem.removesuffix('-scheduling')}-replica.json")
    if not beside.is_file():
        return None
    return float(json.loads(beside.read_text(encoding="utf-8"))["rss_bytes"])


# --- a card ---------------------------------------------------------------------------------------


def _calibrate_card(path: Path, result: dict[str, Any]) -> Calibration:
    details = result["details"]
    tokens = tuple(
        (each["batch"], each["token_ms"] / 1000) for each in details["tokens"]["batches"]
    )
    live = {each["streams"]: each for each in details["live"]["live"]}
    first_s = live[1]["first_p50_ms"] / 1000 - _LOOP_S
    one_render_s = first_s - (FIRST_TOKENS + LOOKAHEAD_TOKENS) * tokens[0][1]
    slots = int(result["settings"]["slots"])
    measured = {count: each["first_p50_ms"] for count, each in live.items() if count > 1}

    def error(row_s: float) -> float:
        costs = CardCosts(tokens, max(0.0, one_render_s - row_s), row_s)
        simulated = {n: simulate_card(costs, slots, n).first_ms for n in measured}
        logs = [math.log(np.median(simulated[n]) / measured[n]) for n in measured]
        return float(np.mean(np.square(logs)))

    row_s = min(_ROW_GRID_S, key=error)
    costs = CardCosts(tokens, max(0.0, one_render_s - row_s), row_s)
    memory = next(each["value"] for each in result["figures"] if each["name"] == "memory") * 1e9
    facts = [
        f"a token of 1 and of {tokens[-1][0]} utterances: {tokens[0][1] * 1000:.2f} and "
        f"{tokens[-1][1] * 1000:.2f} ms",
        f"a render: {costs.render_s * 1000:.1f} ms and {row_s * 1000:.2f} ms a row, fitted to the "
        f"first sounds of {', '.join(map(str, measured))} listeners",
    ]
    machine = Machine(costs, threads=1, max_batch=slots)
    most = max(count for count, each in live.items() if not each["underruns"])
    facts.append(
        f"{most} listeners at a time were measured without a late chunk: never more a card"
    )
    return Calibration(result["machine"], path.name, machine, _CARD_START_S, facts, memory, most)


class SteppedClock:
    """A clock that only moves when told."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def perf_counter(self) -> float:
        """Seconds."""
        return self.now_s

    def sleep(self, seconds: float, /) -> None:
        """Move the clock."""
        self.now_s += seconds


class _SteppingEngine(CardEngine):
    """A card whose steps move a clock."""

    def __init__(self, info: EngineInfo, costs: CardCosts, clock: SteppedClock) -> None:
        super().__init__(info, costs, clock.perf_counter)
        self._moved, self._dice, self._jitter = clock, random.Random(0), costs.jitter

    def step(self, urgent: Sequence[str]) -> list[Any]:
        """See `base.Engine`."""
        results = super().step(urgent)
        self._moved.sleep(self.step_s * self._dice.uniform(1 - self._jitter, 1 + self._jitter))
        return results


def simulate_card(
    costs: CardCosts, slots: int, count: int, *, requests_per_s: float | None = None
) -> LiveResult:
    """The card's own benchmark against the simulated card: `count` listeners, or, with
    `requests_per_s`, as many requests a second.
    """
    clock = SteppedClock()
    info = EngineInfo("card", RATE_HZ, ("en",), False, slots)
    engine = _SteppingEngine(info, costs, clock)
    run: Callable[..., LiveResult] = partial(run_listeners, engine, count)
    if requests_per_s is not None:
        run = partial(run_requests, engine, requests_per_s)
    state = random.getstate()
    random.seed(0)  # the benchmark draws who interrupts
    try:
        return run(_SECONDS if requests_per_s is None else count / requests_per_s, clock=clock)
    finally:
        random.setstate(state)
