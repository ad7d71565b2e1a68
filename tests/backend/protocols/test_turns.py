"""`TurnStream`: the commands for turns of one voice after the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import count

import pytest

from backend.events import End, Flush, Played, Retract, Start, Text
from backend.protocols.turns import TurnStream

START = Start("", voice="heart", mode="stream")


def opened(context: str, follows: str | None = None, voice: str = "heart") -> Start:
    return Start(context, voice=voice, mode="stream", follows=follows)


def create_ids() -> Callable[[], str]:
    numbers = count(1)
    return lambda: str(next(numbers))


@pytest.fixture
def turns() -> TurnStream:
    return TurnStream(START, create_ids())


def ended(context: str) -> Flush:
    return Flush(context, ends_stream=True)


def test_one_context_lasts_across_turns(turns: TurnStream) -> None:
    assert turns.push_text("Hello ") == (opened("1"), Text("1", "Hello "))
    assert turns.push_text("there") == (Text("1", "there"),)
    assert turns.flush() == (Text("1", "\n"), ended("1"))
    assert turns.flush() == (ended("1"),)
    assert turns.push_text("Next") == (Played("1", math.inf), Text("1", "Next"))
    assert turns.push_text(" one") == (Text("1", " one"),)
    assert turns.close() == (End("1"),)
    assert turns.close() == ()


def test_empty_text_opens_nothing_but_a_flush_does(turns: TurnStream) -> None:
    assert turns.push_text("") == ()
    assert turns.context is None
    assert turns.flush() == (opened("1"), ended("1"))
    assert turns.push_text("a") == (Played("1", math.inf), Text("1", "a"))


def test_other_parameters_apply_to_a_context_behind_the_open_one(turns: TurnStream) -> None:
    turns.push_text("One.")
    emma = Start("", voice="emma", mode="stream")
    assert turns.change_parameters(emma) == (End("1"),)
    assert turns.change_parameters(emma) == ()
    assert not turns.has_unflushed_text
    assert turns.push_text("Two.") == (opened("2", "1", "emma"), Text("2", "Two."))


def test_clear_takes_back_all_and_the_next_text_comes_behind(turns: TurnStream) -> None:
    assert turns.clear() == ()
    turns.push_text("One.")
    turns.flush()
    assert turns.clear() == (Retract("1", 0), End("1"))
    assert turns.push_text("Two.") == (opened("2", "1"), Text("2", "Two."))


def test_nothing_comes_behind_a_context_that_failed(turns: TurnStream) -> None:
    turns.push_text("One.")
    turns.close()
    turns.push_text("Two.")
    turns.forget_context("1")
    turns.forget_context("2")
    assert not turns.has_unflushed_text
    assert turns.push_text("Three.") == (opened("3"), Text("3", "Three."))
