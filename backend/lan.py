"""`serve --lan` and `access.create_key`: access from other devices, by a key in a link; and what a
server prints once it is ready.
"""

from __future__ import annotations

import io
import ipaddress
import os
import secrets
import socket
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs
from filelock import FileLock

from backend.config import Settings
from backend.errors import ConfigError
from backend.transport.auth import add_key, is_loopback

KEY_FILE = platformdirs.user_data_path("duplex-tts", appauthor=False) / "lan.key"
_PREFIX = "dtts_"
_OWNER_ONLY = 0o600
# Nothing is sent to these addresses; they select the outgoing interface.
_ELSEWHERE = {
    socket.AF_INET: ("203.0.113.1", "10.255.255.255"),
    socket.AF_INET6: ("2001:db8::1", "fd00::1"),
}
_EVERYWHERE = {"0.0.0.0": socket.AF_INET, "::": socket.AF_INET6}
_HERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # a local address for each wildcard address


def open_to_network(settings: Settings, key: str) -> Settings:
    """The settings with this API key added, and listening on all addresses unless a non-loopback
    address is set.
    """
    server = settings.server
    host = "0.0.0.0" if is_loopback(server.host) else server.host
    opened = settings.model_copy(update={"server": server.model_copy(update={"host": host})})
    return add_key(opened, key)


def kept_key(file: Path = KEY_FILE) -> str:
    """The key of this machine for its network, created at first use and kept, so that devices
    stay admitted. The file is readable by its owner only. Blocks. Raises `ConfigError`.
    """
    try:
        if key := _read_key(file):
            return key
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{file}.lock"):  # several servers may start for the first time together
            if key := _read_key(file):
                return key
            key = _PREFIX + secrets.token_urlsafe(32)
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT, _OWNER_ONLY), "w") as opened:
                opened.write(f"{key}\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot keep the API key in {file}: {error}; make the folder writable, or set "
            "access.api_keys"
        ) from error
    return key


def _read_key(file: Path) -> str:
    """Empty if there is none."""
    with suppress(FileNotFoundError):
        return file.read_text("utf-8").strip()
    return ""


def addresses(family: socket.AddressFamily = socket.AF_INET) -> list[str]:
    """Addresses at which other devices may reach this machine, the likeliest first. Blocks."""
    found: list[str] = []
    for target in _ELSEWHERE[family]:
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))
            found.append(probe.getsockname()[0])
    with suppress(OSError, UnicodeError):  # the latter: a name that no DNS can have
        found += [str(each[4][0]) for each in socket.getaddrinfo(socket.gethostname(), 0, family)]
    return [each for each in dict.fromkeys(found) if _reachable(each)]


def addresses_of(host: str) -> list[str]:
    """Addresses at which devices reach a server that listens on this one, the likeliest first.

    Blocks.
    """
    return addresses(_EVERYWHERE[host]) if host in _EVERYWHERE else [host]


def _reachable(address: str) -> bool:
    """Whether a link with this address works on another device."""
    if "%" in address:
        return False
    found = ipaddress.ip_address(address)
    linked = found.version == 6 and found.is_link_local  # invalid without an interface
    return not (found.is_loopback or found.is_unspecified or linked)


def compose_announcement(
    settings: Settings, address: tuple[str, int], about: str, lan_key: str
) -> str:
    """What is printed once the server is ready: where it is, and what to try. Blocks.

    `about`: what speaks there. `lan_key`: the key of the link for other devices; empty: no link.
    """
    host, port = address
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    ready = f"duplex-tts ready on {url}\n  {about}; text and audio at ws{url[4:]}/ws/tts\n"
    if lan_key:
        return ready + invitation(host, port, lan_key, settings.server.public_url)
    site = settings.server.public_url or url
    return f'{ready}  try: duplex-tts say "Hello there" --url {site}'


def invitation(host: str, port: int, key: str, public_url: str = "", file: Path = KEY_FILE) -> str:
    """The text with the links for other devices, a QR code of the first link, and a command that
    tries the server. Blocks.

    `public_url`: used instead of the machine's own addresses, of which a container's are of no use.
    """
    here, sites = _find_sites(host, port, public_url.rstrip("/"))
    tried = f'  try: duplex-tts say "Hello there" --url {here} --key {key}\n'
    links = "".join(f"    {_link(site, key)}\n" for site in sites or [here])
    if not sites:
        note = "--lan: this machine has no address in a network; in its own browser:"
        return f"{tried}  {note}\n{links}"
    kept = (
        f"  The link carries the key: show it to those who may speak here. It is kept in {file};\n"
        "  delete that file for another."
    )
    if is_loopback(urlsplit(sites[0]).hostname or ""):
        return f"{tried}  in a browser of this machine open:\n{links}{kept}"
    return (
        f"{tried}  on another device of this network open, or scan:\n{links}"
        f"\n{_draw_code(_link(sites[0], key))}\n"
        f"{kept} Over http a browser speaks; https adds the microphone\n"
        "  and the installable app: docs/deploy.md"
    )


def _find_sites(host: str, port: int, public_url: str) -> tuple[str, list[str]]:
    """The address for this machine and those for other devices, the likeliest first."""
    if public_url:
        return public_url, [public_url]
    return _site(_HERE.get(host, host), port), [_site(each, port) for each in addresses_of(host)]


def _site(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _link(site: str, key: str) -> str:
    return f"{site}/#key={key}"


def _draw_code(link: str) -> str:
    import segno  # needed only here

    image = io.StringIO()
    segno.make(link, error="l").terminal(image, compact=True)
    return image.getvalue()
