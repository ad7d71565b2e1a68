"""Which waiting utterance a thread takes first."""

from __future__ import annotations

import math
from dataclasses import dataclass

from backend.synthesis.live_listeners import LiveListener, LiveListeners
from backend.synthesis.render_order import rank_waiting

NOW_S = 1000.0


@dataclass
class Waiting:
    name: str
    listener: LiveListener | None = None
    deadline_s: float = math.inf
    queued_at_s: float = 0.0


def newcomer(name: str, queued_at_s: float = 0.0, priority: int = 0) -> Waiting:
    return Waiting(name, LiveListener(priority), NOW_S + 0.15, queued_at_s)


def playing(name: str, ahead_s: float) -> Waiting:
    listener = LiveListener()
    listener.dry_at_s = NOW_S + ahead_s
    return Waiting(name, listener, NOW_S + ahead_s)


def ranked(*waiting: Waiting, threads: int = 1) -> list[str]:
    listeners = LiveListeners(threads, batched=False)
    for each in waiting:
        if each.listener is not None:
            listeners.add(each.listener, NOW_S)
    return [each.name for each in rank_waiting(waiting, listeners, NOW_S, None)]


def test_among_the_playing_the_earliest_deadline_comes_first() -> None:
    assert ranked(playing("b", 0.4), playing("a", 0.2), playing("c", 3)) == ["a", "b", "c"]


def test_a_newcomer_comes_before_deadlines_that_it_does_not_break() -> None:
    assert ranked(playing("playing", 0.5), newcomer("new")) == ["new", "playing"]


def test_whoever_has_begun_to_hear_hears_on() -> None:
    assert ranked(newcomer("new"), playing("playing", 0.02)) == ["playing", "new"]
    assert ranked(newcomer("new"), playing("late", -0.1), playing("b", 0.5)) == ["late", "b", "new"]


def test_newcomers_come_in_the_order_of_their_arrival_within_their_priority() -> None:
    order = ranked(newcomer("b", 2), newcomer("a", 1), newcomer("background", 0, priority=1))
    assert order == ["a", "b", "background"]


def test_batch_takes_what_is_left_in_the_order_of_its_arrival() -> None:
    batch = Waiting("second", queued_at_s=2), Waiting("first", queued_at_s=1)
    order = ranked(*batch, newcomer("new"), playing("playing", 0.5))
    assert order == ["new", "playing", "first", "second"]


def test_an_utterance_with_a_deadline_and_no_listener_counts_as_playing() -> None:
    assert ranked(Waiting("batch"), Waiting("warm-up", deadline_s=NOW_S)) == ["warm-up", "batch"]


# --- engines that batch --------------------------------------------------------------------------


def composed(*waiting: Waiting) -> list[str]:
    """The step of an engine that batches."""
    listeners = LiveListeners(1, batched=True)
    ranked = rank_waiting(waiting, listeners, NOW_S, None, batched=True)
    return [each.name for each in ranked]


def test_a_step_with_a_newcomer_leaves_out_whoever_has_enough_to_hear() -> None:
    step = composed(playing("rich", 2.0), playing("poor", 0.4), newcomer("new"), Waiting("batch"))
    assert step == ["poor", "new"]


def test_a_step_without_newcomers_advances_all() -> None:
    assert composed(playing("rich", 2.0), playing("poor", 0.4), Waiting("batch")) == [
        "poor",
        "rich",
        "batch",
    ]
