"""Faults of a cluster of two or three replicas, on one Ray for all tests."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from functools import partial
from pathlib import Path

import httpx
import pytest

pytest.importorskip("ray", reason="make install-cluster")

from tests.backend.ray_serve.cluster import (
    Cluster,
    create_unequal_model,
    listening_process,
    process_ids,
)
from tests.support.live_server import NativeClient, decode_speech
from tests.support.resuming_client import ResumingClient

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

SENTENCE = "One two three four five six seven eight nine ten. "


async def speak_paced(client: NativeClient, sentences: int, pause_s: float = 0.2) -> str:
    """Write sentences over time; returns the characters heard, each exactly once."""
    await client.send("start", context="a", format="pcm_f32le")
    for _ in range(sentences):
        await client.send("text", context="a", text=SENTENCE)
        await asyncio.sleep(pause_s)
    await client.send("end", context="a")
    return decode_speech(await client.receive_until("done", "a"), "a")


def spoken(sentences: int) -> str:
    return "".join((SENTENCE * sentences).split())


async def test_a_killed_proxy_leaves_direct_connections_alone(cluster: Cluster) -> None:
    first, _ = await cluster.wait_reports(2)
    async with cluster.connect(first.url[7:]) as direct:
        hearing = asyncio.create_task(speak_paced(direct, 10))
        for process in process_ids("ray::ProxyActor"):
            os.kill(process, signal.SIGKILL)
        assert await hearing == spoken(10)
    await cluster.connect_patiently()
    assert {each.id for each in await cluster.wait_reports(2)} >= {first.id}


async def test_a_killed_controller_ends_nobody(cluster: Cluster) -> None:
    before = {each.id for each in await cluster.wait_reports(2)}
    async with cluster.connect() as client:
        hearing = asyncio.create_task(speak_paced(client, 10))
        for process in process_ids("ray::ServeController"):
            os.kill(process, signal.SIGKILL)
        async with cluster.connect() as newcomer:
            assert await speak_paced(newcomer, 1) == spoken(1)
        assert await hearing == spoken(10)
    assert {each.id for each in await cluster.wait_reports(2)} == before


async def test_a_killed_board_knows_all_again(cluster: Cluster) -> None:
    before = {each.id for each in await cluster.wait_reports(2)}
    for process in process_ids("ray::ReportBoard"):
        os.kill(process, signal.SIGKILL)
    assert {each.id for each in await cluster.wait_reports(2)} == before


async def test_a_hanging_replica_is_gone_and_replaced(cluster: Cluster) -> None:
    first, second = await cluster.wait_reports(2)
    process = listening_process(first.url)
    os.kill(process, signal.SIGSTOP)
    async with cluster.connect(second.url[7:]) as other:
        assert await speak_paced(other, 5) == spoken(5)
    await cluster.connect_patiently()  # the proxy chooses another
    await cluster.wait_reports(2, without=first.id)


async def test_idle_clients_are_asked_to_come_again(cluster: Cluster) -> None:
    first, second = await cluster.wait_reports(2)
    async with (
        cluster.connect() as proxied,
        cluster.connect(first.url[7:]) as one,
        cluster.connect(second.url[7:]) as two,
    ):
        updated = asyncio.create_task(cluster.update())
        closed = await asyncio.gather(*(each.wait_closed() for each in (proxied, one, two)))
        await updated
    assert set(closed) == {1012}


async def test_a_full_cluster_refuses_at_once(ray_cluster: Cluster) -> None:
    await ray_cluster.deploy(2, server={"max_connections": 1})
    first, second = await ray_cluster.wait_reports(2)
    async with ray_cluster.connect(first.url[7:]), ray_cluster.connect(second.url[7:]):
        asked_s = time.monotonic()
        async with ray_cluster.connect() as refused:
            assert refused.ready["code"] == "overloaded"
            assert await refused.wait_closed() == 1013
        assert time.monotonic() - asked_s < 2


async def test_any_replica_tells_of_all_and_ends_their_sessions(cluster: Cluster) -> None:
    first, second = await cluster.wait_reports(2)
    async with cluster.connect(second.url[7:]) as client, httpx.AsyncClient() as http:
        session = client.ready["session"]
        async with asyncio.timeout(20):
            while True:
                status = (await http.get(f"{first.url}/v1/status")).json()["cluster"]
                known = {each["id"] for each in status["sum"]["sessions"] or ()}
                if len(status["replicas"]) == 2 and session in known:
                    break
                await asyncio.sleep(0.2)
        ended = await http.delete(f"{first.url}/v1/sessions/{session}")
        assert ended.status_code == 204
        assert await client.wait_closed() == 1008


async def test_listeners_are_spread_evenly(cluster: Cluster) -> None:
    loads: Counter[str] = Counter()
    reports = await cluster.wait_reports(2)
    for each in reports:  # their first renders are slow, and say little of what a listener costs
        async with cluster.connect(each.url[7:]) as client:
            await speak_paced(client, 40, 0.0)

    async def hear(number: int) -> None:
        await asyncio.sleep(number / 6)
        async with cluster.connect() as client:
            await speak_paced(client, 20, 0.5)

    async with asyncio.TaskGroup() as tasks:
        for number in range(60):
            tasks.create_task(hear(number))
        await asyncio.sleep(9.9)
        async with httpx.AsyncClient() as http:
            for each in reports:
                answer = (await http.get(f"{each.url}/v1/status")).json()
                loads[each.id] = answer["figures"]["connections"]
    assert max(loads.values()) - min(loads.values()) <= 0.2 * max(loads.values()), loads


async def test_a_slow_replica_is_left_alone(ray_cluster: Cluster, tmp_path: Path) -> None:
    marker = tmp_path / "slow"
    await ray_cluster.deploy(2, partial(create_unequal_model, str(marker)))
    await ray_cluster.wait_routed(2)
    reports = await ray_cluster.wait_reports(2)
    slow = int(marker.read_text())
    (slow_id,) = (each.id for each in reports if listening_process(each.url) == slow)
    for each in reports:  # a replica knows its speed once it has spoken
        async with ray_cluster.connect(each.url[7:]) as client:
            assert await speak_paced(client, 2) == spoken(2)
    went_to: Counter[str] = Counter()

    async def hear(number: int) -> None:
        await asyncio.sleep(number / 2)
        async with ray_cluster.connect() as client:
            went_to[client.ready["token"].partition(".")[2]] += 1
            await speak_paced(client, 12, 0.5)

    await asyncio.gather(*map(hear, range(16)))
    assert went_to[slow_id] <= 4, went_to


async def test_a_session_is_resumed_at_the_wrong_replica(cluster: Cluster) -> None:
    first, second = await cluster.wait_reports(2)
    client = ResumingClient(first.url[7:])
    await client.connect()
    await client.send("start", context="a", format="pcm_f32le")
    await client.send("text", context="a", text=SENTENCE)
    while not client.audio["a"]:
        await client.receive()
    client.reset_connection()
    client.go_to(second.url[7:])
    await client.connect()
    assert client.resumes == 1
    await client.send("text", context="a", text=SENTENCE)
    await client.send("end", context="a")
    while "a" not in client.ends:
        await client.receive()
    assert decode_speech([*client.audio["a"], client.ends["a"]], "a") == spoken(2)
