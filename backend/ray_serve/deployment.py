"""The Serve application: its replica is a whole server, reached through Serve's proxies and by an
address of its own.

`build` is what a Serve configuration file names as `import_path`.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import httpx
import ray
from fastapi import FastAPI
from ray import serve
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy, RequestRouterConfig

from backend.application import create_app
from backend.cluster.replicas import ReplicaReport
from backend.config import Settings
from backend.config_sources import GivenSetting, load_settings
from backend.engines.base import Model
from backend.engines.loader import load_model, load_other_models
from backend.engines.weights import models_folder
from backend.errors import ConfigError
from backend.monitoring.logs import configure_logging
from backend.ray_serve.directory import ReplicaDirectory
from backend.ray_serve.load import load_stats, measure_load
from backend.ray_serve.routing import STATS_S, RoomRouter
from backend.ray_serve.stopping import wait_stopping
from backend.transport.auth import Access, check_exposure, is_loopback
from backend.transport.connection_limits import fit_descriptors
from backend.transport.draining_server import DrainingServer, server_config
from backend.transport.listener import listen

NAME = "duplex-tts"
"""Of the application and of its deployment."""
_PORTS = 100  # tried from `cluster.first_port` on
_CLOSING_S = 10.0  # after `drain_timeout`: closing handshakes, threads
_HEALTH_S = 2.0  # between health checks
_AUTOSCALE_S = 1.0  # between the autoscaler's looks
_HANGS_S = 10.0  # a health check without an answer for so long: the replica is replaced

ModelSource = Callable[[Settings], Model]


def load_configured(settings: Settings) -> Model:
    """Load the model that the settings name. Blocks. Raises `ConfigError`."""
    return load_model(settings, models_folder(settings.engine.models))


class ReplicaServer(DrainingServer):
    """A replica's own listener; Serve handles the signals of its process."""

    def __init__(self, app: FastAPI, settings: Settings, connections: int) -> None:
        config = server_config(app, settings, connections)
        config.lifespan = "off"  # Serve has run it
        super().__init__(config, "")

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """See `uvicorn.Server`."""
        yield


@serve.ingress()
class Replica:
    """One server of the cluster."""

    def __init__(self, settings: dict[str, Any], create_model: ModelSource) -> None:
        """Load the model: seconds. Raises `ConfigError`."""
        fitted, self._connections = fit_descriptors(Settings.model_validate(settings))
        self._listener = _listen(fitted)
        host, port = self._listener.getsockname()[:2]
        self._url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._settings = _as_reachable(fitted, host)
        configure_logging(fitted.log)
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it asks this server once a second
        self._model = create_model(fitted)
        own_id = serve.get_replica_context().replica_id.unique_id
        direct = fitted.cluster.direct == "auto"
        self._directory = ReplicaDirectory(own_id, NAME, offers_direct=direct)

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Called by Serve after the constructor; then it runs the lifespan."""
        folder = models_folder(self._settings.engine.models)
        others = load_other_models(self._settings, folder, self._model.info.name)
        self._app = app = create_app(
            self._settings, self._model, others=others, replicas=self._directory
        )
        serving = app.router.lifespan_context

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[Any]:
            async with serving(app) as state, self._reachable(app):
                yield state

        app.router.lifespan_context = lifespan
        return app

    @asynccontextmanager
    async def _reachable(self, app: FastAPI) -> AsyncIterator[None]:
        """Serve on the replica's own address and report to the others, until the block ends or
        Serve wants the replica to end: speech may then end, clients are asked to come elsewhere.
        """
        server = ReplicaServer(app, self._settings, self._connections)
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(server.serve(sockets=[self._listener]), name="own address")
            draining = tasks.create_task(_drain_when_stopping(server), name="stopping")
            try:
                async with self._directory.reporting(self._create_report):
                    yield
                    server.should_exit = True
                    await serving
            finally:
                server.should_exit = True
                draining.cancel()

    async def _create_report(self) -> ReplicaReport:
        is_draining = not self._app.state.connections.is_accepting
        status = await self._read_status()
        load = measure_load(self._app)
        return ReplicaReport(self._directory.own_id, self._url, load, is_draining, status)

    async def _read_status(self) -> dict[str, Any]:
        """What `GET /v1/status` tells a replica; asked in this process."""
        transport = httpx.ASGITransport(self._app)
        headers = {"Authorization": f"Bearer {self._directory.cluster_key}"}
        async with httpx.AsyncClient(transport=transport, base_url=self._url) as client:
            answer = await client.get("/v1/status", headers=headers)
        status: dict[str, Any] = answer.raise_for_status().json()
        return status

    # --- what Serve asks --------------------------------------------------------------------------

    async def check_health(self) -> None:
        """Raises if the engine is dead. No answer, as the event loop hangs, is bad health, too."""
        if error := self._app.state.services.tts.fatal_error:
            raise error

    async def record_routing_stats(self) -> dict[str, float]:
        """For the routers."""
        return load_stats(self._app)

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """For the autoscaler."""
        return load_stats(self._app)


async def _drain_when_stopping(server: ReplicaServer) -> None:
    await wait_stopping()
    server.should_exit = True


def _listen(settings: Settings) -> socket.socket:
    """Listen on the replica's own address. Raises `ConfigError`."""
    cluster = settings.cluster
    host = cluster.host or (ray.util.get_node_ip_address() if cluster.address else "127.0.0.1")
    if not cluster.first_port:
        return listen(host, 0)
    for port in range(cluster.first_port, cluster.first_port + _PORTS):
        with suppress(ConfigError):
            return listen(host, port)
    raise ConfigError(
        f"no free port from {cluster.first_port} on, on {host}; change cluster.first_port"
    )


def _as_reachable(settings: Settings, own_host: str) -> Settings:
    """The settings as the replica's exposure demands: its own address counts, too."""
    if not is_loopback(settings.server.host) or is_loopback(own_host):
        return settings
    server = settings.server.model_copy(update={"host": own_host})
    return settings.model_copy(update={"server": server})


# --- the application ------------------------------------------------------------------------------


def build(given: dict[str, Any]) -> serve.Application:
    """Build the application of a Serve configuration file. `given`: its `args`, settings by
    section. Raises `ConfigError`.
    """
    return create_application(read_given(given))


def read_given(given: Mapping[str, Any]) -> Settings:
    """Read settings by section, above those of this node's environment and file. Raises
    `ConfigError`.
    """
    source = "the Serve configuration"
    if wrong := [str(section) for section, keys in given.items() if not isinstance(keys, Mapping)]:
        raise ConfigError(f"args: expected sections of settings, got {', '.join(wrong)}")
    settings = [
        GivenSetting(f"{section}.{key}", _as_text(value), source)
        for section, keys in given.items()
        for key, value in keys.items()
    ]
    return load_settings(argparse.Namespace(config=None, settings=settings)).settings


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def create_application(
    settings: Settings, create_model: ModelSource = load_configured
) -> serve.Application:
    """Create the Serve application. `create_model`: called in each replica. Raises `ConfigError`
    for settings that a cluster cannot have.
    """
    cluster = settings.cluster
    check_exposure(settings, Access(settings.access))
    if settings.wyoming.port:
        raise ConfigError(
            "wyoming.port: replicas cannot share it; run a server without --replicas for it"
        )
    grows = cluster.max_replicas > cluster.replicas
    deployment = serve.deployment(Replica, name=NAME).options(
        num_replicas=None if grows else max(1, cluster.replicas),
        autoscaling_config=_autoscaling(settings) if grows else None,
        ray_actor_options={
            "num_cpus": cluster.cpus_per_replica or 1,
            "num_gpus": cluster.gpus_per_replica,
        },
        # Serve never queues: a full replica refuses by itself, at once.
        max_ongoing_requests=10 * settings.server.max_connections,
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=settings.server.drain_timeout + _CLOSING_S,
        health_check_period_s=_HEALTH_S,
        health_check_timeout_s=_HANGS_S,
        request_router_config=RequestRouterConfig(
            request_router_class=RoomRouter, request_routing_stats_period_s=STATS_S
        ),
    )
    return deployment.bind(settings.model_dump(), create_model)


def _autoscaling(settings: Settings) -> AutoscalingConfig:
    return AutoscalingConfig(
        min_replicas=max(1, settings.cluster.replicas),
        max_replicas=settings.cluster.max_replicas,
        policy=AutoscalingPolicy(policy_function="backend.ray_serve.autoscaling:choose_replicas"),
        metrics_interval_s=_AUTOSCALE_S,
        look_back_period_s=3 * _AUTOSCALE_S,
        upscale_delay_s=0.0,
        downscale_delay_s=60.0,
    )
