"""How many replicas a workload needs, when the first refusal comes, and what it costs."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from backend.config import Settings
from bench.plan.calibration import Calibration, PlanError
from bench.plan.measures import Measures, measure
from bench.plan.workload import Workload
from bench.simulation.routing import BEST_RULE
from bench.simulation.simulated_cluster import Cluster, Fault, Outcome, simulate_cluster

SIMULATED_LISTENERS = 200  # hearing at a time; more are simulated as a part of the cluster
_LEAST_REPLICAS, _MOST_REPLICAS = 3, 8  # simulated at a time, if there are so many
_MOST_PER_REPLICA = 2000
_RAMP_S = 45.0  # to find the first refusal
_STARTING_S = 15.0  # within which the listeners of a steady load come
SAFE_SHARE = 0.8  # of the load at which the first is refused
_FEW = 10  # listeners, as good as alone
_SPARE = 1  # replicas that may be gone
_TOLERANCE = 1.03  # replicas are tried in steps of 3 %
_TRIED = 8  # times the fewest that can be: then it is given up

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Demand:
    """`workload.within_s` 0 means a steady load; else all come within it, a crowd. `first_sound_s`:
    goal for the first sound, p95.
    """

    workload: Workload
    first_sound_s: float
    rule: str = BEST_RULE
    seed: int = 0

    @property
    def is_crowd(self) -> bool:
        """Whether all come within a time that is given."""
        return self.workload.within_s > 0


@dataclass(frozen=True, slots=True)
class Plan:
    """`replicas`: the fewest that meet the goal, without a spare one. `simulated`: of them, so many
    were simulated, with their part of the listeners. `full_at`: listeners of the whole cluster when
    the first was refused. `at_goal`, `at_safe_load`: of the simulated part, with the listeners
    asked for, and with 80 % of `full_at`. `after_loss`: as `at_goal`, with the spare replica there
    and one that dies; None for a crowd. `written_first_s`: first sound of a few writers, 0 for
    listeners.
    """

    calibration: Calibration
    demand: Demand
    replicas: int
    simulated: int
    full_at: int
    at_goal: Measures
    at_safe_load: Measures
    after_loss: Measures | None
    written_first_s: float

    @property
    def with_spare(self) -> int:
        """Replicas to run, so that one may be gone."""
        return self.replicas + _SPARE

    @property
    def safe_load(self) -> int:
        """Listeners at 80 % of the first refusal."""
        return math.floor(SAFE_SHARE * self.full_at)

    @property
    def retained_bytes(self) -> int:
        """At most kept for resuming, all sessions together."""
        return self.demand.workload.listeners * Settings().server.resume_bytes

    @property
    def memory_bytes(self) -> float | None:
        """Of the replicas with the spare one; None if it was not measured."""
        one = self.calibration.memory_bytes
        return None if one is None else one * self.with_spare


def make_plan(calibration: Calibration, demand: Demand, progress: Progress) -> Plan:
    """Simulate until it is known. Blocks for up to a minute. Raises `PlanError`."""
    return _Planner(calibration, demand, progress).make_plan()


class _Planner:
    def __init__(self, calibration: Calibration, demand: Demand, progress: Progress) -> None:
        self._calibration = calibration
        self._demand = demand
        self._progress = progress
        self._written_first_s = 0.0
        # Who writes by hand hears pauses all the time, waiting for its own words.
        self._limits: Sequence[Literal["refusal", "gap"]] = (
            ["refusal"] if demand.workload.written else ["refusal", "gap"]
        )

    def make_plan(self) -> Plan:
        demand, workload = self._demand, self._demand.workload
        few = replace(workload, listeners=_FEW, within_s=_STARTING_S)
        alone = self._simulate(few, 1, "a few listeners")
        goal_s = demand.first_sound_s
        if workload.written:
            self._written_first_s = alone.first_p95_s
        elif alone.first_p95_s > goal_s:
            raise PlanError(
                f"a few listeners already wait {alone.first_p95_s:.2f} s for their first sound; "
                f"more replicas cannot meet the goal of {goal_s:g} s: raise --first-sound"
            )
        full_at_one = self._find_first_refusal(1, 1)
        most = min(full_at_one, self._measured_limit or full_at_one)
        replicas, simulated, at_goal = self._find_replicas(most)
        full_at = self._find_first_refusal(simulated, replicas, full_at_one)
        safe = replace(
            workload, listeners=max(1, self._part(full_at, simulated, replicas, SAFE_SHARE))
        )
        at_safe = self._simulate(safe, simulated, "80 % of the first refusal")
        lost = self._simulate_loss(simulated, replicas)
        return Plan(
            self._calibration, demand, replicas, simulated, full_at, at_goal, at_safe, lost,
            self._written_first_s,
        )  # fmt: skip

    @property
    def _measured_limit(self) -> int | None:
        """Sessions of a replica beyond which gaps were measured; None where that is simulated."""
        most = self._calibration.most_listeners
        return None if most is None else math.floor(most / self._demand.workload.speaking)

    @staticmethod
    def _part(listeners: int, simulated: int, replicas: int, share: float = 1.0) -> int:
        return math.floor(listeners * share * simulated / replicas)

    def _meets_goal(self, found: Measures) -> bool:
        first_s = found.first_p95_s - self._written_first_s
        has_failed = found.refused or ("gap" in self._limits and found.gaps)
        return not has_failed and first_s <= self._demand.first_sound_s

    def _find_replicas(self, full_at_one: int) -> tuple[int, int, Measures]:
        """The fewest replicas that meet the goal, how many of them were simulated, and that."""
        listeners = self._demand.workload.listeners
        least = max(1, math.ceil(listeners / full_at_one))
        replicas = 1 if self._demand.is_crowd else least
        while True:
            simulated = self._choose_part(replicas)
            part = max(1, math.ceil(listeners * simulated / replicas))
            workload = replace(self._demand.workload, listeners=part)
            found = self._simulate(workload, simulated, f"{replicas:,} replicas")
            if self._meets_goal(found):
                return replicas, simulated, found
            if replicas > _TRIED * least:
                raise PlanError(
                    f"{replicas:,} replicas do not meet the goal either: {found.refused} refused, "
                    f"{found.gaps} gaps, first sound p95 {found.first_p95_s:.2f} s; raise "
                    "--first-sound, or choose a faster machine by --on"
                )
            replicas = self._next_try(replicas, found)

    def _choose_part(self, replicas: int) -> int:
        per_replica = max(1.0, self._demand.workload.listeners / replicas)
        speaking = per_replica * self._demand.workload.speaking
        enough = max(_LEAST_REPLICAS, int(SIMULATED_LISTENERS / speaking))
        return min(replicas, _MOST_REPLICAS, enough)

    def _next_try(self, replicas: int, found: Measures) -> int:
        if self._demand.is_crowd and found.refused:
            served = max(1, found.sessions - found.refused)
            return max(replicas + 1, math.floor(replicas * found.sessions / served))
        return max(replicas + 1, math.ceil(replicas * _TOLERANCE))

    def _find_first_refusal(self, simulated: int, replicas: int, per_replica: int = 0) -> int:
        """Listeners there at the first refusal or gap, of all `replicas`: they keep coming."""
        guess = per_replica or self._guess_capacity()
        workload = replace(self._demand.workload, is_steady=not self._demand.is_crowd)
        while True:
            most = math.ceil(1.4 * guess * simulated)
            ramp_s = max(_RAMP_S, 2 * workload.cycle_s)
            answers = math.ceil(ramp_s / workload.cycle_s) + 1
            ramp = replace(workload, listeners=most, within_s=ramp_s, answers=answers)
            outcome = self._run(ramp, simulated, "until the first refusal", stops=True)
            found = measure(outcome)
            if found.refused or ("gap" in self._limits and found.gaps):
                return math.floor(len(outcome.calls) * replicas / simulated)
            if guess > _MOST_PER_REPLICA:
                raise PlanError(
                    f"{most:,} listeners fill no replica: choose a result of a slower one"
                )
            guess = 2 * guess

    def _guess_capacity(self) -> int:
        busiest = 40 if self._calibration.is_card else 60 * self._calibration.machine.threads
        share = self._demand.workload.speaking * (0.4 if self._demand.workload.written else 1.0)
        return math.ceil(busiest / share)

    def _simulate_loss(self, simulated: int, replicas: int) -> Measures | None:
        """The steady load on the simulated replicas and the spare one, one of which dies."""
        if self._demand.is_crowd:
            return None
        listeners = self._part(self._demand.workload.listeners, simulated, replicas)
        workload = replace(self._demand.workload, listeners=max(1, listeners))
        return self._simulate(workload, simulated + _SPARE, "a replica dies", dies=True)

    def _simulate(
        self, workload: Workload, replicas: int, label: str, *, dies: bool = False
    ) -> Measures:
        if not self._demand.is_crowd:
            within_s = max(_STARTING_S, workload.cycle_s)
            answers = 2 if workload.speaking == 1.0 and not workload.written else 1
            workload = replace(workload, within_s=within_s, answers=answers, is_steady=True)
        return measure(self._run(workload, replicas, label, dies=dies))

    def _run(
        self,
        workload: Workload,
        replicas: int,
        label: str,
        *,
        stops: bool = False,
        dies: bool = False,
    ) -> Outcome:
        until_s = workload.within_s + workload.answers * workload.cycle_s
        demand = self._demand
        cluster = Cluster(
            self._calibration.machine,
            replicas,
            demand.rule,
            faults=[Fault(workload.within_s, 0, "kill")] if dies else [],
            stops_at=self._limits if stops else (),
            seed=demand.seed,
            progress=lambda at_s: self._progress(label, min(1.0, at_s / until_s)),
        )
        outcome = simulate_cluster(workload.create_callers(random.Random(demand.seed)), cluster)
        self._progress(label, 1.0)
        return outcome
