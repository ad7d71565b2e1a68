"""Reads the settings from defaults, file, environment and flags. Called once, in `main`.

In rising priority: defaults, the file `duplex-tts.toml`, the environment
(`DUPLEX_TTS_SECTION__KEY`), flags. Each source is validated separately, so errors are found even
if a later source overrides them. `python -m backend.config_sources` prints the result.
"""

from __future__ import annotations

import argparse
import codecs
import difflib
import json
import os
import sys
import textwrap
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from backend.config import FIELDS, Settings, describe_allowed
from backend.errors import ConfigError

FILE = "duplex-tts.toml"
PREFIX = "DUPLEX_TTS_"
# The client's, ignored here.
_CLIENT_VARIABLES = {"DUPLEX_TTS_URL", "DUPLEX_TTS_KEY"}
_SHORT_FLAGS = {
    "--host": "server.host",
    "--port": "server.port",
    "--engine": "engine.name",
    "--voice": "engine.voice",
    "--log-level": "log.level",
    "--replicas": "cluster.replicas",
}


class GivenSetting(NamedTuple):
    """A setting as given by a source."""

    key: str
    value: object
    source: str


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The effective settings, and the source of each dotted key."""

    settings: Settings
    sources: dict[str, str]

    def get_value(self, key: str) -> object:
        """The value of a dotted key."""
        section, _, name = key.partition(".")
        return getattr(getattr(self.settings, section), name)


def load_settings(
    flags: argparse.Namespace | None = None, environ: Mapping[str, str] = os.environ
) -> LoadedSettings:
    """Read all sources; `flags` come from a parser with `add_flags`. Blocks (reads a file).

    Raises `ConfigError` with a one-line message: key, value, allowed values, source.
    """
    settings: dict[str, dict[str, object]] = {}
    sources = dict.fromkeys(FIELDS, "default")
    layers = [
        *((given, True) for given in _read_file(flags.config if flags else None)),
        *((given, False) for given in _read_environment(environ)),
        *((given, False) for given in (flags.settings if flags else ())),
    ]
    for given, typed in layers:
        section, _, name = given.key.partition(".")
        settings.setdefault(section, {})[name] = _validate_setting(given, typed=typed)
        sources[given.key] = given.source
    return LoadedSettings(Settings.model_validate(settings), sources)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that change settings, and a help listing all settings."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _format_help()
    parser.add_argument(
        "--config", metavar="PATH", type=Path, help=f"settings file (default: {FILE}, if there)"
    )
    for flag, key in _SHORT_FLAGS.items():
        parser.add_argument(
            flag,
            dest="settings",
            default=[],
            action="append",
            metavar=key.rpartition(".")[2].upper(),
            type=partial(_parse_short_flag, flag, key),
            help=f"{FIELDS[key].description} [{key}]",
        )
    parser.add_argument(
        "--insecure",
        dest="settings",
        default=[],
        action="append_const",
        const=GivenSetting("access.insecure", "true", "flag --insecure"),
        help=f"{FIELDS['access.insecure'].description} [access.insecure]",
    )
    parser.add_argument(
        "--set",
        dest="settings",
        default=[],
        action="append",
        metavar="KEY=VALUE",
        type=_parse_assignment,
        help="any setting below; repeatable, the last one wins",
    )


# --- the sources ----------------------------------------------------------------------------------


def _read_file(path: Path | None) -> Iterable[GivenSetting]:
    file = path or Path(FILE)
    if path is None and not file.exists():
        return
    try:
        raw = file.read_bytes()
        if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise ConfigError(f"{file} is UTF-16; save it as UTF-8")
        sections = tomllib.loads(raw.decode("utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"cannot read the settings in {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not TOML: {error}") from error
    source = f"file {file}"
    for section, keys in sections.items():
        if isinstance(keys, dict) and (keys or section in Settings.model_fields):
            yield from (
                GivenSetting(f"{section}.{key}", value, source) for key, value in keys.items()
            )
        else:
            yield GivenSetting(section, keys, source)


def _read_environment(environ: Mapping[str, str]) -> Iterable[GivenSetting]:
    for name, value in environ.items():
        if name.upper().startswith(PREFIX) and name.upper() not in _CLIENT_VARIABLES:
            key = name[len(PREFIX) :].lower().replace("__", ".")
            yield GivenSetting(key, value, f"environment {name}")


def _parse_short_flag(flag: str, key: str, text: str) -> GivenSetting:
    return GivenSetting(key, text, f"flag {flag}")


def _parse_assignment(text: str) -> GivenSetting:
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return GivenSetting(key.strip(), value.strip(), "flag --set")


def _validate_setting(given: GivenSetting, *, typed: bool) -> object:
    """Validate and convert the value. `typed` values must have the right type; others are text."""
    if given.key not in FIELDS:
        raise ConfigError(
            f"unknown setting {given.key!r} = {given.value!r} ({given.source}); "
            f"{_suggest_key(given)}"
        )
    section, _, name = given.key.partition(".")
    group = Settings.model_fields[section].default.__class__
    try:
        if typed:
            checked = group.model_validate({name: given.value}, strict=True)
        else:
            checked = group.model_validate_strings({name: given.value})
    except ValidationError as error:
        raise ConfigError(
            f"{given.key} cannot be {given.value!r} ({given.source}): "
            f"it takes {describe_allowed(given.key)}"
        ) from error
    return getattr(checked, name)


def _suggest_key(given: GivenSetting) -> str:
    section, _, name = given.key.rpartition(".")
    nearest_first = sorted(FIELDS, key=lambda key: not key.startswith(f"{section}."))
    names = {key.rpartition(".")[2]: key for key in reversed(nearest_first)}
    near = [names[match] for match in difflib.get_close_matches(name, names, n=1, cutoff=0.75)]
    near = near or difflib.get_close_matches(given.key, FIELDS, n=1)
    if not near:
        return "--help lists all settings"
    if given.source.startswith("environment"):
        return f"did you mean {PREFIX}{near[0].upper().replace('.', '__')}?"
    return f"did you mean {near[0]}?"


# --- python -m backend.config_sources -------------------------------------------------------------


def _format_help() -> str:
    lines = [
        "settings, for --set, the file and the environment (server.port is port of [server] in the",
        f"file, and {PREFIX}SERVER__PORT in the environment):",
    ]
    indent = " " * 6
    for key, field in FIELDS.items():
        lines.append(f"  {key} = {_format_value(field.default)}  ({describe_allowed(key)})")
        lines += textwrap.wrap(
            field.description or "",
            90,
            initial_indent=indent,
            subsequent_indent=indent,
            break_on_hyphens=False,
        )
    return "\n".join(lines)


def _format_value(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _format_json(loaded: LoadedSettings) -> str:
    described = {
        key: {
            "value": loaded.get_value(key),
            "source": loaded.sources[key],
            "default": field.default,
            "allowed": describe_allowed(key),
            "description": field.description,
        }
        for key, field in FIELDS.items()
    }
    return json.dumps(described, indent=2)


def _print_table(loaded: LoadedSettings) -> None:
    from rich.console import Console  # not needed to serve
    from rich.table import Table
    from rich.text import Text

    table = Table("Setting", "Value", "From", box=None, pad_edge=False)
    shown = None
    for key, source in loaded.sources.items():
        section, _, name = key.partition(".")
        if section != shown:
            table.add_row(Text(f"[{section}]", style="cyan"))
            shown = section
        row = (name, _format_value(loaded.get_value(key)), source)
        style = "dim" if source == "default" else "bold"
        table.add_row(*(Text(cell, overflow="fold") for cell in row), style=style)
    Console().print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: print the effective settings and the source of each value."""
    parser = argparse.ArgumentParser(
        prog="duplex-tts config", description="Show the effective settings and their sources."
    )
    add_flags(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, with descriptions")
    flags = parser.parse_args(arguments)
    try:
        loaded = load_settings(flags)
    except ConfigError as error:
        sys.exit(f"duplex-tts: {error.message}")
    if flags.json:
        print(_format_json(loaded))
    else:
        _print_table(loaded)


if __name__ == "__main__":
    main()
