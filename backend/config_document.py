"""Writes docs/configuration.md: `python -m backend.config_document > docs/configuration.md`."""

from __future__ import annotations

import json

from backend.config import FIELDS, Settings, describe_allowed
from backend.config_sources import FILE, PREFIX

_HEAD = f"""\
# Configuration

Written by `python -m backend.config_document`; a test compares it with the settings.

Every setting has a key `section.name`, and four places where it may be set. A later one wins:

1. its default, below;
2. the file `{FILE}` in the working folder, or the one that `--config PATH` names:

       [server]
       port = 8080

3. the environment: `{PREFIX}SERVER__PORT=8080`;
4. flags: `duplex-tts serve --set server.port=8080`. The usual ones have flags of their own
   (`--port`, `--host`, `--engine`, `--voice`, `--log-level`, `--insecure`).

`duplex-tts config` prints the settings in force and where each came from. A mistake in any of these
places stops the start with one line: the key, the value, what is allowed, the place.
"""


def describe_settings() -> str:
    """The document, as Markdown: a table for each section."""
    parts = [_HEAD]
    for section, group in Settings.model_fields.items():
        summary = " ".join((group.default.__class__.__doc__ or "").split())
        parts.append(
            f"\n## {section}\n\n{summary}\n\n| name | default | allowed | |\n|---|---|---|---|\n"
        )
        keys = [key for key in FIELDS if key.startswith(f"{section}.")]
        parts += [_row(key) for key in keys]
    return "".join(parts)


def _row(key: str) -> str:
    field = FIELDS[key]
    name = key.rpartition(".")[2]
    cells = (
        f"`{name}`",
        f"`{json.dumps(field.default)}`",
        describe_allowed(key),
        field.description or "",
    )
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


if __name__ == "__main__":
    print(describe_settings(), end="")
