"""The composition root: builds everything once, wires the routes, serves.

`python backend/main.py --help` shows the flags; `make run` and `duplex-tts serve` end up here.
"""

from __future__ import annotations

import os
import signal

if __name__ == "__main__":  # importing takes seconds, and Ctrl-C then is no reason for a traceback
    signal.signal(signal.SIGINT, lambda number, _: os._exit(128 + number))

import argparse
import asyncio
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from pathlib import Path

if __package__ in (None, ""):  # run as a script: import the package, not the files beside this one
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import structlog
import uvicorn
from fastapi import FastAPI, Response
from starlette.types import ASGIApp

from backend.audio.recordings import LARGEST_BYTES
from backend.config import Settings
from backend.config_sources import add_flags, load_settings
from backend.endpoints.cartesia import cartesia_routes
from backend.endpoints.deepgram import deepgram_routes
from backend.endpoints.elevenlabs import elevenlabs_routes
from backend.endpoints.native import native_routes
from backend.endpoints.not_found import install_unknown
from backend.endpoints.openai import openai_routes
from backend.endpoints.pages import install as install_pages
from backend.endpoints.path_aliases import PathAliases
from backend.endpoints.status import status_routes, watching_the_loop
from backend.endpoints.voices import VOICES, voice_routes
from backend.engines.base import Model
from backend.engines.loader import load_model
from backend.engines.weights import models_folder
from backend.errors import ConfigError, DuplexError, EngineDead
from backend.lan import invitation, kept_key, open_to_network
from backend.monitoring.logs import configure_logging
from backend.monitoring.metrics import Metrics
from backend.sessions.context import Services
from backend.transport.auth import HEALTH, Access, check_exposure
from backend.transport.bounded_http import BoundedHttpConfig
from backend.transport.connection_limits import (
    ConnectionLimits,
    connections_wanted,
    within_descriptors,
)
from backend.transport.middleware import EveryAnswer, install_proxy, is_proxy
from backend.transport.origins import guard
from backend.transport.speech_response import BoundedBody
from backend.tts_manager import TTSManager
from backend.websocket_manager import WebSocketManager

log = structlog.get_logger(__name__)

_MAX_MESSAGE_BYTES = 1 << 20  # a larger one closes its connection (1009, HTTP: 413)
_PING_INTERVAL_S = 20.0  # often enough for what forgets silent connections on the way
_PING_TIMEOUT_S = 60.0  # an answer comes behind all the audio that a slow client has yet to read
_GOODBYE_S = 0.5  # for closing handshakes, after speech had its time to end
_UNREAD_TIMEOUT_MS = 60_000  # uvicorn hangs up only when all is written: never, if nobody reads

_LAST_WORDS_S = 1.0  # for errors to be sent, once the engine is dead
_END_S = 10.0  # for the process to end, then


class Application(FastAPI):
    """With what every answer has, the server's own errors too."""

    def build_middleware_stack(self) -> ASGIApp:
        """See `FastAPI`."""
        return EveryAnswer(super().build_middleware_stack())


def create_app(
    settings: Settings, model: Model, on_dead: Callable[[EngineDead], None] = lambda _: None
) -> FastAPI:
    """The application: the protocols' routes, `/v1/status`, `/metrics`, `/healthz`, `/readyz`, and
    the pages of `backend/web/`.

    While it starts it loads the voice and warms up (a second or two). Raises `ConfigError`.

    `on_dead`: called once the engine can render nothing more: `/readyz` says so from then on, and
    nobody new is let in.
    """
    access = Access(settings.access)
    check_exposure(settings, access)
    metrics = Metrics()
    threads = settings.engine.threads or os.cpu_count() or 1
    if model.info.max_batch > 1:  # it advances all of them in one step
        threads = 1
    patience_s = settings.bidirectional_streaming.task_timeout
    tts = TTSManager(model, settings.engine, metrics, threads, patience_s)
    tts.on_dead = on_dead
    wyoming = _wyoming(settings, access)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with tts, watching_the_loop(metrics):
            clock = asyncio.get_running_loop().time
            app.state.services = Services(settings, tts, metrics, clock)
            async with (
                WebSocketManager(app.state.services, access) as app.state.connections,
                wyoming(app),
            ):
                yield

    app = Application(
        title="Duplex TTS", lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None
    )
    larger = {VOICES: LARGEST_BYTES + _MAX_MESSAGE_BYTES}
    app.add_middleware(BoundedBody, limit_bytes=_MAX_MESSAGE_BYTES, larger=larger)
    guard(app, access, settings.access, harmless=install_pages(app) | HEALTH)
    app.add_middleware(PathAliases)
    install_proxy(app, settings.server)
    app.include_router(native_routes(access))
    app.include_router(cartesia_routes(access))
    app.include_router(deepgram_routes(access))
    app.include_router(elevenlabs_routes(access))
    app.include_router(openai_routes(access))
    app.include_router(voice_routes(access))
    app.include_router(status_routes(settings, tts, metrics, access))

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz(response: Response) -> dict[str, object]:
        ready = app.state.connections.accepting and tts.complete
        response.status_code = 200 if ready else 503
        return {"ready": ready, "engine": tts.info.name, "voice": tts.default_voice}

    install_unknown(app)
    return app


def _wyoming(
    settings: Settings, access: Access
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Home Assistant's server, for as long as the application runs; nothing where it is off.

    Listens from now on. Raises `ConfigError`.
    """
    if not settings.wyoming.port:
        return lambda _: nullcontext()
    from backend.endpoints.wyoming import wyoming_server  # its package is needed only here

    listener = listen(settings.wyoming.host, settings.wyoming.port)
    return lambda app: wyoming_server(
        listener, app.state.services, app.state.connections, access.own_key
    )


class Server(uvicorn.Server):
    """Says when it is ready, and lets running speech end before it hangs up."""

    def __init__(self, config: uvicorn.Config, announcement: str) -> None:
        super().__init__(config)
        self._announcement = announcement
        self.dead: EngineDead | None = None

    def give_up(self, error: EngineDead) -> None:
        """Stop serving, because the engine is dead. Does not block."""
        self.dead = error
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start serving, then say so: from this line on a client is answered."""
        await super().startup(sockets)
        if self.started:
            print(self._announcement, flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let nobody in, let speech end (a request gets what is left of the time), hang up."""
        for listener in self.servers:
            listener.close()
        app = self.config.app
        if isinstance(app, FastAPI) and hasattr(app.state, "connections"):
            services: Services = app.state.services
            until_s = services.clock() + services.settings.server.drain_timeout
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS_S if self.dead else None):
                    await app.state.connections.drain()
            left_s = max(0.0, until_s - services.clock())
            # uvicorn says a whole number, and takes any
            self.config.timeout_graceful_shutdown = left_s + _GOODBYE_S  # type: ignore[assignment]
        await super().shutdown(sockets)


def server_config(app: FastAPI, settings: Settings, most: int | None = None) -> BoundedHttpConfig:
    """How uvicorn serves the application. `most`: connections at a time."""
    server, proxies = settings.server, is_proxy(settings.server)
    most = most or connections_wanted(settings)
    return BoundedHttpConfig(
        app,
        ConnectionLimits(most, server.connections_per_address, server.request_timeout, proxies),
        log_config=None,
        access_log=False,
        ws_max_size=_MAX_MESSAGE_BYTES,
        ws_ping_interval=_PING_INTERVAL_S,
        ws_ping_timeout=_PING_TIMEOUT_S,
        ws_per_message_deflate=False,  # PCM hardly shrinks, and it costs the time of an engine
        proxy_headers=False,  # `BehindProxy` sees to them
    )


def serve(settings: Settings, lan_key: str = "") -> None:
    """Serve until a signal says stop. Blocks. Raises `ConfigError` when it cannot start, and
    `EngineDead`.

    `lan_key`: of the link for the other devices of the network; empty: none is shown.
    """
    listener = listen(settings.server.host, settings.server.port)
    model = load_model(settings, models_folder(settings.engine.models))
    voice = settings.engine.voice or model.default_voice
    model.load_voice(voice)
    settings, most = within_descriptors(settings)
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    announcement = (
        f"duplex-tts ready on {url}\n"
        f"  speaks with {model.info.name}, voice {voice}; "
        f"text and audio at ws{url[4:]}/ws/tts\n"
        f'  try: duplex-tts say "Hello there" --url {url}'
    )
    if settings.wyoming.port:
        announcement += f"\n  Home Assistant: Wyoming, port {settings.wyoming.port}"
    if lan_key:
        announcement += f"\n{invitation(host, port, lan_key)}"

    def give_up(error: EngineDead) -> None:
        server.give_up(error)
        _end_anyway_in(_END_S)

    app = create_app(settings, model, give_up)
    server = Server(server_config(app, settings, most), announcement)
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:  # uvicorn passes on what has stopped it
        if not server.started:
            raise
    if server.dead:
        raise server.dead
    if not server.started:
        raise ConfigError("the server could not start; the log above says why")


def _end_anyway_in(seconds: float) -> None:
    """End the process then, with status 1, where it has not ended: a thread that waits for a dead
    card may never come back.
    """
    last = threading.Timer(seconds, os._exit, (1,))
    last.daemon = True
    last.start()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises `ConfigError` when the port is taken or not allowed."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {host} port {port}: {error.strerror}; "
            "choose another with --port (make run PORT=...)"
        ) from error
    # Its connections inherit what is set here. Without it a small message behind another waits for
    # the client's delayed acknowledgement, 40 ms: asyncio does not see that these are of TCP.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_TIMEOUT_MS)
    return listener


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: read the settings, serve."""
    parser = argparse.ArgumentParser(
        prog="duplex-tts serve", description="Speak while the text is still being written."
    )
    add_flags(parser)
    parser.add_argument(
        "--lan",
        action="store_true",
        help="for the other devices of the network: makes a key, prints a link and its QR code",
    )
    try:
        flags = parser.parse_args(arguments)
        settings = load_settings(flags).settings
        configure_logging(settings.log)
        key = kept_key() if flags.lan else ""
        serve(open_to_network(settings, key) if key else settings, key)
    except DuplexError as error:
        sys.exit(f"duplex-tts: {error.message}")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main()
