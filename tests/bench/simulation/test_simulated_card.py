"""A simulated card speaks a release once, and a step takes what was measured."""

from __future__ import annotations

import pytest

from backend.engines.base import Chunk, EngineInfo, Release, Utterance
from bench.simulation.simulated_card import CardCosts, CardEngine
from bench.simulation.simulated_engine import RATE_HZ

COSTS = CardCosts(((1, 0.001), (4, 0.002), (16, 0.004)), render_s=0.015, row_s=0.005)
INFO = EngineInfo("card", RATE_HZ, ("en",), False, 2)
TEXT = "The road went on along the river, and nobody said a word."


def speak(engine: CardEngine, *names: str) -> dict[str, list[Chunk]]:
    found: dict[str, list[Chunk]] = {name: [] for name in names}
    for _ in range(500):
        waiting = [name for name, chunks in found.items() if not chunks or not chunks[-1].caught_up]
        if not waiting:
            return found
        for result in engine.step(waiting):
            assert isinstance(result, Chunk)
            found[result.utterance_id].append(result)
    raise AssertionError("it does not end")


def begin(engine: CardEngine, name: str, speak_to: int = len(TEXT)) -> None:
    engine.begin(Utterance(name, "default"))
    engine.extend(name, Release(TEXT, speak_to, final=speak_to == len(TEXT)))


@pytest.mark.parametrize(("count", "seconds"), [(1, 0.001), (4, 0.002), (10, 0.003), (28, 0.006)])
def test_a_token_takes_what_lies_between_the_measured_batches(count: int, seconds: float) -> None:
    assert COSTS.draw_s(count) == pytest.approx(seconds)


def test_chunks_tile_the_text_and_grow() -> None:
    engine = CardEngine(INFO, COSTS, lambda: 0.0)
    begin(engine, "a")
    chunks = speak(engine, "a")["a"]
    assert [each.start for each in chunks] == [0, *(each.end for each in chunks[:-1])]
    assert chunks[-1].end == len(TEXT)
    seconds = [len(each.pcm) / RATE_HZ for each in chunks]
    assert seconds[:2] == [0.36, 0.72]
    assert sum(seconds) == pytest.approx(0.3 + len(TEXT) / 14, abs=0.05)


def test_more_text_is_spoken_after_what_was_released() -> None:
    engine = CardEngine(INFO, COSTS, lambda: 0.0)
    begin(engine, "a", speak_to=33)
    assert speak(engine, "a")["a"][-1].end == 33
    engine.extend("a", Release(TEXT, len(TEXT), final=True))
    later = speak(engine, "a")["a"]
    assert (later[0].start, later[-1].end) == (33, len(TEXT))


def test_one_without_a_slot_waits_for_one() -> None:
    engine = CardEngine(INFO, COSTS, lambda: 0.0)
    for name in "abc":
        begin(engine, name)
    found = speak(engine, "a", "b", "c")
    assert all(chunks[-1].end == len(TEXT) for chunks in found.values())


def test_a_step_costs_its_tokens_and_its_render() -> None:
    engine = CardEngine(INFO, COSTS, lambda: 0.0)
    begin(engine, "a")
    drawing = [engine.step(["a"]) for _ in range(2)]
    assert drawing == [[], []]
    assert engine.step_s == pytest.approx(4 * 0.001, abs=0.001)
    (first,) = engine.step(["a"])
    assert isinstance(first, Chunk)
    assert engine.step_s == pytest.approx(4 * 0.001 + 0.015 + 0.005, abs=0.001)
