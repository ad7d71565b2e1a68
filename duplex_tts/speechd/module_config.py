"""The configuration file of the output module: `Name "value"` lines, as Speech Dispatcher's own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from duplex_tts.channel.address import DEFAULT_URL, websocket_url
from duplex_tts.errors import ClientError

_LINE = re.compile(r"""(\w+)\s+(?:"([^"]*)"|(\S+))\s*""")
_YES, _NO = ("1", "yes", "on", "true"), ("0", "no", "off", "false")


class BadModuleConfig(ClientError):
    """A line of the configuration file cannot be used."""

    code = "bad_config"


@dataclass(frozen=True, slots=True)
class ModuleConfig:
    """`fallback`: the program of the module that speaks while the server cannot; empty: none,
    None: espeak-ng's, if it is installed. `start_server`: start one if none answers at `url`.
    """

    url: str = DEFAULT_URL
    key: str | None = None
    voice: str | None = None
    start_server: bool = True
    fallback: str | None = None


def read_config(path: Path) -> ModuleConfig:
    """Read the file; the defaults if there is none. Raises `BadModuleConfig` and `BadAddress`."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    except (OSError, UnicodeDecodeError) as error:
        raise BadModuleConfig(f"cannot read {path}: {error}") from error
    values: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if not match:
            raise BadModuleConfig(f'{path}:{number}: expected Name "value", got {line.strip()!r}')
        values[match[1]] = match[2] if match[2] is not None else match[3]
    return _to_config(values, path)


def _to_config(values: dict[str, str], path: Path) -> ModuleConfig:
    known = {"Server", "Key", "Voice", "StartServer", "Fallback"}
    if unknown := sorted(set(values) - known):
        raise BadModuleConfig(f"{path}: unknown {unknown[0]}; known are {', '.join(sorted(known))}")
    start = values.get("StartServer", "yes").lower()
    if start not in (*_YES, *_NO):
        raise BadModuleConfig(f"{path}: StartServer: expected yes or no, got {start!r}")
    return ModuleConfig(
        url=websocket_url(values.get("Server") or DEFAULT_URL),
        key=values.get("Key") or None,
        voice=values.get("Voice") or None,
        start_server=start in _YES,
        fallback=values.get("Fallback"),
    )
