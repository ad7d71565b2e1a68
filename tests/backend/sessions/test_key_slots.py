"""The sessions that one key may have at a time, over all replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from backend.cluster.replicas import Load, ReplicaReport
from backend.errors import KeyLimit
from backend.sessions.key_slots import KeySlots
from tests.support.live_server import LiveServer, live_server

KEYS = {"api_keys": "one, other", "sessions_per_key": 2}


class KnownReplicas:
    """Reports what it is given, this replica's own included."""

    own_id = "a"
    cluster_key = "secret"
    offers_direct = False

    def __init__(self, **counts: Any) -> None:
        self.statuses: dict[str, Any] = counts

    def find(self, replica_id: str) -> ReplicaReport | None:
        return None

    def reports(self) -> list[ReplicaReport]:
        return [
            ReplicaReport(id_, "http://", Load(0.0, 0.0, 1), status={"sessions_by_key": counts})
            for id_, counts in self.statuses.items()
        ]


def test_slots_are_counted_by_owner_and_freed() -> None:
    slots = KeySlots(1)
    with slots.take_slot("ann"):
        assert slots.counts == {"ann": 1}
        with slots.take_slot("ben"), pytest.raises(KeyLimit, match=r"access\.sessions_per_key"):
            slots.take("ann")
    assert slots.counts == {}
    with slots.take_slot("ann"):
        pass


def test_who_has_no_key_has_no_limit() -> None:
    slots = KeySlots(1)
    with slots.take_slot(""), slots.take_slot(""):
        assert slots.counts == {}


def test_without_a_limit_nothing_is_counted() -> None:
    slots = KeySlots(0)
    with slots.take_slot("ann"), slots.take_slot("ann"):
        assert slots.counts == {}


def test_sessions_on_other_replicas_count() -> None:
    replicas = KnownReplicas(a={"ann": 50}, b={"ann": 1, "ben": 9}, c={"ann": 1})
    slots = KeySlots(3, replicas)
    with slots.take_slot("ann"):
        with pytest.raises(KeyLimit):
            slots.take("ann")
        del replicas.statuses["c"]  # gone
        with slots.take_slot("ann"):
            pass


@pytest.mark.parametrize("told", [None, 7, {"ann": "many"}, {"ann": None}, []])
def test_what_another_version_reports_harms_nobody(told: object) -> None:
    with KeySlots(1, KnownReplicas(b=told)).take_slot("ann"):
        pass


async def wait_refused(attempt: Callable[[], Awaitable[bool]], expected: bool) -> None:
    """Ask until the answer is as expected: a slot is freed a moment after its client has left."""
    async with asyncio.timeout(10):
        while await attempt() is not expected:  # noqa: ASYNC110 - it asks a server
            await asyncio.sleep(0.02)


async def is_refused(server: LiveServer, key: str) -> bool:
    headers = {"authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(headers=headers) as client:
        response = await client.post(f"{server.http}/v1/speech", json={"text": "Hi"})
    if response.status_code == 200:
        return False
    assert response.status_code == 429
    assert response.json()["code"] == "key_limit"
    return True


async def test_connections_and_requests_of_a_key_are_limited_together() -> None:
    def bearer(key: str) -> dict[str, Any]:
        return {"additional_headers": {"authorization": f"Bearer {key}"}}

    async with live_server(access=KEYS) as server, server.connect(**bearer("one")):
        assert not await is_refused(server, "one")
        async with server.connect(**bearer("one")):
            assert await is_refused(server, "one")
            assert not await is_refused(server, "other")
            async with server.connect(**bearer("one")) as third:
                assert third.ready["code"] == "key_limit"
                assert await third.wait_closed() == 1013
        await wait_refused(lambda: is_refused(server, "one"), False)


async def test_a_key_in_the_first_message_counts_from_then_on() -> None:
    url = "/v1/text-to-speech/heart/stream-input"
    async with live_server(access={**KEYS, "sessions_per_key": 1}) as server:
        async with connect(f"ws://{server.address}{url}") as socket:
            assert not await is_refused(server, "one")
            await socket.send('{"text": " ", "xi_api_key": "one"}')
            await wait_refused(lambda: is_refused(server, "one"), True)
            async with connect(f"ws://{server.address}{url}") as second:
                await second.send('{"text": " ", "xi_api_key": "one"}')
                assert "access.sessions_per_key" in str(await second.recv())
        await wait_refused(lambda: is_refused(server, "one"), False)


async def test_without_keys_there_is_no_limit() -> None:
    async with (
        live_server(access={"sessions_per_key": 1}) as server,
        server.connect() as one,
        server.connect() as other,
    ):
        assert one.ready["type"] == other.ready["type"] == "ready"
