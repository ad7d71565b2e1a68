"""The dashboard's endpoints `GET /v1/status` and `DELETE /v1/sessions/{id}`.

In a cluster each replica answers for all: from what they report, and by asking the one concerned.

Where API keys are set, the figures require a key, and the sessions an admin's key. Without keys the
figures are public, and the sessions are for clients on this machine. Behind a reverse proxy on this
machine that does not send `X-Forwarded-For`, every client appears to be local: set keys there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import TypeAdapter
from pydantic_core import to_json

from backend.cluster.cluster_status import ClusterPicture
from backend.cluster.remote_sessions import end_elsewhere
from backend.cluster.replicas import Replicas
from backend.config import Settings
from backend.endpoints.metrics import add_metrics_routes
from backend.endpoints.operator_access import (
    authorize,
    get_connections,
    get_replicas,
    is_operator,
    is_replica,
)
from backend.engines.base import Device, EngineMemory
from backend.monitoring.metrics import Figures, Metrics
from backend.monitoring.rolling_window import WINDOW_S
from backend.sessions.session import SessionStatus
from backend.synthesis.served_engine import ServedEngine
from backend.transport.auth import Access
from backend.tts_manager import TTSManager

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
    the distributions. `engine`: the main one. `sessions`, `sessions_by_key`: None if the client is
    not the operator; the latter is empty without `access.sessions_per_key`. `replica`: its id in a
    cluster. `cluster`: see `_describe_cluster`.
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
    sessions_by_key: Mapping[str, int] | None
    replica: str | None
    cluster: dict[str, Any] | None


_JSON = TypeAdapter(Status)


@dataclass(frozen=True, slots=True)
class _OwnStatus:
    """Describes this server."""

    settings: Settings
    tts: TTSManager
    metrics: Metrics
    access: Access
    started_s: float

    async def describe(self, request: Request, *, alone: bool) -> bytes:
        """As JSON. `alone`: without the other replicas."""
        connections, replicas = get_connections(request), get_replicas(request)
        operator = is_operator(request, self.access)
        main, *others = [await _describe_engine(self.tts, engine) for engine in self.tts.engines]
        now_s = time.monotonic()
        answer = Status(
            time_s=now_s,
            uptime_s=now_s - self.started_s,
            accepting=connections.is_accepting,
            window_s=WINDOW_S,
            ttfa_goal_s=self.settings.latency_optimization.ttfa_goal,
            engine=main,
            other_engines=others,
            figures=self.metrics.figures(),
            text_waiting=connections.waiting_characters,
            messages_waiting=connections.queued_messages,
            sessions=connections.sessions() if operator else None,
            sessions_by_key=connections.sessions_by_key if operator else None,
            replica=replicas.own_id if replicas else None,
            cluster=None if alone else await _describe_cluster(request, operator=operator),
        )
        return _JSON.dump_json(answer)  # FastAPI's encoder blocks the loop 100 ms for 1000 sessions


def status_routes(
    settings: Settings, tts: TTSManager, metrics: Metrics, access: Access
) -> APIRouter:
    """The routes. They require the `WebSocketManager` in the application's `state.connections`."""
    router = APIRouter()
    add_metrics_routes(router, tts, metrics, access)
    own = _OwnStatus(settings, tts, metrics, access, time.monotonic())

    @router.get("/v1/status")
    async def status(request: Request, replica: str | None = None) -> Response:
        """The figures of this server, or with `?replica=ID` those that a replica has last reported;
        in a cluster also all replicas and their sum. A replica that asks gets this one alone.
        """
        authorize(request, access)
        replicas = get_replicas(request)
        if replica is None or replicas is None:
            body = await own.describe(request, alone=is_replica(request))
        elif (report := replicas.find(replica)) is None:
            raise HTTPException(404, "no such replica; it may have ended")
        else:
            operator = is_operator(request, access)
            hidden = {} if operator else {"sessions": None, "sessions_by_key": None}
            cluster = await _describe_cluster(request, operator=operator)
            body = to_json({**report.status, **hidden, "replica": report.id, "cluster": cluster})
        return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})

    @router.delete("/v1/sessions/{session_id}", status_code=204)
    async def end_session(session_id: str, request: Request) -> None:
        """End a session, on whichever replica. 401 or 403 without operator rights, 404 if there is
        no such session, 503 if its replica does not answer.
        """
        authorize(request, access)
        if not is_operator(request, access):
            raise HTTPException(
                403,
                "sessions are ended with an admin's key"
                if access.requires_key
                else "sessions are ended on the machine of the server itself",
            )
        if get_connections(request).end_session(session_id):
            return
        if (replicas := get_replicas(request)) is not None and not is_replica(request):
            holder = _picture(request, replicas).find_session(session_id)
            outcome = await end_elsewhere(replicas, session_id, holder)
            if outcome is None:
                return
            if outcome:
                raise HTTPException(503, outcome)
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


async def _describe_cluster(request: Request, *, operator: bool) -> dict[str, Any] | None:
    """All replicas and their sum; sessions only for the operator. None for a server alone."""
    if (replicas := get_replicas(request)) is None:
        return None
    status = await asyncio.to_thread(_picture(request, replicas).status)
    sessions = status.sessions if operator else None
    return {"replicas": status.replicas, "sum": {**status.sum, "sessions": sessions}}


def _picture(request: Request, replicas: Replicas) -> ClusterPicture:
    state = request.app.state
    if not hasattr(state, "cluster_picture"):
        state.cluster_picture = ClusterPicture(replicas)
    picture: ClusterPicture = state.cluster_picture
    return picture


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
