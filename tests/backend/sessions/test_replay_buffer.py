"""`ReplayBuffer`: acknowledging, expiry and eviction."""

from __future__ import annotations

import pytest

from backend.events import Audio, Cancelled, Done, Failed, Pong, Ready, Retracted
from backend.sessions.replay_buffer import (
    ReplayableEvent,
    ReplayBuffer,
    event_size_bytes,
    is_replayable,
)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def replay_buffer(clock: Clock) -> ReplayBuffer:
    return ReplayBuffer(limit_bytes=100_000, ttl_s=30.0, clock=clock)


def audio(seq: int, context: str = "a", size: int = 2) -> Audio:
    return Audio(context, seq, 0.0, 10.0, (seq, seq + 1), (), bytes(size))


def done(context: str = "a") -> Done:
    return Done(context, 0.0, 0, 0)


def store(replay_buffer: ReplayBuffer, *events: ReplayableEvent) -> None:
    for event in events:
        replay_buffer.store(event)


def test_audio_and_answers_are_replayable_ready_and_pong_are_not() -> None:
    for event in (audio(0), done(), Cancelled("a", 0, 0.0), Retracted("a", 0), Failed("a", "", "")):
        assert is_replayable(event)
    assert not is_replayable(Pong("x"))
    assert not is_replayable(Ready("s", "t", "heart", 24000, "pcm_s16le"))


def test_unreceived_events_are_returned_in_order(replay_buffer: ReplayBuffer) -> None:
    store(
        replay_buffer, audio(0), audio(0, "b"), audio(1), Retracted("a", 5), audio(1, "b"), done()
    )
    again, lost = replay_buffer.take_unreceived({"a": 0, "b": 0}, answers=0)
    assert again == [audio(1), Retracted("a", 5), audio(1, "b"), done()]
    assert lost == set()


def test_returned_events_are_no_longer_stored(replay_buffer: ReplayBuffer) -> None:
    store(replay_buffer, audio(0))
    replay_buffer.take_unreceived({}, None)
    assert replay_buffer.size_bytes == 0
    assert replay_buffer.take_unreceived({}, None) == ([], set())


def test_a_client_that_received_nothing_gets_all_events(replay_buffer: ReplayBuffer) -> None:
    store(replay_buffer, Failed(None, "bad_json", ""), audio(0), done())
    again, _ = replay_buffer.take_unreceived({}, None)
    assert again == [Failed(None, "bad_json", ""), audio(0), done()]


def test_received_audio_acknowledges_all_earlier_events(replay_buffer: ReplayBuffer) -> None:
    store(replay_buffer, audio(0), Retracted("a", 5), done(), audio(0, "b"), audio(1, "b"))
    assert replay_buffer.take_unreceived({"b": 0}, None)[0] == [audio(1, "b")]


def test_answers_after_the_last_audio_are_replayed_unless_counted(
    replay_buffer: ReplayBuffer,
) -> None:
    store(replay_buffer, audio(0), Retracted("a", 5), done())
    assert replay_buffer.take_unreceived({"a": 0}, None)[0] == [Retracted("a", 5), done()]
    store(replay_buffer, Retracted("a", 5), done())
    assert replay_buffer.take_unreceived({"a": 0}, answers=1)[0] == [done()]
    store(replay_buffer, done())
    assert replay_buffer.take_unreceived({"a": 0}, answers=2)[0] == []


def test_a_received_answer_acknowledges_the_audio_before_it(replay_buffer: ReplayBuffer) -> None:
    store(replay_buffer, audio(0), done(), audio(0, "b"))
    assert replay_buffer.take_unreceived({}, answers=1)[0] == [audio(0, "b")]


def test_acknowledged_events_are_freed(replay_buffer: ReplayBuffer) -> None:
    store(replay_buffer, audio(0), audio(1), done(), audio(0, "b"))
    replay_buffer.acknowledge({"a": 1}, answers=0)
    assert replay_buffer.size_bytes == event_size_bytes(done()) + event_size_bytes(audio(0))
    replay_buffer.acknowledge({"a": 1}, answers=1)
    assert replay_buffer.size_bytes == event_size_bytes(audio(0))
    replay_buffer.acknowledge({"a": 1, "b": 0}, answers=1)
    assert replay_buffer.size_bytes == 0


def test_acknowledging_unknown_events_changes_nothing(replay_buffer: ReplayBuffer) -> None:
    store(replay_buffer, audio(0, "b"))
    replay_buffer.acknowledge({"a": 99}, answers=0)
    assert replay_buffer.take_unreceived({"a": 99}, 0) == ([audio(0, "b")], set())


def test_answer_numbers_continue_over_acknowledged_and_dropped_events(
    replay_buffer: ReplayBuffer, clock: Clock
) -> None:
    store(replay_buffer, done("a"), done("b"))
    replay_buffer.acknowledge({}, answers=1)
    store(replay_buffer, done("c"))
    again, _ = replay_buffer.take_unreceived({}, answers=2)
    assert again == [done("c")]
    store(replay_buffer, *again)
    assert replay_buffer.take_unreceived({}, answers=3)[0] == []


def test_after_a_loss_answer_numbers_follow_the_client(replay_buffer: ReplayBuffer) -> None:
    store(replay_buffer, audio(0, size=60_000), Retracted("a", 0))
    assert replay_buffer.make_room(99_000), "both are dropped"
    assert replay_buffer.take_unreceived({}, answers=0)[1] == {"a"}
    store(replay_buffer, done("b"))
    assert replay_buffer.take_unreceived({}, answers=1)[0] == []


# --- dropping -------------------------------------------------------------------------------------


def test_expired_events_are_dropped_and_reported_lost(
    replay_buffer: ReplayBuffer, clock: Clock
) -> None:
    store(replay_buffer, audio(0), audio(0, "b"))
    clock.now_s = 20
    store(replay_buffer, audio(1), audio(1, "b"))
    clock.now_s = 31
    replay_buffer.drop_expired()
    again, lost = replay_buffer.take_unreceived({"a": 0}, None)
    assert lost == {"b"}
    assert again == [audio(1)]


def test_dropped_but_received_audio_is_not_lost(replay_buffer: ReplayBuffer, clock: Clock) -> None:
    store(replay_buffer, audio(0), audio(1), audio(2))
    clock.now_s = 31
    replay_buffer.drop_expired()
    assert replay_buffer.size_bytes == 0
    assert replay_buffer.take_unreceived({"a": 2}, None) == ([], set())


def test_a_loss_is_reported_once(replay_buffer: ReplayBuffer, clock: Clock) -> None:
    store(replay_buffer, audio(0))
    clock.now_s = 31
    replay_buffer.drop_expired()
    assert replay_buffer.take_unreceived({}, None)[1] == {"a"}
    assert replay_buffer.take_unreceived({}, None)[1] == set()


def test_nothing_expires_while_the_client_is_away(
    replay_buffer: ReplayBuffer, clock: Clock
) -> None:
    store(replay_buffer, audio(0))
    clock.now_s = 29
    replay_buffer.is_client_away = True
    clock.now_s = 58
    replay_buffer.drop_expired()
    assert replay_buffer.take_unreceived({}, None) == ([audio(0)], set())
    assert not replay_buffer.is_client_away


def test_old_audio_is_evicted_for_new(replay_buffer: ReplayBuffer) -> None:
    store(replay_buffer, audio(0, size=60_000), audio(1, size=30_000))
    assert replay_buffer.make_room(50_000)
    assert replay_buffer.size_bytes == event_size_bytes(audio(1, size=30_000))
    assert not replay_buffer.make_room(100_001), "over the limit"


def test_nothing_is_evicted_for_an_event_over_the_limit(replay_buffer: ReplayBuffer) -> None:
    store(replay_buffer, audio(0))
    assert not replay_buffer.make_room(100_001)
    assert replay_buffer.take_unreceived({}, None)[0] == [audio(0)]


def test_nothing_is_evicted_while_the_client_is_away(replay_buffer: ReplayBuffer) -> None:
    store(replay_buffer, audio(0, size=60_000))
    replay_buffer.is_client_away = True
    assert not replay_buffer.make_room(50_000)
    assert replay_buffer.make_room(30_000)
    assert replay_buffer.take_unreceived({}, None)[0] == [audio(0, size=60_000)]


def test_nothing_is_evicted_for_a_client_that_acknowledges(replay_buffer: ReplayBuffer) -> None:
    replay_buffer.acknowledge({}, None)
    store(replay_buffer, audio(0, size=60_000))
    assert not replay_buffer.make_room(50_000)
    replay_buffer.acknowledge({"a": 0}, None)
    assert replay_buffer.make_room(50_000)


def test_contexts_named_in_acknowledgements_do_not_expire(
    replay_buffer: ReplayBuffer, clock: Clock
) -> None:
    replay_buffer.acknowledge({"a": -1}, 0)
    store(replay_buffer, audio(0), Retracted("a", 1), audio(0, "forgotten"))
    clock.now_s = 3600
    replay_buffer.drop_expired()
    assert len(replay_buffer.take_unreceived({"a": -1}, 0)[0]) == 3


def test_contexts_no_longer_named_expire(replay_buffer: ReplayBuffer, clock: Clock) -> None:
    replay_buffer.acknowledge({"a": -1}, None)
    store(replay_buffer, audio(0, size=90_000))
    replay_buffer.acknowledge({}, None)  # context no longer named
    assert not replay_buffer.make_room(50_000)
    clock.now_s = 31
    replay_buffer.drop_expired()
    assert replay_buffer.make_room(50_000)


def test_answers_do_not_evict_audio_of_a_client_that_acknowledges(
    replay_buffer: ReplayBuffer,
) -> None:
    replay_buffer.acknowledge({"a": -1}, 0)
    store(replay_buffer, audio(0, size=99_000), *[Retracted("a", n) for n in range(500)])
    assert replay_buffer.take_unreceived({"a": -1}, 0)[1] == set()


def test_unacknowledged_answers_are_bounded(replay_buffer: ReplayBuffer) -> None:
    replay_buffer.acknowledge({"a": -1}, 0)
    store(replay_buffer, audio(0), *[Retracted("a", n) for n in range(100_000)])
    assert replay_buffer.size_bytes < 700_000
    again, lost = replay_buffer.take_unreceived({"a": -1}, 100_000)
    assert lost == {"a"}, "the evicted audio is reported"
    assert again == []


def test_finished_contexts_leave_no_loss_records(replay_buffer: ReplayBuffer, clock: Clock) -> None:
    for number in range(1000):
        store(replay_buffer, audio(0, f"c{number}"), done(f"c{number}"))
        clock.now_s += 31
        replay_buffer.drop_expired()
    assert replay_buffer.size_bytes == 0
    assert not replay_buffer._dropped_audio
    assert len(replay_buffer._dropped_answers) == 1000


def test_a_dropped_answer_is_lost_for_a_client_that_counts_answers(
    replay_buffer: ReplayBuffer, clock: Clock
) -> None:
    store(replay_buffer, audio(0), done(), Retracted("b", 0), done("b"), done("c"))
    clock.now_s = 31
    replay_buffer.drop_expired()
    assert replay_buffer.take_unreceived({"a": 0}, answers=2) == ([], {"b", "c"})


def test_a_dropped_but_received_answer_is_not_lost(
    replay_buffer: ReplayBuffer, clock: Clock
) -> None:
    store(replay_buffer, audio(0), done(), audio(0, "b"))
    clock.now_s = 31
    replay_buffer.drop_expired()
    assert replay_buffer.take_unreceived({"b": 0}, answers=1) == ([], set())


@pytest.mark.parametrize("forgotten", [0, 1, 3])
def test_the_oldest_contexts_with_a_dropped_answer_are_forgotten_beyond_1000(
    replay_buffer: ReplayBuffer, clock: Clock, forgotten: int
) -> None:
    names = [f"c{number}" for number in range(1000 + forgotten)]
    store(replay_buffer, *(Failed(name, "engine_failed", "") for name in names))
    clock.now_s = 31
    replay_buffer.drop_expired()
    _, lost = replay_buffer.take_unreceived({}, answers=0)
    assert lost == set(names[forgotten:])
