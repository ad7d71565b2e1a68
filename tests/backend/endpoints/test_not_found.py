"""Responses to unknown URLs, and path aliases."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.live_server import LiveServer, live_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN = {"Authorization": "Token any"}
MISTRAL = {"user-agent": "speakeasy-sdk/python 3.7.0 2.935.1 1.0.0 mistralai"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live() -> AsyncIterator[LiveServer]:
    async with live_server() as running:
        yield running


@pytest.mark.parametrize(
    ("method", "path", "headers", "keys", "remedy"),
    [
        ("POST", "/v1/audio/transcriptions", {}, ("error", "message"), "/v1/audio/speech"),
        ("POST", "/v1/chat/completions", {}, ("error", "message"), "/v1/audio/speech"),
        ("POST", "/v1/realtime/client_secrets", {}, ("error", "message"), "/v1/audio/speech"),
        ("GET", "/v1/realtime", {}, ("error", "message"), "/v1/audio/speech"),
        ("GET", "/v1/text-to-speech/heart", {}, ("detail", "message"), "/stream-input"),
        ("POST", "/v1/text-to-dialogue", {}, ("detail", "message"), "/stream-input"),
        ("GET", "/v1/shared-voices", {"xi-api-key": "k"}, ("detail", "message"), "/v1/voices"),
        ("POST", "/v2/speak", {}, ("err_msg",), "/v1/speak"),
        ("POST", "/v1/listen", {}, ("err_msg",), "/v1/speak"),
        ("POST", "/v1/agent", TOKEN, ("err_msg",), "/v1/speak"),
        ("GET", "/v1/speak", {}, ("err_msg",), "/v1/speak"),
        ("GET", "/infill/bytes", {}, ("message",), "/tts/bytes"),
        ("GET", "/tts/bytes", {}, ("message",), "/tts/bytes"),
        ("POST", "/agents", {"cartesia-version": "2025-04-16"}, ("message",), "/tts/bytes"),
        ("GET", "/v1/audio/speech/realtime", {}, ("error", "message"), "WebSockets /v1/audio"),
        ("GET", "/v1/audio/speech/websocket", {}, ("error", "message"), "WebSockets /v1/audio"),
        ("POST", "/v1/client/sessions", {}, ("message",), "/v1/audio/speech/realtime"),
        ("POST", "/v1/fim/completions", MISTRAL, ("message",), "/v2/audio/voices"),
        ("POST", "/dev/captioned_speech", {}, ("detail", "message"), "/v1/audio/speech"),
    ],
)
async def test_response_has_the_vendors_form_and_lists_what_is_available(
    live: LiveServer,
    method: str,
    path: str,
    headers: dict[str, str],
    keys: tuple[str, ...],
    remedy: str,
) -> None:
    async with httpx.AsyncClient(base_url=live.http, headers=headers) as http:
        response = await http.request(method, path)
    assert response.status_code in (404, 405)
    assert response.headers["content-type"] == "application/json"
    reply: Any = response.json()
    for key in keys:
        reply = reply[key]
    assert remedy in reply
    assert path in reply


async def test_404_from_an_existing_route_is_unchanged(live: LiveServer) -> None:
    async with httpx.AsyncClient(base_url=live.http) as http:
        response = await http.delete("/v1/sessions/none")
    assert response.status_code == 404
    assert "session" in response.json()["detail"]


async def test_unknown_page_gets_a_plain_404(live: LiveServer) -> None:
    async with httpx.AsyncClient(base_url=live.http) as http:
        response = await http.get("/nowhere")
    assert (response.status_code, response.json()) == (404, {"detail": "Not Found"})


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/realtime?model=gpt-realtime", ("error", "code")),
        ("/v1/text-to-speech/heart/nothing", ("error",)),
        ("/v1/audio/speech/nothing", ("error", "code")),
    ],
)
async def test_unknown_websocket_gets_an_error_before_the_close(
    live: LiveServer, path: str, code: tuple[str, ...]
) -> None:
    async with connect(f"ws://{live.address}{path}") as socket:
        reply: Any = json.loads(await socket.recv())
        await socket.wait_closed()
    assert socket.close_code == 1008
    for key in code:
        reply = reply[key]
    assert reply == "unknown_url"


async def test_refused_deepgram_handshake_has_dg_error(live: LiveServer) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"ws://{live.address}/v2/speak?model=flux-alexis-en")
    assert refused.value.response.status_code == 404
    assert "/v1/speak" in refused.value.response.headers["dg-error"]


@pytest.mark.parametrize(
    "path", ["/v1//audio/speech", "/audio/speech", "//v1/audio//speech", "//audio/speech"]
)
async def test_openai_paths_may_repeat_slashes_or_omit_v1(live: LiveServer, path: str) -> None:
    async with httpx.AsyncClient() as http:
        response = await http.post(live.http + path, json={"input": "Hi", "response_format": "pcm"})
        assert (response.status_code, len(response.content)) == (200, 2 * 240 * 2)
        models = await http.get(f"{live.http}/models")
        assert models.json()["object"] == "list"
        voices = await http.get(f"{live.http}/audio/voices")
        assert voices.json()["voices"]


async def test_other_vendors_paths_may_repeat_slashes(live: LiveServer) -> None:
    async with httpx.AsyncClient() as http:
        spoken = await http.post(f"{live.http}//v1/text-to-speech/heart", json={"text": "Hi"})
        assert spoken.status_code == 200
        body = {"text": "Hi"}
        assert (await http.post(f"{live.http}//v1//speak", json=body)).status_code == 200
    async with connect(f"ws://{live.address}//tts//websocket") as socket:
        await socket.send("{")
        assert json.loads(await socket.recv())["type"] == "error"


async def test_path_aliases_do_not_bypass_checks() -> None:
    async with (
        live_server(access={"api_keys": "right"}) as live,
        httpx.AsyncClient() as http,
    ):
        for path in ("/audio/speech", "/v1//audio/speech", "//v1/audio/speech"):
            assert (await http.post(live.http + path, json={"input": "Hi"})).status_code == 401
        assert (await http.get(f"{live.http}/models")).status_code == 401
        evil = {"Origin": "https://evil.example", "Authorization": "Bearer right"}
        response = await http.post(f"{live.http}/audio/speech", json={"input": "Hi"}, headers=evil)
        assert response.status_code == 403
