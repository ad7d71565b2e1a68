"""The HTTP server: its configuration, readiness, and a shutdown that lets speech end."""

from __future__ import annotations

import asyncio
import gc
import socket
from contextlib import suppress

import uvicorn
from fastapi import FastAPI

from backend.config import Settings
from backend.errors import EngineDead
from backend.sessions.services import Services
from backend.transport.bounded_http import BoundedHttpConfig
from backend.transport.connection_limits import ConnectionLimits, wanted_connections
from backend.transport.middleware import is_proxy
from backend.transport.systemd import notify, watchdog_period_s

MAX_MESSAGE_BYTES = 1 << 20  # larger ones close the connection (1009, HTTP: 413)
_PING_INTERVAL_S = 20.0  # below the idle timeout of common proxies and NATs
_PING_TIMEOUT_S = 60.0  # a slow client answers only after reading its buffered audio
_CLOSE_HANDSHAKE_S = 0.5  # for closing handshakes, after speech has ended

_TICK_S = 0.1  # between uvicorn's calls of `on_tick`
_WATCHDOG_SHARE = 3  # messages to systemd in the time after which it restarts the service

_SEND_ERRORS_S = 1.0  # for sending errors, once the engine is dead
_STOP_MARGIN_S = 15.0  # for closing connections and engines, after speech has ended


class DrainingServer(uvicorn.Server):
    """Announces readiness; lets running speech end before closing connections."""

    def __init__(self, config: uvicorn.Config, announcement: str) -> None:
        super().__init__(config)
        self._announcement = announcement
        self._watchdog_ticks = watchdog_period_s() / _WATCHDOG_SHARE / _TICK_S
        self.fatal_error: EngineDead | None = None

    def stop_with_error(self, error: EngineDead) -> None:
        """Stop serving because the engine is dead. Does not block."""
        self.fatal_error = error
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start serving, then print the announcement."""
        await super().startup(sockets)
        # The models' 140,000 objects last: collecting them again would stop all threads for 80 ms.
        gc.collect()
        gc.freeze()
        if self.started:
            print(self._announcement, flush=True)
            notify("READY=1", f"STATUS={self._announcement.partition(chr(10))[0]}")

    async def on_tick(self, counter: int) -> bool:
        """Tell systemd that the loop runs and the engine has threads, else it restarts both."""
        if self._watchdog_ticks and counter % max(1, int(self._watchdog_ticks)) == 0:
            app = self.config.app
            if not isinstance(app, FastAPI) or app.state.services.tts.has_all_threads:
                notify("WATCHDOG=1")
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, let speech end (requests get the remaining time), close connections."""
        for listener in self.servers:
            listener.close()
        app = self.config.app
        if isinstance(app, FastAPI) and hasattr(app.state, "connections"):
            services: Services = app.state.services
            drain_s = services.settings.server.drain_timeout
            notify("STOPPING=1", f"EXTEND_TIMEOUT_USEC={int((drain_s + _STOP_MARGIN_S) * 1e6)}")
            until_s = services.clock() + drain_s
            with suppress(TimeoutError):
                async with asyncio.timeout(_SEND_ERRORS_S if self.fatal_error else None):
                    await app.state.connections.drain()
            left_s = max(0.0, until_s - services.clock())
            # Annotated int, but floats work.
            self.config.timeout_graceful_shutdown = left_s + _CLOSE_HANDSHAKE_S  # type: ignore[assignment]
        await super().shutdown(sockets)


def server_config(
    app: FastAPI, settings: Settings, max_connections: int | None = None
) -> BoundedHttpConfig:
    """Configure uvicorn. `max_connections`: at a time, of all kinds."""
    server, proxies = settings.server, is_proxy(settings.server)
    max_connections = max_connections or wanted_connections(settings)
    return BoundedHttpConfig(
        app,
        ConnectionLimits(
            max_connections, server.connections_per_address, server.request_timeout, proxies
        ),
        log_config=None,
        access_log=False,
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_ping_interval=_PING_INTERVAL_S,
        ws_ping_timeout=_PING_TIMEOUT_S,
        ws_per_message_deflate=False,  # PCM hardly shrinks, and compressing costs CPU
        proxy_headers=False,  # done by `ReverseProxyMiddleware`
    )
