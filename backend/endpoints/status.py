"""The dashboard's endpoints `GET /v1/status` and `DELETE /v1/sessions/{id}`, `GET /metrics` for
Prometheus, and `GET /openapi.json`.

Where API keys are set, the figures require a key, and the sessions an admin's key. Without keys the
figures are public, and the sessions are for clients on this machine. Behind a reverse proxy on this
machine that does not send `X-Forwarded-For`, every client appears to be local: set keys there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import TypeAdapter
from starlette.responses import JSONResponse

from backend.config import Settings
from backend.engines.base import Device, EngineMemory
from backend.errors import Unauthorized
from backend.monitoring.metrics import Figures, Metrics
from backend.monitoring.rolling_window import WINDOW_S
from backend.sessions.session import SessionStatus
from backend.synthesis.served_engine import ServedEngine
from backend.transport.auth import Access, bearer_key, is_loopback
from backend.transport.origins import hostname
from backend.tts_manager import TTSManager
from backend.websocket_manager import WebSocketManager

_LAG_PERIOD_S = 0.25


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """An engine and its threads; engines on the CPU share theirs. `rtf`: of the last steps.
    `device`: None on a CPU. `loaded`: its weights are on its device. `memory`: None if the engine
    does not tell. `problem`: why it can render nothing more.
    """

    name: str
    voice: str
    threads: int
    waiting: int
    rtf: float
    device: Device | None
    loaded: bool
    memory: EngineMemory | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class Status:
    """The answer of `GET /v1/status`. Contains no text of users.

    `time_s`: the server's monotonic clock, for rates between two answers. `window_s`: time span of
    the distributions. `engine`: the main one. `sessions`: None if the client is not the operator.
    """

    time_s: float
    uptime_s: float
    accepting: bool
    window_s: float
    ttfa_goal_s: float
    engine: EngineStatus
    other_engines: list[EngineStatus]
    figures: Figures
    text_waiting: int
    messages_waiting: int
    sessions: list[SessionStatus] | None


_JSON = TypeAdapter(Status)


def status_routes(
    settings: Settings, tts: TTSManager, metrics: Metrics, access: Access
) -> APIRouter:
    """The routes. They require the `WebSocketManager` in the application's `state.connections`."""
    router = APIRouter()
    started_s = time.monotonic()

    @router.get("/metrics")
    async def prometheus(request: Request) -> Response:
        _authorize(request, access)
        connections = _connections(request)
        metrics.set_queue_depths(
            text=connections.waiting_characters,
            engine=tts.waiting_utterances,
            outgoing=connections.queued_messages,
        )
        for engine in tts.engines:
            metrics.set_engine_up(engine.info.name, up=engine.fatal_error is None)
            if device := engine.model.device:
                metrics.set_device_memory(
                    device.name, device.memory_used_bytes, device.memory_total_bytes
                )
        metrics.set_engine_loaded(loaded=tts.is_loaded)
        if memory := await tts.measure_memory(tts.main):
            metrics.set_engine_memory(
                {
                    "weights": memory.weights_bytes,
                    "slots": memory.slots_bytes,
                    "graphs": memory.graphs_bytes,
                    "free": memory.free_bytes,
                }
            )
            metrics.set_slots(used=memory.slots_used, total=memory.slots_total)
        return Response(metrics.render(), media_type=metrics.content_type)

    @router.get("/openapi.json", include_in_schema=False)
    async def openapi(request: Request) -> JSONResponse:
        _authorize(request, access)
        root_path = request.scope.get("root_path", "")
        servers = {"servers": [{"url": root_path}]} if root_path else {}
        return JSONResponse({**request.app.openapi(), **servers})

    @router.get("/v1/status")
    async def status(request: Request) -> Response:
        _authorize(request, access)
        connections = _connections(request)
        main, *others = [await _describe_engine(tts, engine) for engine in tts.engines]
        now_s = time.monotonic()
        answer = Status(
            time_s=now_s,
            uptime_s=now_s - started_s,
            accepting=connections.is_accepting,
            window_s=WINDOW_S,
            ttfa_goal_s=settings.latency_optimization.ttfa_goal,
            engine=main,
            other_engines=others,
            figures=metrics.figures(),
            text_waiting=connections.waiting_characters,
            messages_waiting=connections.queued_messages,
            sessions=connections.sessions() if is_operator(request, access) else None,
        )
        body = _JSON.dump_json(answer)  # FastAPI's encoder blocks the loop 100 ms for 1000 sessions
        return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})

    @router.delete("/v1/sessions/{session_id}", status_code=204)
    async def end_session(session_id: str, request: Request) -> None:
        """End a session. 401 or 403 without operator rights, 404 if there is no such session."""
        _authorize(request, access)
        if not is_operator(request, access):
            raise HTTPException(
                403,
                "sessions are ended with an admin's key"
                if access.requires_key
                else "sessions are ended on the machine of the server itself",
            )
        if not _connections(request).end_session(session_id):
            raise HTTPException(404, "no such session; it may have ended")

    return router


async def _describe_engine(tts: TTSManager, engine: ServedEngine) -> EngineStatus:
    return EngineStatus(
        engine.info.name,
        tts.default_voice if engine is tts.main else engine.model.default_voice,
        engine.scheduler.thread_count,
        engine.waiting_count,
        engine.costs.rtf,
        engine.model.device,
        engine.is_loaded,
        await tts.measure_memory(engine),
        engine.fatal_error.message if engine.fatal_error else None,
    )


def _authorize(request: Request, access: Access) -> None:
    try:
        access.authorize(bearer_key(request.headers))
    except Unauthorized as error:
        raise HTTPException(401, error.message, {"WWW-Authenticate": "Bearer"}) from error


def is_operator(request: Request, access: Access) -> bool:
    """Whether the request has an admin's key or, if no keys are set, whether it comes from this
    machine and not from a foreign page in its browser.

    Without keys the peer and the `Host` must be loopback (a foreign name that resolves to this
    machine is not), and the `Origin`, if present, must be the server's: a foreign page cannot make
    the operator's browser end a session.
    """
    if access.requires_key:
        return access.is_admin_key(bearer_key(request.headers))
    host = request.headers.get("host", "")
    origin = request.headers.get("origin")
    return (
        request.client is not None
        and is_loopback(request.client.host)
        and is_loopback(hostname(host))
        and (origin is None or origin == f"{request.url.scheme}://{host}")
    )


@asynccontextmanager
async def watching_the_loop(metrics: Metrics) -> AsyncIterator[None]:
    """Measure the delay of the event loop's timers for the duration of the block."""
    async with asyncio.TaskGroup() as tasks:
        watch = tasks.create_task(_watch(metrics), name="watch the loop")
        yield
        watch.cancel()


async def _watch(metrics: Metrics) -> None:
    while True:
        due_s = time.perf_counter() + _LAG_PERIOD_S
        await asyncio.sleep(_LAG_PERIOD_S)
        metrics.observe_loop_lag(max(0.0, time.perf_counter() - due_s))


def _connections(request: Request) -> WebSocketManager:
    connections = request.app.state.connections
    assert isinstance(connections, WebSocketManager)
    return connections
