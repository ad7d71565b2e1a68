"""How many replicas a load wants."""

from __future__ import annotations

from backend.ray_serve.autoscaling import wanted_replicas


def replica(
    share: float = 0.0, sessions: int = 0, wait_s: float = 0.0, *, full: bool = False
) -> dict[str, float]:
    return {
        "share": share,
        "sessions": float(sessions),
        "first_wait_s": wait_s,
        "is_full": float(full),
    }


def test_it_grows_before_the_first_refusal() -> None:
    assert wanted_replicas([replica(0.75, 20)], 1) == 2


def test_it_grows_when_newcomers_wait_everywhere() -> None:
    assert wanted_replicas([replica(0.3, 9, 0.8), replica(0.3, 9, 0.9)], 2) == 3
    assert wanted_replicas([replica(0.3, 9, 0.8), replica(0.3, 9, 0.0)], 2) == 2


def test_a_full_cluster_grows_by_what_it_carries() -> None:
    assert wanted_replicas([replica(1.0, 40, full=True)] * 3, 3) == 6


def test_it_waits_for_replicas_that_begin() -> None:
    assert wanted_replicas([replica(0.75, 20)], 2) == 2


def test_only_empty_replicas_are_spared() -> None:
    assert wanted_replicas([replica(0.1, 2), replica(0.0, 0)], 2) == 1
    assert wanted_replicas([replica(0.0, 0), replica(0.1, 2)], 2) == 2
    assert wanted_replicas([replica(0.1, 2), replica(), replica(0.1, 1)], 3) == 3
    assert wanted_replicas([replica(), replica(), replica()], 3) == 1


def test_an_empty_replica_stays_while_the_others_are_busy() -> None:
    assert wanted_replicas([replica(0.6, 20), replica()], 2) == 2


def test_nothing_changes_before_the_first_report() -> None:
    assert wanted_replicas([], 3) == 3
