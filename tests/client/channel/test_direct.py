"""The client goes to a replica's own address, and back: real servers, fake engine."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from backend.synthesis.live_listeners import LiveListeners
from bench.client.fault_proxy import FaultProxy, fault_proxy, host_and_port
from duplex_tts import Done, Options, Session, SessionManager, sync
from duplex_tts.channel import direct
from duplex_tts.channel.direct import AVOID_S, AvoidedAddresses, DirectAccess
from duplex_tts.channel.websocket import Traffic, WebSocketConnection
from duplex_tts.events import Direct
from tests.client.channel.test_resuming import WORDS, hear_utterance, write_words
from tests.support.cluster import Cluster, live_cluster
from tests.support.live_server import wait_until

SPOKEN = "".join(WORDS).replace(" ", "")
KEYS = {"api_keys": "the-key-of-alice,the-key-of-bob"}
KEY = "the-key-of-alice"


@pytest.fixture(autouse=True)
def _room_for_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Admit contexts however busy the test machine is."""
    monkeypatch.setattr(LiveListeners, "check_capacity", lambda *_: None)


@asynccontextmanager
async def cluster_behind_proxy(
    size: int = 2, **sections: Any
) -> AsyncIterator[tuple[Cluster, FaultProxy]]:
    """A cluster that offers addresses, and its first address, which leads to replica 0."""
    sections = {"server": {"drain_timeout": 0}, **sections}
    async with (
        live_cluster(size, direct=True, **sections) as cluster,
        fault_proxy(cluster[0].address) as proxy,
    ):
        yield cluster, proxy


@asynccontextmanager
async def own_proxy(cluster: Cluster, number: int = 0) -> AsyncIterator[FaultProxy]:
    """Put a proxy in front of a replica's own address."""
    async with fault_proxy(cluster[number].address) as proxy:
        report = cluster.reports[str(number)]
        cluster.reports[str(number)] = replace(report, url=f"http://{proxy.address}")
        yield proxy


def report_address(cluster: Cluster, address: str) -> None:
    """Let replica 0 report this as its own address."""
    cluster.reports["0"] = replace(cluster.reports["0"], url=f"http://{address}")


async def wait_direct(session: Session) -> None:
    await wait_until(lambda: session.stats().direct, within_s=10)


async def speak_words(session: Session) -> str:
    """Speak `WORDS`; returns the characters heard, none lost and none repeated."""
    utterance = session.speak(write_words(), format="pcm_f32le")
    _, spoken = await hear_utterance(utterance)
    done = await utterance.done()
    assert isinstance(done, Done)
    assert done.characters == len("".join(WORDS))
    return spoken


# --- going there ----------------------------------------------------------------------------------


async def test_a_session_moves_to_the_replica_s_address_in_mid_speech() -> None:
    async with (
        cluster_behind_proxy(access=KEYS) as (cluster, proxy),
        Session.connect(proxy.address, KEY) as session,
    ):
        assert await speak_words(session) == SPOKEN
        stats = session.stats()
        assert stats.direct
        assert (stats.reconnects, stats.restarts) == (0, 0)
        through_proxy = proxy.down_bytes
        assert await speak_words(session) == SPOKEN
        assert proxy.down_bytes == through_proxy
        assert len(cluster[0].connections.sessions()) == 1
    await wait_until(lambda: not cluster[0].connections.sessions(), 5)


async def test_a_lone_server_is_not_left() -> None:
    async with (
        live_cluster() as cluster,  # direct is off
        Session.connect(cluster[0].address) as session,
    ):
        assert await speak_words(session) == SPOKEN
        assert not session.stats().direct


def test_a_blocking_session_moves_too() -> None:
    ready, stop = asyncio.Event(), asyncio.Event()
    loop_of: dict[str, Any] = {}

    async def serve_cluster() -> None:
        async with cluster_behind_proxy() as (_, proxy):
            loop_of["address"] = proxy.address
            ready.set()
            await stop.wait()

    async def main() -> None:
        serving = asyncio.create_task(serve_cluster())
        await ready.wait()
        await asyncio.to_thread(speak_blocking, loop_of["address"])
        stop.set()
        await serving

    def speak_blocking(address: str) -> None:
        with sync.Session(address) as session:
            for _ in range(500):
                for _ in session.speak("Hello there."):
                    pass
                if session.stats().direct:
                    return
        raise AssertionError("it never moved")

    asyncio.run(main())


# --- an address that cannot be reached ------------------------------------------------------------


async def accept_silently(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def test_speech_does_not_wait_for_an_address_that_does_not_answer() -> None:
    silent = await asyncio.start_server(accept_silently, "127.0.0.1", 0)
    host, port = silent.sockets[0].getsockname()
    async with cluster_behind_proxy() as (cluster, proxy):
        report_address(cluster, f"{host}:{port}")
        async with Session.connect(proxy.address) as session:
            assert await speak_words(session) == SPOKEN
            stats = session.stats()
            assert (stats.direct, stats.reconnects) == (False, 0)
    silent.close()


@pytest.mark.slow
async def test_an_address_that_cannot_be_reached_is_remembered_by_the_pool() -> None:
    async with cluster_behind_proxy() as (cluster, proxy), own_proxy(cluster) as dead:
        dead.refuse = True
        async with SessionManager(proxy.address) as pool:
            for call in range(3):
                session = await pool.get_or_create(f"call {call}")
                assert await speak_words(session) == SPOKEN
                await wait_until(lambda: dead.connections == 1, 5)
            proxy.cut()
            assert await speak_words(session) == SPOKEN
        assert dead.connections == 1


@pytest.mark.parametrize("answer", ["garbage", "silence"])
async def test_another_machine_at_the_address_is_left_again(
    answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("duplex_tts.channel.resuming.RESUME_TIMEOUT_S", 0.3)

    async def handle(peer: ServerConnection) -> None:
        await peer.recv()
        if answer == "garbage":
            await peer.send("welcome!")
        await peer.wait_closed()

    async with (
        cluster_behind_proxy() as (cluster, proxy),
        serve(handle, "127.0.0.1", 0) as other,
    ):
        report_address(cluster, f"127.0.0.1:{other.sockets[0].getsockname()[1]}")
        async with Session.connect(proxy.address) as session:
            assert await speak_words(session) == SPOKEN
            await wait_until(lambda: session.stats().resumes == 1, 5)
            assert await speak_words(session) == SPOKEN
            stats = session.stats()
            assert (stats.direct, stats.resumes, stats.restarts) == (False, 1, 0)


@pytest.mark.parametrize(
    ("first", "offered", "allowed"),
    [
        ("ws://a/ws/tts", "ws://10.0.0.7:8001/ws/resume", True),
        ("ws://a/ws/tts", "wss://10.0.0.7/ws/resume", True),
        ("wss://a/ws/tts", "wss://10.0.0.7/ws/resume", True),
        ("wss://a/ws/tts", "ws://10.0.0.7:8001/ws/resume", False),
        ("ws://a/ws/tts", "http://10.0.0.7:8001/ws/resume", False),
        ("ws://a/ws/tts", "ws://10.0.0.7:8001/?key=x", False),
        ("ws://a/ws/tts", "ws://[::1", False),
        ("ws://a/ws/tts", "", False),
    ],
)
async def test_an_offer_is_not_less_secure_than_the_first_address(
    first: str, offered: str, allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    async def record(address: str, *_: object) -> None:
        opened.append(address)

    monkeypatch.setattr(WebSocketConnection, "open_direct", record)
    await DirectAccess(first, None, Traffic(), AvoidedAddresses()).open_offered(
        Direct(offered, "t")
    )
    assert opened == [offered] * allowed


def test_avoided_addresses_are_tried_again_after_a_while_and_bounded() -> None:
    now_s = 0.0
    avoided = AvoidedAddresses(lambda: now_s)
    avoided.add("ws://a")
    assert "ws://a" in avoided
    assert "ws://b" not in avoided
    now_s = AVOID_S
    assert "ws://a" not in avoided
    for number in range(5_000):
        avoided.add(f"ws://{number}")
    assert "ws://0" not in avoided
    assert "ws://4999" in avoided


# --- breaking and coming back ---------------------------------------------------------------------


async def test_a_broken_direct_connection_is_resumed_at_the_same_address() -> None:
    async with (
        cluster_behind_proxy(access=KEYS) as (cluster, proxy),
        own_proxy(cluster) as own,
        Session.connect(proxy.address, KEY) as session,
    ):
        await wait_direct(session)
        first_connections = proxy.connections
        speaking = asyncio.create_task(speak_words(session))
        for resumes in range(1, 5):
            enough = own.down_bytes + 10_000
            await wait_until(lambda enough=enough: own.down_bytes > enough, 10)  # type: ignore[misc]
            own.cut()
            await wait_until(lambda n=resumes: session.stats().resumes == n, 10)  # type: ignore[misc]
        assert await speaking == SPOKEN
        assert session.stats().direct
        assert session.stats().restarts == 0
        assert proxy.connections == first_connections


@pytest.mark.parametrize("lands_on", [0, 1], ids=["its holder", "another replica"])
async def test_when_the_direct_address_is_cut_off_the_first_address_resumes(lands_on: int) -> None:
    async with (
        cluster_behind_proxy(access=KEYS) as (cluster, proxy),
        own_proxy(cluster) as own,
        Session.connect(proxy.address, KEY) as session,
    ):
        await wait_direct(session)
        proxy.upstream = host_and_port(cluster[lands_on].address)
        # The replicas still reach each other.
        report_address(cluster, cluster[0].address)
        utterance = session.speak(write_words(), format="pcm_f32le")
        first = await anext(utterance)
        own.refuse = True
        own.cut()
        tried = own.connections
        _, rest = await hear_from(utterance, first)
        assert rest == SPOKEN
        stats = session.stats()
        assert (stats.resumes, stats.restarts) == (1, 0)
        assert own.connections == tried + 1


async def hear_from(utterance: Any, first: Any) -> tuple[Any, str]:
    """`hear_utterance` where the first chunk was taken already."""

    async def chunks() -> AsyncIterator[Any]:
        yield first
        async for chunk in utterance:
            yield chunk

    return await hear_utterance(chunks())  # type: ignore[arg-type]


@pytest.mark.slow
async def test_a_direct_address_that_hangs_costs_little_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(direct, "RESUME_TIMEOUT_S", 0.2)
    async with cluster_behind_proxy() as (cluster, proxy), own_proxy(cluster) as own:
        options = Options(ping_timeout_s=0.3)
        async with Session.connect(proxy.address, options=options) as session:
            await wait_direct(session)
            proxy.upstream = host_and_port(cluster[1].address)
            report_address(cluster, cluster[0].address)
            utterance = session.speak(write_words(), format="pcm_f32le")
            first = await anext(utterance)
            own.stall()
            _, spoken = await hear_from(utterance, first)
            assert spoken == SPOKEN
            assert session.stats().restarts == 0


# --- coming elsewhere -----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("is_direct", [True, False], ids=["direct", "through the proxy"])
@pytest.mark.parametrize("how", ["killed", "drains"])
async def test_nothing_unheard_is_lost_or_repeated_when_the_replica_goes(
    how: str, is_direct: bool
) -> None:
    sections: dict[str, Any] = {"access": KEYS}
    async with cluster_behind_proxy(3, **sections) as (cluster, proxy):
        if not is_direct:
            report_address(cluster, "127.0.0.1:1")
        async with (
            Session.connect(proxy.address, KEY) as session,
            Session.connect(cluster[2].address, KEY) as other,
        ):
            if is_direct:
                await wait_direct(session)
            others = asyncio.create_task(speak_words(other))
            utterance = session.speak(write_words(), format="pcm_f32le")
            first = await anext(utterance)
            proxy.upstream = host_and_port(cluster[1].address)
            if how == "killed":
                cluster.kill(0)
                proxy.cut()
            else:
                cluster.set_draining(0)
                cluster[0].request_shutdown()
            async with asyncio.timeout(30):
                _, spoken = await hear_from(utterance, first)
            assert spoken == SPOKEN
            assert len(utterance.restarts) == 1
            assert await speak_words(session) == SPOKEN
            assert [status.contexts for status in cluster[1].connections.sessions()] == [0]
            assert await others == SPOKEN
            assert other.stats().restarts == 0


@pytest.mark.slow
async def test_a_session_resumed_elsewhere_loses_no_sample_over_many_breaks() -> None:
    chance = random.Random(3)
    async with (
        live_cluster(3, access=KEYS, server={"drain_timeout": 0}) as cluster,  # direct is off
        fault_proxy(cluster[0].address) as proxy,
        Session.connect(proxy.address, KEY) as session,
    ):

        def cuts() -> Iterator[int]:
            while True:
                proxy.upstream = host_and_port(cluster[chance.randrange(3)].address)
                yield chance.randrange(2_000, 60_000)

        proxy.more_cuts, proxy.cut_after_bytes = cuts(), 5_000
        assert await speak_words(session) == SPOKEN
        stats = session.stats()
        assert stats.resumes > 3
        assert stats.restarts == 0
