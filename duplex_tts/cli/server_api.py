"""HTTP requests of the commands that list and change what a server stores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import typer

from duplex_tts.channel.address import authorization, http_url
from duplex_tts.cli.shared_options import ensure_server, reporting_errors
from duplex_tts.errors import ClientError, ConnectionLost


class RequestRefused(ClientError):
    """The server refused the request; the message says why."""


@dataclass(frozen=True, slots=True)
class ServerApi:
    """The HTTP API of the server at `address`."""

    client: httpx.Client
    address: str

    def send_request(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        """Return the JSON response. Raises `RequestRefused` with the server's message."""
        response = self._send(method, path, **content)
        body = _read_object(response)
        if not body:
            raise RequestRefused(f"{response.url} answers {response.status_code}")
        return body

    def fetch(self, path: str, media_type: str, **content: Any) -> bytes:
        """Return the response in this media type. Raises `RequestRefused`."""
        return self._send("GET", path, headers={"accept": media_type}, **content).content

    def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        response = self.client.request(method, http_url(self.address, path), **content)
        if response.is_success:
            return response
        reason = _read_object(response).get("message")
        raise RequestRefused(str(reason or f"{response.url} answers {response.status_code}"))


@contextmanager
def server_api(
    context: typer.Context, url: str | None, key: str | None, timeout_s: float
) -> Iterator[ServerApi]:
    """Connect to the server over HTTP; options before the subcommand are in `context.obj`. Errors
    of the block are printed as one line.
    """
    url, key = url or context.obj[0], key or context.obj[1]
    with reporting_errors(), ensure_server(url) as address:
        try:
            with httpx.Client(
                headers=authorization(key), timeout=timeout_s, trust_env=False
            ) as client:
                yield ServerApi(client, address)
        except httpx.HTTPError as error:
            where = http_url(address, "")
            raise ConnectionLost(f"no speech server answers at {where} ({error})") from error


def _read_object(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
