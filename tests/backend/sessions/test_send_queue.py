"""`SendQueue`: order, limits and replay."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import SlowClient
from backend.events import Audio, Done, Event, Pong, Ready, Retracted
from backend.sessions.replay_buffer import ReplayBuffer
from backend.sessions.send_queue import SendQueue
from tests.support import clock


def audio(seq: int, context: str = "a") -> Audio:
    return Audio(context, seq, 0.0, 10.0, (seq, seq + 1), (), b"\0\0")


async def turn() -> None:
    """Run every task until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


def read_all(send_queue: SendQueue) -> list[Event]:
    events = []
    while len(send_queue):
        coroutine = send_queue.get()
        with pytest.raises(StopIteration) as stop:
            coroutine.send(None)  # must not wait
        events.append(stop.value.value)
    return events


async def test_events_are_taken_in_order() -> None:
    send_queue = SendQueue(10)
    await send_queue.put_audio(audio(0))
    send_queue.put_nowait(Pong(1))
    await send_queue.put_audio(audio(1))
    assert read_all(send_queue) == [audio(0), Pong(1), audio(1)]


async def test_audio_waits_for_room_and_answers_do_not() -> None:
    send_queue = SendQueue(2)
    await send_queue.put_audio(audio(0))
    await send_queue.put_audio(audio(1))
    third = asyncio.create_task(send_queue.put_audio(audio(2)))
    await turn()
    assert not third.done()
    send_queue.put_nowait(Pong(1))
    assert len(send_queue) == 3
    assert await send_queue.get() == audio(0)
    await third
    assert read_all(send_queue) == [audio(1), Pong(1), audio(2)]


async def test_taking_an_answer_frees_no_room_for_audio() -> None:
    send_queue = SendQueue(1)
    send_queue.put_nowait(Pong(1))
    await send_queue.put_audio(audio(0))
    second = asyncio.create_task(send_queue.put_audio(audio(1)))
    await send_queue.get()
    await turn()
    assert not second.done()
    second.cancel()


async def test_queued_audio_never_exceeds_the_limit() -> None:
    send_queue = SendQueue(2)
    tasks = [asyncio.create_task(send_queue.put_audio(audio(n, f"c{n}"))) for n in range(20)]
    read = 0
    while read < 20:
        await turn()
        assert 0 < len(send_queue) <= 2
        await send_queue.get()
        read += 1
    await asyncio.gather(*tasks)


async def test_a_cancelled_put_queues_nothing_and_blocks_no_other() -> None:
    send_queue = SendQueue(1)
    await send_queue.put_audio(audio(0))
    cancelled = asyncio.create_task(send_queue.put_audio(audio(1)))
    waiting = asyncio.create_task(send_queue.put_audio(audio(2, "b")))
    await turn()
    cancelled.cancel()
    await turn()
    assert await send_queue.get() == audio(0)
    await waiting
    assert read_all(send_queue) == [audio(2, "b")]


async def test_a_reader_waits_for_the_next_event() -> None:
    send_queue = SendQueue(1)
    reader = asyncio.create_task(send_queue.get())
    await turn()
    assert not reader.done()
    send_queue.put_nowait(Pong(1))
    assert await reader == Pong(1)


async def test_a_cancelled_reader_loses_nothing() -> None:
    send_queue = SendQueue(1)
    reader = asyncio.create_task(send_queue.get())
    await turn()
    send_queue.put_nowait(Pong(1))
    reader.cancel()
    await turn()
    assert read_all(send_queue) == [Pong(1)]


async def test_drop_audio_drops_one_context_only() -> None:
    send_queue = SendQueue(10)
    for event in (audio(0), audio(0, "b"), audio(1)):
        await send_queue.put_audio(event)
    send_queue.put_nowait(Done("a", 1.0, 1, 1))
    assert send_queue.drop_audio("a") == [audio(0), audio(1)]
    assert read_all(send_queue) == [audio(0, "b"), Done("a", 1.0, 1, 1)]
    assert send_queue.drop_audio("a") == []


async def test_drop_audio_frees_room() -> None:
    send_queue = SendQueue(1)
    await send_queue.put_audio(audio(0))
    waiting = asyncio.create_task(send_queue.put_audio(audio(0, "b")))
    await turn()
    send_queue.drop_audio("a")
    await waiting
    assert read_all(send_queue) == [audio(0, "b")]


async def test_drop_audio_compares_by_identity() -> None:
    send_queue = SendQueue(10)
    await send_queue.put_audio(audio(0))
    await send_queue.put_audio(audio(0))
    assert len(send_queue.drop_audio("a")) == 2
    assert len(send_queue) == 0


async def test_wait_empty_returns_when_all_is_taken_or_dropped() -> None:
    send_queue = SendQueue(10)
    await send_queue.wait_empty()
    await send_queue.put_audio(audio(0))
    await send_queue.put_audio(audio(1))
    waiting = asyncio.create_task(send_queue.wait_empty())
    await send_queue.get()
    await turn()
    assert not waiting.done()
    send_queue.drop_audio("a")
    await waiting


async def test_too_many_unread_answers_raise_slow_client() -> None:
    send_queue = SendQueue(5)
    for n in range(5):
        await send_queue.put_audio(audio(n))
    for n in range(1000):
        send_queue.put_nowait(Pong(n))
    with pytest.raises(SlowClient):
        send_queue.put_nowait(Pong(1000))
    assert len(send_queue) == 1005


# --- replay ---------------------------------------------------------------------------------------


def resumable(limit_bytes: int = 10_000, audio_limit: int = 100) -> SendQueue:
    return SendQueue(audio_limit, ReplayBuffer(limit_bytes, 30.0, clock=lambda: 0.0))


def big(seq: int, context: str = "a") -> Audio:
    """An event of 3,000 bytes, overhead included."""
    return Audio(context, seq, 0.0, 10.0, (seq, seq + 1), (), bytes(2500))


async def test_rewind_queues_unreceived_events_again() -> None:
    send_queue = resumable()
    for event in (audio(0), audio(1), audio(2)):
        await send_queue.put_audio(event)
    send_queue.put_nowait(Done("a", 1.0, 1, 1))
    assert [await send_queue.get() for _ in range(2)] == [audio(0), audio(1)]
    assert send_queue.rewind({"a": 0}, None) == set()
    assert read_all(send_queue) == [audio(1), audio(2), Done("a", 1.0, 1, 1)]


async def test_rewind_drops_ready_and_pong() -> None:
    send_queue = resumable()
    send_queue.put_nowait(Ready("s", "t", "heart", 24000, "pcm_s16le"))
    send_queue.put_nowait(Pong(1))
    await send_queue.put_audio(audio(0))
    await send_queue.get()
    send_queue.rewind({}, None)
    assert read_all(send_queue) == [audio(0)]


async def test_put_first_precedes_all_other_events() -> None:
    send_queue = resumable()
    await send_queue.put_audio(audio(0))
    await send_queue.get()
    send_queue.rewind({}, None)
    ready = Ready("s", "t", "heart", 24000, "pcm_s16le")
    send_queue.put_first(ready)
    assert read_all(send_queue) == [ready, audio(0)]


async def test_an_event_taken_by_a_cancelled_writer_is_replayed() -> None:
    send_queue = resumable()
    await send_queue.put_audio(audio(0))

    async def write() -> None:
        await send_queue.get()
        await asyncio.Event().wait()  # the write blocks

    writing = asyncio.create_task(write())
    await turn()
    writing.cancel()
    await turn()
    send_queue.mark_client_away()
    send_queue.rewind({}, None)
    assert read_all(send_queue) == [audio(0)]


async def test_queued_and_stored_events_share_one_limit() -> None:
    send_queue = resumable()
    for seq in range(3):
        await send_queue.put_audio(big(seq))
    send_queue.acknowledge({}, 0)
    fourth = asyncio.create_task(send_queue.put_audio(big(3)))
    await send_queue.get()
    await turn()
    assert not fourth.done(), "taken events may not have been received"
    send_queue.acknowledge({"a": 0}, 0)
    await fourth
    assert read_all(send_queue) == [big(1), big(2), big(3)]


async def test_a_client_that_never_acknowledges_is_not_blocked() -> None:
    send_queue = resumable()
    for seq in range(100):
        await send_queue.put_audio(big(seq))
        assert await send_queue.get() == big(seq)
    assert send_queue.rewind({"a": 98}, None) == set()
    assert read_all(send_queue) == [big(99)]
    assert send_queue.rewind({"a": 1}, None) == {"a"}


async def test_audio_is_queued_without_a_connection_up_to_the_limit() -> None:
    send_queue = resumable()
    await send_queue.put_audio(big(0))
    await send_queue.get()
    send_queue.mark_client_away()
    for seq in (1, 2):
        await send_queue.put_audio(big(seq))
    third = asyncio.create_task(send_queue.put_audio(big(3)))
    await turn()
    assert not third.done()
    send_queue.rewind({"a": 0}, None)
    await turn()
    assert third.done(), "resuming frees room"
    assert read_all(send_queue) == [big(1), big(2), big(3)]


async def test_contexts_with_lost_events_are_removed_from_the_queue() -> None:
    send_queue = resumable()
    for seq in range(4):
        await send_queue.put_audio(big(seq))
        await send_queue.get()
    await send_queue.put_audio(audio(4))
    await send_queue.put_audio(audio(0, "b"))
    send_queue.put_nowait(Done("a", 1.0, 1, 1))
    assert send_queue.rewind({}, None) == {"a"}
    assert send_queue.queued_endings() == set()
    assert read_all(send_queue) == [audio(0, "b")]


async def test_drop_audio_drops_replayed_audio() -> None:
    send_queue = resumable()
    await send_queue.put_audio(audio(0))
    await send_queue.get()
    send_queue.rewind({}, None)
    assert send_queue.drop_audio("a") == [audio(0)]
    await send_queue.wait_empty()


class UnreliableClient:
    """A client whose connection breaks: events written but not delivered are lost."""

    def __init__(self, limit_bytes: int) -> None:
        self.now_s = 0.0
        self.send_queue = SendQueue(5, ReplayBuffer(limit_bytes, 30.0, clock=lambda: self.now_s))
        self.puts: dict[str, list[asyncio.Task[None]]] = {name: [] for name in "abc"}
        self.posted: list[Retracted] = []
        self.in_transit: list[Event] = []
        self.asked: list[tuple[dict[str, int], int]] = []  # acknowledgements in transit
        self.after = dict.fromkeys("abc", -1)
        self.answers: list[Event] = []
        self.lost: set[str] = set()

    def put(self, context: str) -> None:
        puts = self.puts[context]

        async def put_after(before: list[asyncio.Task[None]], event: Audio) -> None:
            await asyncio.gather(*before)
            await self.send_queue.put_audio(event)

        if context not in self.lost:
            puts.append(asyncio.create_task(put_after(puts[-1:], big(len(puts), context))))

    def answer(self, context: str) -> None:
        self.posted.append(Retracted(context, len(self.posted)))
        self.send_queue.put_nowait(self.posted[-1])

    def posted_to(self, context: str) -> list[Retracted]:
        return [event for event in self.posted if event.context == context]

    def write(self, count: int) -> None:
        for _ in range(min(count, len(self.send_queue))):
            coroutine = self.send_queue.get()
            with pytest.raises(StopIteration) as stop:
                coroutine.send(None)
            self.in_transit.append(stop.value.value)

    def deliver(self, count: int) -> None:
        for event in self.in_transit[:count]:
            if isinstance(event, Audio):
                assert event.seq == self.after[event.context] + 1, "duplicate or missing"
                self.after[event.context] = event.seq
            else:
                self.answers.append(event)
        del self.in_transit[:count]

    def ask(self, _: int) -> None:
        self.asked.append((dict(self.after), len(self.answers)))

    def hear(self, _: int) -> None:
        if self.asked:
            self.send_queue.acknowledge(*self.asked.pop(0))

    def age(self, _: int) -> None:
        self.now_s += 31
        self.send_queue.drop_expired()

    def come_back(self, _: int) -> None:
        self.in_transit.clear()
        self.asked.clear()
        self.send_queue.mark_client_away()
        lost = self.send_queue.rewind(dict(self.after), len(self.answers))
        self.lost |= lost
        for name in lost:  # as a session does
            for task in self.puts[name]:
                task.cancel()


async def play(
    story: list[tuple[str, Any]], limit_bytes: int, *, acknowledges: bool
) -> UnreliableClient:
    client = UnreliableClient(limit_bytes)
    if acknowledges:
        client.send_queue.acknowledge(client.after, 0)
    for move, of in story:
        if acknowledges or move != "hear":
            getattr(client, move)(of)
        await turn()
    client.come_back(0)
    await turn()
    while len(client.send_queue):
        client.write(1000)
        client.deliver(1000)
        client.come_back(0)
        await turn()
    assert all(task.done() for each in client.puts.values() for task in each), "blocked forever"
    return client


names, few = st.sampled_from("abc"), st.integers(1, 4)
moves = st.one_of(
    st.tuples(st.sampled_from(["put", "answer"]), names),
    st.tuples(st.sampled_from(["write", "deliver", "come_back", "ask", "hear", "age"]), few),
)


@given(st.lists(moves, max_size=60), st.booleans(), st.sampled_from([3_000, 9_000, 1_000_000]))
def test_over_any_breaks_each_event_arrives_once_or_is_reported_lost(
    story: list[tuple[str, Any]], acknowledges: bool, limit_bytes: int
) -> None:
    client = clock.run(play(story, limit_bytes, acknowledges=acknowledges))
    assert not (acknowledges and client.lost), "nothing is lost to a client that acknowledges"
    for name in set("abc") - client.lost:
        assert client.after[name] == len(client.puts[name]) - 1
        received = [event for event in client.answers if event in client.posted_to(name)]
        assert received == client.posted_to(name)
