"""A session is resumed at a replica that does not hold it: real sockets, two or three servers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from backend.cluster import holder_connection
from backend.cluster.holder_connection import OWNER_HEADER, RESUME_PATH
from backend.errors import Overloaded
from tests.support.cluster import CLUSTER_KEY, EAGER, KEYS, TEXT, Cluster, live_cluster
from tests.support.live_server import LiveServer, live_server, wait_until
from tests.support.resuming_client import ResumingClient

pytestmark = pytest.mark.usefixtures("room_for_all")


async def begin(server: LiveServer, **options: Any) -> ResumingClient:
    """A client that has received some of `TEXT`, and whose connection is broken."""
    client = ResumingClient(server.address, **options)
    await client.connect()
    await client.speak_text("a", TEXT)
    while not client.audio["a"]:
        await client.receive()
    client.reset_connection()
    return client


async def read_to_close(client: ResumingClient) -> tuple[int, str]:
    """Read until the connection is closed; returns the close code and reason."""
    with suppress(ConnectionClosed):
        while True:
            await client.receive()
    close = client.socket.close_code
    assert close is not None
    return close, client.socket.close_reason or ""


async def expect_resume_failed(client: ResumingClient, address: str) -> None:
    """Resume at `address`; its answer is `resume_failed`, and its new session works."""
    async with connect(f"ws://{address}/ws/tts", **client._options) as socket:
        assert json.loads(await socket.recv())["type"] == "ready"
        await socket.send(json.dumps(client.resume_message()))
        assert json.loads(await socket.recv())["code"] == "resume_failed"
        await socket.send('{"type": "ping", "id": 1}')
        assert json.loads(await socket.recv())["type"] == "pong"


@asynccontextmanager
async def scripted_holder(
    cluster: Cluster, script: Callable[[ServerConnection], Awaitable[None]]
) -> AsyncIterator[list[ServerConnection]]:
    """Something else answers at the address of replica 0."""
    peers: list[ServerConnection] = []

    async def handle(websocket: ServerConnection) -> None:
        peers.append(websocket)
        await script(websocket)

    async with serve(handle, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        report = cluster.reports["0"]
        cluster.reports["0"] = replace(report, url=f"http://127.0.0.1:{port}")
        yield peers


# --- carried to the holder ------------------------------------------------------------------------


async def test_a_session_is_resumed_through_another_replica_without_loss() -> None:
    async with live_cluster(3, **EAGER) as cluster:
        client = await begin(cluster[0])
        for number in (1, 2, 0, 1):
            client.go_to(cluster[number].address)
            await client.connect()
            await client.receive()
            client.reset_connection()
        await client.connect()
        await client.read_to_end("a")
        client.assert_accounted("a", len(TEXT))
        await client.speak_text("b", "More text on the relayed connection.")
        await client.read_to_end("b")
        client.assert_accounted("b")
        assert [
            len(list(server.connections.sessions())) for server in cluster.servers.values()
        ] == [
            1,
            0,
            0,
        ]


async def test_a_lone_server_resumes_as_ever_and_has_no_address_for_replicas() -> None:
    async with live_server(**EAGER) as server:
        client = await begin(server)
        assert client.ready is not None
        assert "." not in client.ready["token"]
        async with connect(f"ws://{server.address}{RESUME_PATH}") as socket:
            assert "unknown_url" in str(await socket.recv())
        client.ready["token"] += ".1"  # of a cluster that it once belonged to
        await expect_resume_failed(client, server.address)


async def test_the_client_s_owner_is_passed_on() -> None:
    headers = {"Authorization": "Bearer the-key-of-bob"}
    async with live_cluster(access=KEYS, **EAGER) as cluster:
        client = await begin(cluster[0], additional_headers=headers)
        client.go_to(cluster[1].address)
        await client.connect()
        await client.read_to_end("a")
        client.assert_accounted("a", len(TEXT))


async def test_another_owner_s_key_does_not_resume_through_a_replica() -> None:
    bob, alice = ({"Authorization": f"Bearer the-key-of-{name}"} for name in ("bob", "alice"))
    async with live_cluster(access=KEYS, **EAGER) as cluster:
        client = await begin(cluster[0], additional_headers=bob)
        client._options["additional_headers"] = alice
        await expect_resume_failed(client, cluster[1].address)
        client._options["additional_headers"] = bob
        client.go_to(cluster[1].address)
        await client.connect()
        await client.read_to_end("a")


async def test_a_wrong_token_is_refused_by_the_holder() -> None:
    async with live_cluster(**EAGER) as cluster:
        client = await begin(cluster[0])
        assert client.ready is not None
        random, _, holder = client.ready["token"].partition(".")
        client.ready["token"] = f"{random[::-1]}.{holder}"
        await expect_resume_failed(client, cluster[1].address)


# --- closing --------------------------------------------------------------------------------------


async def test_a_client_that_breaks_off_can_resume_again() -> None:
    async with live_cluster(**EAGER) as cluster:
        client = await begin(cluster[0])
        client.go_to(cluster[1].address)
        await client.connect()
        client.reset_connection()
        await wait_until(lambda: cluster[0].connections.sessions()[0].detached_s is not None, 5)
        client.go_to(cluster[0].address)
        await client.connect()
        await client.read_to_end("a")
        client.assert_accounted("a", len(TEXT))


async def test_a_clean_close_ends_the_session_at_its_holder() -> None:
    async with live_cluster(**EAGER) as cluster:
        client = await begin(cluster[0])
        client.go_to(cluster[1].address)
        await client.connect()
        await client.socket.close()
        await wait_until(lambda: not cluster[0].connections.sessions(), 5)


async def test_the_holder_s_close_code_and_reason_are_passed_on() -> None:
    async with live_cluster(**EAGER) as cluster:
        client = await begin(cluster[0])
        assert client.ready is not None
        client.go_to(cluster[1].address)
        await client.connect()
        cluster[0].connections.end_session(client.ready["session"])
        assert await read_to_close(client) == (1008, "session_ended")
        assert any(message.get("code") == "session_ended" for message in client.others)


async def test_a_killed_holder_closes_with_connect_again_and_the_next_resume_fails() -> None:
    async with live_cluster(**EAGER) as cluster:
        client = await begin(cluster[0])
        client.go_to(cluster[1].address)
        await client.connect()
        cluster.kill(0)
        assert (await read_to_close(client))[0] == 1012
        await expect_resume_failed(client, cluster[1].address)  # still listed: not reachable


async def test_a_draining_relay_lets_go_of_sessions_that_another_can_relay() -> None:
    async with live_cluster(3, **EAGER) as cluster:
        client = await begin(cluster[0])
        client.go_to(cluster[1].address)
        await client.connect()
        draining = asyncio.create_task(cluster[1].connections.drain())
        assert (await read_to_close(client))[0] == 1012
        await draining
        client.go_to(cluster[2].address)
        await client.connect()
        await client.read_to_end("a")
        client.assert_accounted("a", len(TEXT))


@pytest.mark.parametrize("state", ["draining", "gone"])
async def test_a_session_of_a_replica_that_drains_or_is_gone_is_not_resumed(state: str) -> None:
    async with live_cluster(**EAGER) as cluster:
        client = await begin(cluster[0])
        if state == "draining":
            cluster.set_draining(0)
        else:
            cluster.remove(0)
        await expect_resume_failed(client, cluster[1].address)


async def test_a_replica_that_drains_resumes_nothing_for_others() -> None:
    async with live_cluster(**EAGER) as cluster:
        client = await begin(cluster[0])
        await cluster[0].connections.drain()
        await expect_resume_failed(client, cluster[1].address)  # not reported yet


# --- without room ---------------------------------------------------------------------------------


def fill(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a replica have no room for another listener."""

    def refuse() -> None:
        raise Overloaded("full")

    monkeypatch.setattr(server.app.state.services.tts, "check_capacity", refuse)


async def test_a_replica_without_room_relays(monkeypatch: pytest.MonkeyPatch) -> None:
    async with live_cluster(**EAGER) as cluster:
        client = await begin(cluster[0])
        fill(cluster[1], monkeypatch)
        client.go_to(cluster[1].address, "/ws/tts?resume=1")
        await client.connect()
        await client.read_to_end("a")
        client.assert_accounted("a", len(TEXT))


@pytest.mark.parametrize("message", ["resume", "text", "garbage"])
async def test_a_replica_without_room_serves_nothing_else_to_who_announces_a_resume(
    message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with live_cluster(**EAGER) as cluster:
        client = await begin(cluster[0])
        cluster.remove(0)  # its session is held nowhere
        fill(cluster[1], monkeypatch)
        messages = {
            "resume": json.dumps(client.resume_message()),
            "text": '{"type": "text", "text": "Hello"}',
            "garbage": "garbage",
        }
        async with connect(f"ws://{cluster[1].address}/ws/tts?resume=1") as socket:
            assert json.loads(await socket.recv())["type"] == "ready"
            await socket.send(messages[message])
            codes = []
            with suppress(ConnectionClosed):
                while True:
                    codes.append(json.loads(await socket.recv())["code"])
            assert codes[-1] == "overloaded"
            assert socket.close_code == 1013
        async with connect(f"ws://{cluster[1].address}/ws/tts") as socket:
            assert json.loads(await socket.recv())["code"] == "overloaded"


async def test_alone_an_announced_resume_is_admitted_as_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with live_server(**EAGER) as server:
        fill(server, monkeypatch)
        async with connect(f"ws://{server.address}/ws/tts?resume=1") as socket:
            assert json.loads(await socket.recv())["code"] == "overloaded"


# --- faults ---------------------------------------------------------------------------------------


async def test_replicas_that_take_each_other_for_the_holder_do_not_relay_in_a_circle() -> None:
    async with live_cluster(**EAGER) as cluster:
        client = await begin(cluster[0])
        assert client.ready is not None
        # For each the id of the holder, "0", is that of the other.
        cluster.replicas["0"].own_id = "zero"
        reports = dict(cluster.reports)
        cluster.replicas["0"].shared = reports | {"0": reports["1"]}
        client.ready["session"] = "unknown"
        async with asyncio.timeout(10):
            await expect_resume_failed(client, cluster[1].address)
            await expect_resume_failed(client, cluster[0].address)


async def test_a_holder_that_hangs_fails_the_resume_within_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(holder_connection, "OPEN_TIMEOUT_S", 0.2)

    async def hang(peer: ServerConnection) -> None:
        await peer.wait_closed()

    async with live_cluster(**EAGER) as cluster:
        client = await begin(cluster[0])
        async with scripted_holder(cluster, hang) as peers:
            await expect_resume_failed(client, cluster[1].address)
            assert len(peers) == 1


@pytest.mark.parametrize(
    "garbage",
    [
        "no JSON",
        "[" * 100_000,
        '"ready"',
        '{"type": "pong"}',
        '{"type": "error", "context": null, "code": "resume_failed", "message": 7}',
        b"\0\1\2",
        "x" * (1 << 21),
        "",
    ],
)
async def test_garbage_from_the_holder_fails_the_resume(garbage: str | bytes) -> None:
    async def script(peer: ServerConnection) -> None:
        await peer.send(garbage)
        await peer.wait_closed()

    async with live_cluster(**EAGER) as cluster:
        client = await begin(cluster[0])
        async with scripted_holder(cluster, script):
            await expect_resume_failed(client, cluster[1].address)


async def test_a_wrong_address_of_the_holder_fails_the_resume() -> None:
    async with live_cluster(**EAGER) as cluster:
        client = await begin(cluster[0])
        for url in ("", "http://", "ftp://x", "http://127.0.0.1:1", "http://[::1"):
            cluster.reports["0"] = replace(cluster.reports["0"], url=url)
            await expect_resume_failed(client, cluster[1].address)


@pytest.mark.parametrize("key", ["", "forged", "the-key-of-alice", CLUSTER_KEY + "x"])
async def test_only_replicas_may_name_an_owner(key: str) -> None:
    headers = {"Authorization": "Bearer the-key-of-bob"}
    async with live_cluster(access=KEYS, **EAGER) as cluster:
        client = await begin(cluster[0], additional_headers=headers)
        forged = {"Authorization": f"Bearer {key}", OWNER_HEADER: "key%202"}
        url = f"ws://{cluster[0].address}{RESUME_PATH}"
        async with connect(url, additional_headers=forged) as socket:
            assert json.loads(await socket.recv())["code"] == "invalid_api_key"
        async with connect(
            url, additional_headers={**forged, "Authorization": f"Bearer {CLUSTER_KEY}"}
        ) as socket:
            await socket.send(json.dumps(client.resume_message()))
            assert json.loads(await socket.recv())["type"] == "ready"


async def test_an_empty_cluster_key_proves_nothing() -> None:
    async with live_cluster(access=KEYS, **EAGER) as cluster:
        cluster.replicas["0"].cluster_key = ""
        url = f"ws://{cluster[0].address}{RESUME_PATH}"
        async with connect(url, additional_headers={OWNER_HEADER: "key%201"}) as socket:
            assert json.loads(await socket.recv())["code"] == "invalid_api_key"


async def test_the_cluster_key_opens_nothing_else() -> None:
    headers = {"Authorization": f"Bearer {CLUSTER_KEY}"}
    async with (
        live_cluster(access=KEYS, **EAGER) as cluster,
        connect(f"ws://{cluster[0].address}/ws/tts", additional_headers=headers) as socket,
    ):
        assert json.loads(await socket.recv())["code"] == "invalid_api_key"


async def test_a_slow_listener_behind_a_relay_stops_only_its_own_rendering() -> None:
    async with live_cluster(bidirectional_streaming={"queue_size": 4}, **EAGER) as cluster:
        slow = await begin(cluster[0], max_queue=1)
        slow.go_to(cluster[1].address)
        await slow.connect()
        text = "A sentence of some length, again and again. " * 60
        for name in ("b", "c", "d"):
            await slow.speak_text(name, text, format="pcm_f32le")
        await wait_until(lambda: cluster[0].connections.queued_messages >= 4, 20)
        other = ResumingClient(cluster[0].address)
        await other.connect()
        await other.speak_text("a", TEXT)
        async with asyncio.timeout(20):
            await other.read_to_end("a")
        waiting = cluster[0].connections.waiting_characters
        assert waiting > 0  # not rendered: it is not read
        async with asyncio.timeout(60):
            await slow.read_to_end("b", "c", "d")
        slow.assert_accounted("d", len(text))
