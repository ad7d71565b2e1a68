"""The queue between the event loop and the engine threads, without threads."""

from __future__ import annotations

from dataclasses import dataclass

from backend.engines.base import Release, Utterance
from backend.synthesis.live_listeners import LiveListener, LiveListeners
from backend.synthesis.utterance_handle import UtteranceHandle
from backend.synthesis.work_queue import Seat, WorkQueue
from tests.support.engines.fake_engine import FakeModel

NOW_S = 1000.0
RELEASE = Release("one two ", 8)


@dataclass
class CountingWake:
    wakes: int = 0

    def notify(self) -> None:
        self.wakes += 1

    def wait(self, timeout: float | None = None) -> None:
        raise AssertionError("these threads poll")


def create_queue(seats: int = 1) -> tuple[WorkQueue, list[Seat], list[CountingWake]]:
    """A queue and its idle threads."""
    queue = WorkQueue(LiveListeners(seats, batched=False), lambda: NOW_S)
    wakes = [CountingWake() for _ in range(seats)]
    joined = [queue.join(1, wake) for wake in wakes]
    for seat in joined:
        assert queue.poll(seat) is None
    return queue, joined, wakes


def create_handle(
    queue: WorkQueue, name: str, listener: LiveListener | None = None
) -> UtteranceHandle:
    return UtteranceHandle(Utterance(name, "heart"), FakeModel(), queue, listener, lambda _: None)


def test_each_utterance_wakes_another_idle_thread() -> None:
    queue, _, wakes = create_queue(2)
    for name in ("a", "b"):
        queue.offer(create_handle(queue, name), RELEASE)
    assert [wake.wakes for wake in wakes] == [1, 1]


def test_a_thread_that_only_aborts_is_idle_again_and_a_busy_one_is_not() -> None:
    queue, (first, second), wakes = create_queue(2)
    left = create_handle(queue, "left")
    queue.offer(left, RELEASE)
    assert queue.poll(first) is not None
    queue.give_back(left, 0.0, caught_up=True, failed=False)
    assert queue.poll(first) is None
    queue.withdraw(left)
    queue.offer(create_handle(queue, "a"), RELEASE)
    work = queue.poll(first)
    assert work is not None
    assert (work.aborted, len(work.utterances)) == (("left",), 1)
    wakes[0].wakes = wakes[1].wakes = 0
    queue.offer(create_handle(queue, "b"), RELEASE)
    assert [wake.wakes for wake in wakes] == [0, 1], "the first one is busy"
    assert queue.poll(second) is not None


def test_a_thread_that_takes_work_is_not_idle() -> None:
    queue, seats, _ = create_queue()
    queue.offer(create_handle(queue, "a"), RELEASE)
    assert queue.take(seats[0]) is not None
    assert not seats[0].idle


def test_rendered_audio_postpones_the_deadline_before_the_event_loop_does() -> None:
    queue, (seat,), _ = create_queue()
    listener = LiveListener()
    handle = create_handle(queue, "a", listener)
    queue.offer(handle, RELEASE)
    assert listener.is_queued
    queue.poll(seat)
    queue.give_back(handle, 0.5, caught_up=False, failed=False)
    assert (listener.dry_at_s, handle.deadline_s) == (NOW_S + 0.5, NOW_S + 0.5)
    queue.poll(seat)
    queue.give_back(handle, 0.25, caught_up=True, failed=False)
    assert listener.dry_at_s == NOW_S + 0.75
    assert not listener.is_queued


def test_a_lost_thread_frees_its_utterances_for_others() -> None:
    queue, (lost, other), _ = create_queue(2)
    handle, in_step = create_handle(queue, "waits"), create_handle(queue, "in step")
    queue.offer(handle, RELEASE)
    queue.poll(lost)
    queue.give_back(handle, 0.1, caught_up=True, failed=False)
    queue.offer(in_step, RELEASE)
    queue.poll(lost)
    queue.offer(handle, Release("one two three ", 14))
    assert queue.poll(other) is None, "it is bound to its thread"
    queue.leave(lost)
    queue.unbind([handle], dropped=[in_step])
    work = queue.poll(other)
    assert work is not None
    assert work.utterances == (handle,)
    assert work.begun == {"waits"}
    assert len(queue) == 1
