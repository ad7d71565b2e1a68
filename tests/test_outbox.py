"""What waits to be written, and what happens when that is too much."""

from __future__ import annotations

import asyncio

import pytest

from backend.errors import SlowClient
from backend.events import Audio, Done, Event, Pong
from backend.outbox import Outbox


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
