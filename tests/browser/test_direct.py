"""The page in a cluster: it goes to a replica's own address, and comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.browser.cable import Cable, cable_to
from tests.browser.speaking_page import SpeakingPage
from tests.browser.test_connection import TEXT, assert_whole
from tests.support.cluster import Cluster, live_cluster
from tests.support.live_server import wait_until

pytestmark = pytest.mark.asyncio(loop_scope="package")


@pytest_asyncio.fixture(loop_scope="package")
async def cluster() -> AsyncIterator[Cluster]:
    async with live_cluster(2, direct=True, server={"drain_timeout": 0}) as cluster:
        yield cluster


@pytest_asyncio.fixture(loop_scope="package")
async def first(cluster: Cluster) -> AsyncIterator[Cable]:
    """The cluster's first address, which leads to replica 0."""
    async with cable_to(cluster[0].http) as cable:
        yield cable


@pytest_asyncio.fixture(loop_scope="package")
async def own(cluster: Cluster) -> AsyncIterator[Cable]:
    """Replica 0's own address."""
    async with cable_to(cluster[0].http) as cable:
        cluster.reports["0"] = replace(cluster.reports["0"], url=cable.url)
        yield cable


async def wait_moved(speaking: SpeakingPage, cluster: Cluster) -> None:
    """Wait until the session was resumed at the replica's own address."""

    def is_resumed() -> bool:
        readies = speaking.messages("ready")
        return len(readies) == 2 and readies[0]["session"] == readies[1]["session"]

    await wait_until(is_resumed, 20)
    assert len(cluster[0].connections.sessions()) == 1


async def speak(speaking: SpeakingPage) -> None:
    await speaking.text.fill(TEXT)
    await speaking.press("Enter")


async def test_the_page_moves_and_speaks_without_the_first_address(
    page: Page, cluster: Cluster, own: Cable, first: Cable
) -> None:
    speaking = await SpeakingPage(page).open(first.url)
    await wait_moved(speaking, cluster)
    await speak(speaking)
    await speaking.wait_all_heard()
    first.cut()  # what plays the sound is loaded
    await speak(speaking)
    await speaking.wait_all_heard(2)
    assert_whole(speaking, "page-2", TEXT)
    await speaking.assert_played_is_sent()
    await expect(page.locator("#connection-text")).to_have_text("Connected")


async def test_the_page_moves_in_mid_speech_without_loss(
    page: Page, cluster: Cluster, own: Cable, first: Cable
) -> None:
    own.hold()
    speaking = await SpeakingPage(page).open(first.url)
    await speak(speaking)
    await speaking.wait_heard()
    own.let_flow()
    await wait_moved(speaking, cluster)
    await speaking.wait_all_heard()
    assert_whole(speaking, "page-1", TEXT)
    await speaking.assert_played_is_sent()


async def test_a_page_that_cannot_reach_the_replica_stays(
    page: Page, cluster: Cluster, own: Cable, first: Cable
) -> None:
    own.cut()
    speaking = await SpeakingPage(page).open(first.url)
    await speak(speaking)
    await speaking.wait_all_heard()
    assert_whole(speaking, "page-1", TEXT)
    assert len(speaking.messages("ready")) == 1


async def test_a_cut_direct_connection_is_resumed_at_the_first_address(
    page: Page, cluster: Cluster, own: Cable, first: Cable
) -> None:
    speaking = await SpeakingPage(page).open(first.url)
    await wait_moved(speaking, cluster)
    await speak(speaking)
    await speaking.wait_heard()
    own.cut()
    await wait_until(lambda: len(speaking.messages("ready")) == 4, 20)
    await speaking.wait_all_heard()
    assert_whole(speaking, "page-1", TEXT)
    assert len({ready["session"] for ready in speaking.messages("ready")}) == 2
    await speaking.assert_played_is_sent()


async def test_a_cut_direct_connection_is_resumed_through_another_replica(
    page: Page, cluster: Cluster, own: Cable, first: Cable
) -> None:
    speaking = await SpeakingPage(page).open(first.url)
    await wait_moved(speaking, cluster)
    await speak(speaking)
    await speaking.wait_heard()
    first.lead_to(cluster[1].http)
    cluster.reports["0"] = replace(cluster.reports["0"], url=cluster[0].http)
    own.cut()
    await wait_until(lambda: len(speaking.messages("ready")) >= 4, 20)
    await speaking.wait_all_heard()
    assert_whole(speaking, "page-1", TEXT)
    await speaking.assert_played_is_sent()


async def test_a_page_whose_replica_is_killed_goes_on_elsewhere(
    page: Page, cluster: Cluster, own: Cable, first: Cable
) -> None:
    speaking = await SpeakingPage(page).open(first.url)
    await wait_moved(speaking, cluster)
    await speaking.type("Spoken before it was killed, ")
    await speaking.wait_heard()
    first.lead_to(cluster[1].http)
    cluster.kill(0)
    own.cut()
    await wait_until(lambda: len(cluster[1].connections.sessions()) == 1, 20)
    await speaking.connected()
    await speaking.type("and after.")
    await speaking.press("Enter")
    await speaking.wait_all_heard()
    await speaking.assert_played_is_sent()
