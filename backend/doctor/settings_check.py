"""The settings in effect and where they come from. Runs in the doctor itself, which needs them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from backend.config import FIELDS, Settings
from backend.config_sources import LoadedSettings, load_settings
from backend.doctor.findings import Finding, Status
from backend.doctor.redaction import HIDDEN, SECRET_SETTINGS, hide_value
from backend.errors import ConfigError

TITLE = "Settings"


def check_settings(flags: argparse.Namespace) -> tuple[Settings, list[Finding]]:
    """The settings that `serve` would use with these flags, the defaults if it would refuse them;
    and the lines of the report.
    """
    try:
        loaded = load_settings(flags)
    except ConfigError as error:
        text = hide_value(error.message)
    except OSError as error:
        text = f"they cannot be read: {error}"
    else:
        return loaded.settings, [*_describe(loaded)]
    remedy = "correct or remove it; this lists all settings. The rest is checked with the defaults"
    return Settings(), [Finding("refused", Status.ERROR, text, remedy, "duplex-tts serve --help")]


def _describe(loaded: LoadedSettings) -> Iterator[Finding]:
    given = {key: source for key, source in loaded.sources.items() if source != "default"}
    if not given:
        yield Finding("all", Status.OK, "defaults: no file, environment variable or flag")
    for key, source in given.items():
        value = loaded.get_value(key)
        shown = HIDDEN if key in SECRET_SETTINGS and value else value
        text = f"{shown} ({source}; default {FIELDS[key].default!r})"
        yield Finding(key, Status.OK, text, values={"value": shown, "source": source})
