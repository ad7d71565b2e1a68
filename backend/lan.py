"""`duplex-tts serve --lan`: for the other devices of the network, with a key and a link to scan."""

from __future__ import annotations

import io
import ipaddress
import os
import secrets
import socket
from contextlib import suppress
from pathlib import Path

import platformdirs

from backend.config import Settings
from backend.errors import ConfigError
from backend.transport.auth import is_loopback

KEY_FILE = platformdirs.user_data_path("duplex-tts", appauthor=False) / "lan.key"
_PREFIX = "dtts_"
_OWNER_ONLY = 0o600
_EVERYWHERE = ("203.0.113.1", "10.255.255.255")  # nothing is sent there: which way would it go?


def open_to_network(settings: Settings, key: str) -> Settings:
    """The settings with this key among the API keys, listening on all addresses unless another
    than this machine's own is set.
    """
    server, access = settings.server, settings.access
    host = "0.0.0.0" if is_loopback(server.host) else server.host
    keys = ",".join(filter(None, (access.api_keys, key)))
    return settings.model_copy(
        update={
            "server": server.model_copy(update={"host": host}),
            "access": access.model_copy(update={"api_keys": keys}),
        }
    )


def kept_key(file: Path = KEY_FILE) -> str:
    """The key of this machine for its network, made at first use: a device that was let in once
    stays so. Only its owner can read the file. Blocks. Raises `ConfigError`.
    """
    try:
        with suppress(FileNotFoundError):
            if key := file.read_text("utf-8").strip():
                return key
        file.parent.mkdir(parents=True, exist_ok=True)
        key = _PREFIX + secrets.token_urlsafe(32)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT, _OWNER_ONLY), "w") as opened:
            opened.write(f"{key}\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot keep the key for --lan in {file}: {error}") from error
    return key


def addresses() -> list[str]:
    """IPv4 addresses at which others may reach this machine, the likeliest first. Blocks."""
    found: list[str] = []
    for target in _EVERYWHERE:
        with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))
            found.append(probe.getsockname()[0])
    with suppress(OSError):
        found += socket.gethostbyname_ex(socket.gethostname())[2]
    usable = [each for each in dict.fromkeys(found) if not ipaddress.ip_address(each).is_loopback]
    return [each for each in usable if each != "0.0.0.0"]


def invitation(host: str, port: int, key: str, file: Path = KEY_FILE) -> str:
    """What the other devices open, as links and as a QR code of the first. Blocks."""
    import segno  # only needed here

    hosts = [host] if host not in ("0.0.0.0", "::") else addresses()
    links = [_link(each, port, key) for each in hosts]
    if not links:
        return "  --lan: this machine has no address in a network"
    image = io.StringIO()
    segno.make(links[0], error="l").terminal(image, compact=True)
    return (
        "  on another device of this network open, or scan:\n"
        + "".join(f"    {link}\n" for link in links)
        + f"\n{image.getvalue()}\n"
        f"  The link carries the key: show it to those who may speak here. It is kept in {file};\n"
        "  delete that file for another. Over http a browser speaks; https adds the microphone\n"
        "  and the installable app: docs/deploy.md"
    )


def _link(host: str, port: int, key: str) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/#key={key}"
