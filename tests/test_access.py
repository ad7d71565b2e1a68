"""API keys and other sites' pages, at the real server."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from backend.access import ANYBODY, Access
from backend.config import AccessSettings
from backend.errors import ConfigError, Unauthorized
from tests.live_server import live_server


def test_without_keys_everybody_may_speak() -> None:
    access = Access(AccessSettings())
    assert not access.demanded
    assert access.authorize(None) == ANYBODY


def test_a_key_from_the_file_has_its_owners_name(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"my phone {hashlib.sha256(b'secret').hexdigest()}\n")
    access = Access(AccessSettings(api_keys_file=str(file)))
    assert access.authorize("secret") == "my phone"


@pytest.mark.parametrize("key", [None, "", "wrong", "one,two"])
def test_a_missing_or_wrong_key_is_refused(key: str | None) -> None:
    with pytest.raises(Unauthorized):
        Access(AccessSettings(api_keys="one,two")).authorize(key)


@pytest.mark.parametrize("line", ["secret", "phone 123"])
def test_a_file_that_holds_something_else_stops_the_start(tmp_path: Path, line: str) -> None:
    file = tmp_path / "keys"
    file.write_text(line)
    with pytest.raises(ConfigError):
        Access(AccessSettings(api_keys_file=str(file)))


async def test_the_native_protocol_wants_the_key() -> None:
    async with live_server(access={"api_keys": "one, two"}) as live:
        url = f"ws://{live.address}/ws/tts"
        async with connect(url, additional_headers={"Authorization": "Bearer one"}) as socket:
            assert json.loads(await socket.recv())["type"] == "ready"
        async with connect(f"{url}?key=two") as socket:
            assert json.loads(await socket.recv())["type"] == "ready"
        async with connect(f"{url}?key=three") as socket:
            assert json.loads(await socket.recv())["code"] == "invalid_api_key"
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008
        async with httpx.AsyncClient(base_url=live.http) as http:
            answer = await http.post("/v1/speech", json={"text": "Hello."})
            assert (answer.status_code, answer.json()["code"]) == (401, "invalid_api_key")


async def test_pages_of_other_sites_are_refused_but_those_allowed() -> None:
    async with live_server(access={"allowed_origins": "https://good.example"}) as live:
        own = f"http://{live.address}"
        url = f"ws://{live.address}/ws/tts"
        for origin in (own, "https://good.example", None):
            headers = {"Origin": origin} if origin else {}
            async with connect(url, additional_headers=headers) as socket:
                assert json.loads(await socket.recv())["type"] == "ready"
        for origin in ("https://evil.example", "null", f"https://{live.address}"):
            with pytest.raises(InvalidStatus):
                async with connect(url, additional_headers={"Origin": origin}):
                    pass
            async with httpx.AsyncClient(base_url=own, headers={"Origin": origin}) as http:
                assert (await http.post("/v1/speech", json={"text": "Hi."})).status_code == 403
                assert (await http.get("/v1/voices")).status_code == 200
