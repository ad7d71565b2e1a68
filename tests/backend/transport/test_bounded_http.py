"""Limits of unauthenticated HTTP requests, with both of uvicorn's parsers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from threading import Semaphore
from typing import Any

import httpx
import pytest

from backend.transport import bounded_http
from backend.transport.bounded_http import HEAD_BYTES, HEAD_LINES, BoundedH11
from tests.support.engines.fake_engine import FakeModel
from tests.support.live_server import LiveServer, live_server, wait_until
from tests.support.loop_turns import time_callbacks

PATIENCE_S = 0.3  # request timeout, where a test waits for it
HANDSHAKE = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
CHUNKED = b"POST /v1/speech HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(params=["httptools", "h11"], autouse=True)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name: str = request.param
    if name == "h11":
        monkeypatch.setattr(bounded_http, "_choose_http_protocol", lambda: BoundedH11)
    return name


class Peer:
    """Sends raw bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, *parts: bytes) -> None:
        with suppress(ConnectionError):
            for part in parts:
                self.writer.write(part)
                await self.writer.drain()

    async def status(self) -> int:
        """Status of the next response; 0 if closed without one."""
        async with asyncio.timeout(10):
            line = await self.reader.readline()
        return int(line.split()[1]) if line else 0

    async def closed(self) -> bytes:
        """Read until the server closes."""
        async with asyncio.timeout(10):
            return await self.reader.read()


@asynccontextmanager
async def peer(live: LiveServer, source: str = "127.0.0.1") -> AsyncIterator[Peer]:
    host, _, port = live.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), local_addr=(source, 0))
    try:
        yield Peer(reader, writer)
    finally:
        writer.close()


async def answers(live: LiveServer) -> bool:
    async with httpx.AsyncClient(base_url=live.http) as http:
        return (await http.get("/healthz")).status_code == 200


def in_parts(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), 1 << 16):
        yield data[at : at + (1 << 16)]


# --- size -----------------------------------------------------------------------------------------

ENDLESS = {
    "one header": b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * (8 << 20),
    "one name": b"GET / HTTP/1.1\r\n" + b"a" * (8 << 20),
    "many headers": b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * (1 << 20),
    "a URL": b"GET /" + b"a" * (8 << 20),
    "a method": b"G" * (8 << 20),
    "blank lines": b"\r\n" * (1 << 20),
    "a handshake": b"GET /ws/tts HTTP/1.1\r\nHost: x\r\n" + HANDSHAKE + b"A: " + b"a" * (8 << 20),
    "an extension of a chunk": CHUNKED + b"5;" + b"a" * (8 << 20),
    "trailers": CHUNKED + b"0\r\n" + b"A: b\r\n" * (1 << 20),
    "a second request": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /" + b"a" * (8 << 20),
}


@pytest.mark.parametrize("name", ENDLESS)
async def test_unbounded_input_is_refused_without_blocking_others(name: str) -> None:
    async with live_server() as live, peer(live) as sender, peer(live) as other:
        sending = asyncio.create_task(sender.send(*in_parts(ENDLESS[name])))
        await other.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await other.status() == 200
        if name == "a second request":
            assert await sender.status() == 200
            assert b" 431 " in await sender.closed()
        else:
            assert await sender.status() in (400, 414, 431)
            await sender.closed()
        await sending


async def test_a_refusal_names_the_limit_and_has_a_content_type() -> None:
    async with live_server() as live, peer(live) as sender:
        await sender.send(b"GET / HTTP/1.1\r\nA: " + b"a" * HEAD_BYTES)
        answer = await sender.closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 ")
    assert b"x-content-type-options: nosniff" in head
    assert str(HEAD_BYTES).encode() in body


@pytest.mark.parametrize("path", ["/healthz", "/ws/tts"])
@pytest.mark.parametrize(("over", "status"), [(-1, 200), (0, 200), (1, 431)])
async def test_the_limit_of_a_head_is_exact(path: str, over: int, status: int) -> None:
    start = f"GET {path} HTTP/1.1\r\nHost: x\r\n".encode()
    start += HANDSHAKE if path == "/ws/tts" else b""
    lengths = HEAD_BYTES + over - len(start) - 2
    lines = [b"A: " + b"a" * 7995 + b"\r\n"] * (lengths // 8000)
    rest = lengths - 8000 * len(lines)
    lines.append(b"A: " + b"a" * (rest - 5) + b"\r\n")
    head = start + b"".join(lines) + b"\r\n"
    assert len(head) == HEAD_BYTES + over
    async with live_server() as live, peer(live) as sender:
        await sender.send(head[:1000], head[1000:])
        assert await sender.status() == (101 if (path, status) == ("/ws/tts", 200) else status)


async def test_too_many_headers_are_refused() -> None:
    for lines, status in ((HEAD_LINES - 3, 200), (HEAD_LINES - 2, 431)):
        head = b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * lines + b"\r\n"
        async with live_server() as live, peer(live) as sender:
            await sender.send(head)
            assert await sender.status() == status


@pytest.mark.parametrize("more", [b"A: " + b"a" * 20_000 + b"\r\n", b"A: b\r\n" * 200])
async def test_an_oversized_websocket_handshake_is_answered(more: bytes) -> None:
    """websockets allows shorter and fewer lines than the server elsewhere."""
    async with live_server() as live, peer(live) as sender:
        await sender.send(b"GET /ws/tts HTTP/1.1\r\nHost: x\r\n" + HANDSHAKE + more + b"\r\n")
        assert b" 431 " in await sender.closed()


async def test_lines_of_a_body_do_not_count_as_head() -> None:
    body = b'{"text": "Hi.",' + b"\n" * 200_000 + b'"voice": "heart"}'
    head = f"POST /v1/speech HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    async with live_server() as live, peer(live) as sender:
        await sender.send(head + body)
        assert await sender.status() == 200


async def test_a_head_sent_byte_by_byte_is_parsed() -> None:
    async with live_server() as live, peer(live) as sender:
        for byte in b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n":
            await sender.send(bytes([byte]))
        assert await sender.status() == 200


async def test_pipelined_requests_are_answered_in_order() -> None:
    one = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    speech = b'{"text": "Hi."}'
    post = b"POST /v1/speech HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n" + speech
    last = one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    async with live_server() as live, peer(live) as sender:
        await sender.send(one * 3 + post + one * 300 + last)
        answer = await sender.closed()
    assert answer.count(b"HTTP/1.1 200 ") == 305


async def test_a_flood_of_pipelined_requests_does_not_block_the_loop() -> None:
    flood = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 5000
    async with live_server() as live, peer(live) as sender:
        sender.writer.write(flood)
        with time_callbacks() as longest_s:
            for _ in range(50):
                assert await sender.status() == 200
                while (await sender.reader.readline()).strip():
                    pass
                await sender.reader.readexactly(15)
        assert longest_s() < 0.03  # parsing a whole read takes 0.18


# --- timeouts -------------------------------------------------------------------------------------


async def test_a_silent_connection_is_closed_without_a_response() -> None:
    async with live_server(server={"request_timeout": PATIENCE_S}) as live, peer(live) as silent:
        assert await silent.closed() == b""
        assert await answers(live)


SLOW = {
    "a head": (b"GET /healthz HTTP/1.1\r\n", b"A"),
    "a body": (b"POST /v1/speech HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n", b" "),
    "chunks": (CHUNKED, b"1\r\n \r\n"),
    "an extension": (CHUNKED + b"1;", b"a"),
}


@pytest.mark.parametrize("name", SLOW)
async def test_slow_bytes_do_not_extend_the_timeout(name: str) -> None:
    begin, more = SLOW[name]
    async with live_server(server={"request_timeout": PATIENCE_S}) as live, peer(live) as slow:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        status = asyncio.create_task(slow.status())
        await slow.send(begin)
        while not status.done():
            await slow.send(more)
            await asyncio.sleep(PATIENCE_S / 20)
            assert loop.time() - began_s < 20 * PATIENCE_S
        assert await status == 408
        assert await answers(live)


async def test_the_timeout_restarts_with_each_request() -> None:
    """Even if the first byte of the next one has stopped uvicorn's own timer."""
    get = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    async with live_server(server={"request_timeout": PATIENCE_S}) as live, peer(live) as sender:
        await sender.send(get)
        assert await sender.status() == 200
        await sender.send(b"G")
        assert b" 408 " in await sender.closed()


async def test_a_response_may_take_longer_than_the_request_timeout() -> None:
    """Speech waits for its gate, three times the request timeout."""
    gate = Semaphore(1)  # for the warm-up
    body = b'{"text": "Hi."}'
    post = b"POST /v1/speech HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n" + body
    async with (
        live_server(FakeModel(gate=gate), server={"request_timeout": 0.1}) as live,
        peer(live) as sender,
        live.connect() as client,
    ):
        await sender.send(post)
        await asyncio.sleep(0.3)
        gate.release(1000)
        assert await sender.status() == 200
        assert await client.speak_text("a", "A socket has no such limit.")


async def test_a_large_body_gets_more_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounded_http, "_BODY_BYTES_PER_S", 1000)
    text = b'{"text": "' + b" " * 4000 + b'Hi."}'
    head = f"POST /v1/speech HTTP/1.1\r\nHost: x\r\nContent-Length: {len(text)}\r\n\r\n"
    async with live_server(server={"request_timeout": 0.2}) as live, peer(live) as sender:
        await sender.send(head.encode())
        for at in range(0, len(text), 500):  # takes 0.4 s of 4.2 allowed
            await sender.send(text[at : at + 500])
            await asyncio.sleep(0.05)
        assert await sender.status() == 200


async def test_an_oversized_body_is_answered_while_it_arrives() -> None:
    head = b"POST /v1/speech HTTP/1.1\r\nHost: x\r\nContent-Length: 6000000\r\n\r\n"
    async with live_server() as live, peer(live) as sender:
        await sender.send(head, *in_parts(b" " * 6_000_000))
        assert await sender.status() == 413


# --- connections ----------------------------------------------------------------------------------


async def test_connections_per_address_are_limited() -> None:
    async with live_server(server={"connections_per_address": 2}) as live:
        async with peer(live, "127.0.0.2") as one, peer(live, "127.0.0.2"):
            async with peer(live, "127.0.0.2") as third:
                answer = await third.closed()
                assert answer.startswith(b"HTTP/1.1 429 ")
                assert b"connections_per_address" in answer
            async with peer(live, "127.0.0.3") as other:
                await other.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                assert await other.status() == 200
            start = b"GET /ws/tts HTTP/1.1\r\nHost: x\r\n" + HANDSHAKE + b"\r\n"
            await one.send(start)  # still counted
            assert await one.status() == 101
            async with peer(live, "127.0.0.2") as third:
                assert await third.status() == 429
        await wait_until(lambda: not live.server.config.limits._open)  # type: ignore[attr-defined]
        async with peer(live, "127.0.0.2") as again:
            await again.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await again.status() == 200


async def test_clients_behind_a_proxy_are_counted_separately() -> None:
    limits = {"connections_per_address": 1}
    far, other = {"X-Forwarded-For": "203.0.113.1"}, {"X-Forwarded-For": "203.0.113.2"}
    async with (
        live_server(server=limits) as live,
        httpx.AsyncClient(base_url=live.http) as http,
    ):
        async with live.connect(additional_headers=far):
            assert (await http.get("/healthz", headers=far)).status_code == 429
            assert (await http.get("/healthz", headers=other)).status_code == 200
            assert (await http.get("/healthz")).status_code == 200
        await wait_until(lambda: not live.server.server_state.tasks)
        assert (await http.get("/healthz", headers=far)).status_code == 200


def limit_connections(live: LiveServer, max_connections: int) -> Any:
    limits = live.server.config.limits  # type: ignore[attr-defined]
    limits._max_connections = max_connections
    return limits


async def test_a_new_connection_replaces_the_longest_idle_one() -> None:
    async with live_server() as live, peer(live) as first, peer(live) as second:
        limits = limit_connections(live, 2)
        await wait_until(lambda: len(limits._open) == 2)
        assert await answers(live)
        with suppress(ConnectionError):
            assert await first.closed() == b""
        await second.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await second.status() == 200


async def test_when_all_are_busy_a_new_connection_is_refused() -> None:
    async with live_server() as live, live.connect() as client:
        limit_connections(live, 1)
        async with peer(live) as late:
            assert await late.status() == 503
        assert await client.speak_text("a", "Hello there. ") == "Hellothere."
    assert not live.server.config.limits._waiting  # type: ignore[attr-defined]
