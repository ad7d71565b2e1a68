"""`GET /metrics` and `/metrics/targets` for Prometheus, and `GET /openapi.json`."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse

from backend.endpoints.operator_access import authorize, get_connections, get_replicas
from backend.monitoring.metrics import Metrics
from backend.transport.auth import Access
from backend.tts_manager import TTSManager


def add_metrics_routes(
    router: APIRouter, tts: TTSManager, metrics: Metrics, access: Access
) -> None:
    """Add the routes. They require `services` and `connections` in the application's state."""

    @router.get("/metrics")
    async def prometheus(request: Request) -> Response:
        authorize(request, access)
        connections, replicas = get_connections(request), get_replicas(request)
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
        body = metrics.render(replicas.own_id if replicas else None)
        return Response(body, media_type=metrics.content_type)

    @router.get("/metrics/targets")
    async def targets(request: Request) -> list[dict[str, Any]]:
        """The replicas' addresses, for Prometheus' `http_sd_configs`; empty for one server."""
        authorize(request, access)
        replicas = get_replicas(request)
        reports = replicas.reports() if replicas else []
        addresses = [(report.id, urlsplit(report.url)) for report in reports]
        return [
            {"targets": [url.netloc], "labels": {"__scheme__": url.scheme, "replica": id_}}
            for id_, url in addresses
        ]

    @router.get("/openapi.json", include_in_schema=False)
    async def openapi(request: Request) -> JSONResponse:
        authorize(request, access)
        root_path = request.scope.get("root_path", "")
        servers = {"servers": [{"url": root_path}]} if root_path else {}
        return JSONResponse({**request.app.openapi(), **servers})
