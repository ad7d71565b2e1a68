"""Each replica answers for the whole cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from backend.cluster.replicas import Load, ReplicaReport
from tests.backend.cluster.test_cluster_status import KnownReplicas, create_report, create_status
from tests.backend.endpoints.test_status import KEYS, Server, serving
from tests.support import clock
from tests.support.live_server import live_server

CLUSTER = {"authorization": "Bearer secret"}


def known() -> KnownReplicas:
    other = create_status(sessions=[{"id": "t"}], sessions_by_key={"ann": 1})
    return KnownReplicas([create_report("a", create_status()), create_report("b", other)])


def ask(
    path: str, *, peer: str = "127.0.0.1", keys: dict[str, str] | None = None, **headers: str
) -> Any:
    async def play() -> httpx.Response:
        async with serving(known(), **(keys or {})) as server:
            return await server.request("GET", path, peer, **headers)

    return clock.run(play())


def test_a_server_alone_has_no_cluster() -> None:
    async def play() -> list[Any]:
        async with serving() as server:
            status = await server.status()
            metrics = (await server.request("GET", "/metrics")).text
            targets = (await server.request("GET", "/metrics/targets")).json()
            return [status["replica"], status["cluster"], "replica=" in metrics, targets]

    assert clock.run(play()) == [None, None, False, []]


def test_the_status_has_all_replicas_and_their_sum() -> None:
    status = ask("/v1/status").json()
    assert status["replica"] == "a"
    cluster = status["cluster"]
    assert [each["id"] for each in cluster["replicas"]] == ["a", "b"]
    assert cluster["sum"]["figures"]["connections"] == 2
    assert [(s["id"], s["replica"]) for s in cluster["sum"]["sessions"]] == [("s", "a"), ("t", "b")]


def test_one_replica_can_be_chosen() -> None:
    status = ask("/v1/status?replica=b").json()
    assert status["replica"] == "b"
    assert [each["id"] for each in status["sessions"]] == ["t"]
    assert len(status["cluster"]["replicas"]) == 2
    assert ask("/v1/status?replica=gone").status_code == 404


@pytest.mark.parametrize("path", ["/v1/status", "/v1/status?replica=b"])
def test_who_is_no_operator_sees_no_sessions_of_any_replica(path: str) -> None:
    response = ask(path, peer="192.168.1.7")
    assert response.json()["cluster"]["sum"]["sessions"] is None
    assert response.json()["sessions"] is response.json()["sessions_by_key"] is None
    assert '"t"' not in response.text
    assert "ann" not in response.text


def test_a_replica_that_asks_gets_this_one_alone_with_its_sessions() -> None:
    status = ask("/v1/status", peer="10.0.0.8", keys=KEYS, **CLUSTER).json()
    assert status["cluster"] is None
    assert status["sessions"] == []
    assert status["sessions_by_key"] == {}


@pytest.mark.parametrize("key", ["wrong", "", "s\u00e9cret"])
def test_a_wrong_cluster_key_is_none(key: str) -> None:
    headers: Any = {"authorization": f"Bearer {key}".encode()}
    assert ask("/v1/status", keys=KEYS, **headers).status_code == 401


def test_without_a_cluster_key_nobody_is_a_replica() -> None:
    async def play() -> int:
        replicas = known()
        replicas.cluster_key = ""
        async with serving(replicas, **KEYS) as server:
            response = await server.request("GET", "/v1/status", authorization="Bearer ")
            return response.status_code

    assert clock.run(play()) == 401


def test_every_metric_has_the_label_of_its_replica() -> None:
    lines = [line for line in ask("/metrics").text.splitlines() if not line.startswith("#")]
    assert 'duplex_tts_connections{replica="a"} 0.0' in lines
    assert any('le="0.15"' in line for line in lines)
    assert all('replica="a"' in line for line in lines)


def test_prometheus_finds_the_replicas() -> None:
    assert ask("/metrics/targets").json() == [
        {"targets": ["10.0.0.7"], "labels": {"__scheme__": "http", "replica": id_}}
        for id_ in ("a", "b")
    ]
    assert ask("/metrics/targets", keys=KEYS).status_code == 401


# --- ending a session -----------------------------------------------------------------------------


@asynccontextmanager
async def pair(sessions: list[dict[str, Any]]) -> AsyncIterator[tuple[Server, Any]]:
    """A replica, and one of another that has reported these sessions."""
    replicas = KnownReplicas(own_id="b")
    async with live_server(access=KEYS) as other:
        services = other.app.state.services
        object.__setattr__(services, "replicas", replicas)
        idle = Load(0.0, 0.0, 1)
        report = ReplicaReport("b", other.http, idle, status={"sessions": sessions})
        async with serving(KnownReplicas([report]), **KEYS) as server:
            yield server, other


BOSS = {"authorization": "Bearer boss"}


@pytest.mark.parametrize("is_reported", [True, False])
async def test_a_session_is_ended_on_its_replica(is_reported: bool) -> None:
    sessions: list[dict[str, Any]] = []
    async with pair(sessions) as (server, other):
        options = {"additional_headers": BOSS}
        async with other.connect(**options) as client, other.connect(**options) as stays:
            session = client.ready["session"]
            if is_reported:
                sessions.append({"id": session})
            path = f"/v1/sessions/{session}"
            guest = await server.request("DELETE", path, authorization="Bearer guest")
            assert guest.status_code == 403
            assert (await server.request("DELETE", path, **BOSS)).status_code == 204
            assert await client.wait_closed() == 1008
            assert (await server.request("DELETE", path, **BOSS)).status_code == 404
            assert await stays.speak_text("a", "Hi.") == "Hi."


async def test_a_replica_that_does_not_answer_is_named_within_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("backend.cluster.remote_sessions._TIMEOUT_S", 0.3)
    silent = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    for url in (f"http://127.0.0.1:{port}", "http://127.0.0.1:1", "nonsense"):
        report = ReplicaReport("b", url, Load(0.0, 0.0, 1), status={"sessions": [{"id": "t"}]})
        async with serving(KnownReplicas([report]), **KEYS) as server:
            for session in ("t", "unreported"):
                response = await server.request("DELETE", f"/v1/sessions/{session}", **BOSS)
                assert response.status_code == 503
                assert "b" in response.json()["detail"]
    silent.close()


async def test_a_session_of_a_replica_that_is_gone_is_not_found() -> None:
    async with serving(KnownReplicas(), **KEYS) as server:
        response = await server.request("DELETE", "/v1/sessions/t", **BOSS)
        assert response.status_code == 404
