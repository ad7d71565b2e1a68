"""Faults of a cluster of two or three replicas, on one Ray for all tests."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import pytest_asyncio

from tests.backend.ray_serve.cluster import (
    Cluster,
    listening_process,
    process_ids,
    running_cluster,
)
from tests.support.live_server import NativeClient, decode_speech

pytest.importorskip("ray", reason="make install-cluster")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

SENTENCE = "One two three four five six seven eight nine ten. "


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest_asyncio.fixture
async def cluster(ray_cluster: Cluster) -> AsyncIterator[Cluster]:
    await ray_cluster.deploy()
    yield ray_cluster


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


async def test_a_killed_replica_leaves_the_others_alone(cluster: Cluster) -> None:
    first, second = await cluster.wait_reports(2)
    async with (
        cluster.connect(first.url[7:]) as victim,
        cluster.connect(second.url[7:]) as other,
    ):
        hearing = asyncio.create_task(speak_paced(other, 10))
        await victim.send("text", context="a", text=SENTENCE)
        await victim.receive_until("audio")
        os.kill(listening_process(first.url), signal.SIGKILL)
        assert await victim.wait_closed() == 1006
        await cluster.connect_patiently()
        assert await hearing == spoken(10)
    await cluster.wait_reports(2, without=first.id)


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


async def test_a_rolling_update_loses_no_sample(cluster: Cluster) -> None:
    before = {each.id for each in await cluster.wait_reports(2)}

    async def listen_through(number: int) -> int:
        """Listen again and again, over the update; returns how often."""
        turns = 0
        while not updated.done() or not turns:
            async with cluster.connect() as client:
                if client.ready["type"] != "ready":
                    await asyncio.sleep(0.2)
                    continue
                assert await speak_paced(client, 4 + number % 3) == spoken(4 + number % 3)
                turns += 1
        return turns

    updated = asyncio.create_task(cluster.update())
    turns = await asyncio.gather(*map(listen_through, range(20)))
    await updated
    assert min(turns) >= 1
    assert before.isdisjoint({each.id for each in await cluster.wait_reports(2)})


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


async def test_three_replicas_and_one_again(cluster: Cluster) -> None:
    async with cluster.connect() as client:
        hearing = asyncio.create_task(speak_paced(client, 8))
        await cluster.deploy(3)
        assert await hearing == spoken(8)
    # Whichever of the three ends, none loses speech.
    async with cluster.connect() as one, cluster.connect() as two, cluster.connect() as three:
        all_heard = asyncio.gather(*map(_speak_again, (one, two, three)))
        await cluster.deploy(1)
        assert await all_heard == [spoken(3)] * 3


async def _speak_again(client: NativeClient) -> str:
    await client.send("start", context="b", format="pcm_f32le")
    await client.send("text", context="b", text=SENTENCE * 3)
    await client.send("end", context="b")
    return decode_speech(await client.receive_until("done", "b"), "b")


async def test_a_full_cluster_refuses_at_once(ray_cluster: Cluster) -> None:
    await ray_cluster.deploy(2, server={"max_connections": 1})
    first, second = await ray_cluster.wait_reports(2)
    async with ray_cluster.connect(first.url[7:]), ray_cluster.connect(second.url[7:]):
        asked_s = time.monotonic()
        async with ray_cluster.connect() as refused:
            assert refused.ready["code"] == "overloaded"
            assert await refused.wait_closed() == 1013
        assert time.monotonic() - asked_s < 2


async def test_listeners_are_spread_evenly(cluster: Cluster) -> None:
    loads: Counter[str] = Counter()
    reports = await cluster.wait_reports(2)

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
