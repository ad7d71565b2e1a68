"""`--replicas N`: starts the servers, announces them, and ends them at a signal."""

from __future__ import annotations

import logging
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import ray
from ray import serve
from ray.exceptions import RayError

from backend.config import Settings
from backend.cores import parallel_cores
from backend.errors import ConfigError
from backend.lan import compose_announcement
from backend.ray_serve.deployment import NAME, ModelSource, create_application, load_configured
from backend.transport.listener import listen
from backend.transport.systemd import notify, watchdog_period_s

_ROOT = Path(__file__).resolve().parents[2]
_CORES = parallel_cores()


def serve_replicas(
    settings: Settings, lan_key: str = "", create_model: ModelSource = load_configured
) -> None:
    """Serve until a signal. Blocks. Raises `ConfigError` if it cannot start.

    On this machine's own Ray all its processes end with this one; on another's cluster the
    application ends, the cluster goes on.
    """
    port = settings.server.port if settings.cluster.address else _free_port(settings)
    settings = divide_machine(settings)
    _handle_signals(_interrupt)
    # In a thread of its own, as half a Ray cannot be ended: an interrupt waits until all of it has
    # started. The thread stays, since Ray's processes end with the thread that started them.
    with ThreadPoolExecutor(1, thread_name_prefix="start-ray") as starting:
        started = starting.submit(start_ray, settings)
        try:
            started.result()
            _handle_signals(_interrupt)  # again: Ray has put its own in their place
            deploy(settings, port, create_model)
            about = f"{settings.cluster.replicas} replicas"
            announcement = compose_announcement(
                settings, (settings.server.host, port), about, lan_key
            )
            print(announcement, flush=True)
            notify("READY=1", f"STATUS={announcement.splitlines()[0]}")
        except (RayError, RuntimeError, ConnectionError) as error:
            raise ConfigError(f"the cluster could not start: {error}") from error
        else:
            with suppress(KeyboardInterrupt):
                _wait_forever()
        finally:
            notify("STOPPING=1")
            _handle_signals(signal.SIG_IGN)
            wait([started])
            end(settings)


def _wait_forever() -> NoReturn:
    """Wait for an interrupt, and tell systemd meanwhile that this process runs."""
    period_s = watchdog_period_s()
    while True:
        threading.Event().wait(period_s / 3 if period_s else None)
        notify("WATCHDOG=1")


def _handle_signals(handler: Any) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def _interrupt(*_: object) -> NoReturn:
    _handle_signals(signal.SIG_IGN)  # a second Ctrl-C would leave processes behind
    signal.alarm(0)  # by which Ray's own handler aborts this process 3 seconds later
    raise KeyboardInterrupt


def divide_machine(settings: Settings) -> Settings:
    """The settings of each replica: on one machine an equal share of its cores."""
    cluster, engine = settings.cluster, settings.engine
    share = 1.0 if cluster.address else max(1, _CORES // cluster.replicas)
    cpus = cluster.cpus_per_replica or share
    return settings.model_copy(
        update={
            "cluster": cluster.model_copy(update={"cpus_per_replica": cpus}),
            "engine": engine.model_copy(update={"threads": engine.threads or max(1, int(cpus))}),
        }
    )


def _free_port(settings: Settings) -> int:
    """The proxy's port, checked now: Serve itself would try for a long time."""
    with listen(settings.server.host, settings.server.port) as listener:
        port: int = listener.getsockname()[1]
        return port


def start_ray(settings: Settings) -> None:
    """Start Ray on this machine, or connect to the cluster."""
    # Elsewhere than in the main thread Ray leaves the signals alone, and says so.
    logging.getLogger("ray._private.worker").addFilter(lambda each: "SIGTERM" not in str(each.msg))
    quiet: dict[str, Any] = {"logging_level": logging.WARNING, "log_to_driver": True}
    cluster = settings.cluster
    if cluster.address:
        ray.init(cluster.address, **quiet)
        return
    # Ray's processes inherit it: they import this very package, installed or not.
    paths = filter(None, (str(_ROOT), os.environ.get("PYTHONPATH")))
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    most = max(cluster.replicas, cluster.max_replicas)
    ray.init(
        "local",  # not one that happens to run
        num_cpus=max(_CORES, int(most * cluster.cpus_per_replica) + 1),
        include_dashboard=False,
        **quiet,
    )


def deploy(settings: Settings, port: int, create_model: ModelSource) -> None:
    """Deploy, and wait until all replicas are ready. Blocks."""
    logs = {"log_level": "WARNING", "enable_access_log": False}  # of Serve; ours are configured
    serve.start(
        proxy_location="EveryNode",
        http_options={"host": settings.server.host, "port": port},
        logging_config=logs,
    )
    application = create_application(settings, create_model)
    serve.run(application, name=NAME, route_prefix="/", logging_config=logs)


def end(settings: Settings) -> None:
    """End the application, and Ray if it was started here."""
    if not ray.is_initialized():
        return
    try:
        if settings.cluster.address:
            serve.delete(NAME)
        else:
            serve.shutdown()
    except (RayError, RuntimeError, TimeoutError):  # the head may be gone
        logging.getLogger(__name__).warning("Serve did not end by itself")
    ray.shutdown()
