"""Connections of the native protocol over real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from itertools import pairwise
from typing import Any

import httpx
import pytest

from tests.support.engines.fake_engine import FakeModel
from tests.support.live_server import (
    LiveServer,
    Message,
    NativeClient,
    decode_speech,
    live_server,
    wait_until,
)

# --- speaking -------------------------------------------------------------------------------------


async def test_ready_is_the_first_message() -> None:
    async with live_server() as live, live.connect() as client:
        assert client.ready.pop("session") != client.ready.pop("token")
        assert client.ready == {
            "type": "ready",
            "protocol": 1,
            "voice": "heart",
            "sample_rate": 24000,
            "format": "pcm_s16le",
            "received": 0,
        }


async def test_speaks_while_text_arrives() -> None:
    async with live_server() as live, live.connect() as client:
        await client.send("start", format="pcm_f32le")
        await client.send("text", text="Hello the")
        first = await client.receive()
        assert (first["type"], first["context"], first["text"]) == ("audio", "default", [0, 6])
        await client.send("text", text="re my friend. ")
        await client.send("end")
        rest = await client.receive_until("done")
        assert decode_speech([first, *rest], "default") == "Hellotheremyfriend."


async def test_json_frames_carry_audio_as_base64() -> None:
    async with live_server() as live, live.connect() as client:
        await client.send("start", frames="json")
        await client.send("text", text="Hello ")
        await client.send("end")
        messages = await client.receive_until("done")
        assert all("data" not in message for message in messages)
        assert isinstance(messages[0]["audio"], str)


async def test_connections_are_isolated() -> None:
    async def one(live: LiveServer, number: int) -> str:
        async with live.connect() as client:
            return await client.speak_text("same", f"This is number {number}. It is. ")

    async with live_server() as live:
        heard = await asyncio.gather(*(one(live, number) for number in range(20)))
    assert heard == [f"Thisisnumber{number}.Itis." for number in range(20)]


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("hello", "bad_json"),
        ("[1]", "bad_json"),
        ("[" * 100_000, "bad_json"),
        (b"\x00\x01", "binary_message"),
        (b"", "binary_message"),
        ('{"type":"speak"}', "unknown_type"),
        ('{"type":"resume","session":"s","token":"t","after":{}}', "resume_failed"),
        ('{"type":"text","text":5}', "bad_message"),
        ('{"type":"text","text":"\\ud83d"}', "bad_text"),
        ('{"type":"start","voice":"nobody"}', "unknown_voice"),
        ('{"type":"start","format":"midi"}', "bad_format"),
        ('{"type":"retract","context":"never","to":0}', "unknown_context"),
        (json.dumps({"type": "text", "text": "x" * 20_001}), "text_limit"),
    ],
)
async def test_bad_input_is_answered_and_the_connection_goes_on(
    sent: str | bytes, code: str
) -> None:
    async with live_server() as live, live.connect() as client:
        await client.send("start", context="a", format="pcm_f32le")
        await client.send("text", context="a", text="Hello ")
        await client.socket.send(sent)
        await client.send("text", context="a", text="there")
        await client.send("end", context="a")
        messages = await client.receive_until("done", "a")
        errors = [message for message in messages if message["type"] == "error"]
        assert [error["code"] for error in errors] == [code]
        assert decode_speech([m for m in messages if m["type"] != "error"], "a") == "Hellothere"


async def test_a_message_over_the_limit_closes_only_its_connection() -> None:
    async with live_server(server=NO_RESUME) as live, live.connect() as good, live.connect() as bad:
        await good.send("text", context="a", text="Hello ")
        await bad.send("text", text="x" * (1 << 20))
        assert await bad.wait_closed() == 1009
        await wait_until(lambda: len(live.connections.sessions()) == 1)
        assert await good.speak_text("b", "Still here. ") == "Stillhere."


async def test_text_that_is_not_utf_8_closes_only_its_connection() -> None:
    async with live_server() as live, live.connect() as good, live.connect() as bad:
        await bad.socket.send(b"\xff\xfe", text=True)
        assert await bad.wait_closed() == 1007
        assert await good.speak_text("b", "Still here. ") == "Stillhere."


async def test_a_burst_of_pings_is_answered_to_a_reading_client() -> None:
    async with live_server() as live, live.connect() as client:

        async def ask() -> None:
            for number in range(5000):
                await client.send("ping", id=number)

        asking = asyncio.create_task(ask())
        assert [(await client.receive())["id"] for _ in range(5000)] == list(range(5000))
        await asking


# --- disconnects ----------------------------------------------------------------------------------

NO_RESUME = {"resume_ttl": 0}  # a session ends with its connection


async def assert_nothing_left(live: LiveServer) -> None:
    await wait_until(lambda: live.connections.sessions() == [] and not live.model.open_utterances)
    async with httpx.AsyncClient() as http:
        figures = (await http.get(f"{live.http}/metrics")).text
    assert "duplex_tts_connections 0.0" in figures
    assert "duplex_tts_contexts 0.0" in figures


async def test_an_aborted_connection_is_freed_within_a_second() -> None:
    async with live_server(server=NO_RESUME) as live, live.connect() as client:
        for context in "abc":
            await client.send("text", context=context, text="Hello there my friend, ")
            await client.receive()
        assert live.model.open_utterances == 3
        client.reset_connection()
        await assert_nothing_left(live)


async def test_a_closed_connection_is_freed() -> None:
    async with live_server() as live:
        async with live.connect() as client:
            await client.send("text", text="Hello there my friend, ")
            await client.receive()
        await assert_nothing_left(live)


async def test_an_aborted_connection_is_freed_while_the_engine_works() -> None:
    gate = threading.Semaphore(1)  # for the warm-up
    model = FakeModel(gate=gate)
    async with live_server(model, server=NO_RESUME) as live, live.connect() as client:
        (engine,) = model.engines
        engine.entered.clear()
        await client.send("text", text="Hello there my friend, ")
        assert await asyncio.to_thread(engine.entered.wait, 5)
        client.reset_connection()
        await wait_until(lambda: live.connections.sessions() == [])
        gate.release()
        await assert_nothing_left(live)


def small_buffers(live: LiveServer) -> dict[str, Any]:
    """Options of a client with small buffers, so that writes to it soon block."""
    narrow_socket = socket.socket()
    narrow_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    host, port = live.address.split(":")
    narrow_socket.connect((host, int(port)))
    return {"sock": narrow_socket, "max_queue": 1}


STORY = "This is a sentence of a long story. " * 500


async def stall_reading(client: NativeClient, live: LiveServer) -> None:
    """Request much audio without reading it, until the server's writes block."""
    await client.send("start", context="story", mode="batch", format="pcm_f32le", sample_rate=48000)
    await client.send("text", context="story", text=STORY)
    await client.send("end", context="story")
    await wait_until(lambda: live.connections.queued_messages >= 5, 10)
    steps = -1
    while steps != len(live.model.engines[0].steps):
        steps = len(live.model.engines[0].steps)
        await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_a_client_that_does_not_read_stalls_only_itself() -> None:
    queue = {"queue_size": 5, "task_timeout": 60}
    async with (
        live_server(bidirectional_streaming=queue) as live,
        live.connect(**small_buffers(live)) as reader,
        live.connect() as other,
    ):
        await stall_reading(reader, live)
        assert live.connections.queued_messages <= 5 + 1, "the queue is bounded"
        (waiting, _) = live.connections.sessions()
        assert waiting.characters_waiting > len(STORY) / 2, "its own rendering has stopped"
        async with asyncio.timeout(2):
            assert await other.speak_text("a", "Not disturbed at all. ") == "Notdisturbedatall."
        messages: list[Message] = await reader.receive_until("done", "story")
        assert messages[-1]["characters"] == len(STORY)
        spans = [message["text"] for message in messages[:-1]]
        assert all(span[1] == following[0] for span, following in pairwise(spans))


async def test_an_aborted_connection_is_freed_while_writes_are_blocked() -> None:
    queue = {"queue_size": 5}
    async with (
        live_server(bidirectional_streaming=queue, server=NO_RESUME) as live,
        live.connect(**small_buffers(live)) as client,
    ):
        await stall_reading(client, live)
        client.reset_connection()
        await assert_nothing_left(live)


@pytest.mark.slow
async def test_a_client_that_sends_without_reading_is_disconnected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("backend.transport.listener._UNREAD_TIMEOUT_MS", 500)
    async with live_server() as live, live.connect(**small_buffers(live)) as client:

        async def flood() -> None:
            while True:
                await client.send("ping", id="x" * 1000)

        flooding = asyncio.create_task(flood())
        await wait_until(lambda: live.connections.sessions() == [], 30)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            await wait_until(lambda: not live.server.server_state.connections, 30)
        flooding.cancel()
        client.reset_connection()
        await assert_nothing_left(live)


# --- a release that waits for a thread -----------------------------------------------------------


async def test_a_queued_release_grows_with_its_text() -> None:
    gate = threading.Semaphore(1)  # for the warm-up
    model = FakeModel(gate=gate)
    async with live_server(model) as live, live.connect() as first, live.connect() as second:
        model.engines[0].entered.clear()
        await first.send("text", text="Hello there. ")
        assert await asyncio.to_thread(model.engines[0].entered.wait, 5)
        for word in ("One ", "two ", "three ", "four ", "five "):
            await second.send("text", text=word)
            await second.send("ping", id=word)
            await second.receive_until("pong")
        await asyncio.sleep(0.2)  # it is looked at now and then
        gate.release(100)
        audio = await second.receive()
        assert audio["type"] == "audio"
        assert audio["text"][1] >= len("One two three four ")


# --- limits and shutdown --------------------------------------------------------------------------


async def test_a_connection_over_the_limit_gets_an_error_and_is_closed() -> None:
    async with live_server(server={"max_connections": 1}) as live:
        async with live.connect(), live.connect() as second:
            assert (second.ready["type"], second.ready["code"]) == ("error", "overloaded")
            assert await second.wait_closed() == 1013
        await wait_until(lambda: live.connections.sessions() == [])
        async with live.connect() as third:
            assert third.ready["type"] == "ready"


async def test_shutdown_lets_running_speech_end() -> None:
    gate = threading.Semaphore(1)
    model = FakeModel(gate=gate)
    async with live_server(model) as live, live.connect() as client:
        model.engines[0].entered.clear()
        await client.send("start", context="a", format="pcm_f32le")
        await client.send("text", context="a", text="Hello there. My friend. ")
        await client.send("end", context="a")
        assert await asyncio.to_thread(model.engines[0].entered.wait, 5)
        live.request_shutdown()
        await wait_until(lambda: not live.connections.is_accepting)
        with pytest.raises(OSError, match=r"Connect|refused|reset|closed"):
            async with live.connect():
                pass
        gate.release(100)
        assert decode_speech(await client.receive_until("done", "a"), "a") == "Hellothere.Myfriend."
        assert await client.wait_closed() == 1001


async def test_shutdown_does_not_wait_for_open_contexts() -> None:
    async with live_server(server={"drain_timeout": 0.05}) as live, live.connect() as client:
        await client.send("text", text="Hello there my friend, ")
        await client.receive()
        live.request_shutdown()
        async with asyncio.timeout(2):
            assert await client.wait_closed() == 1001
            await live.serving
        assert live.model.open_utterances == 0


async def test_shutdown_does_not_wait_for_idle_clients() -> None:
    async with live_server() as live, live.connect() as client:
        live.request_shutdown()
        async with asyncio.timeout(2):
            assert await client.wait_closed() == 1001
            await live.serving
