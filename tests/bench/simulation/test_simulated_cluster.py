"""Many replicas keep the promise of one: a listener that has begun to hear, hears on."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.plan.measures import measure
from bench.simulation.autoscaling import ScalingRule
from bench.simulation.routing import create_rules
from bench.simulation.simulated_card import CardCosts
from bench.simulation.simulated_cluster import (
    GAP_S,
    Call,
    Caller,
    Cluster,
    Fault,
    Outcome,
    simulate_cluster,
)
from bench.simulation.simulated_engine import Costs, Machine

TEXT = "The rain came down all night and in the morning the garden was a lake."
WORDS = TEXT.split()
CPU = Machine(Costs(), threads=2)
SMALL_CPU = Machine(Costs(0.02, 0.007), threads=1)
CARD = Machine(CardCosts(((1, 0.0012), (64, 0.0025)), 0.017, 0.004), threads=1, max_batch=64)


def tokens(words: int) -> list[str]:
    return [f"{WORDS[number % len(WORDS)]} " for number in range(words)]


def crowd(size: int, within_s: float, words: int = 25, answers: int = 1) -> list[Caller]:
    return [Caller(within_s * n / size, [tokens(words)] * answers) for n in range(size)]


def assert_promise_is_kept(outcome: Outcome) -> None:
    for call in outcome.calls:
        for heard in call.heard:
            assert [gap_s for gap_s in heard.gaps_s if gap_s > GAP_S] == []
            assert heard.refused_s is None or heard.first_s is None, "refused after a sound"


def assert_all_is_accounted_for(outcome: Outcome, callers: list[Caller]) -> None:
    assert len(outcome.calls) == len(callers)
    for call in outcome.calls:
        for heard in call.heard:
            edges = [(0, 0), *heard.spans]
            assert all(before[1] == after[0] for before, after in pairwise(edges))
        if not call.is_refused:
            assert has_heard_all(call)


def has_heard_all(call: Call) -> bool:
    answers = call.caller.answers
    whole = [sum(map(len, answer)) for answer in answers]
    return [heard.spoken_to for heard in call.heard] == whole


@pytest.mark.parametrize("rule", create_rules())
def test_every_rule_shares_a_crowd_without_a_gap(rule: str) -> None:
    callers = crowd(30, 3.0)
    outcome = simulate_cluster(callers, Cluster(CPU, 3, rule))
    assert_promise_is_kept(outcome)
    assert_all_is_accounted_for(outcome, callers)
    assert not any(call.is_refused for call in outcome.calls)
    assert {number for call in outcome.calls for number in call.replicas} == {0, 1, 2}


def test_sixty_in_ten_seconds_are_shared_evenly() -> None:
    assert measure(simulate_cluster(crowd(60, 10.0), Cluster(CPU, 2))).spread <= 0.2


def test_listeners_of_a_dead_replica_go_on_elsewhere_and_the_others_hear_nothing_of_it() -> None:
    callers = crowd(20, 2.0, words=60)
    outcome = simulate_cluster(callers, Cluster(CPU, 2, faults=[Fault(3.0, 0, "kill")]))
    assert_promise_is_kept(outcome)
    assert_all_is_accounted_for(outcome, callers)
    moved = [call for call in outcome.calls if call.is_moved]
    assert moved
    assert all(call.replicas[-1] == 1 for call in moved)
    assert not any(call.is_refused for call in outcome.calls)


def test_a_draining_replica_ends_its_answers_and_is_left_between_two() -> None:
    callers = crowd(10, 1.0, answers=2)
    outcome = simulate_cluster(callers, Cluster(CPU, 2, faults=[Fault(2.0, 0, "drain")]))
    assert_promise_is_kept(outcome)
    assert_all_is_accounted_for(outcome, callers)
    began_there = [call for call in outcome.calls if call.replicas[0] == 0]
    assert began_there
    assert all(call.replicas == [0, 1] for call in began_there)
    assert all(heard.moved_gaps_s == [] for call in outcome.calls for heard in call.heard)


def test_a_slow_replica_is_left_alone() -> None:
    slow = [Fault(0.0, 0, "slow", 4.0)]
    outcome = simulate_cluster(crowd(90, 24.0, words=40), Cluster(CPU, 2, faults=slow))
    there = sum(call.replicas[0] == 0 for call in outcome.calls)
    assert there < 30
    assert not any(call.is_refused for call in outcome.calls)


def test_a_full_cluster_refuses_before_a_sound() -> None:
    callers = crowd(200, 0.5)
    outcome = simulate_cluster(callers, Cluster(Machine(Costs(), threads=1), 2))
    assert_promise_is_kept(outcome)
    assert_all_is_accounted_for(outcome, callers)
    assert 50 < sum(call.is_refused for call in outcome.calls) < 150


def test_without_a_replica_all_are_refused() -> None:
    callers = crowd(3, 1.0)
    cluster = Cluster(CPU, 1, faults=[Fault(0.0, 0, "kill")])
    assert all(call.is_refused for call in simulate_cluster(callers, cluster).calls)


def test_a_refused_session_may_try_another_replica() -> None:
    callers = crowd(70, 0.3)
    refused = [
        sum(call.is_refused for call in simulate_cluster(callers, cluster).calls)
        for cluster in (
            Cluster(SMALL_CPU, 2, "random", tries=1),
            Cluster(SMALL_CPU, 2, "random", tries=2),
        )
    ]
    assert refused[1] <= refused[0]


@pytest.mark.slow
def test_replicas_are_started_before_the_first_is_full_and_emptied_afterwards() -> None:
    callers = [Caller(1.3 * n, [tokens(40)] * 2) for n in range(50)]
    callers.append(Caller(200.0, [tokens(10)]))
    rule = ScalingRule(start_s=5.0, up_share=0.5, down_after_s=30.0)
    machine = Machine(Costs(0.04, 0.016), threads=1)
    outcome = simulate_cluster(callers, Cluster(machine, 1, scaling=rule))
    assert_promise_is_kept(outcome)
    assert_all_is_accounted_for(outcome, callers)
    assert not any(call.is_refused for call in outcome.calls)
    counts = [sample.replicas for sample in outcome.samples]
    assert max(counts) > 1
    assert counts[-1] == 1
    alone = simulate_cluster(callers, Cluster(machine, 1))
    assert any(call.is_refused for call in alone.calls), "one replica is too few"


def test_the_same_crowd_hears_the_same_twice() -> None:
    first, again = (measure(simulate_cluster(crowd(20, 1.0), Cluster(CPU, 2))) for _ in range(2))
    assert first == again


callers = st.lists(
    st.builds(
        Caller,
        at_s=st.floats(0, 4),
        answers=st.lists(st.integers(4, 30).map(tokens), min_size=1, max_size=2),
        tokens_per_s=st.sampled_from([15.0, 30.0, 10_000.0]),
        pause_s=st.sampled_from([0.0, 1.0]),
    ),
    max_size=25,
)
faults = st.lists(
    st.builds(
        Fault,
        at_s=st.floats(0, 6),
        replica=st.integers(0, 1),
        kind=st.sampled_from(["kill", "drain"]),
    ),
    max_size=2,
)


@settings(max_examples=25, deadline=None)
@given(callers, faults, st.sampled_from([*create_rules()]), st.sampled_from([CPU, SMALL_CPU, CARD]))
def test_the_promise_is_kept_for_random_crowds_and_faults(
    callers: list[Caller], faults: list[Fault], rule: str, machine: Machine
) -> None:
    outcome = simulate_cluster(callers, Cluster(machine, 3, rule, faults=faults))
    assert_all_is_accounted_for(outcome, callers)
    if (
        machine is not SMALL_CPU
    ):  # one that holds a few: who moves there comes in the midst of others
        assert_promise_is_kept(outcome)
