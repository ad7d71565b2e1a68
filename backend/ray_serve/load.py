"""How busy this replica is, for the other replicas and for Ray."""

from __future__ import annotations

import asyncio
import math

from fastapi import FastAPI

from backend.cluster.replicas import Load
from backend.errors import EngineDead, Overloaded
from backend.sessions.services import Services
from backend.websocket_manager import WebSocketManager


def measure_load(app: FastAPI) -> Load:
    """Measure the load. Must run on the application's event loop, while it serves."""
    services: Services = app.state.services
    connections: WebSocketManager = app.state.connections
    listeners = services.tts.listeners
    now_s = asyncio.get_running_loop().time()
    sessions = len(connections.sessions())
    free_slots = max(0, services.settings.server.max_connections - sessions)
    first_wait_s = listeners.first_wait_s(now_s)
    try:
        services.tts.check_capacity()
    except (Overloaded, EngineDead):
        first_wait_s = math.inf
    if not (connections.is_accepting and free_slots):
        first_wait_s, free_slots = math.inf, 0
    return Load(first_wait_s, listeners.share(now_s), free_slots)


def load_stats(app: FastAPI) -> dict[str, float]:
    """The load as Serve's routers and autoscaler read it: finite numbers. `is_full`: 1 or 0.
    `cost`: share that one more listener takes.
    """
    load = measure_load(app)
    is_full = math.isinf(load.first_wait_s)
    return {
        "is_full": float(is_full),
        "first_wait_s": 0.0 if is_full else load.first_wait_s,
        "share": load.share,
        "cost": app.state.services.tts.listeners.cost,
        "sessions": float(len(app.state.connections.sessions())),
    }
