"""What is kept of what was sent: until it is acknowledged, too old, or too much."""

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
def kept(clock: Clock) -> ReplayBuffer:
    return ReplayBuffer(limit_bytes=100_000, ttl_s=30.0, clock=clock)


def audio(seq: int, context: str = "a", size: int = 2) -> Audio:
    return Audio(context, seq, 0.0, 10.0, (seq, seq + 1), (), bytes(size))


def done(context: str = "a") -> Done:
    return Done(context, 0.0, 0, 0)


def keep(kept: ReplayBuffer, *events: ReplayableEvent) -> None:
    for event in events:
        kept.store(event)


def test_answers_and_audio_are_kept_and_what_is_of_the_connection_is_not() -> None:
    for event in (audio(0), done(), Cancelled("a", 0, 0.0), Retracted("a", 0), Failed("a", "", "")):
        assert is_replayable(event)
    assert not is_replayable(Pong("x"))
    assert not is_replayable(Ready("s", "t", "heart", 24000, "pcm_s16le"))


def test_what_was_not_received_comes_back_in_order(kept: ReplayBuffer) -> None:
    keep(kept, audio(0), audio(0, "b"), audio(1), Retracted("a", 5), audio(1, "b"), done())
    again, lost = kept.take_unreceived({"a": 0, "b": 0}, answers=0)
    assert again == [audio(1), Retracted("a", 5), audio(1, "b"), done()]
    assert lost == set()


def test_what_was_taken_back_is_not_kept_any_more(kept: ReplayBuffer) -> None:
    keep(kept, audio(0))
    kept.take_unreceived({}, None)
    assert kept.size_bytes == 0
    assert kept.take_unreceived({}, None) == ([], set())


def test_a_client_that_has_nothing_gets_everything(kept: ReplayBuffer) -> None:
    keep(kept, Failed(None, "bad_json", ""), audio(0), done())
    again, _ = kept.take_unreceived({}, None)
    assert again == [Failed(None, "bad_json", ""), audio(0), done()]


def test_before_an_audio_that_was_received_all_was_received(kept: ReplayBuffer) -> None:
    keep(kept, audio(0), Retracted("a", 5), done(), audio(0, "b"), audio(1, "b"))
    assert kept.take_unreceived({"b": 0}, None)[0] == [audio(1, "b")]


def test_answers_behind_the_last_audio_are_told_again_unless_they_are_counted(
    kept: ReplayBuffer,
) -> None:
    keep(kept, audio(0), Retracted("a", 5), done())
    assert kept.take_unreceived({"a": 0}, None)[0] == [Retracted("a", 5), done()]
    keep(kept, Retracted("a", 5), done())
    assert kept.take_unreceived({"a": 0}, answers=1)[0] == [done()]
    keep(kept, done())
    assert kept.take_unreceived({"a": 0}, answers=2)[0] == []


def test_an_answer_that_was_received_says_that_the_audio_before_it_was(kept: ReplayBuffer) -> None:
    keep(kept, audio(0), done(), audio(0, "b"))
    assert kept.take_unreceived({}, answers=1)[0] == [audio(0, "b")]


def test_acknowledging_frees(kept: ReplayBuffer) -> None:
    keep(kept, audio(0), audio(1), done(), audio(0, "b"))
    kept.acknowledge({"a": 1}, answers=0)
    assert kept.size_bytes == event_size_bytes(done()) + event_size_bytes(audio(0))
    kept.acknowledge({"a": 1}, answers=1)
    assert kept.size_bytes == event_size_bytes(audio(0))
    kept.acknowledge({"a": 1, "b": 0}, answers=1)
    assert kept.size_bytes == 0


def test_acknowledging_what_never_was_changes_nothing(kept: ReplayBuffer) -> None:
    keep(kept, audio(0, "b"))
    kept.acknowledge({"a": 99}, answers=0)
    assert kept.take_unreceived({"a": 99}, 0) == ([audio(0, "b")], set())


def test_answers_are_counted_through_acknowledging_and_forgetting(
    kept: ReplayBuffer, clock: Clock
) -> None:
    keep(kept, done("a"), done("b"))
    kept.acknowledge({}, answers=1)
    keep(kept, done("c"))
    again, _ = kept.take_unreceived({}, answers=2)
    assert again == [done("c")]
    keep(kept, *again)
    assert kept.take_unreceived({}, answers=3)[0] == []


def test_after_a_loss_answers_are_counted_as_the_client_counts_them(kept: ReplayBuffer) -> None:
    keep(kept, audio(0, size=60_000), Retracted("a", 0))
    assert kept.make_room(99_000), "both are forgotten"
    assert kept.take_unreceived({}, answers=0)[1] == {"a"}
    keep(kept, done("b"))
    assert kept.take_unreceived({}, answers=1)[0] == []


# --- forgetting -----------------------------------------------------------------------------------


def test_what_is_too_old_is_forgotten_and_told_to_be_lost(kept: ReplayBuffer, clock: Clock) -> None:
    keep(kept, audio(0), audio(0, "b"))
    clock.now_s = 20
    keep(kept, audio(1), audio(1, "b"))
    clock.now_s = 31
    kept.drop_expired()
    again, lost = kept.take_unreceived({"a": 0}, None)
    assert lost == {"b"}
    assert again == [audio(1)]


def test_what_is_forgotten_but_was_received_is_no_loss(kept: ReplayBuffer, clock: Clock) -> None:
    keep(kept, audio(0), audio(1), audio(2))
    clock.now_s = 31
    kept.drop_expired()
    assert kept.size_bytes == 0
    assert kept.take_unreceived({"a": 2}, None) == ([], set())


def test_a_loss_is_told_once(kept: ReplayBuffer, clock: Clock) -> None:
    keep(kept, audio(0))
    clock.now_s = 31
    kept.drop_expired()
    assert kept.take_unreceived({}, None)[1] == {"a"}
    assert kept.take_unreceived({}, None)[1] == set()


def test_while_the_client_is_away_nothing_gets_too_old(kept: ReplayBuffer, clock: Clock) -> None:
    keep(kept, audio(0))
    clock.now_s = 29
    kept.is_client_away = True
    clock.now_s = 58
    kept.drop_expired()
    assert kept.take_unreceived({}, None) == ([audio(0)], set())
    assert not kept.is_client_away


def test_old_audio_makes_room_for_new(kept: ReplayBuffer) -> None:
    keep(kept, audio(0, size=60_000), audio(1, size=30_000))
    assert kept.make_room(50_000)
    assert kept.size_bytes == event_size_bytes(audio(1, size=30_000))
    assert not kept.make_room(100_001), "more than there is"


def test_for_what_can_never_fit_nothing_is_forgotten(kept: ReplayBuffer) -> None:
    keep(kept, audio(0))
    assert not kept.make_room(100_001)
    assert kept.take_unreceived({}, None)[0] == [audio(0)]


def test_while_the_client_is_away_new_audio_waits(kept: ReplayBuffer) -> None:
    keep(kept, audio(0, size=60_000))
    kept.is_client_away = True
    assert not kept.make_room(50_000)
    assert kept.make_room(30_000)
    assert kept.take_unreceived({}, None)[0] == [audio(0, size=60_000)]


def test_for_a_client_that_acknowledges_new_audio_waits(kept: ReplayBuffer) -> None:
    kept.acknowledge({}, None)
    keep(kept, audio(0, size=60_000))
    assert not kept.make_room(50_000)
    kept.acknowledge({"a": 0}, None)
    assert kept.make_room(50_000)


def test_what_a_client_speaks_of_does_not_get_too_old(kept: ReplayBuffer, clock: Clock) -> None:
    kept.acknowledge({"a": -1}, 0)
    keep(kept, audio(0), Retracted("a", 1), audio(0, "forgotten"))
    clock.now_s = 3600
    kept.drop_expired()
    assert len(kept.take_unreceived({"a": -1}, 0)[0]) == 3


def test_a_context_that_the_client_speaks_of_no_more_does_not_fill_the_room_for_ever(
    kept: ReplayBuffer, clock: Clock
) -> None:
    kept.acknowledge({"a": -1}, None)
    keep(kept, audio(0, size=90_000))
    kept.acknowledge({}, None)  # it has finished with it
    assert not kept.make_room(50_000)
    clock.now_s = 31
    kept.drop_expired()
    assert kept.make_room(50_000)


def test_answers_do_not_push_out_the_audio_of_a_client_that_acknowledges(
    kept: ReplayBuffer,
) -> None:
    kept.acknowledge({"a": -1}, 0)
    keep(kept, audio(0, size=99_000), *[Retracted("a", n) for n in range(500)])
    assert kept.take_unreceived({"a": -1}, 0)[1] == set()


def test_answers_that_nobody_acknowledges_are_bounded(kept: ReplayBuffer) -> None:
    kept.acknowledge({"a": -1}, 0)
    keep(kept, audio(0), *[Retracted("a", n) for n in range(100_000)])
    assert kept.size_bytes < 700_000
    again, lost = kept.take_unreceived({"a": -1}, 100_000)
    assert lost == {"a"}, "what was forgotten for them is told"
    assert again == []


def test_finished_contexts_leave_nothing_behind(kept: ReplayBuffer, clock: Clock) -> None:
    for number in range(1000):
        keep(kept, audio(0, f"c{number}"), done(f"c{number}"))
        clock.now_s += 31
        kept.drop_expired()
    assert kept.size_bytes == 0
    assert not kept._dropped_audio
    assert len(kept._dropped_answers) == 1000


def test_an_answer_that_is_forgotten_is_a_loss_to_a_client_that_counts_them(
    kept: ReplayBuffer, clock: Clock
) -> None:
    keep(kept, audio(0), done(), Retracted("b", 0), done("b"), done("c"))
    clock.now_s = 31
    kept.drop_expired()
    assert kept.take_unreceived({"a": 0}, answers=2) == ([], {"b", "c"})


def test_an_answer_that_is_forgotten_but_was_received_is_no_loss(
    kept: ReplayBuffer, clock: Clock
) -> None:
    keep(kept, audio(0), done(), audio(0, "b"))
    clock.now_s = 31
    kept.drop_expired()
    assert kept.take_unreceived({"b": 0}, answers=1) == ([], set())
