"""Pages of other sites, and DNS rebinding."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
import structlog
from starlette.applications import Starlette
from structlog.testing import capture_logs
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from backend.config import AccessSettings
from backend.endpoints.pages import install_pages
from backend.errors import ConfigError
from backend.transport.auth import HEALTH, Access
from backend.transport.origins import SameOriginMiddleware, hostname, install_origin_check
from tests.backend.transport.test_auth import routes
from tests.support.live_server import live_server


def is_allowed(origin: str | None, host: str, *, keys: str = "", allowed: str = "") -> bool:
    headers = [(b"host", host.encode())]
    headers += [(b"origin", origin.encode())] if origin is not None else []
    middleware = SameOriginMiddleware(None, Access(AccessSettings(api_keys=keys)), allowed.split())  # type: ignore[arg-type]
    return middleware._check_request({"type": "http", "method": "POST", "headers": headers}) is None


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8000", "localhost:8000", "[::1]:8000", "workstation:8000", "box.local", "10.0.0.7"],
)
def test_the_servers_own_page_may_use_it(host: str) -> None:
    assert is_allowed(f"http://{host}", host)
    assert is_allowed(f"https://{host.upper()}", host), "behind a TLS proxy"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "", "http://localhost:9000"])
def test_pages_of_other_sites_are_refused_unless_allowed(origin: str) -> None:
    assert not is_allowed(origin, "localhost:8000")
    assert not is_allowed(origin, "localhost:8000", keys="one")
    assert is_allowed("https://good.example", "localhost:8000", allowed="https://good.example")
    assert is_allowed(origin, "localhost:8000", allowed="*")


def test_a_rebound_name_is_not_the_own_page() -> None:
    assert not is_allowed("http://evil.example:8000", "evil.example:8000")
    assert not is_allowed("http://127.0.0.1.evil.example", "127.0.0.1.evil.example")
    assert not is_allowed("http://", "")
    # such a page has no key
    assert is_allowed("https://tts.example.org", "tts.example.org", keys="one")


def test_requests_without_origin_are_allowed() -> None:
    assert is_allowed(None, "anything.example")


def test_hostname_is_parsed_from_a_host_header() -> None:
    found = [hostname(host) for host in ("Box:80", "[::1]:80", "[::1", "", "a@b:1")]
    assert found == ["box", "::1", "", "", "b"]


async def test_pages_of_other_sites_get_403_with_the_reason() -> None:
    async with live_server(access={"allowed_origins": "https://good.example"}) as live:
        own = f"http://{live.address}"
        url = f"ws://{live.address}/ws/tts"
        for origin in (own, "https://good.example", None):
            headers = {"Origin": origin} if origin else {}
            async with connect(url, additional_headers=headers) as socket:
                assert json.loads(await socket.recv())["type"] == "ready"
        with pytest.raises(InvalidStatus) as refused:
            async with connect(url, additional_headers={"Origin": "null"}):
                pass
        assert refused.value.response.status_code == 403
        assert b"allowed_origins" in (refused.value.response.body or b"")
        async with httpx.AsyncClient(base_url=own) as http:
            evil = {"Origin": "https://evil.example"}
            answer = await http.post("/v1/speech", json={"text": "Hi."}, headers=evil)
            assert (answer.status_code, answer.json()["error"]) == (403, "origin")
            assert (await http.get("/v1/voices", headers=evil)).status_code == 200


async def test_an_allowed_page_may_post_and_read_the_response() -> None:
    good = {"Origin": "https://good.example"}
    asks = {
        **good,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    async with (
        live_server(access={"allowed_origins": "https://good.example/"}) as live,
        httpx.AsyncClient(base_url=live.http) as http,
    ):
        assert (await http.options("/v1/speech", headers=asks)).status_code == 200
        answer = await http.post("/v1/speech", json={"text": "Hi."}, headers=good)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://good.example"


# --- allowed origins ------------------------------------------------------------------------------

GOOD = {"Origin": "https://good.example"}
PREFLIGHT = {**GOOD, "Access-Control-Request-Method": "POST"}


@pytest.mark.parametrize(
    "written",
    ["https://Good.Example", "HTTPS://GOOD.EXAMPLE/", "https://good.example:443", "x://y, *"],
)
async def test_allowed_origins_are_normalized(written: str) -> None:
    async with (
        live_server(access={"allowed_origins": written}) as live,
        httpx.AsyncClient(base_url=live.http) as http,
    ):
        assert (await http.options("/v1/speech", headers=PREFLIGHT)).status_code == 200
        answer = await http.post("/v1/speech", json={"text": "Hi."}, headers=GOOD)
        assert answer.headers["access-control-allow-origin"] in ("https://good.example", "*")
        async with connect(f"ws://{live.address}/ws/tts", additional_headers=GOOD) as socket:
            assert json.loads(await socket.recv())["type"] == "ready"


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("http://[2001:DB8::1]:8080", "http://[2001:db8::1]:8080"),
        ("null", "null"),
        ("vscode-webview://abc", "vscode-webview://abc"),
        ("https://a.example, https://b.example", "https://b.example"),
    ],
)
def test_normalized_sites_match_what_browsers_send(written: str, sent: str) -> None:
    app = Starlette()
    install_origin_check(
        app, Access(AccessSettings()), AccessSettings(allowed_origins=written), frozenset()
    )
    allowed: Any = app.user_middleware[0].kwargs["allowed"]
    assert is_allowed(sent, "localhost", allowed=" ".join(allowed))


@pytest.mark.parametrize(
    "wrong", ["good.example", "https://good.example/app", "https://", "https://a:b", "a b", "//x"]
)
def test_an_invalid_allowed_origin_stops_the_start(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"access\.allowed_origins: .* https://example\.org"):
        install_origin_check(
            Starlette(), Access(AccessSettings()), AccessSettings(allowed_origins=wrong), ()
        )


async def test_private_network_preflight_is_allowed() -> None:
    asks = {**PREFLIGHT, "Access-Control-Request-Private-Network": "true"}
    async with (
        live_server(access={"allowed_origins": "https://good.example"}) as live,
        httpx.AsyncClient(base_url=live.http) as http,
    ):
        answer = await http.options("/v1/speech", headers=asks)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-private-network"] == "true"


async def test_an_allowed_page_may_read_every_header() -> None:
    async with (
        live_server(access={"allowed_origins": "https://good.example"}) as live,
        httpx.AsyncClient(base_url=live.http) as http,
    ):
        body = {"input": "Hi.", "model": "tts-1", "voice": "nova", "speed": 4}
        answer = await http.post("/v1/audio/speech", json=body, headers=GOOD)
        exposed = answer.headers["access-control-expose-headers"].split(", ")
        assert {"*", "x-request-id", "x-speed"} <= set(exposed)
        assert {"x-request-id", "x-speed"} <= set(answer.headers)


async def test_a_refusal_is_logged_once_for_each_site_with_the_remedy() -> None:
    evil, other = {"Origin": "https://evil.example"}, {"Origin": "https://other.example"}
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        structlog.reset_defaults()
        with capture_logs() as logs:
            asked = await http.options("/v1/speech", headers={**PREFLIGHT, **evil})
            for headers in (evil, evil, other):
                assert (await http.post("/v1/speech", headers=headers)).status_code == 403
            assert (await http.get("/v1/voices", headers=evil)).status_code == 200
    assert asked.status_code == 403
    assert "access.allowed_origins" in asked.json()["message"]
    refused = [entry for entry in logs if entry["event"] == "origin.refused"]
    assert [entry["site"] for entry in refused] == ["https://evil.example", "https://other.example"]
    assert all("access.allowed_origins" in entry["remedy"] for entry in refused)


async def test_logged_sites_are_bounded() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        structlog.reset_defaults()
        with capture_logs() as logs:
            for number in range(150):
                await http.post("/v1/speech", headers={"Origin": f"https://{number}.example"})
    assert len([entry for entry in logs if entry["event"] == "origin.refused"]) == 100


# --- DNS rebinding --------------------------------------------------------------------------------

EVIL = {"Host": "evil.example:8000"}


async def test_without_keys_only_pages_are_readable_under_a_foreign_name() -> None:
    open_ = install_pages(Starlette()) | HEALTH
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        reading = [path for method, path in routes(live.app) if method in ("GET", "HEAD")]
        assert "/v1/status" in reading
        assert "/v1/voices" in reading
        for path in reading:
            answer = await http.get(path, headers=EVIL)
            assert answer.status_code == (200 if path in open_ else 403), path
        refused = (await http.get("/metrics", headers=EVIL)).json()
        assert refused["error"] == "host"
        assert "http://evil.example:8000" in refused["message"]


@pytest.mark.parametrize(
    "headers",
    [
        {**EVIL, "X-Forwarded-Host": "localhost"},
        {"Host": "localhost", "X-Forwarded-Host": "evil.example"},
        {**EVIL, "Forwarded": "host=localhost"},
    ],
)
async def test_forged_forwarded_headers_do_not_make_a_name_own(headers: dict[str, str]) -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        assert (await http.get("/v1/status", headers=headers)).status_code == 403


@pytest.mark.parametrize(
    "host",
    [
        "localhost:8000",
        "127.0.0.1",
        "[::1]:8000",
        "workstation:8000",
        "tts.local",
        "box.lan:1",
        "host.docker.internal:8000",
    ],
)
async def test_own_host_names_are_readable(host: str) -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        assert (await http.get("/v1/status", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "access",
    [
        {"allowed_origins": "http://evil.example:8000"},
        {"allowed_origins": "*"},
        {"api_keys": "one"},
    ],
)
async def test_a_foreign_name_is_readable_if_allowed_or_with_keys(access: dict[str, str]) -> None:
    async with (
        live_server(access=access) as live,
        httpx.AsyncClient(base_url=live.http, headers={"Authorization": "Bearer one"}) as http,
    ):
        assert (await http.get("/v1/status", headers=EVIL)).status_code == 200


async def test_programs_may_post_under_any_name() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        answer = await http.post("/v1/speech", json={"text": "Hi."}, headers=EVIL)
        assert answer.status_code == 200


@pytest.mark.parametrize("host", ["tts.example.org:443", "tts.example.org"])
def test_a_default_port_in_the_host_is_accepted(host: str) -> None:
    assert is_allowed("https://tts.example.org", host, keys="one")
    assert not is_allowed("https://tts.example.org:8443", host, keys="one")
