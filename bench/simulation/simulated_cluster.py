"""Many replicas in virtual time: where sessions go, and what their listeners hear when replicas
die, drain, slow down or start.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from backend.config import Settings
from backend.sessions.session import Session
from bench.simulation import virtual_time
from bench.simulation.autoscaling import Autoscaler, ScalingRule
from bench.simulation.routing import BEST_RULE, SeenReplica, create_rules
from bench.simulation.simulated_crowd import Arrival, Heard, Line, listen
from bench.simulation.simulated_engine import Machine
from bench.simulation.simulated_replica import ReplicaGone, SimulatedReplica

GAP_S = 0.02  # shorter ones are not heard
REPORT_S = 1.0  # between two reports of a replica
_RECONNECT_S = 0.2  # until a client that lost its replica is connected elsewhere


@dataclass(frozen=True, slots=True)
class Caller:
    """A client that connects `at_s`, is silent for `silent_s`, and hears the answers one after
    another, `pause_s` apart.
    """

    at_s: float
    answers: Sequence[Sequence[str]]
    tokens_per_s: float = 30.0
    pause_s: float = 0.0
    silent_s: float = 0.0


@dataclass(slots=True)
class Call:
    """What a caller got. `replicas`: by number, those that it was connected to."""

    caller: Caller
    heard: list[Heard] = field(default_factory=list)
    replicas: list[int] = field(default_factory=list)
    no_replica: bool = False

    @property
    def is_refused(self) -> bool:
        """Whether an answer was refused, or there was no replica."""
        return self.no_replica or any(each.refused_s is not None for each in self.heard)

    @property
    def is_moved(self) -> bool:
        """Whether its replica died."""
        return len(self.replicas) > 1


@dataclass(frozen=True, slots=True)
class Fault:
    """At `at_s` a replica dies, drains, or takes `times` as long for each step."""

    at_s: float
    replica: int
    kind: Literal["kill", "drain", "slow"]
    times: float = 3.0


@dataclass(frozen=True, slots=True)
class Cluster:
    """What is simulated. `rule`: of `routing`. `tries`: replicas that a refused session is sent to.
    `scaling`: None for a fixed number of replicas. `stops_at`: what ends the simulation early.
    `progress`: called with the time every second.
    """

    machine: Machine
    replicas: int
    rule: str = BEST_RULE
    tries: int = 1
    faults: Sequence[Fault] = ()
    scaling: ScalingRule | None = None
    stops_at: Sequence[Literal["refusal", "gap"]] = ()
    seed: int = 0
    progress: Callable[[float], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Sample:
    """The cluster at a time: the listeners of each replica that takes sessions, and all replicas
    that cost money, those that start or drain included.
    """

    at_s: float
    listeners: Sequence[int]
    replicas: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """`calls`: as far as they came; `samples`: one a second. `late_gaps_s`: that listeners heard
    because speech, not text, came late.
    """

    calls: list[Call]
    samples: list[Sample]
    late_gaps_s: list[float]


def simulate_cluster(callers: Sequence[Caller], cluster: Cluster) -> Outcome:
    """Serve them all. Blocks for the CPU time of it, about 10 ms for an answer of 15 s; the result
    is the same each time.
    """
    gc.disable()  # it finds nothing here in a tenth of the time
    try:
        return virtual_time.run(_Simulation(cluster).run(callers))
    finally:
        gc.enable()


class _Simulation:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._settings = Settings()
        self._rule = create_rules()[cluster.rule]
        self._dice = random.Random(cluster.seed)
        self._numbers = itertools.count()
        self._replicas: list[SimulatedReplica] = []
        self._seen: dict[int, SeenReplica] = {}
        self._coming = 0
        self._samples: list[Sample] = []
        self._calls: list[Call] = []
        self._has_refused = False

    async def run(self, callers: Sequence[Caller]) -> Outcome:
        for _ in range(self._cluster.replicas):
            await self._add_replica()
        self._began_s = self._now_s()  # of the crowd
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(self._watch())]
            background += [tasks.create_task(self._break(each)) for each in self._cluster.faults]
            self._tasks = tasks
            calls = [tasks.create_task(self._call(each)) for each in callers]
            await self._wait_ended(calls)
            for task in (*background, *calls):
                task.cancel()
        for replica in self._replicas:
            replica.stop()
        late_gaps_s = [gap_s for each in self._replicas for gap_s in each.late_gaps_s]
        return Outcome(self._calls, self._samples, late_gaps_s)

    async def _wait_ended(self, calls: Sequence[asyncio.Task[None]]) -> None:
        """Wait for all calls, or until it is full if that is the end."""
        while not all(each.done() for each in calls):
            if self._is_full():
                return
            await asyncio.sleep(REPORT_S)

    def _is_full(self) -> bool:
        stops_at = self._cluster.stops_at
        if "refusal" in stops_at and self._has_refused:
            return True
        gaps_s = (gap_s for each in self._replicas for gap_s in each.late_gaps_s)
        return "gap" in stops_at and any(gap_s > GAP_S for gap_s in gaps_s)

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()

    # --- replicas ---------------------------------------------------------------------------------

    async def _add_replica(self) -> None:
        replica = SimulatedReplica(next(self._numbers), self._cluster.machine, self._settings)
        await replica.start()
        self._replicas.append(replica)
        self._seen[replica.number] = SeenReplica(replica.number)

    async def _start_later(self, start_s: float) -> None:
        self._coming += 1
        await asyncio.sleep(start_s)
        await self._add_replica()
        self._coming -= 1

    async def _break(self, fault: Fault) -> None:
        await asyncio.sleep(fault.at_s)
        replica = self._replicas[fault.replica]
        if fault.kind == "slow":
            replica.slow_down(fault.times)
        elif fault.kind == "drain":
            replica.is_draining = True
        else:
            replica.kill()

    async def _watch(self) -> None:
        """Every replica reports once a second, each at another moment of it."""
        scaling = self._cluster.scaling
        scaler = Autoscaler(scaling) if scaling else None
        while True:
            living = [each for each in self._replicas if not each.is_dead]
            for replica in living:
                self._report(replica)
                await asyncio.sleep(REPORT_S / len(living))
            if not living:
                await asyncio.sleep(REPORT_S)
            self._sample()
            if scaler and scaling:
                self._scale(scaler, scaling.start_s)

    def _report(self, replica: SimulatedReplica) -> None:
        if not replica.takes_sessions:
            self._seen.pop(replica.number, None)
        elif replica.number in self._seen:
            seen = self._seen[replica.number]
            seen.load, seen.sent = replica.measure_load(), 0
            seen.connections = replica.session_count

    def _sample(self) -> None:
        at_s = self._now_s() - self._began_s
        open_ = [each for each in self._replicas if each.takes_sessions]
        gone = [each for each in self._replicas if each.is_dead or self._is_empty(each)]
        costing = len(self._replicas) - len(gone) + self._coming
        self._samples.append(Sample(at_s, [each.session_count for each in open_], costing))
        self._cluster.progress(at_s)

    @staticmethod
    def _is_empty(replica: SimulatedReplica) -> bool:
        return replica.is_draining and not replica.session_count

    def _scale(self, scaler: Autoscaler, start_s: float) -> None:
        open_ = [each for each in self._replicas if each.takes_sessions]
        loads = [self._seen[each.number].load for each in open_ if each.number in self._seen]
        wanted = scaler.wanted(self._now_s(), loads, self._coming)
        for _ in range(wanted - len(open_) - self._coming):
            self._tasks.create_task(self._start_later(start_s))
        if wanted < len(open_) + self._coming and len(open_) > 1:
            min(open_, key=lambda each: each.session_count).is_draining = True

    # --- callers ----------------------------------------------------------------------------------

    async def _call(self, caller: Caller) -> None:
        await asyncio.sleep(self._began_s + caller.at_s - self._now_s())
        call = Call(caller)
        self._calls.append(call)
        await asyncio.sleep(caller.silent_s)
        rate = caller.tokens_per_s
        pending = deque(Heard(Arrival(caller.at_s, each, rate)) for each in caller.answers)
        tried: list[int] = []
        while pending:
            replica = self._choose(tried)
            if replica is None:
                call.no_replica = True
                break
            call.replicas.append(replica.number)
            try:
                await replica.serve(self._converse(replica, call, pending))
            except ReplicaGone:
                if pending:  # else it had all of its sound already
                    pending[0].move()
                await asyncio.sleep(_RECONNECT_S)
            if pending and pending[0].refused_s is not None:
                tried.append(replica.number)
                if len(tried) >= self._cluster.tries or pending[0].first_s is not None:
                    break
                pending[0].refused_s = None
        if call.is_refused:
            self._has_refused = True

    def _choose(self, tried: Sequence[int]) -> SimulatedReplica | None:
        """The replica for a session; dead and draining ones do not accept it."""
        candidates: list[SeenReplica] = []
        for replica in self._replicas:
            if replica.takes_sessions and replica.number not in tried:
                seen = self._seen[replica.number]
                seen.connections = replica.session_count
                candidates.append(seen)
        if not candidates:
            return None
        chosen = self._rule(candidates, self._dice)
        chosen.sent += 1
        return self._replicas[chosen.number]

    async def _converse(self, replica: SimulatedReplica, call: Call, pending: deque[Heard]) -> None:
        """One session: the answers, until one is refused or the replica is to be left."""
        clock = replica.services.clock
        async with asyncio.TaskGroup() as tasks:
            session = Session(replica.services, tasks)
            while pending and not (replica.is_draining and pending[0].began_s is None):
                heard = pending[0]
                if heard.began_s is None:
                    heard.began_s = clock()
                    call.heard.append(heard)
                await listen(Line(replica.services, session, f"answer {len(call.heard)}"), heard)
                if heard.refused_s is not None:
                    return
                pending.popleft()
                await asyncio.sleep((heard.dry_s or clock()) + call.caller.pause_s - clock())
