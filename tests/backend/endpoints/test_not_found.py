"""What is asked for and is not here, and addresses that clients put together."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.live_server import Live, live_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN = {"Authorization": "Token any"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live() -> AsyncIterator[Live]:
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
        ("GET", "/voices", {}, ("message",), "/tts/bytes"),
        ("GET", "/tts/bytes", {}, ("message",), "/tts/bytes"),
        ("POST", "/agents", {"cartesia-version": "2025-04-16"}, ("message",), "/tts/bytes"),
        ("POST", "/dev/captioned_speech", {}, ("detail", "message"), "/v1/audio/speech"),
    ],
)
async def test_the_answer_has_the_vendors_form_and_says_what_there_is(
    live: Live, method: str, path: str, headers: dict[str, str], keys: tuple[str, ...], remedy: str
) -> None:
    async with httpx.AsyncClient(base_url=live.http, headers=headers) as http:
        answer = await http.request(method, path)
    assert answer.status_code in (404, 405)
    assert answer.headers["content-type"] == "application/json"
    told: Any = answer.json()
    for key in keys:
        told = told[key]
    assert remedy in told
    assert path in told


async def test_what_a_route_that_is_here_does_not_find_it_says_itself(live: Live) -> None:
    async with httpx.AsyncClient(base_url=live.http) as http:
        answer = await http.delete("/v1/sessions/none")
    assert answer.status_code == 404
    assert "session" in answer.json()["detail"]


async def test_a_page_that_is_not_here_is_nobodys(live: Live) -> None:
    async with httpx.AsyncClient(base_url=live.http) as http:
        answer = await http.get("/nowhere")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/realtime?model=gpt-realtime", ("error", "code")),
        ("/v1/text-to-speech/heart/nothing", ("error",)),
    ],
)
async def test_on_a_websocket_it_is_said_before_it_is_closed(
    live: Live, path: str, code: tuple[str, ...]
) -> None:
    async with connect(f"ws://{live.address}{path}") as socket:
        told: Any = json.loads(await socket.recv())
        await socket.wait_closed()
    assert socket.close_code == 1008
    for key in code:
        told = told[key]
    assert told == "unknown_url"


async def test_deepgrams_clients_read_why_a_handshake_is_refused(live: Live) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"ws://{live.address}/v2/speak?model=flux-alexis-en")
    assert refused.value.response.status_code == 404
    assert "/v1/speak" in refused.value.response.headers["dg-error"]


@pytest.mark.parametrize(
    "path", ["/v1//audio/speech", "/audio/speech", "//v1/audio//speech", "//audio/speech"]
)
async def test_openais_address_may_be_put_together_carelessly(live: Live, path: str) -> None:
    async with httpx.AsyncClient() as http:
        answer = await http.post(live.http + path, json={"input": "Hi", "response_format": "pcm"})
        assert (answer.status_code, len(answer.content)) == (200, 2 * 240 * 2)
        models = await http.get(f"{live.http}/models")
        assert models.json()["object"] == "list"
        voices = await http.get(f"{live.http}/audio/voices")
        assert voices.json()["voices"]


async def test_the_others_too(live: Live) -> None:
    async with httpx.AsyncClient() as http:
        spoken = await http.post(f"{live.http}//v1/text-to-speech/heart", json={"text": "Hi"})
        assert spoken.status_code == 200
        asked = {"text": "Hi"}
        assert (await http.post(f"{live.http}//v1//speak", json=asked)).status_code == 200
    async with connect(f"ws://{live.address}//tts//websocket") as socket:
        await socket.send("{")
        assert json.loads(await socket.recv())["type"] == "error"


async def test_another_spelling_opens_no_door() -> None:
    async with (
        live_server(access={"api_keys": "right"}) as live,
        httpx.AsyncClient() as http,
    ):
        for path in ("/audio/speech", "/v1//audio/speech", "//v1/audio/speech"):
            assert (await http.post(live.http + path, json={"input": "Hi"})).status_code == 401
        assert (await http.get(f"{live.http}/models")).status_code == 401
        evil = {"Origin": "https://evil.example", "Authorization": "Bearer right"}
        answer = await http.post(f"{live.http}/audio/speech", json={"input": "Hi"}, headers=evil)
        assert answer.status_code == 403
