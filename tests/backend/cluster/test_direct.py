"""Clients go to the replica's own address, with a ticket: real sockets, two servers."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from backend.cluster.tickets import LIFETIME_S, Tickets
from backend.config import Settings
from backend.transport import resume_access
from tests.support.cluster import EAGER, KEYS, TEXT, live_cluster
from tests.support.engines.fake_engine import FakeModel
from tests.support.live_server import LiveServer, live_replica, live_server, wait_until
from tests.support.resuming_client import ResumingClient

pytestmark = pytest.mark.usefixtures("room_for_all")

ALICE, BOB = ({"Authorization": f"Bearer the-key-of-{name}"} for name in ("alice", "bob"))


async def begin(server: LiveServer, **options: Any) -> tuple[ResumingClient, dict[str, str]]:
    """A client that speaks `TEXT`, and what it is offered."""
    client = ResumingClient(server.address, **options)
    client.go_to(server.address, "/ws/tts?direct=1")
    ready = await client.connect()
    await client.speak_text("a", TEXT)
    while not client.audio["a"]:
        await client.receive()
    return client, ready["direct"]


async def resume_at(url: str, client: ResumingClient, **options: Any) -> dict[str, Any]:
    """Resume on a connection without a session; returns the first message."""
    async with connect(url, **options) as socket:
        with suppress(ConnectionClosed):  # refused at the handshake
            await socket.send(json.dumps(client.resume_message()))
        return await receive(socket)


async def receive(socket: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(await socket.recv())
    return message


@pytest.mark.slow
async def test_a_client_moves_to_the_offered_address_without_loss() -> None:
    async with live_cluster(direct=True, access=KEYS, **EAGER) as cluster:
        client, direct = await begin(cluster[0], additional_headers=ALICE)
        assert direct["url"] == f"ws://{cluster[0].address}/ws/resume"
        former = client.socket
        client._options = {"origin": "https://page.example"}  # a page has no header for a key
        client.go_to(cluster[0].address, f"/ws/resume?ticket={direct['ticket']}")
        client.resumes_first = True
        await client.connect()
        await client.read_to_end("a")
        client.assert_accounted("a", len(TEXT))
        await former.wait_closed()
        assert (former.close_code, former.close_reason) == (1008, "resumed")
        assert len(cluster[0].connections.sessions()) == 1


@pytest.mark.parametrize(
    ("direct", "query"), [(True, ""), (True, "?direct=0"), (False, "?direct=1")]
)
async def test_only_a_client_that_understands_is_offered_an_address_that_is_on(
    direct: bool, query: str
) -> None:
    async with (
        live_cluster(direct=direct, **EAGER) as cluster,
        connect(f"ws://{cluster[0].address}/ws/tts{query}") as socket,
    ):
        assert "direct" not in await receive(socket)


async def test_nothing_is_offered_alone_or_while_the_own_address_is_unknown() -> None:
    async with (
        live_replica(Settings(), FakeModel()) as server,
        connect(f"ws://{server.address}/ws/tts?direct=1") as socket,
    ):
        assert "direct" not in await receive(socket)
    async with live_cluster(direct=True, **EAGER) as cluster:
        cluster.remove(0)
        async with connect(f"ws://{cluster[0].address}/ws/tts?direct=1") as socket:
            assert "direct" not in await receive(socket)


async def test_a_session_that_cannot_be_resumed_is_not_offered_an_address() -> None:
    settings = {**EAGER, "server": {"resume_ttl": 0}}
    async with (
        live_cluster(direct=True, **settings) as cluster,
        connect(f"ws://{cluster[0].address}/ws/tts?direct=1") as socket,
    ):
        assert "direct" not in await receive(socket)


async def test_a_relayed_client_is_offered_its_holder_s_address() -> None:
    async with live_cluster(direct=True, **EAGER) as cluster:
        client, _ = await begin(cluster[0])
        client.reset_connection()
        client.go_to(cluster[1].address, "/ws/tts?direct=1")
        ready = await client.connect()
        assert ready["direct"]["url"] == f"ws://{cluster[0].address}/ws/resume"
        url = f"{ready['direct']['url']}?ticket={ready['direct']['ticket']}"
        assert (await resume_at(url, client))["type"] == "ready"


# --- tickets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ticket", ["", "forged", "x" * 4000, "%ff%00", "\u00e4"])
async def test_a_forged_ticket_is_refused(ticket: str) -> None:
    async with live_cluster(direct=True, **EAGER) as cluster:
        client, direct = await begin(cluster[0])
        refused = await resume_at(f"{direct['url']}?ticket={ticket}", client)
        assert refused["code"] == "bad_ticket"


async def test_a_ticket_is_used_once() -> None:
    async with live_cluster(direct=True, access=KEYS, **EAGER) as cluster:
        client, direct = await begin(cluster[0], additional_headers=ALICE)
        url = f"{direct['url']}?ticket={direct['ticket']}"
        assert (await resume_at(url, client))["type"] == "ready"
        assert (await resume_at(url, client))["code"] == "bad_ticket"
        # Beside it a key does not help.
        refused = await resume_at(url, client, additional_headers=ALICE)
        assert refused["code"] == "bad_ticket"


async def test_a_ticket_of_another_replica_is_refused() -> None:
    async with live_cluster(direct=True, **EAGER) as cluster:
        client, direct = await begin(cluster[0])
        url = f"ws://{cluster[1].address}/ws/resume?ticket={direct['ticket']}"
        assert (await resume_at(url, client))["code"] == "bad_ticket"
        url = f"{direct['url']}?ticket={direct['ticket']}"  # and not used up there
        assert (await resume_at(url, client))["type"] == "ready"


async def test_a_ticket_expires_by_the_clock_of_its_replica(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ahead_s = 0.0
    issue = Tickets.issue

    def issue_earlier(self: Tickets, owner: str) -> str:
        clock = self._clock
        monkeypatch.setattr(self, "_clock", lambda: clock() - ahead_s)
        try:
            return issue(self, owner)
        finally:
            monkeypatch.setattr(self, "_clock", clock)

    monkeypatch.setattr(Tickets, "issue", issue_earlier)
    async with live_cluster(direct=True, **EAGER) as cluster:
        ahead_s = LIFETIME_S
        client, direct = await begin(cluster[0])
        refused = await resume_at(f"{direct['url']}?ticket={direct['ticket']}", client)
        assert refused["code"] == "bad_ticket"


async def test_a_ticket_resumes_no_session_of_another_owner() -> None:
    async with live_cluster(direct=True, access=KEYS, **EAGER) as cluster:
        alice, _ = await begin(cluster[0], additional_headers=ALICE)
        _, bobs = await begin(cluster[0], additional_headers=BOB)
        refused = await resume_at(f"{bobs['url']}?ticket={bobs['ticket']}", alice)
        assert refused["code"] == "resume_failed"


async def test_a_ticket_admits_on_a_full_server() -> None:
    settings = {**EAGER, "server": {"max_connections": 1}}
    async with live_cluster(direct=True, **settings) as cluster:
        client, direct = await begin(cluster[0])
        assert (await resume_at(direct["url"], client))["code"] == "overloaded"
        url = f"{direct['url']}?ticket={direct['ticket']}"
        assert (await resume_at(url, client))["type"] == "ready"


# --- without a ticket -----------------------------------------------------------------------------


async def test_a_key_resumes_at_the_holder_and_another_does_not() -> None:
    async with live_cluster(direct=True, access=KEYS, **EAGER) as cluster:
        client, direct = await begin(cluster[0], additional_headers=ALICE)
        client.reset_connection()
        assert (await resume_at(direct["url"], client))["code"] == "invalid_api_key"
        refused = await resume_at(direct["url"], client, additional_headers=BOB)
        assert refused["code"] == "resume_failed"
        url = f"{direct['url']}?key=the-key-of-alice"
        assert (await resume_at(url, client, origin="https://a.page"))["type"] == "ready"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('{"type": "text", "text": "Hello"}', "resume_failed"),
        ('{"type": "ping"}', "resume_failed"),
        ("no JSON", "bad_json"),
        (b"\0", "binary_message"),
    ],
)
async def test_such_a_connection_only_resumes(message: str | bytes, code: str) -> None:
    async with live_cluster(direct=True, **EAGER) as cluster:
        client, direct = await begin(cluster[0])
        async with connect(direct["url"]) as socket:
            await socket.send(message)
            assert (await receive(socket))["code"] == code
            await socket.wait_closed()
            assert socket.close_code == 1008
        assert len(cluster[0].connections.sessions()) == 1
        assert client.ready is not None


async def test_a_silent_connection_without_a_session_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resume_access, "_RESUME_TIMEOUT_S", 0.1)
    async with live_cluster(direct=True, **EAGER) as cluster:
        async with connect(f"ws://{cluster[0].address}/ws/resume") as socket:
            async with asyncio.timeout(10):
                assert (await receive(socket))["code"] == "resume_failed"
                await socket.wait_closed()
        await wait_until(lambda: cluster[0].connections.sessions() == [], 5)


async def test_pages_of_other_sites_open_no_session_of_their_own() -> None:
    async with live_cluster(direct=True, **EAGER) as cluster:
        with pytest.raises(InvalidStatus):
            await connect(
                f"ws://{cluster[0].address}/ws/tts", origin=Origin("https://evil.example")
            )
    async with live_server(**EAGER) as server:
        with pytest.raises(InvalidStatus):
            await connect(f"ws://{server.address}/ws/resume", origin=Origin("https://evil.example"))


async def test_the_page_may_connect_to_all_replicas_and_nowhere_else() -> None:
    async with live_cluster(2, direct=True, **EAGER) as cluster, httpx.AsyncClient() as http:
        policy = (await http.get(cluster[0].http)).headers["content-security-policy"]
        addresses = " ".join(f"ws://{cluster[n].address}/ws/resume" for n in (0, 1))
        assert policy.endswith(f"; connect-src 'self' {addresses}")
    async with live_server(**EAGER) as server, httpx.AsyncClient() as http:
        policy = (await http.get(server.http)).headers["content-security-policy"]
        assert policy.endswith("; connect-src 'self'")
