"""Whether the configured port is free, or what answers there."""

from __future__ import annotations

import errno
import http.client
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

from backend.doctor.findings import CheckInputs, Finding, Status

_TIMEOUT_S = 3.0
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_ANY = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # where to reach a server on all


def run(inputs: CheckInputs) -> Iterator[Finding]:
    """The server's port, and Wyoming's if it is enabled."""
    server, wyoming = inputs.settings.server, inputs.settings.wyoming
    running = _ask_server(server.host, server.port) if server.port else None
    yield running or _try_port("server", server.host, server.port, "--port {}")
    if wyoming.port and not running:
        yield _try_port("wyoming", wyoming.host, wyoming.port, "--set wyoming.port={}")


def _ask_server(host: str, port: int) -> Finding | None:
    """What a Duplex TTS server there says; None if there is none."""
    address = _ANY.get(host, host)
    url = f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
    try:
        answer = json.loads(_read(f"{url}/readyz"))
        ready, speaker = answer["ready"], f"{answer['engine']}, voice {answer['voice']}"
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None
    values = {"url": url, "readyz": answer}
    if ready:
        text = f"a Duplex TTS server answers on {url}: ready, {speaker}"
        return Finding("server", Status.OK, text, values=values)
    text = f"a Duplex TTS server answers on {url} and is not ready ({speaker})"
    remedy = "it starts or ends: wait some seconds. If it stays so, see its log and restart it"
    return Finding("server", Status.WARNING, text, remedy, values=values)


def _read(url: str) -> bytes:
    try:
        with _NO_PROXY.open(url, timeout=_TIMEOUT_S) as answer:
            return bytes(answer.read(1 << 16))
    except urllib.error.HTTPError as error:
        return error.read(1 << 16)  # 503: not ready


def _try_port(name: str, host: str, port: int, option: str) -> Finding:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    where = f"{host or 'all addresses'} port {port}"
    try:
        socket.create_server((host, port), family=family).close()
    except (OSError, UnicodeError) as error:
        return _explain(name, where, option.format(port + 1), error)
    return Finding(name, Status.OK, f"{where} is free" if port else "any free port (0)")


def _explain(name: str, where: str, option: str, error: OSError | UnicodeError) -> Finding:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        why = "another program uses it, which is not a Duplex TTS server"
        remedy = "end it (`ss -ltnp` names it on Linux, `lsof -i` on macOS), or choose another port"
        command = f"duplex-tts serve {option}"
    elif number == errno.EACCES:
        why, remedy = "this user may not listen there", "choose a port above 1023"
        command = "duplex-tts serve --port 8000" if name == "server" else ""
    else:
        why = f"the address cannot be used ({getattr(error, 'strerror', None) or error})"
        remedy = f"set {name}.host to an address of this machine"
        command = "duplex-tts serve --host 127.0.0.1" if name == "server" else ""
    return Finding(name, Status.ERROR, f"{where}: {why}", remedy, command)
