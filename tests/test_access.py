"""API keys and other sites' pages, alone and at the real server."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from backend.access import ANYBODY, Access, SameOrigin, check_exposure, hostname, is_loopback
from backend.config import AccessSettings, Settings
from backend.errors import ConfigError, Unauthorized
from tests.live_server import live_server


def line(name: str, key: str, mark: str = "") -> str:
    return f"{name} {hashlib.sha256(key.encode()).hexdigest()}{mark}\n"


# --- keys -----------------------------------------------------------------------------------------


def test_without_keys_everybody_may_speak() -> None:
    access = Access(AccessSettings())
    assert not access.demanded
    assert access.authorize(None) == ANYBODY
    assert not access.administers(None)


def test_a_key_from_the_file_has_its_owners_name(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# who\n\n{line('my phone', 'secret')}{line('me', 'root', ' admin')}")
    access = Access(AccessSettings(api_keys_file=str(file)))
    assert access.authorize("secret") == "my phone"
    assert access.authorize("root") == "me"
    assert [access.administers(key) for key in ("secret", "root", "wrong")] == [False, True, False]


def test_the_admins_key_is_a_key_like_others_and_more() -> None:
    access = Access(AccessSettings(admin_key="boss"))
    assert access.demanded
    assert access.authorize("boss") == "admin"
    assert access.administers("boss")


@pytest.mark.parametrize("key", [None, "", "wrong", "one,two", "one ", "\udcff"])
def test_a_missing_or_wrong_key_is_refused(key: str | None) -> None:
    with pytest.raises(Unauthorized):
        Access(AccessSettings(api_keys="one,two")).authorize(key)


def test_the_servers_own_key_is_of_one_process_and_no_admins() -> None:
    one, other = (Access(AccessSettings(api_keys="one")) for _ in range(2))
    assert one.authorize(one.own_key) == "this server"
    assert not one.administers(one.own_key)
    with pytest.raises(Unauthorized):
        other.authorize(one.own_key)


@pytest.mark.parametrize("content", ["secret", "phone 123", "", "# nobody\n"])
def test_a_file_that_holds_something_else_or_nothing_stops_the_start(
    tmp_path: Path, content: str
) -> None:
    file = tmp_path / "keys"
    file.write_text(content)
    with pytest.raises(ConfigError) as error:
        Access(AccessSettings(api_keys_file=str(file)))
    assert "duplex-tts key" in error.value.message
    assert "secret" not in error.value.message


def test_a_file_that_everybody_may_write_to_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(line("me", "secret"))
    file.chmod(0o666)
    with pytest.raises(ConfigError, match="chmod 600"):
        Access(AccessSettings(api_keys_file=str(file)))


# --- where the server may listen ------------------------------------------------------------------


def exposed(**sections: dict[str, Any]) -> None:
    settings = Settings.model_validate(sections)
    check_exposure(settings, Access(settings.access))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.5", "tts.example.org"])
def test_beyond_this_machine_a_server_wants_keys_or_the_word_insecure(host: str) -> None:
    with pytest.raises(ConfigError, match="--insecure"):
        exposed(server={"host": host})
    exposed(server={"host": host}, access={"insecure": True})
    exposed(server={"host": host}, access={"api_keys": "one"})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "::ffff:127.0.0.1"])
def test_on_this_machine_nothing_is_wanted(host: str) -> None:
    assert is_loopback(host)
    exposed(server={"host": host}, wyoming={"host": host, "port": 10200})


def test_keys_do_not_protect_wyoming_which_knows_none() -> None:
    far = {"host": "0.0.0.0", "port": 10200}
    with pytest.raises(ConfigError, match="Wyoming"):
        exposed(access={"api_keys": "one"}, wyoming=far)
    exposed(access={"insecure": True}, wyoming=far)
    exposed(wyoming={**far, "port": 0})


# --- other sites' pages ---------------------------------------------------------------------------


def lets_in(origin: str | None, host: str, *, keys: str = "", allowed: str = "") -> bool:
    headers = [(b"host", host.encode())]
    headers += [(b"origin", origin.encode())] if origin is not None else []
    guard = SameOrigin(None, Access(AccessSettings(api_keys=keys)), allowed.split())  # type: ignore[arg-type]
    return guard._may({"type": "http", "method": "POST", "headers": headers})


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8000", "localhost:8000", "[::1]:8000", "workstation:8000", "box.local", "10.0.0.7"],
)
def test_the_servers_own_page_may_use_it(host: str) -> None:
    assert lets_in(f"http://{host}", host)
    assert lets_in(f"https://{host.upper()}", host), "behind a proxy that adds the TLS"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "", "http://localhost:9000"])
def test_other_pages_may_not_but_those_allowed(origin: str) -> None:
    assert not lets_in(origin, "localhost:8000")
    assert not lets_in(origin, "localhost:8000", keys="one")
    assert lets_in("https://good.example", "localhost:8000", allowed="https://good.example")
    assert lets_in(origin, "localhost:8000", allowed="*")


def test_a_foreign_name_made_to_mean_this_machine_is_no_own_page() -> None:
    assert not lets_in("http://evil.example:8000", "evil.example:8000")
    assert not lets_in("http://127.0.0.1.evil.example", "127.0.0.1.evil.example")
    assert not lets_in("http://", "")
    # such a page has none of the keys
    assert lets_in("https://tts.example.org", "tts.example.org", keys="one")


def test_programs_send_no_origin_and_are_let_in() -> None:
    assert lets_in(None, "anything.example")


def test_the_name_in_a_host_header_is_found() -> None:
    found = [hostname(host) for host in ("Box:80", "[::1]:80", "[::1", "", "a@b:1")]
    assert found == ["box", "::1", "", "", "b"]


async def test_at_the_server_pages_of_other_sites_get_a_403_that_says_why() -> None:
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


async def test_an_allowed_page_may_post_and_read_the_answer() -> None:
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


# --- each protocol has its own place for the key, and its own answer to a wrong one ---------------

OUTPUT = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24000}
SONIC = {"model_id": "sonic-2", "voice": "heart", "output_format": OUTPUT, "transcript": "Hi."}
ELEVEN = "/v1/text-to-speech/heart"

POSTS = [  # path, body, the key's header and what stands before it, where the answer has the code
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
]


@pytest.mark.parametrize(("path", "body", "header", "scheme", "where", "code"), POSTS)
async def test_a_post_wants_the_key_and_refuses_a_wrong_one_in_the_protocols_form(
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
    """ElevenLabs says why on the open socket, the others in the answer to the handshake."""
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
    ],
)
async def test_a_key_in_the_url_is_as_good_and_as_bad(path: str) -> None:
    async with live_server(access={"api_keys": "one"}) as live:
        async with connect(f"ws://{live.address}{path}one"):
            pass
        await expect_refused(f"ws://{live.address}{path}three")


async def test_no_protocol_lets_the_pages_of_other_sites_in() -> None:
    evil = {"Origin": "https://evil.example"}
    streams = ["/ws/tts", f"{ELEVEN}/stream-input", f"{ELEVEN}/multi-stream-input"]
    streams += ["/tts/websocket", "/v1/speak"]
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
    ],
)
async def test_a_vendors_websocket_refuses_a_wrong_key(path: str, header: str, scheme: str) -> None:
    async with live_server(access={"api_keys": "one"}) as live:
        url = f"ws://{live.address}{path}"
        async with connect(url, additional_headers={header: f"{scheme}one"}):
            pass
        await expect_refused(url, additional_headers={header: f"{scheme}wrong"})


@pytest.mark.parametrize("key", [None, "wrong"])
async def test_elevenlabs_key_may_come_in_the_first_message_and_must_be_right(
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


async def test_who_only_asks_whether_the_server_lives_needs_no_key() -> None:
    async with (
        live_server(access={"api_keys": "one"}) as live,
        httpx.AsyncClient(base_url=live.http) as http,
    ):
        for path in ("/healthz", "/readyz", "/"):
            assert (await http.get(path)).status_code == 200
        for path in ("/v1/models", "/v1/audio/voices", "/v1/status", "/metrics"):
            assert (await http.get(path)).status_code == 401
