"""Builds the application: all its objects once, and the routes of all protocols."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path

import structlog
from fastapi import FastAPI, Response
from starlette.types import ASGIApp

from backend.audio.recordings import LARGEST_BYTES
from backend.cluster.holder_connection import RESUME_PATH
from backend.cluster.replicas import Replicas
from backend.cluster.shared_entries import SharedEntries
from backend.config import Settings, WyomingSettings
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
from backend.endpoints.pages import install_pages
from backend.endpoints.path_aliases import PathAliases
from backend.endpoints.reading import reading_routes
from backend.endpoints.status import status_routes, watching_the_loop
from backend.endpoints.together import together_routes
from backend.endpoints.voices import VOICES, voice_routes
from backend.engines.base import Model
from backend.engines.weights import models_folder
from backend.errors import ConfigError, EngineDead
from backend.lan import addresses_of
from backend.monitoring.metrics import Metrics
from backend.sessions.services import Services
from backend.synthesis.health_check import Health
from backend.synthesis.lexicon_store import LexiconStore
from backend.synthesis.scheduler import Limits
from backend.synthesis.shared_lexicons import SharedLexicons
from backend.text.reading.lexicon_text import LARGEST_BYTES as LARGEST_LEXICON_BYTES
from backend.transport.auth import HEALTH, Access, check_exposure, is_loopback
from backend.transport.draining_server import MAX_MESSAGE_BYTES
from backend.transport.listener import listen
from backend.transport.middleware import ResponseMiddleware, install_proxy
from backend.transport.origins import install_origin_check
from backend.transport.speech_response import BodyLimitMiddleware
from backend.tts_manager import TTSManager
from backend.websocket_manager import WebSocketManager

log = structlog.get_logger(__name__)

_ROUTES = (
    native_routes,
    cartesia_routes,
    cartesia_dictionary_routes,
    deepgram_routes,
    elevenlabs_routes,
    elevenlabs_dictionary_routes,
    mistral_routes,
    together_routes,
    openai_routes,
    lexicon_routes,
    voice_routes,
    reading_routes,
)


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
    larger = {VOICES: LARGEST_BYTES + MAX_MESSAGE_BYTES, LEXICON: LARGEST_LEXICON_BYTES}
    app.add_middleware(BodyLimitMiddleware, limit_bytes=MAX_MESSAGE_BYTES, larger=larger)
    harmless = install_pages(app, replicas=replicas) | HEALTH
    # Pages come here from the address of another replica.
    proved = frozenset() if replicas is None else frozenset({RESUME_PATH})
    install_origin_check(app, access, settings.access, harmless, proved)
    app.add_middleware(PathAliases)
    install_proxy(app, settings.server)


def _add_routes(
    app: FastAPI, access: Access, settings: Settings, tts: TTSManager, metrics: Metrics
) -> None:
    for routes in _ROUTES:
        app.include_router(routes(access))
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
