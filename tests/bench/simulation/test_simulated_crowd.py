"""The scheduler keeps its promise for random crowds: whoever has begun to hear, hears on."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.simulation.simulated_crowd import Arrival, Heard, simulate, simulate_engines
from bench.simulation.simulated_engine import Costs, Machine

TEXT = "The rain came down all night and in the morning the garden was a lake."
WORDS = TEXT.split()
HEARD_GAP_S = 0.02


def tokens(words: int) -> list[str]:
    return [f"{WORDS[number % len(WORDS)]} " for number in range(words)]


def crowd(size: int, within_s: float, words: int = 40) -> list[Arrival]:
    return [Arrival(within_s * number / size, tokens(words)) for number in range(size)]


def assert_promise_is_kept(heard: list[Heard]) -> None:
    for each in heard:
        assert [gap_s for gap_s in each.gaps_s if gap_s > HEARD_GAP_S] == []
        assert each.refused_s is None or each.first_s is None, "refused after a sound"


def assert_text_is_accounted_for(heard: list[Heard]) -> None:
    for each in heard:
        edges = [(0, 0), *each.spans]
        assert all(before[1] == after[0] for before, after in pairwise(edges))
        if each.done is not None:
            assert each.spans[-1][1] == sum(map(len, each.arrival.tokens))


def first_sounds_s(heard: list[Heard]) -> list[float]:
    return sorted(each.first_s for each in heard if each.first_s is not None)


@pytest.mark.parametrize(
    ("size", "within_s", "limit_s"), [(60, 0.0, 1.2), (60, 3.0, 0.5), (100, 3.0, 1.0)]
)
def test_a_crowd_hears_without_a_gap(size: int, within_s: float, limit_s: float) -> None:
    heard = simulate(crowd(size, within_s))
    assert_promise_is_kept(heard)
    firsts_s = first_sounds_s(heard)
    assert len(firsts_s) == size, "nobody is refused"
    assert firsts_s[int(0.95 * size)] <= limit_s


def test_of_too_many_some_are_refused_at_once_and_the_others_hear_without_a_gap() -> None:
    heard = simulate(crowd(300, 0.0))
    assert_promise_is_kept(heard)
    refused = [each for each in heard if each.refused_s is not None]
    assert 100 < len(refused) < 250
    assert max(each.refused_s or 0 for each in refused) <= 0.2


def test_one_alone_is_served_at_once() -> None:
    (heard,) = simulate(crowd(1, 0.0))
    assert heard.first_s is not None
    assert heard.first_s < 0.15


def test_batch_takes_what_the_live_ones_leave() -> None:
    batch = [Arrival(0.0, tokens(200), tokens_per_s=10_000, mode="batch") for _ in range(20)]
    heard = simulate([*batch, *crowd(20, 1.0)])
    assert_promise_is_kept(heard[20:])
    assert_text_is_accounted_for(heard)
    assert all(each.done for each in heard)


def test_a_reader_that_stalls_delays_no_other() -> None:
    stalled = [Arrival(0.0, tokens(60), reads_after_s=5.0) for _ in range(5)]
    heard = simulate([*stalled, *crowd(20, 1.0)])
    assert_promise_is_kept(heard[5:])


arrivals = st.builds(
    Arrival,
    at_s=st.floats(0, 4),
    tokens=st.integers(5, 60).map(tokens),
    tokens_per_s=st.sampled_from([15.0, 20.0, 40.0, 10_000.0]),
    mode=st.sampled_from(["live", "live", "live", "batch"]),
    cancel_s=st.one_of(st.none(), st.floats(0.1, 3)),
)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.lists(arrivals, max_size=70), st.sampled_from([1, 2, 4]), st.sampled_from([1, 32]))
def test_the_promise_is_kept_for_random_crowds(
    crowd: list[Arrival], threads: int, max_batch: int
) -> None:
    costs = Costs(step_s=0.02, utterance_s=0.001, word_s=0.0005) if max_batch > 1 else Costs()
    heard = simulate(crowd, costs, threads if max_batch == 1 else 1, max_batch)
    assert_promise_is_kept([each for each in heard if each.arrival.mode == "live"])
    assert_text_is_accounted_for(heard)


@pytest.mark.parametrize(("size", "within_s", "threads"), [(80, 0.5, 2), (60, 1.0, 1)])
def test_a_crowd_that_comes_while_others_hear_makes_no_gap(
    size: int, within_s: float, threads: int
) -> None:
    assert_promise_is_kept(simulate(crowd(size, within_s), threads=threads))


# --- several engines on the same cores ------------------------------------------------------------

LIGHT = Costs()
HEAVY = Costs(utterance_s=0.036, word_s=0.012)  # steps far longer than the contract's


MIXED = [Machine(LIGHT, engine="light"), Machine(HEAVY, engine="heavy")]


def with_voice(voice: str, arrivals: list[Arrival]) -> list[Arrival]:
    return [replace(each, voice=voice) for each in arrivals]


@pytest.mark.parametrize(("crowded", "other"), [("heavy", "light"), ("light", "heavy")])
@pytest.mark.parametrize("within_s", [0.0, 2.0])
def test_a_crowd_on_one_engine_makes_no_gap_on_another(
    crowded: str, other: str, within_s: float
) -> None:
    talking = with_voice(other, [Arrival(0.0, tokens(60)) for _ in range(4)])
    late = with_voice(crowded, crowd(200, within_s))
    heard = simulate_engines([*talking, *(replace(a, at_s=a.at_s + 1.0) for a in late)], MIXED)
    assert_promise_is_kept(heard[:4])
    assert all(each.done for each in heard[:4])
    refused = [each for each in heard[4:] if each.refused_s is not None]
    assert 20 < len(refused) < 200, "admission forecasts with the costs of both engines"
    assert max(each.refused_s or 0 for each in refused) <= 0.2


@pytest.mark.slow
def test_a_newcomer_is_forecast_by_the_costs_of_its_own_engine() -> None:
    def count_served(voice: str) -> int:
        heard = simulate_engines(with_voice(voice, crowd(200, 4.0)), MIXED)
        return len(first_sounds_s(heard))

    light, heavy = count_served("light"), count_served("heavy")
    assert 2.5 < light / heavy < 6
