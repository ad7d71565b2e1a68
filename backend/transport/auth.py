"""Who may speak with the server: API keys, and what is for everybody.

Keys are kept as SHA-256 only. That is enough for what `duplex-tts key` makes (256 random bits), and
nothing for a word that a person thought of.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import Headers

from backend.config import AccessSettings, Settings
from backend.errors import ConfigError, Unauthorized

ANYBODY = "anybody"
_LINE = re.compile(r"(?P<name>.*\S)\s+(?P<digest>[0-9a-fA-F]{64})(?P<admin>\s+admin)?")

HEALTH = frozenset({"/healthz", "/readyz"})
PUBLIC = HEALTH | {"/v1/voices", "/v1/audio/voices", "/v1/audio/models", "/v2/voices"}
"""What is read without a key, beside the pages. Everything else wants one where there are keys."""


@dataclass(frozen=True, slots=True)
class _Owner:
    name: str
    admin: bool = False


class Access:
    """The API keys there are. Reads the file of keys once (blocks); raises `ConfigError`."""

    def __init__(self, settings: AccessSettings) -> None:
        self._owners = {
            _hash(key): _Owner(f"key {number}")
            for number, key in enumerate(listed(settings.api_keys), 1)
        }
        if settings.admin_key:
            self._owners[_hash(settings.admin_key)] = _Owner("admin", admin=True)
        if settings.api_keys_file:
            self._owners.update(_read(Path(settings.api_keys_file)))
        self.demanded = bool(self._owners)
        """Whether there are keys; without any, everybody may speak."""
        self.own_key = secrets.token_urlsafe(32)
        """What a part of this very process shows for clients whose protocol knows no keys."""
        self._owners[_hash(self.own_key)] = _Owner("this server")

    def authorize(self, key: str | None) -> str:
        """Whose key it is: `ANYBODY` where none is demanded. Raises `Unauthorized`."""
        if not self.demanded:
            return ANYBODY
        if not key:
            raise Unauthorized("this server wants an API key; ask whoever runs it for one")
        owner = self._owner(key)
        if owner is None:
            raise Unauthorized("the API key is not one of this server's")
        return owner.name

    def administers(self, key: str | None) -> bool:
        """Whether it is a key of who runs the server."""
        owner = self._owner(key) if key else None
        return owner is not None and owner.admin

    def _owner(self, key: str) -> _Owner | None:
        given, found = _hash(key), None
        for known, owner in self._owners.items():  # all of them: the time tells nothing
            if hmac.compare_digest(known, given):
                found = owner
        return found


def check_exposure(settings: Settings, access: Access) -> None:
    """Refuse to let a whole network speak by accident. Raises `ConfigError`, with the remedy."""
    if settings.access.insecure:
        return
    host = settings.server.host
    if not (is_loopback(host) or access.demanded):
        raise ConfigError(
            f"listening on {host or 'all addresses'} would let everybody who reaches this machine "
            "speak; make a key with `duplex-tts key NAME`, or say --insecure if that is wanted"
        )
    if settings.wyoming.port and not is_loopback(settings.wyoming.host):
        raise ConfigError(
            f"listening on {settings.wyoming.host or 'all addresses'} for Wyoming, which knows no "
            "keys, would let everybody who reaches this machine speak; "
            "say --insecure if that is wanted"
        )


def is_loopback(host: str) -> bool:
    """Whether an address, or the name localhost, means this machine to itself only."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def bearer(headers: Headers) -> str | None:
    """The key in `Authorization: Bearer KEY`."""
    return authorization(headers, "bearer")


def authorization(headers: Headers, *schemes: str) -> str | None:
    """The key in `Authorization: SCHEME KEY`, for one of the schemes (in lower case)."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() or None if scheme.lower() in schemes else None


# --- keys -----------------------------------------------------------------------------------------


def listed(names: str) -> list[str]:
    """What stands between the commas of a setting."""
    return [name for name in map(str.strip, names.split(",")) if name]


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()


def _read(path: Path) -> dict[str, _Owner]:
    try:
        lines = path.read_text("utf-8-sig").splitlines()
        others_write = path.stat().st_mode & stat.S_IWOTH
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the API keys in {path}: {error}") from error
    if others_write:
        raise ConfigError(f"everybody may write to the API keys in {path}; chmod 600 it")
    owners = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        key = _LINE.fullmatch(line)
        if key is None:  # not the line itself, which may be a key
            raise ConfigError(
                f"{path} line {number} is not `name sha256-of-the-key` (or with ` admin` behind "
                "it); `duplex-tts key NAME` writes such lines"
            )
        owners[key["digest"].lower()] = _Owner(key["name"], admin=key["admin"] is not None)
    if not owners:
        raise ConfigError(f"there is no API key in {path}; make one with `duplex-tts key NAME`")
    return owners
