"""Which replica a new session goes to: rules to compare. Plain: no clock, no loop.

A rule sees what a proxy sees: reports about a second old, and its own connections as they are now.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backend.cluster.replicas import Load

UNKNOWN = Load(0.0, 0.0, 1)
_EVEN_S = 0.02  # forecasts that differ by less are equal
_SHARE_OF_ONE = 0.01  # of a replica's capacity, before anything is known


@dataclass(slots=True)
class SeenReplica:
    """A replica as a proxy sees it. `load`: as it was reported last; `sent`: sessions sent there
    since; `connections`: open now.
    """

    number: int
    load: Load = UNKNOWN
    sent: int = 0
    connections: int = 0

    @property
    def has_room(self) -> bool:
        """Whether it did not refuse by its last report."""
        return math.isfinite(self.load.first_wait_s)


Rule = Callable[[Sequence[SeenReplica], random.Random], SeenReplica]


def choose_at_random(seen: Sequence[SeenReplica], dice: random.Random) -> SeenReplica:
    """Any."""
    return dice.choice(seen)


class RoundRobin:
    """Each in turn."""

    def __init__(self) -> None:
        self._last = -1

    def __call__(self, seen: Sequence[SeenReplica], _dice: random.Random) -> SeenReplica:
        """The next one."""
        chosen = next((each for each in seen if each.number > self._last), seen[0])
        self._last = chosen.number
        return chosen


def choose_fewest_connections(seen: Sequence[SeenReplica], dice: random.Random) -> SeenReplica:
    """The one with the fewest open connections, speaking or not."""
    return min(_shuffled(seen, dice), key=lambda each: each.connections)


def choose_shortest_wait(seen: Sequence[SeenReplica], dice: random.Random) -> SeenReplica:
    """The one that reported the shortest forecast wait; of equal ones the least loaded."""
    return min(_with_room(seen, dice), key=_reported)


def choose_better_of_two(seen: Sequence[SeenReplica], dice: random.Random) -> SeenReplica:
    """Of two at random, the one that reported the shorter forecast wait."""
    return min(_with_room(seen, dice)[:2], key=_reported)


def choose_shortest_wait_counted(seen: Sequence[SeenReplica], dice: random.Random) -> SeenReplica:
    """The one with the shortest forecast wait, once what was sent there since is added."""
    candidates = _with_room(seen, dice)
    return min(candidates, key=lambda each: _expected(each, candidates))


def choose_better_of_two_counted(seen: Sequence[SeenReplica], dice: random.Random) -> SeenReplica:
    """Of two at random, the better once what was sent there since is added."""
    candidates = _with_room(seen, dice)
    return min(candidates[:2], key=lambda each: _expected(each, candidates))


def create_rules() -> dict[str, Rule]:
    """New rules by name."""
    return {
        "random": choose_at_random,
        "round robin": RoundRobin(),
        "fewest connections": choose_fewest_connections,
        "shortest wait": choose_shortest_wait,
        "better of two": choose_better_of_two,
        "shortest wait, counted": choose_shortest_wait_counted,
        "better of two, counted": choose_better_of_two_counted,
    }


BEST_RULE = "shortest wait, counted"


def _shuffled(seen: Sequence[SeenReplica], dice: random.Random) -> list[SeenReplica]:
    """In random order, so that equal ones share."""
    return dice.sample(seen, len(seen))


def _with_room(seen: Sequence[SeenReplica], dice: random.Random) -> list[SeenReplica]:
    shuffled = _shuffled(seen, dice)
    return [each for each in shuffled if each.has_room] or shuffled


def _reported(seen: SeenReplica) -> tuple[int, float]:
    wait_s = seen.load.first_wait_s
    return (round(wait_s / _EVEN_S) if math.isfinite(wait_s) else 1 << 30), seen.load.share


def _expected(seen: SeenReplica, among: Sequence[SeenReplica]) -> float:
    """Its share taken, with what was sent there since its report, and its forecast wait.

    Waits are short until a replica is nearly full; shares tell replicas apart long before.
    """
    load = seen.load
    return load.share + _share_of_one(seen, among) * seen.sent + load.first_wait_s


def _share_of_one(seen: SeenReplica, among: Sequence[SeenReplica]) -> float:
    """What a session takes of this replica; of any if it has none. A slow replica gives more."""
    own = seen.connections - seen.sent
    if own > 0 and seen.load.share > 0:
        return seen.load.share / own
    all_own = sum(max(0, each.connections - each.sent) for each in among)
    return sum(each.load.share for each in among) / all_own if all_own else _SHARE_OF_ONE
