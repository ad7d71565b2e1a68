"""Cartesia's pronunciation dictionaries, on the real server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect

from tests.support.live_server import LiveServer, live_server

PATH = "/pronunciation-dicts/"
ITEMS = [
    {"text": "bayou", "pronunciation": "<<ˈ|b|ɑ|ˈ|j|u>>"},
    {"text": "Nguyen", "alias": "win", "case_sensitive": True},
    {"text": "New York", "pronunciation": "<<n|u>> <<j|ɔ|k>>"},
]
SPEECH = {
    "model_id": "sonic-3",
    "voice": "heart",
    "output_format": {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24000},
}


@pytest_asyncio.fixture
async def live(tmp_path: Path) -> AsyncIterator[LiveServer]:
    async with live_server(lexicon={"folder": str(tmp_path)}) as live:
        yield live


@pytest_asyncio.fixture
async def http(live: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=live.http, timeout=20) as http:
        yield http


async def create(http: httpx.AsyncClient, items: Any = ITEMS, name: str = "names") -> Any:
    response = await http.post(PATH, json={"name": name, "items": items})
    assert response.status_code == 200, response.text
    return response.json()


def said(live: LiveServer, id_: str) -> dict[str, tuple[str, bool]]:
    lexicon = live.app.state.services.lexicons.lexicon_for("heart", None, [id_])
    return {entry.written: (entry.said, entry.is_exact) for entry in lexicon.entries}


async def test_dictionary_is_created_and_described(
    live: LiveServer, http: httpx.AsyncClient
) -> None:
    created = await create(http)
    assert said(live, created["id"]) == {
        "bayou": ("/ˈbɑˈju/", False),
        "Nguyen": ("win", True),
        "New York": ("/nu jɔk/", False),
    }
    got = (await http.get(f"{PATH}{created['id']}")).json()
    assert got == created
    assert set(got) >= {"id", "created_at", "items", "name", "owner_id", "pinned"}
    assert (got["items"][1]["text"], got["items"][1]["alias"]) == ("Nguyen", "win")


async def test_dictionary_is_changed_and_deleted(live: LiveServer, http: httpx.AsyncClient) -> None:
    address = f"{PATH}{(await create(http))['id']}"
    renamed = (await http.patch(address, json={"name": "new"})).json()
    assert (renamed["name"], len(renamed["items"])) == ("new", 3)
    changed = (await http.patch(address, json={"items": ITEMS[:1]})).json()
    assert (changed["name"], len(changed["items"])) == ("new", 1)
    assert (await http.delete(address)).status_code == 204
    assert (await http.get(address)).status_code == 404
    assert (await http.delete(address)).status_code == 404


async def test_dictionaries_are_listed_by_page(http: httpx.AsyncClient) -> None:
    ids = {(await create(http, [], f"n{number}"))["id"] for number in range(3)}
    first = (await http.get(PATH, params={"limit": 2})).json()["data"]
    second = (await http.get(PATH, params={"starting_after": first[-1]["id"]})).json()["data"]
    assert {each["id"] for each in first + second} == ids
    before = (await http.get(PATH, params={"ending_before": second[0]["id"], "limit": 1})).json()
    assert before["data"] == first[1:]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"items": []}, "bad_message"),
        ({"name": "x", "items": [{"text": "a", "pronunciation": "1"}]}, "bad_lexicon"),
        ({"name": "x", "items": [{"text": "a"}]}, "bad_lexicon"),
        ({"name": "x", "items": "a"}, "bad_message"),
    ],
)
async def test_bad_dictionaries_are_refused(
    http: httpx.AsyncClient, body: dict[str, Any], code: str
) -> None:
    response = await http.post(PATH, json=body)
    assert (response.status_code, response.json()["error_code"]) == (400, code)


async def test_speech_takes_a_dictionary(live: LiveServer, http: httpx.AsyncClient) -> None:
    id_ = (await create(http))["id"]
    for dictionary, status in ((id_, 200), ("none", 404)):
        body = {**SPEECH, "transcript": "Hello.", "pronunciation_dict_id": dictionary}
        assert (await http.post("/tts/bytes", json=body)).status_code == status
    async with connect(f"ws://{live.address}/tts/websocket") as socket:
        body = {**SPEECH, "transcript": "Hello.", "pronunciation_dict_id": "none"}
        await socket.send(json.dumps({**body, "context_id": "c"}))
        assert json.loads(await socket.recv())["error_code"] == "unknown_lexicon"


async def test_requires_the_key(tmp_path: Path) -> None:
    sections = {"access": {"api_keys": "secret"}, "lexicon": {"folder": str(tmp_path)}}
    async with live_server(**sections) as live, httpx.AsyncClient(base_url=live.http) as http:
        assert (await http.get(PATH)).status_code == 401
        assert (await http.get(PATH, headers={"x-api-key": "secret"})).status_code == 200
