"""API keys and public paths.

Keys are stored as SHA-256 only: sufficient for keys of `duplex-tts key` (256 random bits), not for
passwords.
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

ANONYMOUS = "anybody"
_OWN_CLIENTS = "this server"
_KEY_LINE = re.compile(r"(?P<name>.*\S)\s+(?P<digest>[0-9a-fA-F]{64})(?P<admin>\s+admin)?")

HEALTH = frozenset({"/healthz", "/readyz"})
PUBLIC = HEALTH | {"/v1/voices", "/v1/audio/voices", "/v1/audio/models", "/v2/voices"}
"""Paths readable without a key, beside the pages."""


@dataclass(frozen=True, slots=True)
class _Owner:
    name: str
    admin: bool = False


class Access:
    """The API keys. Reads the key file once (blocks). Raises `ConfigError`."""

    def __init__(self, settings: AccessSettings) -> None:
        self._owners = {
            _hash_key(key): _Owner(f"key {number}")
            for number, key in enumerate(split_list(settings.api_keys), 1)
        }
        if settings.admin_key:
            self._owners[_hash_key(settings.admin_key)] = _Owner("admin", admin=True)
        if settings.api_keys_file:
            self._owners.update(_read_keys_file(Path(settings.api_keys_file)))
        self.requires_key = bool(self._owners)
        """Whether keys are configured; otherwise all requests are allowed."""
        self.own_key = secrets.token_urlsafe(32)
        """Used within this process for clients whose protocol has no keys."""
        self._owners[_hash_key(self.own_key)] = _Owner(_OWN_CLIENTS)

    def authorize(self, key: str | None) -> str:
        """Return the key's owner, `ANONYMOUS` if no key is required. Raises `Unauthorized`."""
        if not self.requires_key:
            return ANONYMOUS
        if not key:
            raise Unauthorized("this server requires an API key; ask its operator for one")
        owner = self._find_owner(key)
        if owner is None:
            raise Unauthorized("unknown API key; ask the server's operator for one")
        return owner.name

    @staticmethod
    def limited_owner(owner: str) -> str:
        """The owner whose sessions `access.sessions_per_key` limits; empty if it has no key."""
        return "" if owner in (ANONYMOUS, _OWN_CLIENTS) else owner

    def is_admin_key(self, key: str | None) -> bool:
        """Whether it is an operator's key."""
        owner = self._find_owner(key) if key else None
        return owner is not None and owner.admin

    def _find_owner(self, key: str) -> _Owner | None:
        digest, found = _hash_key(key), None
        for known, owner in self._owners.items():  # no early exit: constant time
            if hmac.compare_digest(known, digest):
                found = owner
        return found


def check_exposure(settings: Settings, access: Access) -> None:
    """Refuse to listen on a network without keys by accident. Raises `ConfigError`."""
    if settings.access.insecure:
        return
    host = settings.server.host
    if not (is_loopback(host) or access.requires_key):
        raise ConfigError(
            f"listening on {host or 'all addresses'} would open the server to every client "
            "that reaches this machine; make a key with `duplex-tts key NAME`, or pass --insecure "
            "to allow it"
        )
    if settings.wyoming.port and not is_loopback(settings.wyoming.host):
        raise ConfigError(
            f"listening on {settings.wyoming.host or 'all addresses'} for Wyoming, which has no "
            "keys, would open it to every client that reaches this machine; "
            "pass --insecure to allow it"
        )


def add_key(settings: Settings, key: str) -> Settings:
    """The settings with this API key added."""
    keys = ",".join(filter(None, (settings.access.api_keys, key)))
    access = settings.access.model_copy(update={"api_keys": keys})
    return settings.model_copy(update={"access": access})


def lacks_key(access: AccessSettings) -> bool:
    """Whether a key is to be created, as `access.create_key` asks."""
    configured = access.api_keys or access.api_keys_file or access.admin_key
    return access.create_key and not (access.insecure or configured)


def is_loopback(host: str) -> bool:
    """Whether it is a loopback address or localhost."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def bearer_key(headers: Headers) -> str | None:
    """The key in `Authorization: Bearer KEY`."""
    return authorization_key(headers, "bearer")


def authorization_key(headers: Headers, *schemes: str) -> str | None:
    """The key in `Authorization: SCHEME KEY`, for one of the schemes (in lower case)."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() or None if scheme.lower() in schemes else None


# --- keys -----------------------------------------------------------------------------------------


def split_list(names: str) -> list[str]:
    """Split a comma-separated setting."""
    return [name for name in map(str.strip, names.split(",")) if name]


def _hash_key(key: str) -> str:
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()


def _read_keys_file(path: Path) -> dict[str, _Owner]:
    try:
        lines = path.read_text("utf-8-sig").splitlines()
        others_write = path.stat().st_mode & stat.S_IWOTH
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the API keys in {path}: {error}") from error
    if others_write:
        raise ConfigError(f"the API keys in {path} are world-writable; chmod 600 it")
    owners = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        key = _KEY_LINE.fullmatch(line)
        if key is None:  # does not quote the line, which may be a key
            raise ConfigError(
                f"{path} line {number} is not `name sha256-of-the-key` (optionally followed by "
                "` admin`); `duplex-tts key NAME` writes such lines"
            )
        owners[key["digest"].lower()] = _Owner(key["name"], admin=key["admin"] is not None)
    if not owners:
        raise ConfigError(f"there is no API key in {path}; make one with `duplex-tts key NAME`")
    return owners
