"""Who is admitted, and whether a newcomer's render fits before the others' deadlines."""

from __future__ import annotations

import math

import pytest

from backend.errors import Overloaded
from backend.synthesis.live_listeners import LiveListener, LiveListeners

NOW_S = 1000.0


def listeners(
    threads: int = 1, max_first_wait_s: float = math.inf, *, batched: bool = False, rtf: float = 0.0
) -> LiveListeners:
    made = LiveListeners(threads, max_first_wait_s, batched=batched)
    if rtf:
        made.costs.count_step(busy_s=rtf, audio_s=1.0)
    return made


def add_playing(made: LiveListeners, ahead_s: float = 1.0, thread: object = None) -> LiveListener:
    listener = LiveListener()
    made.add(listener, NOW_S)
    listener.dry_at_s, listener.thread = NOW_S + ahead_s, thread
    return listener


def add_newcomer(made: LiveListeners) -> LiveListener:
    listener = LiveListener()
    made.add(listener, NOW_S)
    return listener


def is_full(made: LiveListeners, now_s: float = NOW_S) -> bool:
    try:
        made.check_capacity(now_s)
    except Overloaded:
        return True
    return False


# --- admission -----------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize(("share", "full"), [(0.949, False), (0.951, True)])
def test_listeners_may_take_95_percent_of_the_threads(
    threads: int, share: float, full: bool
) -> None:
    made = listeners(threads, rtf=share * threads / 4)  # a fourth would take `share`
    for _ in range(3):
        add_playing(made)
    assert is_full(made) is full


def test_room_is_free_again_once_a_listener_leaves() -> None:
    made = listeners(threads=1, rtf=0.45)
    first, _ = add_playing(made), add_playing(made)
    assert is_full(made)
    made.remove(first)
    assert not is_full(made)


def test_newcomers_count_before_their_first_sound() -> None:
    made = listeners(threads=1, rtf=0.3)
    for _ in range(3):
        add_newcomer(made)
    assert is_full(made)


def test_listeners_that_wait_for_text_are_no_load() -> None:
    made = listeners(threads=1, rtf=0.5)
    add_playing(made, ahead_s=-60.0)
    silent = add_newcomer(made)
    assert is_full(made), "a context that has just opened is about to speak"
    assert not is_full(made, NOW_S + 3), "without text it is not"
    silent.active_s = NOW_S + 3
    assert is_full(made, NOW_S + 4), "it gets text"
    assert not is_full(made, NOW_S + 60), "and keeps it unspoken"
    silent.is_queued = True
    assert is_full(made, NOW_S + 60), "its first sound is due"


def test_a_machine_without_listeners_is_never_full() -> None:
    assert not is_full(listeners(rtf=100.0))


def test_a_late_machine_is_full_until_that_fades() -> None:
    made = listeners(threads=8, rtf=0.001)
    add_playing(made)
    for _ in range(3):
        made.count_deadline(NOW_S, late=True)
    assert not is_full(made)
    for _ in range(10):
        made.count_deadline(NOW_S, late=True)
    assert is_full(made)
    assert not is_full(made, NOW_S + 30)
    made.count_deadline(NOW_S + 30, late=False)
    add_playing(made, ahead_s=60.0)
    assert not is_full(made, NOW_S + 30), "what has faded does not come back"


def test_an_engine_that_batches_is_full_only_when_it_is_late() -> None:
    made = listeners(batched=True, rtf=0.9)
    add_playing(made)
    add_playing(made)
    assert not is_full(made)
    for _ in range(10):
        made.count_deadline(NOW_S, late=True)
    assert is_full(made)


def test_a_crowd_is_refused_before_it_would_wait_too_long() -> None:
    made = listeners(threads=2, max_first_wait_s=1.0)
    admitted = 0
    while not is_full(made):
        add_newcomer(made)
        admitted += 1
        assert admitted < 1000
    first_s = 0.012  # of a render, assumed before the first is measured
    assert admitted == pytest.approx(2 * 1.0 / first_s, abs=2)


def test_a_refusal_says_when_to_come_again() -> None:
    made = listeners(threads=1, max_first_wait_s=0.5)
    for _ in range(200):
        add_newcomer(made)
    with pytest.raises(Overloaded, match="try again in 2 s") as refused:
        made.check_capacity(NOW_S)
    assert refused.value.retry_after_s == pytest.approx(200 * 0.012)


# --- first sounds before deadlines ---------------------------------------------------------------


def test_a_newcomer_goes_first_while_the_deadlines_are_far() -> None:
    made = listeners()
    add_playing(made, ahead_s=0.5)
    assert made.fits(NOW_S, late=0, thread=None)


def test_a_newcomer_waits_for_a_deadline_that_is_near() -> None:
    made = listeners()
    add_playing(made, ahead_s=0.02)
    assert not made.fits(NOW_S, late=0, thread=None)


def test_a_newcomer_waits_when_many_deadlines_come_together() -> None:
    made = listeners()
    for _ in range(20):
        add_playing(made, ahead_s=0.2)
    assert not made.fits(NOW_S, late=0, thread=None)
    assert listeners(threads=2).fits(NOW_S, late=0, thread=None)


def test_deadlines_of_the_thread_itself_count_whatever_others_could_do() -> None:
    made, thread = listeners(threads=8), object()
    add_playing(made, ahead_s=0.045, thread=thread)
    assert not made.fits(NOW_S, late=0, thread=thread)
    assert made.fits(NOW_S, late=0, thread=object())


def test_what_is_late_already_goes_first() -> None:
    assert not listeners().fits(NOW_S, late=1, thread=None)


def test_renders_that_cost_more_make_newcomers_wait_longer() -> None:
    made = listeners()
    add_playing(made, ahead_s=0.2)
    assert made.fits(NOW_S, late=0, thread=None)
    for _ in range(100):
        made.costs.count_render(0.15, first=False)
    assert not made.fits(NOW_S, late=0, thread=None)


# --- room in a step ------------------------------------------------------------------------------


def test_a_step_has_room_for_any_number_while_nobody_plays() -> None:
    made = listeners(batched=True)
    add_newcomer(made)
    assert made.room(NOW_S, due=1) is None


def test_a_step_has_room_for_newcomers_until_the_next_deadline() -> None:
    made = listeners(batched=True)
    add_playing(made, ahead_s=0.5)
    far = made.room(NOW_S, due=1)
    add_playing(made, ahead_s=0.2)
    near = made.room(NOW_S, due=2)
    assert far is not None
    assert near is not None
    assert far > near > 0


def test_a_step_has_no_room_while_a_listener_waits_dry() -> None:
    made = listeners(batched=True)
    add_playing(made, ahead_s=0.5)
    late = add_playing(made, ahead_s=-0.1)
    assert made.room(NOW_S, due=2) != 0, "it waits for its writer"
    late.is_queued = True
    assert made.room(NOW_S, due=2) == 0
