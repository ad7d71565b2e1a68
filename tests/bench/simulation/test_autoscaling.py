"""When a cluster grows and shrinks."""

from __future__ import annotations

from backend.cluster.replicas import Load
from bench.simulation.autoscaling import Autoscaler, ScalingRule

RULE = ScalingRule(start_s=15.0, up_share=0.7, down_share=0.5, down_after_s=60.0)


def load(share: float, wait_s: float = 0.0) -> Load:
    return Load(wait_s, share, 10)


def test_a_quiet_cluster_stays_as_it_is() -> None:
    scaler = Autoscaler(RULE)
    assert {scaler.wanted(now_s, [load(0.6)], 0) for now_s in range(300)} == {1}


def test_a_high_share_starts_another() -> None:
    assert Autoscaler(RULE).wanted(0.0, [load(0.8), load(0.8)], 0) == 3


def test_growth_starts_another_before_the_share_is_high() -> None:
    scaler = Autoscaler(RULE)
    wanted = [scaler.wanted(now_s, [load(0.02 * now_s)], 0) for now_s in range(26)]
    assert 2 in wanted[:22], "0.4 now, and 0.7 when it is ready"


def test_replicas_that_are_starting_count() -> None:
    assert Autoscaler(RULE).wanted(0.0, [load(0.8)], 1) == 2


def test_a_long_wait_starts_another_whatever_the_share_says() -> None:
    assert Autoscaler(RULE).wanted(0.0, [load(0.1, wait_s=0.5)], 0) == 2
    assert Autoscaler(RULE).wanted(0.0, [load(0.1, wait_s=0.5), load(0.1)], 0) == 2, "one is free"


def test_one_is_emptied_after_a_calm_minute_and_the_next_a_minute_later() -> None:
    scaler, counts = Autoscaler(RULE), [3]
    for now_s in range(200):
        counts.append(scaler.wanted(float(now_s), [load(0.2)] * counts[-1], 0))
    assert counts.index(2) == 61
    assert counts.index(1) == 121
    assert counts[-1] == 1


def test_a_busy_moment_starts_the_calm_anew() -> None:
    scaler = Autoscaler(RULE)
    for now_s in range(50):
        scaler.wanted(float(now_s), [load(0.2)] * 2, 0)
    scaler.wanted(50.0, [load(0.6)] * 2, 0)
    assert scaler.wanted(70.0, [load(0.2)] * 2, 0) == 2


def test_bounds_hold() -> None:
    assert Autoscaler(ScalingRule(15.0, least=2)).wanted(0.0, [load(0.0)], 0) == 2
    assert Autoscaler(ScalingRule(15.0, most=1)).wanted(0.0, [load(5.0)], 0) == 1
