"""ElevenLabs' pronunciation dictionaries, on the real server."""

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

PATH = "/v1/pronunciation-dictionaries"
NGUYEN = {"string_to_replace": "Nguyen", "type": "alias", "alias": "win"}
SIOBHAN = {
    "string_to_replace": "Siobhan", "type": "phoneme", "phoneme": "ʃɪˈvɔːn", "alphabet": "ipa",
}  # fmt: skip


@pytest_asyncio.fixture
async def live(tmp_path: Path) -> AsyncIterator[LiveServer]:
    async with live_server(lexicon={"folder": str(tmp_path)}) as live:
        yield live


@pytest_asyncio.fixture
async def http(live: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=live.http, timeout=20) as http:
        yield http


async def create(http: httpx.AsyncClient, *rules: dict[str, Any], name: str = "names") -> Any:
    response = await http.post(f"{PATH}/add-from-rules", json={"name": name, "rules": rules})
    assert response.status_code == 200, response.text
    return response.json()


def said(live: LiveServer, id_: str) -> dict[str, str]:
    lexicon = live.app.state.services.lexicons.lexicon_for("heart", None, [id_])
    return {entry.written: entry.said for entry in lexicon.entries}


async def test_dictionary_of_rules_is_described(live: LiveServer, http: httpx.AsyncClient) -> None:
    created = await create(http, NGUYEN, {**SIOBHAN, "word_boundaries": False})
    assert (created["name"], created["version_rules_num"]) == ("names", 2)
    assert said(live, created["id"]) == {"Nguyen": "win", "Siobhan": "/ʃɪˈvɔːn/"}
    got = (await http.get(f"{PATH}/{created['id']}")).json()
    assert got["latest_version_id"] == created["version_id"]
    rules = {"case_sensitive": True, "word_boundaries": True}
    assert got["rules"] == [{**NGUYEN, **rules}, {**SIOBHAN, **rules}]


async def test_arpabet_is_read(live: LiveServer, http: httpx.AsyncClient) -> None:
    rule = {**SIOBHAN, "phoneme": "SH IH0 V AO1 N", "alphabet": "cmu-arpabet"}
    assert said(live, (await create(http, rule))["id"]) == {"Siobhan": "/ʃɪvˈɔn/"}


async def test_file_is_uploaded_and_downloaded(live: LiveServer, http: httpx.AsyncClient) -> None:
    lexeme = "<lexeme><grapheme>Nguyen</grapheme><alias>win</alias></lexeme>"
    response = await http.post(
        f"{PATH}/add-from-file",
        data={"name": "uploaded", "description": "ours"},
        files={"file": ("names.pls", f"<lexicon>{lexeme}</lexicon>".encode())},
    )
    created = response.json()
    assert (created["name"], created["description"]) == ("uploaded", "ours")
    assert said(live, created["id"]) == {"Nguyen": "win"}
    version = created["version_id"]
    downloaded = await http.get(f"{PATH}/{created['id']}/{version}/download")
    assert "<alias>win</alias>" in downloaded.text


async def test_rules_are_added_set_and_removed(live: LiveServer, http: httpx.AsyncClient) -> None:
    created = await create(http, NGUYEN)
    address = f"{PATH}/{created['id']}"
    again = {**NGUYEN, "alias": "wen"}
    added = await http.post(f"{address}/add-rules", json={"rules": [SIOBHAN, again]})
    assert added.json()["version_id"] != created["version_id"]
    assert said(live, created["id"]) == {"Nguyen": "wen", "Siobhan": "/ʃɪˈvɔːn/"}
    await http.post(f"{address}/remove-rules", json={"rule_strings": ["Siobhan", "none"]})
    assert said(live, created["id"]) == {"Nguyen": "wen"}
    await http.post(f"{address}/set-rules", json={"rules": [SIOBHAN]})
    assert said(live, created["id"]) == {"Siobhan": "/ʃɪˈvɔːn/"}


async def test_dictionaries_are_listed_by_page(http: httpx.AsyncClient) -> None:
    ids = {(await create(http, name=f"n{number}"))["id"] for number in range(3)}
    first = (await http.get(PATH, params={"page_size": 2})).json()
    assert first["has_more"] is True
    second = (await http.get(PATH, params={"cursor": first["next_cursor"]})).json()
    pages = first["pronunciation_dictionaries"] + second["pronunciation_dictionaries"]
    assert ({each["id"] for each in pages}, second["has_more"]) == (ids, False)


async def test_dictionary_is_renamed_and_archived(http: httpx.AsyncClient) -> None:
    address = f"{PATH}/{(await create(http, NGUYEN))['id']}"
    assert (await http.patch(address, json={"name": "new"})).json()["name"] == "new"
    assert (await http.patch(address, json={"archived": True})).status_code == 200
    assert (await http.get(address)).status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "x", "rules": [{**NGUYEN, "alias": "w1n"}]}, "bad_lexicon"),
        ({"name": "x", "rules": [{**SIOBHAN, "alphabet": "x-sampa"}]}, "bad_lexicon"),
        ({"name": "x", "rules": [{"type": "alias"}]}, "bad_message"),
        ({"name": "x"}, "bad_message"),
    ],
)
async def test_bad_rules_are_refused(
    http: httpx.AsyncClient, body: dict[str, Any], status: str
) -> None:
    response = await http.post(f"{PATH}/add-from-rules", json=body)
    assert response.json()["detail"]["status"] == status
    assert (await http.get(PATH)).json()["pronunciation_dictionaries"] == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{PATH}/none"),
        ("GET", f"{PATH}/none/1/download"),
        ("GET", f"{PATH}/..%2F..%2Flexicon"),
        ("PATCH", f"{PATH}/none"),
    ],
)
async def test_unknown_dictionary_is_404(http: httpx.AsyncClient, method: str, path: str) -> None:
    assert (await http.request(method, path, json={})).status_code == 404


@pytest.mark.parametrize("upload", [{}, {"files": {"file": ("a", b"<html/>")}}])
async def test_bad_upload_is_refused(http: httpx.AsyncClient, upload: dict[str, Any]) -> None:
    response = await http.post(f"{PATH}/add-from-file", data={"name": "x"}, **upload)
    assert response.json()["detail"]["status"] in ("bad_message", "bad_lexicon")


async def test_speech_takes_locators(live: LiveServer, http: httpx.AsyncClient) -> None:
    id_ = (await create(http, NGUYEN))["id"]
    body = {"text": "Hello there."}
    for locator, status in ((id_, 200), ("none", 404)):
        locators = [{"pronunciation_dictionary_id": locator, "version_id": "1"}]
        body["pronunciation_dictionary_locators"] = locators  # type: ignore[assignment]
        response = await http.post("/v1/text-to-speech/heart?output_format=pcm_24000", json=body)
        assert response.status_code == status


@pytest.mark.parametrize("kind", ["stream-input", "multi-stream-input"])
async def test_stream_takes_locators(live: LiveServer, kind: str) -> None:
    url = f"ws://{live.address}/v1/text-to-speech/heart/{kind}?output_format=pcm_24000"
    async with connect(url) as socket:
        locators = [{"pronunciation_dictionary_id": "none"}]
        first = {"text": " ", "context_id": "c", "pronunciation_dictionary_locators": locators}
        await socket.send(json.dumps(first))
        assert json.loads(await socket.recv())["error"] == "unknown_lexicon"


async def test_requires_the_key(tmp_path: Path) -> None:
    sections = {"access": {"api_keys": "secret"}, "lexicon": {"folder": str(tmp_path)}}
    async with live_server(**sections) as live, httpx.AsyncClient(base_url=live.http) as http:
        assert (await http.get(PATH)).status_code == 401
        assert (await http.post(f"{PATH}/add-from-rules", json={})).status_code == 401
        assert (await http.get(PATH, headers={"xi-api-key": "secret"})).status_code == 200
