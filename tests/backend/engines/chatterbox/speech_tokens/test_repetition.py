"""Loops in speech tokens."""

from __future__ import annotations

import random
import time

import pytest

from backend.engines.chatterbox.speech_tokens.repetition import LoopDetector


def read(tokens: list[int]) -> LoopDetector:
    """Read the tokens one by one, up to a loop."""
    detector = LoopDetector()
    for end in range(1, len(tokens) + 1):
        if detector.read(tokens[:end]):
            break
    return detector


@pytest.mark.parametrize("period", range(2, 41))
def test_a_period_is_a_loop_once_it_was_said_four_times_and_for_a_second(period: int) -> None:
    start, repeated = list(range(100, 120)), list(range(500, 500 + period))
    times = -(-25 // period) if period < 7 else 4
    script = start + repeated * times
    assert read(script).loop_from == len(start) + period
    assert read(script[: 20 + max(4 * period, 25) - 1]).loop_from is None


def test_tokens_read_at_once_are_a_loop_too() -> None:
    detector = LoopDetector()
    assert detector.read([1, 2, 3, *[7, 8, 9] * 20])
    assert detector.loop_from == 6


@pytest.mark.parametrize("count", [40, 49])
def test_equal_tokens_are_a_loop_only_after_two_seconds(count: int) -> None:
    assert read([1, *[4299] * count, 2]).loop_from is None
    assert read([1, *[4299] * 50]).loop_from == 2


def test_longer_periods_and_changing_ones_are_no_loop() -> None:
    assert read(list(range(41)) * 6).loop_from is None
    assert read([*range(20), *range(19), 77] * 2).loop_from is None
    draw = random.Random(1).randrange
    assert read([draw(6561) for _ in range(500)]).loop_from is None


def test_a_period_is_suspected_once_it_was_said_twice() -> None:
    period = list(range(500, 520))
    assert read([1, *period, *period]).suspected_from == 21
    assert read([1, *period, *period, 7]).suspected_from is None


def test_the_work_for_a_token_does_not_grow() -> None:
    detector, tokens, costs_s = LoopDetector(), [], []
    for _ in range(4):
        started_s = time.thread_time()
        for n in range(5000):
            tokens.append(n * n % 6007)
            detector.read(tokens)
        costs_s.append(time.thread_time() - started_s)
    assert costs_s[-1] < 3 * costs_s[0]
