"""Which replica a new connection goes to."""

from __future__ import annotations

import pytest

pytest.importorskip("ray", reason="make install-cluster")

from ray.serve._private.common import DeploymentID, ReplicaID

from backend.ray_serve.routing import RecentChoices, expected_load, usual_cost

IDLE = {"is_full": 0.0, "first_wait_s": 0.0, "share": 0.0, "cost": 0.0, "sessions": 0.0}


def choose(*replicas: tuple[dict[str, float], int]) -> int:
    usual = usual_cost(stats for stats, _ in replicas)
    return min(range(len(replicas)), key=lambda at: expected_load(*replicas[at], usual))


def test_a_full_replica_comes_last() -> None:
    assert choose(({**IDLE, "is_full": 1.0}, 0), ({**IDLE, "share": 0.9}, 5)) == 1


def test_a_slow_replica_is_left_alone() -> None:
    slow = {**IDLE, "cost": 0.08, "share": 0.32, "sessions": 4.0}
    quick = {**IDLE, "cost": 0.01, "share": 0.2, "sessions": 20.0}
    assert choose((slow, 0), (quick, 0)) == 1


def test_costs_that_differ_by_chance_do_not_count() -> None:
    cheap = {**IDLE, "cost": 0.011, "share": 0.11, "sessions": 10.0}  # 10 listeners
    dear = {**IDLE, "cost": 0.015, "share": 0.135, "sessions": 9.0}  # 9 listeners
    assert choose((cheap, 0), (dear, 0)) == 1


def test_a_replica_with_a_queue_of_newcomers_is_avoided() -> None:
    assert choose(({**IDLE, "first_wait_s": 0.6}, 0), ({**IDLE, "share": 0.3}, 0)) == 1


def test_those_on_their_way_count() -> None:
    assert choose((IDLE, 1), (IDLE, 0)) == 1
    assert choose(({**IDLE, "cost": 0.1}, 3), ({**IDLE, "share": 0.2}, 0)) == 1


def test_silent_sessions_decide_between_equals() -> None:
    assert choose(({**IDLE, "sessions": 3.0}, 0), ({**IDLE, "sessions": 2.0}, 0)) == 1


def test_a_replica_without_figures_yet_is_taken_as_idle() -> None:
    assert choose(({**IDLE, "share": 0.1}, 0), ({}, 0)) == 1


def test_choices_are_forgotten_once_the_figures_show_them() -> None:
    now_s = [0.0]
    recent = RecentChoices(lambda: now_s[0])
    replica = ReplicaID("a", DeploymentID("d"))
    recent.add(replica)
    now_s[0] = 1.0
    recent.add(replica)
    assert recent.count(replica) == 2
    now_s[0] = 2.0
    assert recent.count(replica) == 1
    now_s[0] = 9.0
    assert recent.count(replica) == 0
