"""The status endpoint: content, access, and ending a session."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.datastructures import Headers

from backend.cluster.replicas import Replicas
from backend.config import AccessSettings, Settings
from backend.endpoints.operator_access import is_operator
from backend.endpoints.status import status_routes, watching_the_loop
from backend.engines.base import Device, EngineMemory
from backend.events import Audio, Cancel, Done, End, Start, Text
from backend.monitoring.metrics import Metrics
from backend.protocols.native import NativeProtocol
from backend.sessions.services import Services
from backend.transport.auth import Access
from backend.websocket_manager import WebSocketManager
from tests.support import clock
from tests.support.engines.inline_tts import InlineTTS
from tests.support.scripted_session import ScriptedClient, make_settings, run_script

SECRET = "the words of a user"


class Socket:
    """The client side of an ASGI WebSocket: sends its lines, then waits."""

    def __init__(self, *lines: dict[str, Any]) -> None:
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._incoming.put_nowait({"type": "websocket.connect"})
        for line in lines:
            self._incoming.put_nowait({"type": "websocket.receive", "text": json.dumps(line)})
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        return await self._incoming.get()

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    @property
    def closed(self) -> tuple[int, str] | None:
        closes = [m for m in self.sent if m["type"] == "websocket.close"]
        return (closes[0]["code"], closes[0]["reason"]) if closes else None

    @property
    def session(self) -> str:
        return str(json.loads(self.sent[1]["text"])["session"])


class Server:
    """The routes on a server with a fake engine."""

    def __init__(self, replicas: Replicas | None = None, **keys: Any) -> None:
        self.tts = InlineTTS()
        self.app = FastAPI()
        access = Access(AccessSettings(**keys))
        self.app.include_router(status_routes(Settings(), self.tts, self.tts.metrics, access))
        now = asyncio.get_running_loop().time
        services = Services(Settings(), self.tts, self.tts.metrics, now, replicas=replicas)
        self.connections = WebSocketManager(services, Access(AccessSettings()))
        self.app.state.connections = self.connections
        self.app.state.services = services
        self.tasks: list[asyncio.Task[None]] = []

    async def connect(self, *lines: dict[str, Any]) -> Socket:
        from starlette.websockets import WebSocket

        client = Socket(*lines)
        socket = WebSocket({"type": "websocket"}, client.receive, client.send)  # type: ignore[arg-type]
        serving = self.connections.serve(socket, NativeProtocol(), None)
        self.tasks.append(asyncio.create_task(serving))
        await asyncio.sleep(1)
        return client

    async def request(
        self, method: str, path: str, peer: str = "127.0.0.1", **headers: str
    ) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, client=(peer, 5000))
        async with httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1:8000"
        ) as client:
            return await client.request(method, path, headers=headers)

    async def status(self, peer: str = "127.0.0.1") -> dict[str, Any]:
        response = await self.request("GET", "/v1/status", peer)
        assert response.status_code == 200
        answer: dict[str, Any] = response.json()
        return answer


@asynccontextmanager
async def serving(replicas: Replicas | None = None, **keys: str) -> AsyncIterator[Server]:
    server = Server(replicas, **keys)
    async with server.connections:
        try:
            yield server
        finally:
            for task in server.tasks:
                task.cancel()
            await asyncio.gather(*server.tasks, return_exceptions=True)


# --- content --------------------------------------------------------------------------------------


def test_idle_server_status() -> None:
    async def play() -> dict[str, Any]:
        async with serving() as server:
            return await server.status()

    status = clock.run(play())
    assert status["accepting"] is True
    assert status["engine"] == {
        "name": "fake",
        "voice": "heart",
        "threads": 1,
        "waiting": 0,
        "rtf": 0,
        "device": None,
        "loaded": True,
        "memory": None,
        "problem": None,
    }
    assert status["sessions"] == []
    assert status["text_waiting"] == status["messages_waiting"] == 0
    assert status["figures"]["first_sound_s"]["count"] == 0
    assert status["ttfa_goal_s"] == 0.15


def test_device_status_has_name_and_current_memory() -> None:
    async def play() -> tuple[list[Any], str]:
        async with serving() as server:
            told = []
            for used in (3, 5):
                server.tts.model.device = Device("a card", used, 24)
                told.append((await server.status())["engine"]["device"])
            return told, (await server.request("GET", "/metrics")).text

    told, metrics = clock.run(play())
    assert told[0] == {"name": "a card", "memory_used_bytes": 3, "memory_total_bytes": 24}
    assert told[1]["memory_used_bytes"] == 5
    assert 'duplex_tts_device_memory_used_bytes{device="a card"} 5.0' in metrics


def test_memory_and_slots_are_shown_where_the_engine_tells() -> None:
    async def play() -> tuple[Any, str, str]:
        async with serving() as server:
            before = (await server.request("GET", "/metrics")).text
            memory = EngineMemory(4, 3, 2, None, slots_used=1, slots_total=5)
            server.tts.model.measure_memory = lambda: memory  # type: ignore[attr-defined]
            told = (await server.status())["engine"]["memory"]
            return told, before, (await server.request("GET", "/metrics")).text

    told, before, metrics = clock.run(play())
    assert told == {
        "weights_bytes": 4,
        "slots_bytes": 3,
        "graphs_bytes": 2,
        "free_bytes": None,
        "slots_used": 1,
        "slots_total": 5,
    }
    assert "engine_memory_bytes{" not in before
    for line in (
        'duplex_tts_engine_memory_bytes{use="weights"} 4.0',
        'duplex_tts_engine_memory_bytes{use="slots"} 3.0',
        'duplex_tts_engine_memory_bytes{use="graphs"} 2.0',
        'duplex_tts_engine_slots{state="used"} 1.0',
        'duplex_tts_engine_slots{state="total"} 5.0',
        "duplex_tts_engine_loaded 1.0",
    ):
        assert line in metrics.splitlines()
    assert 'use="free"' not in metrics


def test_status_has_sessions_and_sums_but_no_text() -> None:
    async def play() -> tuple[str, str, dict[str, Any]]:
        async with serving() as server:
            client = await server.connect({"type": "text", "text": SECRET, "context": SECRET})
            await server.connect({"type": "nonsense"})
            status = await server.status()
            return client.session, json.dumps(status), status

    session, text, status = clock.run(play())
    assert SECRET not in text
    figures = status["figures"]
    assert figures["connections"] == 2
    assert figures["contexts"] == 1
    assert figures["characters"] == len(SECRET)
    assert figures["errors"] == {"unknown_type": 1}
    assert figures["first_sound_s"]["count"] == 1
    first, second = status["sessions"]
    assert (first["id"], first["contexts"], first["characters"]) == (session, 1, len(SECRET))
    assert (second["contexts"], second["characters"]) == (0, 0)
    assert first["age_s"] == pytest.approx(2)


def test_waiting_text_is_summed_over_sessions() -> None:
    async def play() -> dict[str, Any]:
        async with serving() as server:
            held = {"type": "start", "mode": "batch"}  # an unfinished sentence waits
            for _ in range(2):
                await server.connect(held, {"type": "text", "text": "ten chars."[:-1]})
            return await server.status()

    status = clock.run(play())
    assert status["text_waiting"] == 18
    assert [each["characters_waiting"] for each in status["sessions"]] == [9, 9]


def test_status_is_not_cached() -> None:
    async def play() -> str:
        async with serving() as server:
            return (await server.request("GET", "/v1/status")).headers["cache-control"]

    assert clock.run(play()) == "no-store"


def test_prometheus_and_status_figures_agree() -> None:
    metrics = Metrics()
    metrics.count_step(audio_s=2.0, busy_s=0.5)
    metrics.observe_first_sound(0.08)
    metrics.observe_loop_lag(0.003)
    metrics.count_gap("rendered_late", 0.3)
    metrics.count_cancel()
    metrics.count_error("bad_json")
    metrics.count_text(7)
    figures = metrics.figures()
    assert (figures.audio_s, figures.compute_s) == (2.0, 0.5)
    assert (figures.underruns, figures.cancels, figures.characters) == (1, 1, 7)
    assert figures.errors == {"bad_json": 1}
    assert figures.first_sound_s.p95 == 0.08
    assert figures.loop_lag_s.max == 0.003
    assert figures.memory_bytes > 1e6
    assert b"duplex_tts_event_loop_lag_seconds_count 1.0" in metrics.render()


# --- session status -------------------------------------------------------------------------------


def test_buffered_audio_decreases_with_time_also_after_done() -> None:
    left_s: list[float] = []

    async def play(client: ScriptedClient) -> None:
        client.send(Text("a", "x" * 100 + "."), End("a"))
        await client.wait_settled()
        for _ in range(3):
            left_s.append(client.session.status().buffered_s)
            await client.wait(0.5)

    client = run_script(play)
    assert client.single_event(Done).audio_ms == pytest.approx(1010)
    assert left_s == pytest.approx([1.01, 0.51, 0.01])


def test_buffered_audio_excludes_cancelled_and_batch_contexts() -> None:
    left_s: list[float] = []

    async def play(client: ScriptedClient) -> None:
        client.send(Text("a", "x" * 100 + "."), Text("a", " "))
        client.send(Start("b", mode="batch"), Text("b", "y" * 100 + "."), End("b"))
        await client.wait(0.2)
        left_s.append(client.session.status().buffered_s)
        client.send(Cancel("a"))
        left_s.append(client.session.status().buffered_s)

    client = run_script(play)
    assert client.events_of(Audio, "b")
    assert 0 < left_s[0] < 1.02
    assert left_s[1] == 0


def test_session_status_lists_typing_modes_of_open_contexts() -> None:
    seen: list[object] = []

    async def play(client: ScriptedClient) -> None:
        seen.append(client.session.status().typing)
        client.send(Start("a"), Text("a", "One "), Start("b", typing="sentence"), Text("b", "Two "))
        await client.wait(0.1)
        seen.append(client.session.status().typing)

    run_script(play)
    assert seen == [[], ["auto", "sentence"]]


def test_character_count_excludes_refused_text() -> None:
    async def play(client: ScriptedClient) -> None:
        client.send(Text("a", "Some words. "), Text("a", "z" * 200))
        await client.wait(1)
        status = client.session.status()
        assert (status.characters, status.characters_waiting) == (12, 0)

    client = run_script(play, make_settings(server={"max_text_length": 100}))
    assert client.codes() == ["text_limit"]


# --- ending a session -----------------------------------------------------------------------------


def test_ending_a_session_closes_only_it_and_frees_its_resources() -> None:
    async def play() -> None:
        async with serving() as server:
            one = await server.connect({"type": "text", "text": "This one is going to be"})
            other = await server.connect({"type": "text", "text": "And this one is not"})
            response = await server.request("DELETE", f"/v1/sessions/{one.session}")
            assert (response.status_code, response.content) == (204, b"")
            await asyncio.sleep(1)
            assert one.closed == (1008, "session_ended")
            assert other.closed is None
            assert server.tasks[0].done()
            status = await server.status()
            assert [each["id"] for each in status["sessions"]] == [other.session]
            assert status["figures"]["contexts"] == 1
            assert server.tts.model.open_utterances <= 1
            again = await server.request("DELETE", f"/v1/sessions/{one.session}")
            assert again.status_code == 404

    clock.run(play())


REFUSED = [
    ({"peer": "192.168.1.7"}, "another machine"),
    ({"origin": "https://evil.example"}, "a page of another site"),
    ({"origin": "null"}, "a page without an origin"),
    ({"origin": "http://127.0.0.1:9000"}, "a page of another local server"),
    ({"origin": "http://evil.example:8000", "host": "evil.example:8000"}, "a rebound name"),
    ({"host": "evil.example:8000"}, "a foreign name"),
    ({"host": "[::1"}, "a broken name"),
]
ALLOWED = [
    {},
    {"origin": "http://127.0.0.1:8000"},
    {"origin": "http://localhost:8000", "host": "localhost:8000"},
    {"origin": "http://[::1]:8000", "host": "[::1]:8000", "peer": "::1"},
    {"peer": "::ffff:127.0.0.1"},
]


@pytest.mark.parametrize("headers", [each for each, _ in REFUSED], ids=[why for _, why in REFUSED])
def test_non_operator_cannot_see_or_end_sessions(headers: dict[str, str]) -> None:
    async def play() -> None:
        async with serving() as server:
            client = await server.connect()
            response = await server.request("DELETE", f"/v1/sessions/{client.session}", **headers)
            assert response.status_code == 403
            status = (await server.request("GET", "/v1/status", **headers)).json()
            assert status["sessions"] is None
            assert status["figures"]["connections"] == 1
            await asyncio.sleep(1)
            assert client.closed is None

    clock.run(play())


@pytest.mark.parametrize("headers", ALLOWED, ids=str)
def test_local_operator_can_end_a_session(headers: dict[str, str]) -> None:
    async def play() -> None:
        async with serving() as server:
            client = await server.connect()
            response = await server.request("DELETE", f"/v1/sessions/{client.session}", **headers)
            assert response.status_code == 204

    clock.run(play())


def test_client_without_an_address_is_not_operator() -> None:
    state = SimpleNamespace(services=SimpleNamespace(replicas=None))
    request: Any = SimpleNamespace(
        client=None, headers=Headers({"host": "localhost"}), app=SimpleNamespace(state=state)
    )
    assert not is_operator(request, Access(AccessSettings()))


KEYS: Any = {"api_keys": "guest", "admin_key": "boss"}


@pytest.mark.parametrize("path", ["/v1/status", "/metrics"])
def test_figures_need_a_key_when_keys_are_set_also_locally(path: str) -> None:
    async def play() -> list[int]:
        async with serving(**KEYS) as server:
            given = [{}, {"authorization": "Bearer wrong"}, {"authorization": "Bearer guest"}]
            return [(await server.request("GET", path, **each)).status_code for each in given]

    assert clock.run(play()) == [401, 401, 200]


@pytest.mark.parametrize(
    ("key", "seen", "ended"), [("guest", False, 403), ("boss", True, 204), ("wrong", None, 401)]
)
def test_sessions_need_an_admin_key_when_keys_are_set(
    key: str, seen: bool | None, ended: int
) -> None:
    async def play() -> None:
        async with serving(**KEYS) as server:
            client = await server.connect()
            ask = partial(server.request, peer="192.168.1.7", authorization=f"Bearer {key}")
            status = (await ask("GET", "/v1/status")).json()
            assert seen is None or (status["sessions"] is not None) == seen
            response = await ask("DELETE", f"/v1/sessions/{client.session}")
            assert response.status_code == ended

    clock.run(play())


# --- event loop lag -------------------------------------------------------------------------------


def test_blocked_loop_is_measured_as_lag(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    naps: Sequence[float] = [0.25, 0.25, 0.65]  # the third is 0.4 s late
    remaining = iter(naps)
    metrics = Metrics()

    async def nap(seconds: float) -> None:
        nonlocal now_s
        assert seconds == 0.25
        try:
            now_s += next(remaining)
        except StopIteration:
            await asyncio.Event().wait()

    async def play() -> None:
        monkeypatch.setattr("backend.endpoints.status.time.perf_counter", lambda: now_s)
        async with watching_the_loop(metrics):
            yielded = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(yielded.set_result, None)
            monkeypatch.setattr("backend.endpoints.status.asyncio.sleep", nap)
            await yielded

    clock.run(play())
    spread = metrics.figures().loop_lag_s
    assert (spread.count, spread.p50) == (3, 0)
    assert spread.max == pytest.approx(0.4)
