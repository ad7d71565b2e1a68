"""Composition root: builds all objects once, wires the routes, serves.

`python backend/main.py --help` shows the flags; `make run` and `duplex-tts serve` end up here.
"""

from __future__ import annotations

import os
import signal

if __name__ == "__main__":  # imports take seconds; Ctrl-C then exits without traceback
    signal.signal(signal.SIGINT, lambda number, _: os._exit(128 + number))

import argparse
import asyncio
import gc
import importlib
import math
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path

if __package__ in (None, ""):  # run as a script: import the package, not sibling files
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import structlog
import uvicorn
from fastapi import FastAPI, Response
from starlette.types import ASGIApp

from backend.audio.recordings import LARGEST_BYTES
from backend.cluster.holder_connection import RESUME_PATH
from backend.cluster.replicas import Replicas
from backend.cluster.shared_entries import SharedEntries
from backend.config import Settings, WyomingSettings
from backend.config_sources import add_flags, load_settings
from backend.cores import parallel_cores
from backend.endpoints.cartesia import cartesia_routes
from backend.endpoints.cartesia_dictionaries import cartesia_dictionary_routes
from backend.endpoints.deepgram import deepgram_routes
from backend.endpoints.elevenlabs import elevenlabs_routes
from backend.endpoints.elevenlabs_dictionaries import elevenlabs_dictionary_routes
from backend.endpoints.lexicon import LEXICON, lexicon_routes
from backend.endpoints.mistral import mistral_routes
from backend.endpoints.native import native_routes, resume_routes
from backend.endpoints.not_found import install_not_found
from backend.endpoints.openai import openai_routes
from backend.endpoints.pages import install_pages as install_pages
from backend.endpoints.path_aliases import PathAliases
from backend.endpoints.reading import reading_routes
from backend.endpoints.status import status_routes, watching_the_loop
from backend.endpoints.together import together_routes
from backend.endpoints.voices import VOICES, voice_routes
from backend.engines.base import Model
from backend.engines.loader import load_model, load_other_models
from backend.engines.weights import models_folder
from backend.errors import ConfigError, DuplexError, EngineDead
from backend.lan import addresses_of, invitation, kept_key, open_to_network
from backend.monitoring.logs import configure_logging, error_line
from backend.monitoring.metrics import Metrics
from backend.sessions.services import Services
from backend.synthesis.health_check import Health
from backend.synthesis.lexicon_store import LexiconStore
from backend.synthesis.scheduler import Limits
from backend.synthesis.shared_lexicons import SharedLexicons
from backend.text.reading.lexicon_text import LARGEST_BYTES as LARGEST_LEXICON_BYTES
from backend.transport.auth import (
    HEALTH,
    Access,
    add_key,
    check_exposure,
    is_loopback,
    lacks_key,
)
from backend.transport.bounded_http import BoundedHttpConfig
from backend.transport.connection_limits import (
    ConnectionLimits,
    fit_descriptors,
    wanted_connections,
)
from backend.transport.listener import listen as listen
from backend.transport.middleware import ResponseMiddleware, install_proxy, is_proxy
from backend.transport.origins import install_origin_check
from backend.transport.speech_response import BodyLimitMiddleware
from backend.transport.systemd import check_inherited, notify, watchdog_period_s
from backend.tts_manager import TTSManager
from backend.websocket_manager import WebSocketManager

log = structlog.get_logger(__name__)

_MAX_MESSAGE_BYTES = 1 << 20  # larger ones close the connection (1009, HTTP: 413)
_PING_INTERVAL_S = 20.0  # below the idle timeout of common proxies and NATs
_PING_TIMEOUT_S = 60.0  # a slow client answers only after reading its buffered audio
_CLOSE_HANDSHAKE_S = 0.5  # for closing handshakes, after speech has ended

_TICK_S = 0.1  # between uvicorn's calls of `on_tick`
_WATCHDOG_SHARE = 3  # messages to systemd in the time after which it restarts the service

_SEND_ERRORS_S = 1.0  # for sending errors, once the engine is dead
_EXIT_AFTER_S = 10.0  # until the process is killed, then
_STOP_MARGIN_S = 15.0  # for closing connections and engines, after speech has ended


class Application(FastAPI):
    """Adds `ResponseMiddleware` outside of Starlette's error handling."""

    def build_middleware_stack(self) -> ASGIApp:
        """See `FastAPI`."""
        return ResponseMiddleware(super().build_middleware_stack())


def create_app(
    settings: Settings,
    model: Model,
    on_dead: Callable[[EngineDead], None] = lambda _: None,
    others: Sequence[Model] = (),
    replicas: Replicas | None = None,
) -> FastAPI:
    """Create the application: the protocols' routes, `/v1/status`, `/metrics`, `/healthz`,
    `/readyz`, and the pages of `backend/web/`.

    Its startup loads the voice and warms up (a second or two). Raises `ConfigError`.

    `on_dead`: called once no engine can render any more; from then on `/readyz` answers 503 and no
    connection is admitted. `others`: of further engines, whose voices are offered, too. `replicas`:
    of the cluster that it belongs to.
    """
    access = Access(settings.access)
    check_exposure(settings, access)
    metrics = Metrics()
    threads = settings.engine.threads or parallel_cores()
    limits = Limits(
        settings.bidirectional_streaming.task_timeout,
        settings.server.max_first_wait,
        settings.engine.idle_unload or math.inf,
    )
    tts = TTSManager(model, settings.engine, metrics, threads, limits)
    tts.on_dead = on_dead
    for other in others:
        tts.add_engine(other)
    if settings.cluster.store:
        tts.share_voices(settings.cluster.store)
    wyoming = _create_wyoming(settings, access)
    lexicons = _create_lexicons(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with tts, lexicons, watching_the_loop(metrics):
            clock = asyncio.get_running_loop().time
            app.state.services = Services(
                settings, tts, metrics, clock, lexicons=lexicons, replicas=replicas
            )
            async with (
                WebSocketManager(app.state.services, access) as app.state.connections,
                wyoming(app),
            ):
                yield

    app = Application(
        title="Duplex TTS", lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None
    )
    _add_middleware(app, access, settings, replicas)
    _add_routes(app, access, settings, tts, metrics)
    if replicas is not None:
        app.include_router(resume_routes())
    install_not_found(app)
    return app


def _add_middleware(
    app: FastAPI, access: Access, settings: Settings, replicas: Replicas | None
) -> None:
    """Add the middleware, innermost first, and the pages."""
    larger = {VOICES: LARGEST_BYTES + _MAX_MESSAGE_BYTES, LEXICON: LARGEST_LEXICON_BYTES}
    app.add_middleware(BodyLimitMiddleware, limit_bytes=_MAX_MESSAGE_BYTES, larger=larger)
    harmless = install_pages(app, replicas=replicas) | HEALTH
    # Pages come here from the address of another replica.
    proved = frozenset() if replicas is None else frozenset({RESUME_PATH})
    install_origin_check(app, access, settings.access, harmless, proved)
    app.add_middleware(PathAliases)
    install_proxy(app, settings.server)


def _add_routes(
    app: FastAPI, access: Access, settings: Settings, tts: TTSManager, metrics: Metrics
) -> None:
    app.include_router(native_routes(access))
    app.include_router(cartesia_routes(access))
    app.include_router(cartesia_dictionary_routes(access))
    app.include_router(deepgram_routes(access))
    app.include_router(elevenlabs_routes(access))
    app.include_router(elevenlabs_dictionary_routes(access))
    app.include_router(mistral_routes(access))
    app.include_router(together_routes(access))
    app.include_router(openai_routes(access))
    app.include_router(lexicon_routes(access))
    app.include_router(voice_routes(access))
    app.include_router(reading_routes(access))
    app.include_router(status_routes(settings, tts, metrics, access))

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz(response: Response) -> dict[str, object]:
        """Answers 503 while the main engine cannot render; an idle one is made to, now and then.
        What other engines lack is told, too.
        """
        ready = app.state.connections.is_accepting and tts.has_all_threads
        health, *others = (
            await asyncio.gather(*(engine.check_health() for engine in tts.engines))
            if ready
            else [Health(None, None)]
        )
        ready = ready and health.problem is None
        response.status_code = 200 if ready else 503
        return {
            "ready": ready,
            "engine": tts.info.name,
            "voice": tts.default_voice,
            "loaded": tts.is_loaded,
            **asdict(health),
            "others": {
                engine.info.name: asdict(each)
                for engine, each in zip(tts.engines[1:], others, strict=False)
            },
        }


def _create_lexicons(settings: Settings) -> LexiconStore:
    folder = models_folder(settings.engine.models) / "lexicons"
    if settings.lexicon.folder:
        folder = Path(settings.lexicon.folder).expanduser().absolute()
    if settings.cluster.store:
        entries = SharedEntries(settings.cluster.store, "lexicons")
        return LexiconStore(SharedLexicons(entries, folder))
    return LexiconStore(folder)


def _create_wyoming(
    settings: Settings, access: Access
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Open Home Assistant's port, if enabled. Returns the context manager that serves it.

    Raises `ConfigError`.
    """
    if not settings.wyoming.port:
        return lambda _: nullcontext()
    from backend.endpoints.wyoming import wyoming_server  # its package is needed only here

    listener = listen(settings.wyoming.host, settings.wyoming.port)
    announcement = _create_announcement(settings.wyoming, listener)

    @asynccontextmanager
    async def serve_wyoming(app: FastAPI) -> AsyncIterator[None]:
        state = app.state
        async with (
            wyoming_server(listener, state.services, state.connections, access.own_key),
            announcement(),
        ):
            yield

    return serve_wyoming


def _create_announcement(
    settings: WyomingSettings, listener: socket.socket
) -> Callable[[], AbstractAsyncContextManager[None]]:
    """What announces the Wyoming port in the network, if wanted. Raises `ConfigError`."""
    host, port = listener.getsockname()[:2]
    if settings.announce == "never" or (settings.announce == "auto" and is_loopback(host)):
        return nullcontext
    try:
        from backend.endpoints.announcement import announcing  # its package is optional
    except ModuleNotFoundError as error:
        remedy = "pip install 'duplex-tts[discovery]'"
        if settings.announce == "always":
            raise ConfigError(f"wyoming.announce needs zeroconf: {remedy}") from error
        log.info("announcement.off", remedy=f"for Home Assistant to find this server: {remedy}")
        return nullcontext
    return lambda: announcing(partial(addresses_of, host), port)


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
        ws_max_size=_MAX_MESSAGE_BYTES,
        ws_ping_interval=_PING_INTERVAL_S,
        ws_ping_timeout=_PING_TIMEOUT_S,
        ws_per_message_deflate=False,  # PCM hardly shrinks, and compressing costs CPU
        proxy_headers=False,  # done by `ReverseProxyMiddleware`
    )


def serve(settings: Settings, lan_key: str = "", model: Model | None = None) -> None:
    """Serve until a signal. Blocks. Raises `ConfigError` if it cannot start, and `EngineDead`.

    `lan_key`: the key in the printed link for other devices; empty: no link. `model`: used instead
    of the one that the settings choose.
    """
    notify("STATUS=loading the voice")
    listener = listen(settings.server.host, settings.server.port)
    folder = models_folder(settings.engine.models)
    model = model or load_model(settings, folder)
    others = load_other_models(settings, folder, model.info.name)
    voice = settings.engine.voice or model.default_voice
    if voice in {each.name for each in model.voices()} or not (others or settings.cluster.store):
        model.load_voice(voice)  # one of another engine or of the store is loaded later
    settings, max_connections = fit_descriptors(settings)
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    engines = " and ".join(each.info.name for each in (model, *others))
    announcement = (
        f"duplex-tts ready on {url}\n"
        f"  speaks with {engines}, voice {voice}; "
        f"text and audio at ws{url[4:]}/ws/tts"
    )
    if not lan_key:  # else the invitation has one, with the key
        site = settings.server.public_url or url
        announcement += f'\n  try: duplex-tts say "Hello there" --url {site}'
    if settings.wyoming.port:
        announcement += f"\n  Home Assistant: Wyoming, port {settings.wyoming.port}"
    if lan_key:
        announcement += f"\n{invitation(host, port, lan_key, settings.server.public_url)}"

    def stop(error: EngineDead) -> None:
        server.stop_with_error(error)
        _exit_after(_EXIT_AFTER_S)

    app = create_app(settings, model, stop, others)
    server = DrainingServer(server_config(app, settings, max_connections), announcement)
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:  # uvicorn re-raises the signal
        if not server.started:
            raise
    if server.fatal_error:
        raise server.fatal_error
    if not server.started:
        raise ConfigError("the server could not start; see the log above")


def serve_cluster(settings: Settings, lan_key: str = "") -> None:
    """Serve with several replicas until a signal. Blocks. Raises `ConfigError`."""
    try:
        program = importlib.import_module("backend.ray_serve.program")  # above this module
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise ConfigError(
            "--replicas needs Ray Serve; install it: pip install 'duplex-tts[cluster]' "
            "(in a clone: make install-cluster)"
        ) from error
    program.serve_replicas(settings, lan_key)


def _exit_after(seconds: float) -> None:
    """Exit with status 1 after `seconds`: a thread waiting for a lost GPU may never return."""
    last = threading.Timer(seconds, os._exit, (1,))
    last.daemon = True
    last.start()


def _stop_with_stdin() -> None:
    """Stop this process, as a signal does, once standard input has ended. Blocks until then."""
    with suppress(OSError):  # closed, or of a terminal that is gone
        while os.read(0, 1024):  # not `sys.stdin`: its lock would break the interpreter's exit
            pass
    os.kill(os.getpid(), signal.SIGTERM)


def _replace_closed_stderr() -> None:
    """What started this process may have closed it; a connection would get its number."""
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: read the settings, serve."""
    parser = argparse.ArgumentParser(
        prog="duplex-tts serve", description="Speak while the text is still being written."
    )
    add_flags(parser)
    parser.add_argument(
        "--lan",
        action="store_true",
        help="serve other devices on the network: create a key, print a link and its QR code",
    )
    parser.add_argument(
        "--stop-with-stdin",
        action="store_true",
        help="stop when standard input ends, for programs that start a server: it ends with them",
    )
    _replace_closed_stderr()
    try:
        flags = parser.parse_args(arguments)
        if flags.stop_with_stdin:
            threading.Thread(target=_stop_with_stdin, name="stdin", daemon=True).start()
        settings = load_settings(flags).settings
        configure_logging(settings.log)
        key = kept_key() if flags.lan or lacks_key(settings.access) else ""
        settings = open_to_network(settings, key) if flags.lan else add_key(settings, key)
        check_inherited(settings)
        (serve_cluster if settings.cluster.replicas else serve)(settings, key)
    except DuplexError as error:
        sys.exit(error_line(f"duplex-tts: {error.message}"))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main()
