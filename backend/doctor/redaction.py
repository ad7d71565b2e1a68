"""Keeps secrets out of a report that is to be passed on: API keys, tokens, the user's name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from backend.config import Settings

HIDDEN = "***"
SECRET_SETTINGS = frozenset({"access.api_keys", "access.admin_key"})

_SECRET_NAME = re.compile(r"key|token|secret|passw|credential", re.IGNORECASE)
_VARIABLE = re.compile(r"(^|_)(\w*api_?)?keys?$|token|secret|passw|credential", re.IGNORECASE)
_NO_SECRET = re.compile(r"_(file|path|dir)$", re.IGNORECASE)
_SHORTEST, _SHORTEST_VARIABLE = 4, 8  # a shorter one would hide parts of other words
# In an error about a setting, which may be a misspelt one: `= 'value' (source)`.
_VALUE = re.compile(r"(= | cannot be )(.+)( \((?:file|environment|flag) )", re.DOTALL)


def secrets_of(settings: Settings, environ: Mapping[str, str]) -> list[str]:
    """The secrets that the settings and the environment hold."""
    keys = [*settings.access.api_keys.split(","), settings.access.admin_key]
    return [
        each
        for each in map(str.strip, (*keys, *_secret_variables(environ)))
        if len(each) >= _SHORTEST
    ]


def _secret_variables(environ: Mapping[str, str]) -> Iterator[str]:
    for name, value in environ.items():
        if _VARIABLE.search(name) and not _NO_SECRET.search(name):
            yield from (each for each in value.split(",") if len(each) >= _SHORTEST_VARIABLE)


class Redaction:
    """Hides secrets, and shortens the home folder to `~`."""

    def __init__(self, secrets: Iterable[str], home: Path | None) -> None:
        known = sorted(map(re.escape, secrets), key=len, reverse=True)
        known.append(r"dtts_\w+")  # keys of `duplex-tts key`, wherever they come from
        self._secret = re.compile("|".join(known))
        has_home = home is not None and len(home.parts) > 1
        self._home = re.compile(re.escape(str(home)) + r"(?![\w.-])") if has_home else None

    def hide(self, text: str) -> str:
        """The text without secrets."""
        text = self._secret.sub(HIDDEN, text)
        return self._home.sub("~", text) if self._home else text

    def hide_all(self, data: object) -> object:
        """JSON with `hide` applied to every text."""
        if isinstance(data, str):
            return self.hide(data)
        if isinstance(data, Mapping):
            return {name: self.hide_all(value) for name, value in data.items()}
        if isinstance(data, list | tuple):
            return [self.hide_all(each) for each in data]
        return data


def hide_value(message: str) -> str:
    """A `ConfigError` message without the value, if the setting's name looks like a secret's."""
    found = _VALUE.search(message)
    if found is None or not _SECRET_NAME.search(message[: found.start()] + message[found.end() :]):
        return message
    return message[: found.start(2)] + HIDDEN + message[found.end(2) :]
