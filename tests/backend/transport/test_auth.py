"""API keys, alone and at the real server."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.applications import Starlette
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from backend.config import AccessSettings, Settings
from backend.endpoints.pages import install_pages
from backend.errors import ConfigError, Unauthorized
from backend.transport.auth import (
    ANONYMOUS,
    PUBLIC,
    Access,
    add_key,
    check_exposure,
    is_loopback,
    lacks_key,
)
from tests.support.engines.cloning_model import CloningModel
from tests.support.live_server import live_server
from tests.support.repository import ROOT


def line(name: str, key: str, mark: str = "") -> str:
    return f"{name} {hashlib.sha256(key.encode()).hexdigest()}{mark}\n"


# --- keys -----------------------------------------------------------------------------------------


def test_without_keys_requests_are_anonymous() -> None:
    access = Access(AccessSettings())
    assert not access.requires_key
    assert access.authorize(None) == ANONYMOUS
    assert not access.is_admin_key(None)


def test_a_key_from_the_file_has_its_owner(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# who\n\n{line('my phone', 'secret')}{line('me', 'root', ' admin')}")
    access = Access(AccessSettings(api_keys_file=str(file)))
    assert access.authorize("secret") == "my phone"
    assert access.authorize("root") == "me"
    assert [access.is_admin_key(key) for key in ("secret", "root", "wrong")] == [False, True, False]


def test_the_admin_key_authorizes_and_administers() -> None:
    access = Access(AccessSettings(admin_key="boss"))
    assert access.requires_key
    assert access.authorize("boss") == "admin"
    assert access.is_admin_key("boss")


@pytest.mark.parametrize("key", [None, "", "wrong", "one,two", "one ", "\udcff"])
def test_a_missing_or_wrong_key_is_refused(key: str | None) -> None:
    with pytest.raises(Unauthorized):
        Access(AccessSettings(api_keys="one,two")).authorize(key)


def test_the_own_key_differs_per_process_and_is_not_admin() -> None:
    one, other = (Access(AccessSettings(api_keys="one")) for _ in range(2))
    assert one.authorize(one.own_key) == "this server"
    assert not one.is_admin_key(one.own_key)
    with pytest.raises(Unauthorized):
        other.authorize(one.own_key)


@pytest.mark.parametrize("content", ["secret", "phone 123", "", "# nobody\n"])
def test_an_invalid_or_empty_key_file_stops_the_start(tmp_path: Path, content: str) -> None:
    file = tmp_path / "keys"
    file.write_text(content)
    with pytest.raises(ConfigError) as error:
        Access(AccessSettings(api_keys_file=str(file)))
    assert "duplex-tts key" in error.value.message
    assert "secret" not in error.value.message


def test_a_world_writable_key_file_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(line("me", "secret"))
    file.chmod(0o666)
    with pytest.raises(ConfigError, match="chmod 600"):
        Access(AccessSettings(api_keys_file=str(file)))


# --- listening addresses --------------------------------------------------------------------------


def exposed(**sections: dict[str, Any]) -> None:
    settings = Settings.model_validate(sections)
    check_exposure(settings, Access(settings.access))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.5", "tts.example.org"])
def test_non_loopback_addresses_require_keys_or_insecure(host: str) -> None:
    with pytest.raises(ConfigError, match="--insecure"):
        exposed(server={"host": host})
    exposed(server={"host": host}, access={"insecure": True})
    exposed(server={"host": host}, access={"api_keys": "one"})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "::ffff:127.0.0.1"])
def test_loopback_addresses_require_no_keys(host: str) -> None:
    assert is_loopback(host)
    exposed(server={"host": host}, wyoming={"host": host, "port": 10200})


def test_wyoming_beyond_loopback_requires_insecure() -> None:
    far = {"host": "0.0.0.0", "port": 10200}
    with pytest.raises(ConfigError, match="Wyoming"):
        exposed(access={"api_keys": "one"}, wyoming=far)
    exposed(access={"insecure": True}, wyoming=far)
    exposed(wyoming={**far, "port": 0})


# --- keys per protocol ----------------------------------------------------------------------------

OUTPUT = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24000}
SONIC = {"model_id": "sonic-2", "voice": "heart", "output_format": OUTPUT, "transcript": "Hi."}
ELEVEN = "/v1/text-to-speech/heart"

POSTS = [  # path, body, key header and prefix, place of the code in the answer
    ("/v1/speech", {"text": "Hi."}, "Authorization", "Bearer ", "code", "invalid_api_key"),
    (
        "/v1/audio/speech",
        {"input": "Hi.", "model": "tts-1", "voice": "nova"},
        "Authorization",
        "Bearer ",
        "error.code",
        "invalid_api_key",
    ),
    (ELEVEN, {"text": "Hi."}, "xi-api-key", "", "detail.status", "invalid_api_key"),
    (f"{ELEVEN}/stream", {"text": "Hi."}, "xi-api-key", "", "detail.status", "invalid_api_key"),
    ("/tts/bytes", SONIC, "X-API-Key", "", "error_code", "invalid_api_key"),
    ("/tts/sse", SONIC, "Authorization", "Bearer ", "error_code", "invalid_api_key"),
    ("/v1/speak", {"text": "Hi."}, "Authorization", "Token ", "err_code", "INVALID_AUTH"),
    (
        "/v1/audio/speech",
        {"input": "Hi.", "voice": "tara", "response_format": "raw"},
        "Authorization",
        "Bearer ",
        "error.code",
        "invalid_api_key",
    ),
]


@pytest.mark.parametrize(("path", "body", "header", "scheme", "where", "code"), POSTS)
async def test_posts_require_the_key_and_refuse_in_the_protocols_format(
    path: str, body: dict[str, Any], header: str, scheme: str, where: str, code: str
) -> None:
    async with (
        live_server(access={"api_keys": "one, two"}) as live,
        httpx.AsyncClient(base_url=live.http) as http,
    ):
        for key, status in ((None, 401), ("three", 401), ("one", 200), ("two", 200)):
            headers = {} if key is None else {header: f"{scheme}{key}"}
            answer = await http.post(path, json=body, headers=headers)
            assert answer.status_code == status
            if status == 401:
                found = answer.json()
                for part in where.split("."):
                    found = found[part]
                assert found == code


async def expect_refused(url: str, **options: Any) -> None:
    """ElevenLabs sends the reason on the open socket, others in the handshake response."""
    if ELEVEN in url:
        async with connect(url, **options) as socket:
            await socket.send(json.dumps({"text": " "}))
            assert json.loads(await socket.recv())["error"] == "invalid_api_key"
            await socket.wait_closed()
        assert socket.close_code == 1008
        return
    with pytest.raises(InvalidStatus) as refused:
        async with connect(url, **options):
            pass
    assert refused.value.response.status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        f"{ELEVEN}/stream-input?xi-api-key=",
        f"{ELEVEN}/multi-stream-input?authorization=Bearer%20",
        "/tts/websocket?api_key=",
        "/tts/websocket?access_token=",
        "/v1/audio/speech/websocket?api_key=",
    ],
)
async def test_a_key_in_the_url_is_checked(path: str) -> None:
    async with live_server(access={"api_keys": "one"}) as live:
        async with connect(f"ws://{live.address}{path}one"):
            pass
        await expect_refused(f"ws://{live.address}{path}three")


async def test_every_protocol_refuses_pages_of_other_sites() -> None:
    evil = {"Origin": "https://evil.example"}
    streams = ["/ws/tts", f"{ELEVEN}/stream-input", f"{ELEVEN}/multi-stream-input"]
    streams += ["/tts/websocket", "/v1/speak"]
    streams += ["/v1/audio/speech/realtime", "/v1/audio/speech/websocket"]
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        for path, body, *_ in POSTS:
            answer = await http.post(path, json=body, headers=evil)
            assert (path, answer.status_code, answer.json()["error"]) == (path, 403, "origin")
        for path in streams:
            with pytest.raises(InvalidStatus) as refused:
                async with connect(f"ws://{live.address}{path}", additional_headers=evil):
                    pass
            assert (path, refused.value.response.status_code) == (path, 403)


@pytest.mark.parametrize(
    ("path", "header", "scheme"),
    [
        (f"{ELEVEN}/stream-input", "xi-api-key", ""),
        (f"{ELEVEN}/multi-stream-input", "xi-api-key", ""),
        ("/tts/websocket", "X-API-Key", ""),
        ("/tts/websocket", "Authorization", "Bearer "),
        ("/v1/speak", "Authorization", "Token "),
        ("/v1/audio/speech/realtime", "Authorization", "Bearer "),
        ("/v1/audio/speech/websocket", "Authorization", "Bearer "),
    ],
)
async def test_a_vendors_websocket_refuses_a_wrong_key(path: str, header: str, scheme: str) -> None:
    async with live_server(access={"api_keys": "one"}) as live:
        url = f"ws://{live.address}{path}"
        async with connect(url, additional_headers={header: f"{scheme}one"}):
            pass
        await expect_refused(url, additional_headers={header: f"{scheme}wrong"})


@pytest.mark.parametrize("key", [None, "wrong"])
async def test_elevenlabs_key_in_the_first_message_is_checked(
    key: str | None,
) -> None:
    first = {"text": " ", **({} if key is None else {"xi_api_key": key})}
    async with live_server(access={"api_keys": "one"}) as live:
        url = f"ws://{live.address}{ELEVEN}/stream-input"
        async with connect(url) as socket:
            await socket.send(json.dumps(first))
            assert json.loads(await socket.recv())["error"] == "invalid_api_key"
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008


async def test_the_native_websocket_takes_the_key_in_a_header_or_the_query() -> None:
    async with live_server(access={"api_keys": "one, two"}) as live:
        url = f"ws://{live.address}/ws/tts"
        async with connect(url, additional_headers={"Authorization": "Bearer one"}) as socket:
            assert json.loads(await socket.recv())["type"] == "ready"
        async with connect(f"{url}?key=two") as socket:
            assert json.loads(await socket.recv())["type"] == "ready"
        for query in ("", "?key=three"):
            async with connect(f"{url}{query}") as socket:
                assert json.loads(await socket.recv())["code"] == "invalid_api_key"
                with pytest.raises(ConnectionClosed) as closed:
                    await socket.recv()
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1008


async def test_health_checks_need_no_key() -> None:
    async with (
        live_server(access={"api_keys": "one"}) as live,
        httpx.AsyncClient(base_url=live.http) as http,
    ):
        for path in ("/healthz", "/readyz", "/", "/v1/audio/voices", "/v1/audio/models"):
            assert (await http.get(path)).status_code == 200
        for path in ("/v1/models", "/v1/status", "/metrics", "/openapi.json"):
            assert (await http.get(path)).status_code == 401


# --- public paths ---------------------------------------------------------------------------------


def routes(app: FastAPI) -> Iterator[tuple[str, str]]:
    """All routes: method, or `socket`, and path."""
    for route in iter_route_contexts(app.routes):
        path = re.sub(r"{.*?}", "heart", str(route.path))
        for method in route.methods or ("socket",):
            yield method, path


async def test_paths_not_listed_as_public_require_a_key() -> None:
    pages = install_pages(Starlette())
    async with (
        live_server(CloningModel(), access={"api_keys": "one"}) as live,
        httpx.AsyncClient(base_url=live.http) as http,
    ):
        found = list(routes(live.app))
        assert len(found) > len(pages) + len(PUBLIC) + 20
        for method, path in found:
            if method == "socket":
                assert await refuses(f"ws://{live.address}{path}"), path
                continue
            answer = await http.request(method, path)
            public = method in ("GET", "HEAD") and path in PUBLIC | pages
            assert (answer.status_code < 300) if public else (answer.status_code == 401), (
                f"{method} {path} answers {answer.status_code} without a key: "
                "demand one, or list it in access.PUBLIC and docs/keys.md"
            )


async def refuses(url: str) -> bool:
    """Whether a WebSocket refuses to speak without a key."""
    try:
        async with connect(url) as socket:
            with suppress(ConnectionClosed):
                await socket.send('{"text": "Hi.", "type": "text", "transcript": "Hi."}')
            with suppress(ConnectionClosed):
                async for message in socket:
                    assert isinstance(message, str)
                    assert "audio" not in message
            return socket.close_code == 1008
    except InvalidStatus as refused:
        return refused.response.status_code == 401


def test_public_paths_are_documented() -> None:
    keys = (ROOT / "docs" / "keys.md").read_text()
    for path in PUBLIC:
        assert f"`{path}`" in keys or f"`GET {path}`" in keys


@pytest.mark.parametrize(
    ("access", "lacking"),
    [
        ({}, False),
        ({"create_key": True}, True),
        ({"create_key": True, "api_keys": "mine"}, False),
        ({"create_key": True, "api_keys_file": "duplex-tts.keys"}, False),
        ({"create_key": True, "admin_key": "mine"}, False),
        ({"create_key": True, "insecure": True}, False),
    ],
)
def test_a_key_is_created_only_if_asked_and_none_is_configured(
    access: dict[str, object], lacking: bool
) -> None:
    assert lacks_key(Settings.model_validate({"access": access}).access) is lacking


def test_an_added_key_admits_without_opening_another_address() -> None:
    settings = add_key(Settings(), "dtts_key")
    assert Access(settings.access).authorize("dtts_key")
    assert settings.server.host == "127.0.0.1"
    assert add_key(Settings(), "") == Settings()
