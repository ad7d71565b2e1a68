"""`duplex-tts cluster-config`: writes and checks the file with which Ray Serve runs the servers.

On a cluster: `serve deploy serve.yaml`, or the same text as `serveConfigV2` of a RayService.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from ray.serve.schema import ServeDeploySchema

from backend.config import FIELDS
from backend.config_sources import LoadedSettings, add_flags, load_settings
from backend.errors import ConfigError
from backend.ray_serve.deployment import NAME, create_application, read_given

IMPORT_PATH = "backend.ray_serve.deployment:build"
_SECRETS = ("access.api_keys", "access.admin_key")
_DEFAULTS = {"cluster.address": "auto", "cluster.replicas": 2, "server.host": "0.0.0.0"}
_HEADER = """\
# Written by `duplex-tts cluster-config`; `duplex-tts cluster-config --check FILE` checks it.
# Secrets are not here: set DUPLEX_TTS_ACCESS__API_KEYS (and ..._ADMIN_KEY) on every node.
"""


def write_config(loaded: LoadedSettings) -> str:
    """The Serve configuration file, with the settings that differ from their defaults. Raises
    `ConfigError` for a secret given by a file or flag: it would be stored in plain text.
    """
    changed = dict(_DEFAULTS) | {
        key: loaded.get_value(key) for key, source in loaded.sources.items() if source != "default"
    }
    for key in _SECRETS:
        if changed.pop(key, None) and not loaded.sources[key].startswith("environment"):
            raise ConfigError(f"{key} would be stored in plain text: set it in the environment")
    sections: dict[str, dict[str, object]] = {}
    for key, value in changed.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = value
    server = sections["server"]
    content = {
        "proxy_location": "EveryNode",
        "http_options": {"host": server["host"], "port": loaded.settings.server.port},
        "logging_config": {"log_level": "WARNING", "enable_access_log": False},
        "applications": [
            {"name": NAME, "route_prefix": "/", "import_path": IMPORT_PATH, "args": sections}
        ],
    }
    written: str = yaml.safe_dump(content, sort_keys=False)
    return _HEADER + written


def check_config(text: str) -> None:
    """Check a Serve configuration file: Serve's own keys, the application, and its settings with
    the environment's. Raises `ConfigError` with all that is wrong with the first.
    """
    try:
        schema = ServeDeploySchema.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise ConfigError(f"not YAML: {error}") from error
    except ValidationError as error:
        found = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()
        )
        raise ConfigError(found) from error
    ours = [each for each in schema.applications if each.import_path == IMPORT_PATH]
    if not ours:
        raise ConfigError(f"no application has import_path: {IMPORT_PATH}")
    for each in ours:
        given: Mapping[str, Any] = each.args
        settings = read_given(given)
        create_application(settings)
        if settings.cluster.address == "":
            raise ConfigError("set cluster.address: auto; without it replicas are on loopback")


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: print the file, or check one."""
    parser = argparse.ArgumentParser(
        prog="duplex-tts cluster-config",
        description="Print the configuration file for Ray Serve on a cluster, with these settings; "
        f"they are also those of `serve`: {len(FIELDS)} in all.",
    )
    add_flags(parser)
    parser.add_argument("--check", type=Path, metavar="FILE", help="check this file instead")
    try:
        flags = parser.parse_args(arguments)
        if flags.check:
            check_config(flags.check.read_text("utf-8"))
            print(f"{flags.check}: right")
        else:
            print(write_config(load_settings(flags)), end="")
    except OSError as error:
        sys.exit(f"duplex-tts: cannot read {flags.check}: {error.strerror}")
    except ConfigError as error:
        sys.exit(f"duplex-tts: {error.message}")


if __name__ == "__main__":
    main()
