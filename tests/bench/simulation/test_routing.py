"""Which replica a session goes to, by each rule."""

from __future__ import annotations

import math
import random

import pytest

from backend.cluster.replicas import Load
from bench.simulation.routing import (
    BEST_RULE,
    Rule,
    SeenReplica,
    choose_better_of_two,
    choose_fewest_connections,
    choose_shortest_wait,
    choose_shortest_wait_counted,
    create_rules,
)

FULL = Load(math.inf, 1.0, 0)


def seen(number: int, wait_s: float = 0.0, share: float = 0.5, **counts: int) -> SeenReplica:
    return SeenReplica(number, Load(wait_s, share, 10), **counts)


def count_choices(rule: Rule, replicas: list[SeenReplica], times: int = 300) -> dict[int, int]:
    dice, counts = random.Random(1), {each.number: 0 for each in replicas}
    for _ in range(times):
        chosen = rule(replicas, dice)
        chosen.sent += 1
        chosen.connections += 1
        counts[chosen.number] += 1
    return counts


def test_the_best_rule_is_one_of_them() -> None:
    assert BEST_RULE in create_rules()


@pytest.mark.parametrize("name", create_rules())
def test_every_rule_chooses_the_only_replica(name: str) -> None:
    only = seen(7)
    assert create_rules()[name]([only], random.Random(0)) is only


def test_round_robin_goes_on_behind_a_replica_that_has_gone() -> None:
    rule, dice = create_rules()["round robin"], random.Random(0)
    replicas = [seen(0), seen(1), seen(2)]
    assert rule(replicas, dice).number == 0
    assert rule([replicas[0], replicas[2]], dice).number == 2
    assert rule(replicas, dice).number == 0


def test_fewest_connections_ignores_what_is_spoken() -> None:
    busy, silent = seen(0, share=0.9, connections=1), seen(1, share=0.1, connections=2)
    assert choose_fewest_connections([busy, silent], random.Random(0)) is busy


def test_a_stale_report_sends_all_to_one_unless_they_are_counted() -> None:
    def replicas() -> list[SeenReplica]:
        return [seen(0, share=0.40, connections=40), seen(1, share=0.41, connections=41)]

    assert count_choices(choose_shortest_wait, replicas())[0] == 300
    counted = count_choices(choose_shortest_wait_counted, replicas())
    assert abs(counted[0] - counted[1]) <= 2


def test_a_replica_that_refuses_is_chosen_only_if_all_do() -> None:
    full, free = SeenReplica(0, FULL), seen(1, wait_s=1.0, share=0.9)
    for rule in (choose_shortest_wait, choose_better_of_two, choose_shortest_wait_counted):
        assert rule([full, free], random.Random(0)) is free
        assert rule([full], random.Random(0)) is full


def test_a_slow_replica_is_sent_fewer() -> None:
    """The same number of sessions takes three times as much of it."""
    slow, fast = seen(0, share=0.6, connections=20), seen(1, share=0.2, connections=20)
    counts = count_choices(choose_shortest_wait_counted, [slow, fast], 60)
    assert counts[0] < counts[1] / 2


def test_a_new_replica_gets_its_part_and_no_flood() -> None:
    old, new = seen(0, share=0.5, connections=50), seen(1, share=0.0, connections=0)
    counts = count_choices(choose_shortest_wait_counted, [old, new], 60)
    assert 45 <= counts[1] <= 56
