"""Replicas end under listeners that use the client library: each hears all, exactly once."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

pytest.importorskip("ray", reason="make install-cluster")

from tests.backend.ray_serve.cluster import Cluster, create_slow_model, listening_process
from tests.backend.ray_serve.listening import SessionListener, many_listening

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

LISTENERS = 20
SENTENCES = 16  # about 8 s of speech
AUDIBLE_GAP_S = 0.02


async def hear_all(listeners: list[SessionListener], sentences: int = SENTENCES) -> float:
    """All hear a text at the same time; returns the longest gap in seconds."""
    await asyncio.gather(*(each.hear(sentences) for each in listeners))
    return max(each.longest_gap_s for each in listeners)


def living(listeners: list[SessionListener], ids: set[str]) -> dict[int, int]:
    """The reconnects of those listeners whose replica is among `ids`, by number."""
    return {
        number: each.reconnects for number, each in enumerate(listeners) if each.replicas[-1] in ids
    }


async def test_a_rolling_update_under_20_listeners_loses_and_repeats_nothing(
    cluster: Cluster,
) -> None:
    await cluster.wait_routed(2)
    before = {each.id for each in await cluster.wait_reports(2)}
    async with many_listening(cluster.url, LISTENERS) as listeners:
        assert {each.replicas[-1] for each in listeners} == before
        updated = asyncio.create_task(cluster.update())
        async with asyncio.TaskGroup() as tasks:
            for each in listeners:
                tasks.create_task(each.hear_while(lambda: not updated.done()))
        await updated
        after = {each.id for each in await cluster.wait_reports(2)}
        for each in listeners:
            assert each.replicas[-1] in after
            assert set(each.replicas[:-1]) <= before, "moved without need"
            stats = each.session.stats()
            assert stats.reconnects - stats.resumes == len(each.replicas) - 1


async def test_a_replica_killed_in_mid_speech(cluster: Cluster) -> None:
    await cluster.wait_routed(2)
    first, second = await cluster.wait_reports(2)
    async with many_listening(cluster.url, 8) as listeners:
        usual_gap_s = await hear_all(listeners)
        others = living(listeners, {second.id})
        assert 0 < len(others) < len(listeners)
        hearing = asyncio.create_task(hear_all(listeners))
        await asyncio.sleep(1)
        os.kill(listening_process(first.url), signal.SIGKILL)
        await hearing
        for number, each in enumerate(listeners):
            if number in others:
                assert each.reconnects == others[number]
                assert each.longest_gap_s <= usual_gap_s + AUDIBLE_GAP_S
            else:
                assert each.replicas[-1] != first.id
                assert each.session.stats().restarts >= 1
    await cluster.wait_reports(2, without=first.id)


async def test_one_replica_three_and_one_again(ray_cluster: Cluster) -> None:
    await ray_cluster.scale(1)
    async with many_listening(ray_cluster.url, 3) as first:
        alone = living(first, {(await ray_cluster.wait_reports(1))[0].id})
        hearing = asyncio.create_task(hear_all(first))
        await ray_cluster.scale(3)
        await hearing
        before = [each.id for each in await ray_cluster.wait_reports(3)]
        assert living(first, set(before)) == alone, "those who were there stay"
        async with many_listening(ray_cluster.url, 9) as more:
            listeners = first + more
            assert len({each.replicas[-1] for each in listeners}) > 1
            calm = {id_: living(listeners, {id_}) for id_ in before}
            hearing = asyncio.create_task(hear_all(listeners))
            await ray_cluster.scale(1)
            await hearing
            (left,) = await ray_cluster.wait_reports(1)
            for number, reconnects in calm[left.id].items():
                assert listeners[number].reconnects == reconnects


async def test_the_cluster_grows_under_load(ray_cluster: Cluster) -> None:
    bounds = {"replicas": 1, "max_replicas": 2, "cpus_per_replica": 0.5}
    await ray_cluster.deploy(1, create_slow_model, cluster=bounds)
    await ray_cluster.wait_routed(1)
    async with many_listening(ray_cluster.url, 8) as listeners:
        grown = asyncio.create_task(ray_cluster.wait_reports(2))
        async with asyncio.TaskGroup() as tasks:
            for each in listeners:
                tasks.create_task(each.hear_while(lambda: not grown.done()))
        await grown
        assert {each.session.stats().reconnects for each in listeners} == {0}
