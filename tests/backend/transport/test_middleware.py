"""Response headers, and requests through reverse proxies."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import warnings
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from backend.application import create_app
from backend.config import Settings
from backend.endpoints.pages import WEB
from backend.errors import ConfigError
from tests.backend.transport.test_auth import POSTS, routes
from tests.support.engines.cloning_model import CloningModel, recording
from tests.support.engines.fake_engine import FakeModel
from tests.support.live_server import live_server

FAR = {"X-Forwarded-For": "203.0.113.9"}


def nosniff(answer: httpx.Response) -> bool:
    return answer.headers.get_list("x-content-type-options") == ["nosniff"]


# --- all responses --------------------------------------------------------------------------------


async def test_every_response_has_nosniff() -> None:
    async with (
        live_server(access={"api_keys": "one"}) as live,
        httpx.AsyncClient(base_url=live.http) as http,
    ):

        async def broken() -> None:
            raise ZeroDivisionError

        live.app.add_api_route("/broken", broken)
        with_key = {"Authorization": "Bearer one"}
        for method, path in routes(live.app):
            if method != "socket":
                for headers in ({}, with_key, {"Origin": "https://evil.example"}):
                    answer = await http.request(method, path, headers=headers)
                    assert nosniff(answer), (method, path, answer)
        assert nosniff(await http.get("/nothing"))
        assert nosniff(await http.post("/v1/speech", content=b" " * (2 << 20)))
        assert (await http.get("/broken")).status_code == 500
        with pytest.raises(InvalidStatus) as refused:
            async with connect(f"ws://{live.address}/v1/speak"):
                pass
        assert refused.value.response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", [*(path for path, *_ in POSTS), "/v1/voices"])
async def test_a_truncated_request_is_not_logged_as_an_error(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
    head += "Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
    async with live_server(CloningModel()) as live:
        host, _, port = live.address.rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(head.encode())
        await writer.drain()
        async with httpx.AsyncClient(base_url=live.http) as http:
            await http.get("/healthz")  # the server has read the head
        writer.close()
        await asyncio.wait([*live.server.server_state.tasks, asyncio.create_task(asyncio.sleep(0))])
    assert [entry for entry in caplog.records if entry.levelno >= logging.ERROR] == []


async def test_a_refused_handshake_is_not_logged_as_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with live_server(access={"api_keys": "one"}) as live:
        with pytest.raises(InvalidStatus):
            async with connect(f"ws://{live.address}/v1/speak"):
                pass
    assert [entry for entry in caplog.records if entry.levelno >= logging.ERROR] == []


def test_the_openapi_schema_is_created_without_warnings() -> None:
    app = create_app(Settings(), FakeModel())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        described = app.openapi()
    assert {"/v1/audio/speech", "/v1/voices", "/v1/speech"} <= set(described["paths"])


# --- reverse proxies and prefixes -----------------------------------------------------------------

WAYS = {  # root_path, the proxy's headers, and the path prefix it keeps
    "stripped": ("", {}, ""),
    "stripped, and set": ("/tts", {}, ""),
    "stripped, and forwarded": ("", {"X-Forwarded-Prefix": "/tts"}, ""),
    "passed on, and set": ("/tts", {}, "/tts"),
    "passed on, and forwarded": ("", {"X-Forwarded-Prefix": "/tts/"}, "/tts"),
    "deep": ("a/b/tts/", {}, "/a/b/tts"),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
async def test_every_path_works_under_the_prefix(way: str) -> None:
    root_path, headers, before = WAYS[way]
    async with (
        live_server(CloningModel(), server={"root_path": root_path}) as live,
        httpx.AsyncClient(base_url=live.http + before, headers=headers) as http,
    ):
        for method, path in routes(live.app):
            if method == "socket":
                url = f"ws://{live.address}{before}{path}"
                async with connect(url, additional_headers=headers):
                    pass
            else:
                answer = await http.request(method, path)
                assert answer.status_code not in (307, 405), (method, path)
                assert answer.content != b'{"detail":"Not Found"}', (method, path)
        larger: Any = {"name": (None, "mine"), "audio": ("a.wav", recording(30, rate_hz=48_000))}
        assert (await http.post("/v1/voices", files=larger)).status_code == 201
        output = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24000}
        sonic = {"model_id": "s", "voice": "heart", "output_format": output, "transcript": "Hi."}
        assert (await http.post("/tts/bytes", json=sonic)).status_code == 200


@pytest.mark.parametrize("way", ["passed on, and set", "stripped, and forwarded", "deep"])
async def test_urls_in_responses_have_the_prefix(way: str) -> None:
    root_path, headers, before = WAYS[way]
    prefix = "/a/b/tts" if way == "deep" else "/tts"
    headers = {**headers, "Host": "localhost"}
    async with (
        live_server(server={"root_path": root_path}) as live,
        httpx.AsyncClient(headers=headers) as http,
    ):
        moved = await http.get(f"{live.http}{before}/dashboard/")
        assert moved.headers["location"] == f"http://localhost{prefix}/dashboard"
        described = (await http.get(f"{live.http}{before}/openapi.json")).json()
        assert described["servers"] == [{"url": prefix}]
        if before:
            page = await http.get(f"{live.http}{before}")
            assert (page.status_code, page.headers["location"]) == (307, f"{prefix}/")


async def test_direct_requests_need_no_prefix() -> None:
    async with (
        live_server(server={"root_path": "/tts"}) as live,
        httpx.AsyncClient(base_url=live.http) as http,
    ):
        for path in ("/", "/dashboard", "/v1/status", "/healthz"):
            assert (await http.get(path)).status_code == 200


@pytest.mark.parametrize(
    "wrong", ["/tts?x", "//evil.example", "/a b", "/..", "https://a/tts", "/é"]
)
def test_an_invalid_root_path_stops_the_start(wrong: str) -> None:
    settings = Settings.model_validate({"server": {"root_path": wrong}})
    with pytest.raises(ConfigError, match=r"server\.root_path .* write it as /tts"):
        create_app(settings, FakeModel())


@pytest.mark.parametrize("wrong", ["proxy.example", "10.0.0.1/8", "*", "127.0.0.1 ::1"])
def test_an_invalid_trusted_proxy_stops_the_start(wrong: str) -> None:
    settings = Settings.model_validate({"server": {"trusted_proxies": wrong}})
    with pytest.raises(ConfigError, match=r"server\.trusted_proxies: .* 10\.0\.0\.0/8"):
        create_app(settings, FakeModel())


@pytest.mark.parametrize(
    "prefix", ["//evil.example", "https://evil.example", "/..", "/a\tb", "/a?b"]
)
async def test_an_invalid_forwarded_prefix_is_ignored(prefix: str) -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        headers = {"X-Forwarded-Prefix": prefix, "Host": "localhost"}
        moved = await http.get("/dashboard/", headers=headers)
        assert moved.headers["location"] == "http://localhost/dashboard"


async def test_forwarded_headers_of_untrusted_peers_are_ignored() -> None:
    forwarded = {"X-Forwarded-Prefix": "/tts", "X-Forwarded-Host": "elsewhere", **FAR}
    forwarded["X-Forwarded-Proto"] = "https"
    async with (
        live_server(server={"trusted_proxies": "192.0.2.0/24"}) as live,
        httpx.AsyncClient(base_url=live.http, headers=forwarded) as http,
    ):
        assert (await http.get("/tts/healthz")).status_code == 404
        moved = await http.get("/dashboard/")
        assert moved.headers["location"] == f"{live.http}/dashboard"
        assert (await http.get("/v1/status")).json()["sessions"] is not None  # a local client
    async with (
        live_server(server={"trusted_proxies": "127.0.0.0/8"}) as live,
        httpx.AsyncClient(base_url=live.http, headers=forwarded) as http,
    ):
        moved = await http.get("/dashboard/")
        assert moved.headers["location"] == "https://elsewhere/tts/dashboard"
        assert (await http.get("/v1/status")).json()["sessions"] is None


@pytest.mark.parametrize("keys", ["", "one"])
async def test_the_own_page_behind_a_tls_proxy_is_allowed(keys: str) -> None:
    """nginx sends its own Host unless configured to forward the client's."""
    name = "tts.example.org" if keys else "workstation"
    host = {"X-Forwarded-Host": name, "X-Forwarded-Proto": "https", "Origin": f"https://{name}"}
    async with live_server(access={"api_keys": keys}) as live:
        url = f"ws://{live.address}/ws/tts?key=one"
        async with connect(url, additional_headers=host) as socket:
            assert json.loads(await socket.recv())["type"] == "ready"
        async with httpx.AsyncClient(base_url=live.http, headers=host) as http:
            key = {"Authorization": "Bearer one"}
            answer = await http.post("/v1/speech", json={"text": "Hi."}, headers=key)
            assert answer.status_code == 200
            evil = {"Origin": "https://evil.example"}
            assert (await http.post("/v1/speech", headers=evil)).status_code == 403


@pytest.mark.parametrize("file", sorted(WEB.rglob("*.*")), ids=lambda file: file.name)
def test_pages_contain_no_absolute_paths(file: object) -> None:
    assert isinstance(file, type(WEB))
    if file.suffix in (".html", ".js", ".css"):
        text = file.read_text("utf-8")
        absolute = (
            r"""(?:href|src|action)="/|(?:fetch|URL|import|addModule|from)\s*\(?["'`]/|url\(/"""
        )
        assert not re.search(absolute, text)
