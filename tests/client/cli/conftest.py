"""A server that answers the commands over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import pytest

Served = Callable[..., list[httpx.Request]]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    """Answer all requests alike, or raise the answer; returns the list of requests."""

    def serve(status: int, answer: Any) -> list[httpx.Request]:
        requests: list[httpx.Request] = []

        def respond(request: httpx.Request) -> httpx.Response:
            request.read()
            requests.append(request)
            if isinstance(answer, Exception):
                raise answer
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            return httpx.Response(status, content=body)

        client = partial(httpx.Client, transport=httpx.MockTransport(respond))
        monkeypatch.setattr("duplex_tts.cli.server_api.httpx.Client", client)
        return requests

    return serve
