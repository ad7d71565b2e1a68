"""Whether the server's program can be loaded, and may listen where the settings say."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator

from backend.doctor.findings import CHECKOUT, CheckInputs, Finding, Status, is_checkout
from backend.errors import ConfigError


def run(inputs: CheckInputs) -> Iterator[Finding]:
    """Its packages, keys, exposure to the network, and file descriptors."""
    try:
        importlib.import_module("backend.main")
    except ImportError as error:
        yield _explain_missing(error)
        return
    yield Finding("program", Status.OK, "all of its packages are there")
    yield _check_access(inputs)
    yield _check_descriptors(inputs)


def _explain_missing(error: ImportError) -> Finding:
    pip = f"{sys.executable} -m pip install"
    if is_checkout():
        command = f"{pip} -r {CHECKOUT / 'requirements.txt'}"
    else:
        command = f"{pip} --force-reinstall duplex-tts"
    text = f"it cannot be loaded: {error}"
    return Finding("program", Status.ERROR, text, "install its packages again", command)


def _check_access(inputs: CheckInputs) -> Finding:
    from backend.transport.auth import Access, add_key, check_exposure, is_loopback, lacks_key

    settings = inputs.settings
    try:
        if lacks_key(settings.access):
            settings = add_key(settings, "the one that the server will create")
        access = Access(settings.access)
        check_exposure(settings, access)
    except ConfigError as error:
        return _from_config_error("access", error)
    host = settings.server.host
    where = "this machine only" if is_loopback(host) else f"the network ({host or 'all addresses'})"
    keys = "keys required" if access.requires_key else "no keys"
    return Finding("access", Status.OK, f"open to {where}, {keys}")


def _check_descriptors(inputs: CheckInputs) -> Finding:
    from backend.transport.connection_limits import fit_descriptors

    wanted = inputs.settings.server.max_connections
    try:
        fitted, _ = fit_descriptors(inputs.settings)
    except ConfigError as error:
        return _from_config_error("connections", error)
    allowed = fitted.server.max_connections
    if allowed >= wanted:
        return Finding("connections", Status.OK, f"{allowed} at a time")
    text = f"{allowed} at a time instead of {wanted}: there are too few file descriptors"
    return Finding("connections", Status.WARNING, text, command="ulimit -n 4096")


def _from_config_error(name: str, error: ConfigError) -> Finding:
    text, _, remedy = error.message.partition("; ")
    return Finding(name, Status.ERROR, text, remedy or "change the setting, see docs/keys.md")
