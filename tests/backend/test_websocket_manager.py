"""Connections of the native protocol, over real sockets: bad clients and good ones."""

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
from tests.support.live_server import Client, Live, Message, eventually, live_server, said

# --- a conversation ------------------------------------------------------------------------------


async def test_ready_is_the_first_message() -> None:
    async with live_server() as live, live.client() as client:
        assert client.ready.pop("session") != client.ready.pop("token")
        assert client.ready == {
            "type": "ready",
            "protocol": 1,
            "voice": "heart",
            "sample_rate": 24000,
            "format": "pcm_s16le",
            "received": 0,
        }


async def test_speaks_while_text_comes_in() -> None:
    async with live_server() as live, live.client() as client:
        await client.say("start", format="pcm_f32le")
        await client.say("text", text="Hello the")
        first = await client.read()
        assert (first["type"], first["context"], first["text"]) == ("audio", "default", [0, 6])
        await client.say("text", text="re my friend. ")
        await client.say("end")
        rest = await client.read_to("done")
        assert said([first, *rest], "default") == "Hellotheremyfriend."


async def test_json_frames() -> None:
    async with live_server() as live, live.client() as client:
        await client.say("start", frames="json")
        await client.say("text", text="Hello ")
        await client.say("end")
        messages = await client.read_to("done")
        assert all("data" not in message for message in messages)
        assert isinstance(messages[0]["audio"], str)


async def test_connections_do_not_know_of_each_other() -> None:
    async def one(live: Live, number: int) -> str:
        async with live.client() as client:
            return await client.speak("same", f"This is number {number}. It is. ")

    async with live_server() as live:
        heard = await asyncio.gather(*(one(live, number) for number in range(20)))
    assert heard == [f"Thisisnumber{number}.Itis." for number in range(20)]


# --- bad input -----------------------------------------------------------------------------------


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
async def test_bad_input_is_answered_and_nothing_else_is_disturbed(
    sent: str | bytes, code: str
) -> None:
    async with live_server() as live, live.client() as client:
        await client.say("start", context="a", format="pcm_f32le")
        await client.say("text", context="a", text="Hello ")
        await client.socket.send(sent)
        await client.say("text", context="a", text="there")
        await client.say("end", context="a")
        messages = await client.read_to("done", "a")
        errors = [message for message in messages if message["type"] == "error"]
        assert [error["code"] for error in errors] == [code]
        assert said([m for m in messages if m["type"] != "error"], "a") == "Hellothere"


async def test_a_message_over_the_limit_closes_only_its_connection() -> None:
    async with live_server(server=AT_ONCE) as live, live.client() as good, live.client() as bad:
        await good.say("text", context="a", text="Hello ")
        await bad.say("text", text="x" * (1 << 20))
        assert await bad.closed() == 1009
        await eventually(lambda: len(live.connections.sessions()) == 1)
        assert await good.speak("b", "Still here. ") == "Stillhere."


async def test_text_that_is_not_utf_8_closes_only_its_connection() -> None:
    async with live_server() as live, live.client() as good, live.client() as bad:
        await bad.socket.send(b"\xff\xfe", text=True)
        assert await bad.closed() == 1007
        assert await good.speak("b", "Still here. ") == "Stillhere."


async def test_a_burst_is_answered_to_one_who_reads() -> None:
    async with live_server() as live, live.client() as client:

        async def ask() -> None:
            for number in range(5000):
                await client.say("ping", id=number)

        asking = asyncio.create_task(ask())
        assert [(await client.read())["id"] for _ in range(5000)] == list(range(5000))
        await asking


# --- clients that leave --------------------------------------------------------------------------

AT_ONCE = {"resume_ttl": 0}  # a session ends with its connection


async def nothing_left(live: Live) -> None:
    await eventually(lambda: live.connections.sessions() == [] and not live.model.open_utterances)
    async with httpx.AsyncClient() as http:
        figures = (await http.get(f"{live.http}/metrics")).text
    assert "duplex_tts_connections 0.0" in figures
    assert "duplex_tts_contexts 0.0" in figures


async def test_a_client_that_vanishes_frees_everything_within_a_second() -> None:
    async with live_server(server=AT_ONCE) as live, live.client() as client:
        for context in "abc":
            await client.say("text", context=context, text="Hello there my friend, ")
            await client.read()
        assert live.model.open_utterances == 3
        client.vanish()
        await nothing_left(live)


async def test_a_client_that_says_goodbye_frees_everything_too() -> None:
    async with live_server() as live:
        async with live.client() as client:
            await client.say("text", text="Hello there my friend, ")
            await client.read()
        await nothing_left(live)


async def test_a_client_that_vanishes_while_the_engine_works_for_it() -> None:
    gate = threading.Semaphore(1)  # for the warm-up
    model = FakeModel(gate=gate)
    async with live_server(model, server=AT_ONCE) as live, live.client() as client:
        (engine,) = model.engines
        engine.entered.clear()
        await client.say("text", text="Hello there my friend, ")
        assert await asyncio.to_thread(engine.entered.wait, 5)
        client.vanish()
        await eventually(lambda: live.connections.sessions() == [])
        gate.release()
        await nothing_left(live)


def narrow(live: Live) -> dict[str, Any]:
    """Options of a client with small buffers, who is soon felt when he does not read."""
    narrow_socket = socket.socket()
    narrow_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    host, port = live.address.split(":")
    narrow_socket.connect((host, int(port)))
    return {"sock": narrow_socket, "max_queue": 1}


STORY = "This is a sentence of a long story. " * 500


async def stalled(client: Client, live: Live) -> None:
    """Ask for a lot of audio and do not read it, until the server feels that."""
    await client.say("start", context="story", mode="batch", format="pcm_f32le", sample_rate=48000)
    await client.say("text", context="story", text=STORY)
    await client.say("end", context="story")
    await eventually(lambda: live.connections.queued_messages >= 5, 10)
    steps = -1
    while steps != len(live.model.engines[0].steps):
        steps = len(live.model.engines[0].steps)
        await asyncio.sleep(0.05)


async def test_a_client_that_does_not_read_stalls_only_itself() -> None:
    queue = {"queue_size": 5, "task_timeout": 60}
    async with (
        live_server(bidirectional_streaming=queue) as live,
        live.client(**narrow(live)) as reader,
        live.client() as other,
    ):
        await stalled(reader, live)
        assert live.connections.queued_messages <= 5 + 1, "what waits is bounded"
        (waiting, _) = live.connections.sessions()
        assert waiting.characters_waiting > len(STORY) / 2, "its own rendering has stopped"
        async with asyncio.timeout(2):
            assert await other.speak("a", "Not disturbed at all. ") == "Notdisturbedatall."
        messages: list[Message] = await reader.read_to("done", "story")
        assert messages[-1]["characters"] == len(STORY)
        spans = [message["text"] for message in messages[:-1]]
        assert all(span[1] == following[0] for span, following in pairwise(spans))


async def test_a_client_that_vanishes_while_it_does_not_read() -> None:
    queue = {"queue_size": 5}
    async with (
        live_server(bidirectional_streaming=queue, server=AT_ONCE) as live,
        live.client(**narrow(live)) as client,
    ):
        await stalled(client, live)
        client.vanish()
        await nothing_left(live)


async def test_a_client_that_asks_and_never_reads_is_put_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("backend.main._UNREAD_TIMEOUT_MS", 500)
    async with live_server() as live, live.client(**narrow(live)) as client:

        async def flood() -> None:
            while True:
                await client.say("ping", id="x" * 1000)

        flooding = asyncio.create_task(flood())
        await eventually(lambda: live.connections.sessions() == [], 30)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            await eventually(lambda: not live.server.server_state.connections, 30)
        flooding.cancel()
        client.vanish()
        await nothing_left(live)


# --- limits and the end --------------------------------------------------------------------------


async def test_one_connection_too_many_is_told_and_closed() -> None:
    async with live_server(server={"max_connections": 1}) as live:
        async with live.client(), live.client() as second:
            assert (second.ready["type"], second.ready["code"]) == ("error", "overloaded")
            assert await second.closed() == 1013
        await eventually(lambda: live.connections.sessions() == [])
        async with live.client() as third:
            assert third.ready["type"] == "ready"


async def test_at_shutdown_running_speech_ends_before_the_server_hangs_up() -> None:
    gate = threading.Semaphore(1)
    model = FakeModel(gate=gate)
    async with live_server(model) as live, live.client() as client:
        model.engines[0].entered.clear()
        await client.say("start", context="a", format="pcm_f32le")
        await client.say("text", context="a", text="Hello there. My friend. ")
        await client.say("end", context="a")
        assert await asyncio.to_thread(model.engines[0].entered.wait, 5)
        live.stop()
        await eventually(lambda: not live.connections.is_accepting)
        with pytest.raises(OSError, match=r"Connect|refused|reset|closed"):
            async with live.client():
                pass
        gate.release(100)
        assert said(await client.read_to("done", "a"), "a") == "Hellothere.Myfriend."
        assert await client.closed() == 1001


async def test_at_shutdown_a_context_that_never_ends_is_not_waited_for() -> None:
    async with live_server(server={"drain_timeout": 0.05}) as live, live.client() as client:
        await client.say("text", text="Hello there my friend, ")
        await client.read()
        live.stop()
        async with asyncio.timeout(2):
            assert await client.closed() == 1001
            await live.serving
        assert live.model.open_utterances == 0


async def test_an_idle_client_does_not_hold_up_the_shutdown() -> None:
    async with live_server() as live, live.client() as client:
        live.stop()
        async with asyncio.timeout(2):
            assert await client.closed() == 1001
            await live.serving
