"""Resuming at the real server over real sockets, with a client that knows only the protocol.

Deterministic part: a complete text with its `end` is rendered a sentence at a time, identically for
the same seed over any breaks. In those tests the server speaks only at the end
(`bidirectional_streaming.enabled`), or in mode `batch`. Releases of unfinished text depend on
timing; there the fake engine's audio encodes which characters were spoken.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from backend.sessions.context_table import ContextTable
from backend.sessions.session import Session
from backend.sessions.session_registry import Attachment
from backend.synthesis.live_listeners import LiveListeners
from backend.transport.websocket import WebSocketConnection
from tests.support.engines import hibari_model
from tests.support.engines.fake_engine import decode_pcm
from tests.support.live_server import LiveServer, live_server, wait_until
from tests.support.resuming_client import ResumingClient

PCM = "pcm_f32le"
TEXTS = {
    "a": "Well, this is a text of some length. It has two sentences, or three. Not more.",
    "b": "Another one is spoken beside it. Nobody waits for anybody, and that is good.",
    "c": "And a third. It costs 3.50 dollars.",
}
AT_THE_END = {"enabled": False}
EAGER = {"high_water": 60}  # nothing is played: do not wait


@pytest.fixture(autouse=True)
def _room_for_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Admit contexts however busy the test machine is."""
    monkeypatch.setattr(LiveListeners, "check_capacity", lambda *_: None)


def resuming_server(**server: Any) -> AbstractAsyncContextManager[LiveServer]:
    """A server with these keys of section `server`, without drain timeout."""
    return live_server(latency_optimization=EAGER, server={"drain_timeout": 0, **server})


async def cut_randomly(client: ResumingClient, work: Awaitable[None], rng: random.Random) -> None:
    """Cut the connection at random until the work, which reconnects itself, is done. Less and less
    often, so that a slow machine finishes too.
    """
    working = asyncio.ensure_future(work)
    longest_s = 0.03
    async with asyncio.timeout(60):
        while not working.done():
            await asyncio.wait([working], timeout=rng.random() * longest_s)
            client.reset_connection()
            longest_s *= 1.005
        await working


async def retry_after_cuts(client: ResumingClient, step: Callable[[], Awaitable[None]]) -> None:
    """Retry the step after every cut."""
    while True:
        try:
            await step()
            return
        except ConnectionClosed:
            await reconnect(client)


async def reconnect(client: ResumingClient) -> None:
    while True:
        try:
            await client.connect()
            return
        except (ConnectionClosed, OSError):
            continue


def heard_in(client: ResumingClient, context: str) -> str:
    return decode_pcm(np.frombuffer(client.pcm(context), "<f4"))


# --- exactly once ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["batch", "live"])
async def test_audio_over_broken_connections_is_identical(mode: str) -> None:
    async def spoken(live: LiveServer, cuts: int) -> ResumingClient:
        client, rng = ResumingClient(live.address), random.Random(cuts)
        await client.connect()
        for context, text in TEXTS.items():
            await client.speak_text(context, text, seed=7, mode=mode)
        for _ in range(cuts):
            for _ in range(rng.choice([0, 0, 1])):
                await client.receive()
            await asyncio.sleep(rng.random() * 0.03)  # the server goes on sending
            client.reset_connection()
            await client.connect()  # audio received meanwhile is discarded
        await client.read_to_end(*TEXTS)
        return client

    async with live_server(
        hibari_model.shared_model(), bidirectional_streaming=AT_THE_END, latency_optimization=EAGER
    ) as live:
        whole = await spoken(live, 0)
        for cuts in (3, 20):
            broken = await spoken(live, cuts)
            assert broken.resumes == cuts
            for context, text in TEXTS.items():
                broken.assert_accounted(context, len(text))
                assert broken.pcm(context) == whole.pcm(context)
                assert broken.ends[context] == whole.ends[context]


async def write(client: ResumingClient, words: Sequence[str]) -> None:
    """Write into three contexts, with at least one break per two words."""
    for number, word in enumerate(words):
        for context in "abc":
            await client.send("text", context=context, text=word)
        await wait_until(lambda: client.resumes >= number // 2, 30)  # noqa: B023 - awaited
    for context in "abc":
        await client.send("end", context=context)


async def read(client: ResumingClient, acknowledging: bool) -> None:
    while not set("abc") <= client.ends.keys():
        message = await client.receive()
        if acknowledging and message["type"] == "audio":
            await client.acknowledge()


@pytest.mark.parametrize("acknowledging", [False, True])
async def test_every_character_is_spoken_once_over_broken_connections(
    acknowledging: bool,
) -> None:
    words = [f"word{number}, " for number in range(40)]  # 0.8 MB of audio in all: under 1 MiB
    async with resuming_server() as live:
        client = ResumingClient(live.address)
        await client.connect()
        for context in "abc":
            await client.send("start", context=context, format=PCM)
        writing = asyncio.create_task(write(client, words))
        reading = retry_after_cuts(client, lambda: read(client, acknowledging))
        await cut_randomly(client, reading, random.Random(7))
        await writing
    assert client.resumes >= len(words) // 2 - 1
    for context in "abc":
        client.assert_accounted(context, len("".join(words)))
        assert heard_in(client, context) == "".join(words).replace(" ", "")


async def test_a_truncated_message_is_ignored() -> None:
    async with resuming_server() as live:
        client = ResumingClient(live.address)
        await client.connect()
        await client.send("start", context="a", format=PCM)
        message = json.dumps({"type": "text", "context": "a", "text": "Hello there. " * 50})
        frame = Frame(Opcode.TEXT, message.encode()).serialize(mask=True)
        client.socket.transport.write(frame[: len(frame) // 2])
        await asyncio.sleep(0.01)
        client.reset_connection()
        await client.connect()
        await client.send("text", context="a", text="Good morning.")
        await client.send("end", context="a")
        await client.read_to_end("a")
        assert heard_in(client, "a") == "Goodmorning."


# --- authorization and expiry ---------------------------------------------------------------------


async def cut_client(live: LiveServer, **options: Any) -> ResumingClient:
    """A client that has heard a sentence of a text and is cut off."""
    client = ResumingClient(live.address, **options)
    await client.connect()
    await client.send("start", context="a", format=PCM)
    await client.send("text", context="a", text="Hello there. My ")
    await client.receive()
    client.reset_connection()
    await wait_until(lambda: live.connections.sessions()[-1].detached_s is not None, 5)
    return client


async def first_answer(live: LiveServer, message: dict[str, Any], **options: Any) -> dict[str, Any]:
    """The answer to `message` as first message; the connection must stay usable."""
    client = ResumingClient(live.address, **options)
    fresh = await client.connect()
    await client.socket.send(json.dumps(message))
    answer: dict[str, Any] = json.loads(await client.socket.recv())
    if answer["type"] == "error":
        client.answers += 1
        await client.speak_text("new", "Good morning.", format=PCM)
        await client.read_to_end("new")
        assert heard_in(client, "new") == "Goodmorning."
        assert any(each.id == fresh["session"] for each in live.connections.sessions())
    await client.socket.close()
    return answer


@pytest.mark.parametrize(
    "change",
    [{"session": "unknown"}, {"token": "x"}, {"token": ""}, {"token": "é" * 32}],
    ids=["no session", "a wrong token", "no token", "a strange token"],
)
async def test_resume_with_a_wrong_token_is_refused(change: dict[str, str]) -> None:
    async with resuming_server() as live:
        client = await cut_client(live)
        answer = await first_answer(live, {**client.resume_message(), **change})
        assert (answer["code"], answer["context"]) == ("resume_failed", None)
        await client.connect()


async def test_resume_with_another_key_is_refused() -> None:
    def key(name: str) -> dict[str, Any]:
        return {"additional_headers": {"Authorization": f"Bearer {name}"}}

    async with live_server(access={"api_keys": "one,two"}, server={"drain_timeout": 0}) as live:
        client = await cut_client(live, **key("one"))
        answer = await first_answer(live, client.resume_message(), **key("two"))
        assert answer["code"] == "resume_failed"
        await client.connect()


async def test_resuming_an_expired_session_leaves_the_new_one_usable() -> None:
    async with resuming_server(resume_ttl=0.05) as live:
        client = await cut_client(live)
        await wait_until(lambda: live.connections.sessions() == [], 5)
        answer = await first_answer(live, client.resume_message())
        assert answer["code"] == "resume_failed"
        assert not live.model.open_utterances


async def test_resume_is_refused_unless_first() -> None:
    async with resuming_server() as live:
        one, other = await cut_client(live), await cut_client(live)
        await one.connect()
        await one.socket.send(json.dumps(other.resume_message()))
        await one.socket.send(json.dumps(one.resume_message()))
        await one.send("text", context="a", text="friend. ")
        await one.send("end", context="a")
        await one.read_to_end("a")
        assert [message["code"] for message in one.others] == ["resume_failed"] * 2
        assert heard_in(one, "a") == "Hellothere.Myfriend."
        await other.connect()


async def test_a_client_may_resume_before_ready() -> None:
    async with resuming_server() as live:
        client = await cut_client(live)
        url = f"ws://{live.address}/ws/tts"
        async with connect(url, proxy=None) as socket:
            await socket.send(json.dumps(client.resume_message()))
            readies = [json.loads(await socket.recv()) for _ in range(2)]
        assert [ready["type"] for ready in readies] == ["ready", "ready"]
        assert client.ready is not None
        assert readies[1]["session"] == client.ready["session"] != readies[0]["session"]


async def read_on(socket: ClientConnection) -> None:
    while True:
        await socket.recv()


async def test_resume_takes_over_from_an_open_connection() -> None:
    async with resuming_server() as live:
        client = ResumingClient(live.address)
        await client.connect()
        await client.send("start", context="a", format=PCM)
        await client.send("text", context="a", text="Hello there. My ")
        await client.receive()
        old = client.socket
        await client.connect()
        await client.send("text", context="a", text="friend. ")
        await client.send("end", context="a")
        await client.read_to_end("a")
        assert heard_in(client, "a") == "Hellothere.Myfriend."
        with pytest.raises(ConnectionClosed):
            await read_on(old)
        assert (old.close_code, old.close_reason) == (1008, "resumed")
        assert len(live.connections.sessions()) == 1


@pytest.mark.parametrize(("code", "kept"), [(1000, False), (1001, False), (1011, True)])
async def test_only_a_clean_close_ends_the_session(code: int, kept: bool) -> None:
    async with resuming_server() as live:
        client = ResumingClient(live.address)
        await client.connect()
        await client.send("text", context="a", text="Hello there my friend, ")
        await client.receive()
        await client.socket.close(code)
        if kept:
            await wait_until(lambda: live.connections.sessions()[0].detached_s is not None, 5)
            await client.connect()
        else:
            await wait_until(lambda: live.connections.sessions() == [], 5)
            await wait_until(lambda: not live.model.open_utterances, 5)


async def test_a_cancel_in_transit_at_the_break_is_executed() -> None:
    async with resuming_server() as live:
        client = ResumingClient(live.address)
        await client.connect()
        await client.speak_text("a", "This is a sentence. " * 200, format=PCM)
        await client.receive()
        await client.send("cancel", context="a")
        client.reset_connection()
        await client.connect()
        await client.read_to_end("a")
        assert client.ends["a"]["type"] == "cancelled"
        client.assert_accounted("a")


# --- limits ---------------------------------------------------------------------------------------


async def test_detached_sessions_are_bounded_and_evicted() -> None:
    async with resuming_server(max_connections=5) as live:
        clients = []
        for _ in range(20):
            clients.append(await cut_client(live))
            assert len(live.connections.sessions()) <= 5
        await clients[-1].connect()
        client = ResumingClient(live.address)
        await client.connect()
        await client.speak_text("a", "There is room for a new one.")
        await client.read_to_end("a")
        assert len(live.connections.sessions()) <= 5


async def test_resume_is_admitted_on_a_full_server() -> None:
    async with resuming_server(max_connections=1) as live:
        client = await cut_client(live)
        await client.connect()
        assert client.resumes == 1


@pytest.mark.slow
async def test_detached_sessions_are_freed_after_expiry() -> None:
    async with resuming_server(resume_ttl=0.1) as live:
        tasks = len(asyncio.all_tasks())
        for _ in range(10):
            clients = [ResumingClient(live.address) for _ in range(10)]
            await asyncio.gather(*(client.connect() for client in clients))
            for client in clients:
                await client.speak_text("a", "Hello there. " * 50)
                await client.receive()
                client.reset_connection()
        await wait_until(lambda: live.connections.sessions() == [], 10)
        await wait_until(lambda: len(asyncio.all_tasks()) <= tasks, 10)
        gc.collect()
        kinds = (Session, ContextTable, Attachment, WebSocketConnection)
        # By type: a proxy of another package mimics its referent, which may be dead.
        assert not [each for each in gc.get_objects() if type(each) in kinds]
        assert not live.model.open_utterances


async def test_the_operator_lists_and_ends_detached_sessions() -> None:
    async with resuming_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        client = await cut_client(live)
        (session,) = (await http.get("/v1/status")).json()["sessions"]
        assert session["detached_s"] >= 0
        assert (await http.delete(f"/v1/sessions/{session['id']}")).status_code == 204
        assert (await http.get("/v1/status")).json()["sessions"] == []
        answer = await first_answer(live, client.resume_message())
        assert answer["code"] == "resume_failed"
        figures = (await http.get("/metrics")).text
        assert 'duplex_tts_resumes_total{outcome="failed"} 1.0' in figures


async def test_shutdown_does_not_wait_for_detached_sessions() -> None:
    async with resuming_server(drain_timeout=60) as live:
        await cut_client(live)
        live.request_shutdown()
        async with asyncio.timeout(10):
            await live.serving
        assert not live.model.open_utterances
