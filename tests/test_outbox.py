"""What waits to be written, and what happens when that is too much."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import SlowClient
from backend.events import Audio, Done, Event, Pong, Ready, Retracted
from backend.outbox import Outbox
from backend.retention import Retention
from tests import clock


def audio(seq: int, context: str = "a") -> Audio:
    return Audio(context, seq, 0.0, 10.0, (seq, seq + 1), (), b"\0\0")


async def turn() -> None:
    """Let every task run until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


def read_all(outbox: Outbox) -> list[Event]:
    events = []
    while len(outbox):
        coroutine = outbox.get()
        with pytest.raises(StopIteration) as stop:
            coroutine.send(None)  # must not wait
        events.append(stop.value.value)
    return events


async def test_events_come_out_in_the_order_they_went_in() -> None:
    outbox = Outbox(10)
    await outbox.put(audio(0))
    outbox.post(Pong(1))
    await outbox.put(audio(1))
    assert read_all(outbox) == [audio(0), Pong(1), audio(1)]


async def test_audio_waits_for_room_and_answers_do_not() -> None:
    outbox = Outbox(2)
    await outbox.put(audio(0))
    await outbox.put(audio(1))
    third = asyncio.create_task(outbox.put(audio(2)))
    await turn()
    assert not third.done()
    outbox.post(Pong(1))
    assert len(outbox) == 3
    assert await outbox.get() == audio(0)
    await third
    assert read_all(outbox) == [audio(1), Pong(1), audio(2)]


async def test_reading_an_answer_makes_no_room_for_audio() -> None:
    outbox = Outbox(1)
    outbox.post(Pong(1))
    await outbox.put(audio(0))
    second = asyncio.create_task(outbox.put(audio(1)))
    await outbox.get()
    await turn()
    assert not second.done()
    second.cancel()


async def test_never_more_audio_than_the_limit_however_many_wait() -> None:
    outbox = Outbox(2)
    tasks = [asyncio.create_task(outbox.put(audio(n, f"c{n}"))) for n in range(20)]
    read = 0
    while read < 20:
        await turn()
        assert 0 < len(outbox) <= 2
        await outbox.get()
        read += 1
    await asyncio.gather(*tasks)


async def test_a_cancelled_put_has_queued_nothing_and_holds_up_nobody() -> None:
    outbox = Outbox(1)
    await outbox.put(audio(0))
    cancelled = asyncio.create_task(outbox.put(audio(1)))
    waiting = asyncio.create_task(outbox.put(audio(2, "b")))
    await turn()
    cancelled.cancel()
    await turn()
    assert await outbox.get() == audio(0)
    await waiting
    assert read_all(outbox) == [audio(2, "b")]


async def test_a_reader_waits_for_the_next_event() -> None:
    outbox = Outbox(1)
    reader = asyncio.create_task(outbox.get())
    await turn()
    assert not reader.done()
    outbox.post(Pong(1))
    assert await reader == Pong(1)


async def test_a_cancelled_reader_loses_nothing() -> None:
    outbox = Outbox(1)
    reader = asyncio.create_task(outbox.get())
    await turn()
    outbox.post(Pong(1))
    reader.cancel()
    await turn()
    assert read_all(outbox) == [Pong(1)]


async def test_purge_drops_the_audio_of_one_context_only() -> None:
    outbox = Outbox(10)
    for event in (audio(0), audio(0, "b"), audio(1)):
        await outbox.put(event)
    outbox.post(Done("a", 1.0, 1, 1))
    assert outbox.purge("a") == [audio(0), audio(1)]
    assert read_all(outbox) == [audio(0, "b"), Done("a", 1.0, 1, 1)]
    assert outbox.purge("a") == []


async def test_purge_makes_room() -> None:
    outbox = Outbox(1)
    await outbox.put(audio(0))
    waiting = asyncio.create_task(outbox.put(audio(0, "b")))
    await turn()
    outbox.purge("a")
    await waiting
    assert read_all(outbox) == [audio(0, "b")]


async def test_purge_tells_equal_messages_apart_by_identity() -> None:
    outbox = Outbox(10)
    await outbox.put(audio(0))
    await outbox.put(audio(0))
    assert len(outbox.purge("a")) == 2
    assert len(outbox) == 0


async def test_emptied_when_all_is_read_or_purged() -> None:
    outbox = Outbox(10)
    await outbox.emptied()
    await outbox.put(audio(0))
    await outbox.put(audio(1))
    waiting = asyncio.create_task(outbox.emptied())
    await outbox.get()
    await turn()
    assert not waiting.done()
    outbox.purge("a")
    await waiting


async def test_a_client_that_asks_and_never_reads_is_found_out() -> None:
    outbox = Outbox(5)
    for n in range(5):
        await outbox.put(audio(n))
    for n in range(1000):
        outbox.post(Pong(n))
    with pytest.raises(SlowClient):
        outbox.post(Pong(1000))
    assert len(outbox) == 1005


# --- a client that comes back ---------------------------------------------------------------------


def resumable(limit_bytes: int = 10_000, audio_limit: int = 100) -> Outbox:
    return Outbox(audio_limit, Retention(limit_bytes, 30.0, clock=lambda: 0.0))


def big(seq: int, context: str = "a") -> Audio:
    """Takes 3,000 bytes, with what is beside the audio."""
    return Audio(context, seq, 0.0, 10.0, (seq, seq + 1), (), bytes(2500))


async def test_what_was_read_is_read_again_after_a_rewind() -> None:
    outbox = resumable()
    for event in (audio(0), audio(1), audio(2)):
        await outbox.put(event)
    outbox.post(Done("a", 1.0, 1, 1))
    assert [await outbox.get() for _ in range(2)] == [audio(0), audio(1)]
    assert outbox.rewind({"a": 0}, None) == set()
    assert read_all(outbox) == [audio(1), audio(2), Done("a", 1.0, 1, 1)]


async def test_what_is_of_the_broken_connection_is_not_said_on_the_next() -> None:
    outbox = resumable()
    outbox.post(Ready("s", "t", "heart", 24000, "pcm_s16le"))
    outbox.post(Pong(1))
    await outbox.put(audio(0))
    await outbox.get()
    outbox.rewind({}, None)
    assert read_all(outbox) == [audio(0)]


async def test_the_greeting_comes_before_all_else() -> None:
    outbox = resumable()
    await outbox.put(audio(0))
    await outbox.get()
    outbox.rewind({}, None)
    ready = Ready("s", "t", "heart", 24000, "pcm_s16le")
    outbox.greet(ready)
    assert read_all(outbox) == [ready, audio(0)]


async def test_a_reader_who_is_cancelled_with_a_message_in_his_hand_has_lost_none() -> None:
    outbox = resumable()
    await outbox.put(audio(0))

    async def write() -> None:
        await outbox.get()
        await asyncio.Event().wait()  # the socket takes nothing

    writing = asyncio.create_task(write())
    await turn()
    writing.cancel()
    await turn()
    outbox.leave()
    outbox.rewind({}, None)
    assert read_all(outbox) == [audio(0)]


async def test_what_waits_and_what_is_kept_share_one_limit() -> None:
    outbox = resumable()
    for seq in range(3):
        await outbox.put(big(seq))
    outbox.acknowledge({}, 0)
    fourth = asyncio.create_task(outbox.put(big(3)))
    await outbox.get()
    await turn()
    assert not fourth.done(), "what was read is not known to be received"
    outbox.acknowledge({"a": 0}, 0)
    await fourth
    assert read_all(outbox) == [big(1), big(2), big(3)]


async def test_a_client_that_never_acknowledges_is_served_without_end() -> None:
    outbox = resumable()
    for seq in range(100):
        await outbox.put(big(seq))
        assert await outbox.get() == big(seq)
    assert outbox.rewind({"a": 98}, None) == set()
    assert read_all(outbox) == [big(99)]
    assert outbox.rewind({"a": 1}, None) == {"a"}


async def test_while_nobody_reads_speech_goes_on_as_far_as_there_is_room() -> None:
    outbox = resumable()
    await outbox.put(big(0))
    await outbox.get()
    outbox.leave()
    for seq in (1, 2):
        await outbox.put(big(seq))
    third = asyncio.create_task(outbox.put(big(3)))
    await turn()
    assert not third.done()
    outbox.rewind({"a": 0}, None)
    await turn()
    assert third.done(), "the client is back, and has made room"
    assert read_all(outbox) == [big(1), big(2), big(3)]


async def test_a_context_that_has_lost_something_says_nothing_more() -> None:
    outbox = resumable()
    for seq in range(4):
        await outbox.put(big(seq))
        await outbox.get()
    await outbox.put(audio(4))
    await outbox.put(audio(0, "b"))
    outbox.post(Done("a", 1.0, 1, 1))
    assert outbox.rewind({}, None) == {"a"}
    assert outbox.endings() == set()
    assert read_all(outbox) == [audio(0, "b")]


async def test_purge_drops_what_is_to_be_read_again() -> None:
    outbox = resumable()
    await outbox.put(audio(0))
    await outbox.get()
    outbox.rewind({}, None)
    assert outbox.purge("a") == [audio(0)]
    await outbox.emptied()


class Line:
    """A line that breaks: what was written to it and not delivered is lost."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.on_its_way: list[Event] = []
        self.after: dict[str, int] = {name: -1 for name in "abc"}
        self.answers = 0
        self.received: list[Event] = []
        self.lost: set[str] = set()

    def write(self, count: int) -> None:
        for _ in range(min(count, len(self.outbox))):
            coroutine = self.outbox.get()
            with pytest.raises(StopIteration) as stop:
                coroutine.send(None)
            self.on_its_way.append(stop.value.value)

    def deliver(self, count: int) -> None:
        for event in self.on_its_way[:count]:
            self.received.append(event)
            if isinstance(event, Audio):
                assert event.seq == self.after[event.context] + 1, "twice, or not at all"
                self.after[event.context] = event.seq
            else:
                self.answers += 1
        del self.on_its_way[:count]

    def breaks(self) -> None:
        self.on_its_way.clear()
        self.outbox.leave()

    def resume(self) -> set[str]:
        """Returns the contexts that are lost with it."""
        lost = self.outbox.rewind(dict(self.after), self.answers)
        self.lost |= lost
        return lost


moves = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from("abc")),
        st.tuples(st.just("answer"), st.sampled_from("abc")),
        st.tuples(st.just("write"), st.integers(1, 4)),
        st.tuples(st.just("deliver"), st.integers(1, 4)),
        st.tuples(st.sampled_from(["break", "ask", "hear", "time", "time"]), st.just(0)),
    ),
    max_size=60,
)


@given(moves, st.booleans(), st.sampled_from([3_000, 9_000, 1_000_000]))
def test_through_any_breaks_everything_comes_once_or_is_told_to_be_lost(
    story: list[tuple[str, Any]], acknowledges: bool, limit_bytes: int
) -> None:
    clock.run(play(story, acknowledges, limit_bytes))


async def play(story: list[tuple[str, Any]], acknowledges: bool, limit_bytes: int) -> None:
    now_s = 0.0
    outbox = Outbox(5, Retention(limit_bytes, 30.0, clock=lambda: now_s))
    line = Line(outbox)
    if acknowledges:
        outbox.acknowledge(line.after, 0)
    asked: list[tuple[dict[str, int], int]] = []  # acknowledgements on their way
    puts: dict[str, list[asyncio.Task[None]]] = {name: [] for name in "abc"}
    answers: list[Event] = []

    def resume() -> None:
        for name in line.resume():
            for task in puts[name]:  # a session stops them
                task.cancel()

    async def put_after(before: list[asyncio.Task[None]], event: Audio) -> None:
        await asyncio.gather(*before)
        await outbox.put(event)

    for move, of in story:
        match move:
            case "put" if of not in line.lost:
                coroutine = put_after(puts[of][-1:], big(len(puts[of]), of))
                puts[of].append(asyncio.create_task(coroutine))
            case "answer":
                answers.append(Retracted(of, len(answers)))
                outbox.post(answers[-1])
            case "write":
                line.write(of)
            case "deliver":
                line.deliver(of)
            case "break":
                line.breaks()
                asked.clear()
                resume()
            case "ask":
                asked.append((dict(line.after), line.answers))
            case "hear" if asked and acknowledges:
                outbox.acknowledge(*asked.pop(0))
            case "time":
                now_s += 31
                outbox.expire()
        await turn()
    line.breaks()
    for _ in range(200):  # and all that is left
        resume()
        await turn()
        line.write(1000)
        line.deliver(1000)
        await turn()
    assert all(task.done() for each in puts.values() for task in each), "nobody waits for ever"
    assert not (acknowledges and line.lost), "nothing is lost to a client that acknowledges"
    for name in set("abc") - line.lost:
        assert line.after[name] == len(puts[name]) - 1
        told = [event for event in line.received if event in answers and event.context == name]
        assert told == [event for event in answers if event.context == name]
