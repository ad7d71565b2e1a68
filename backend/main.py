"""The server program: reads the settings, loads the engines, serves (`application`).

`python backend/main.py --help` shows the flags; `make run` and `duplex-tts serve` end up here.
"""

from __future__ import annotations

import os
import signal

if __name__ == "__main__":  # imports take seconds; Ctrl-C then exits without traceback
    signal.signal(signal.SIGINT, lambda number, _: os._exit(128 + number))

import argparse
import importlib
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

if __package__ in (None, ""):  # run as a script: import the package, not sibling files
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from backend.application import create_app
from backend.config import Settings
from backend.config_sources import add_flags, load_settings
from backend.engines.base import Model
from backend.engines.loader import load_model, load_other_models
from backend.engines.weights import models_folder
from backend.errors import ConfigError, DuplexError, EngineDead
from backend.lan import compose_announcement, kept_key, open_to_network
from backend.monitoring.logs import configure_logging, error_line
from backend.transport.auth import add_key, lacks_key
from backend.transport.connection_limits import fit_descriptors
from backend.transport.draining_server import DrainingServer, server_config
from backend.transport.listener import listen
from backend.transport.systemd import check_inherited, notify

_EXIT_AFTER_S = 10.0  # until the process is killed, once the engine is dead


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
    engines = " and ".join(each.info.name for each in (model, *others))
    about = f"speaks with {engines}, voice {voice}"
    if settings.wyoming.port:
        about += f", and to Home Assistant by Wyoming on port {settings.wyoming.port}"
    announcement = compose_announcement(settings, listener.getsockname()[:2], about, lan_key)

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
