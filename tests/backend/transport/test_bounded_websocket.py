"""Many WebSocket frames: none is lost, others are not delayed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from websockets.exceptions import ConnectionClosed

from tests.backend.transport.test_bounded_http import HANDSHAKE, Peer, peer
from tests.support.live_server import LiveServer, live_server
from tests.support.loop_turns import time_callbacks

TEXT, PING, PONG, CONTINUED = 1, 9, 10, 0


def frame(payload: bytes, kind: int = TEXT, *, last: bool = True) -> bytes:
    """A short frame with a zero mask."""
    return bytes([last << 7 | kind, 0x80 | len(payload)]) + bytes(4) + payload


FLOODS = {
    "messages": frame(b"x") * 200_000,
    "pings": frame(b"", PING) * 200_000,
    "pongs": frame(b"", PONG) * 200_000,
    "fragments": frame(b"", last=False) + frame(b"", CONTINUED, last=False) * 200_000,
}


@asynccontextmanager
async def flooding(live: LiveServer) -> AsyncIterator[Peer]:
    """A connected peer that reads all answers."""
    async with peer(live) as sender:
        await sender.send(b"GET /ws/tts HTTP/1.1\r\nHost: x\r\n" + HANDSHAKE + b"\r\n")
        await sender.reader.readuntil(b"\r\n\r\n")
        reading = asyncio.create_task(sender.reader.read())
        yield sender
        reading.cancel()


@pytest.mark.slow
@pytest.mark.parametrize("kind", FLOODS)
async def test_a_flood_of_frames_does_not_block_the_loop(kind: str) -> None:
    async with (
        live_server() as live,
        flooding(live) as sender,
        live.connect() as other,
    ):
        sender.writer.write(FLOODS[kind])
        with time_callbacks() as longest_s:
            for number in range(30):
                await other.send("ping", id=str(number))
                assert (await other.receive())["id"] == str(number)
        assert longest_s() < 0.015  # it is 0.001; parsing a whole read takes 0.035 to 0.25


async def test_messages_received_at_once_are_answered_in_order() -> None:
    async with live_server() as live, live.connect() as client:
        for number in range(900):
            await client.send("ping", id=str(number))
        answers = [(await client.receive())["id"] for _ in range(900)]
        assert answers == [str(number) for number in range(900)]


async def test_long_and_fragmented_messages_arrive_whole() -> None:
    text = "word " * 3000
    async with live_server() as live, live.connect() as client:
        await client.send("text", context="a", text=text)
        parts = json.dumps({"type": "end", "context": "a"})
        await client.socket.send(iter(parts))
        done = (await client.receive_until("done"))[-1]
        assert done["characters"] == len(text)


async def test_too_many_fragments_close_the_connection() -> None:
    async with live_server() as live, live.connect() as client:
        with suppress(ConnectionClosed):
            await client.socket.send(" " for _ in range(10_000))
        assert await client.wait_closed() == 1009


async def test_a_peer_that_does_not_read_pongs_is_aborted() -> None:
    ping = frame(b"." * 125, PING) * 1000
    async with live_server() as live, peer(live) as silent:
        await silent.send(b"GET /ws/tts HTTP/1.1\r\nHost: x\r\n" + HANDSHAKE + b"\r\n")
        await silent.reader.readuntil(b"\r\n\r\n")
        silent.writer.transport.pause_reading()  # type: ignore[attr-defined]

        async def send() -> None:
            for _ in range(1000):
                silent.writer.write(ping)
                await silent.writer.drain()

        with pytest.raises(ConnectionError):
            await send()


async def test_a_close_frame_after_many_frames_is_handled() -> None:
    async with live_server() as live, live.connect(max_queue=None) as client:
        for number in range(500):
            await client.send("ping", id=str(number))
        async with asyncio.timeout(5):
            await client.socket.close()
        assert client.socket.close_code == 1000
