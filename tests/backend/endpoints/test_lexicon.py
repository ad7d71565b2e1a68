"""The lexicon routes, on the real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.engines.cloning_model import CloningModel
from tests.support.live_server import LiveServer, live_server

PATH = "/v1/lexicon"
PLS = "application/pls+xml"


@asynccontextmanager
async def serve_lexicon(
    folder: Path, model: Any = None, **sections: Any
) -> AsyncIterator[tuple[LiveServer, httpx.AsyncClient]]:
    async with (
        live_server(model, lexicon={"folder": str(folder)}, **sections) as live,
        httpx.AsyncClient(base_url=live.http, timeout=20) as http,
    ):
        yield live, http


async def list_entries(http: httpx.AsyncClient, **query: str) -> dict[str, str]:
    body = (await http.get(PATH, params=query)).json()
    return {entry["written"]: entry["said"] for entry in body["entries"]}


def write_file(folder: Path, text: str) -> None:
    (folder / "lexicon.txt").write_text(text, "utf-8")


def check_refused(response: httpx.Response, status: int, code: str) -> str:
    body = response.json()
    assert (response.status_code, body["code"]) == (status, code), body
    return str(body["message"])


async def test_entries_are_added_listed_and_removed(tmp_path: Path) -> None:
    async with serve_lexicon(tmp_path) as (live, http):
        added = await http.put(PATH, json={"entries": {"Nguyen": "win", "May": "my [match case]"}})
        assert added.json() == {"added": 2}
        assert await list_entries(http) == {"Nguyen": "win", "May": "my"}
        lexicon = live.app.state.services.lexicons.lexicon_for("heart")
        assert [entry.said for entry in lexicon.entries] == ["win", "my"]
        assert (await http.delete(PATH, params={"written": "nguyen"})).status_code == 200
        listed = (await http.get(PATH)).json()
        assert listed == {
            "voice": None,
            "entries": [{"written": "May", "said": "my", "match_case": True, "parts": False}],
            "bad_lines": [],
        }


async def test_a_voice_has_entries_of_its_own(tmp_path: Path) -> None:
    async with serve_lexicon(tmp_path) as (_, http):
        entry = {"written": "kube", "said": "cube", "parts": True}
        await http.put(PATH, params={"voice": "heart"}, json={"entries": [entry]})
        assert await list_entries(http) == {}
        assert await list_entries(http, voice="heart") == {"kube": "cube"}


async def test_removed_voice_takes_its_entries_along(tmp_path: Path) -> None:
    model = CloningModel()
    model.learned["anna"] = (7.0, 24_000)
    async with serve_lexicon(tmp_path, model) as (live, http):
        await http.put(PATH, params={"voice": "anna"}, json={"entries": {"Nguyen": "win"}})
        assert (await http.delete("/v1/voices/anna")).status_code == 200
        assert live.app.state.services.lexicons.get_file("anna").lexicon.entries == []


@pytest.mark.parametrize("media_type", [PLS, "text/plain"])
async def test_exported_lexicon_is_imported(tmp_path: Path, media_type: str) -> None:
    async with serve_lexicon(tmp_path) as (_, http):
        await http.put(PATH, json={"entries": {"Nguyễn": "win", "Siobhan": "/ʃɪˈvɔːn/"}})
        exported = await http.get(PATH, headers={"accept": media_type})
        assert exported.headers["content-type"].startswith(media_type)
        await http.delete(PATH, params={"written": "Siobhan"})
        imported = await http.put(
            PATH, content=exported.content, headers={"content-type": media_type}
        )
        assert imported.json() == {"added": 2}
        assert await list_entries(http) == {"Nguyễn": "win", "Siobhan": "/ʃɪˈvɔːn/"}


@pytest.mark.parametrize(
    ("body", "media_type", "code", "part"),
    [
        (b'{"entries": {"Anna": "ahna", "Nguyen": "w1n"}}', "application/json", "bad_lexicon", "1"),
        (b'{"entries": 5}', "application/json", "bad_message", "entries"),
        (b"{}", "application/json", "bad_message", "entries"),
        (b"[", "application/json", "bad_json", ""),
        (b"\xff", "application/json", "bad_json", ""),
        (b"Anna = ahna\nwhat\n", "text/plain; charset=utf-8", "bad_lexicon", "line 2"),
        (b"\xff", "text/plain", "bad_lexicon", "UTF-8"),
        (b"<lexicon><lexeme/></lexicon>", PLS, "bad_lexicon", "grapheme"),
        (b"<!DOCTYPE a><lexicon/>", PLS, "bad_lexicon", "DTD"),
    ],
)
async def test_bad_bodies_add_nothing(
    tmp_path: Path, body: bytes, media_type: str, code: str, part: str
) -> None:
    async with serve_lexicon(tmp_path) as (_, http):
        response = await http.put(PATH, content=body, headers={"content-type": media_type})
        assert part in check_refused(response, 400, code)
        assert await list_entries(http) == {}


async def test_unknown_names_are_refused(tmp_path: Path) -> None:
    async with serve_lexicon(tmp_path) as (_, http):
        check_refused(await http.get(PATH, params={"voice": "../x"}), 404, "unknown_voice")
        check_refused(await http.delete(PATH, params={"written": "x"}), 404, "unknown_lexicon")
        check_refused(await http.delete(PATH), 400, "bad_message")
        too_large = await http.put(PATH, content=b"#" * ((2 << 20) + 1))
        assert too_large.status_code == 413


async def test_bad_lines_of_the_file_are_listed(tmp_path: Path) -> None:
    write_file(tmp_path, "what\nNguyen = win\n")
    async with serve_lexicon(tmp_path) as (_, http):
        body = (await http.get(PATH)).json()
        assert [line["line"] for line in body["bad_lines"]] == [1]
        assert await list_entries(http) == {"Nguyen": "win"}


async def test_requires_the_key(tmp_path: Path) -> None:
    async with serve_lexicon(tmp_path, access={"api_keys": "secret"}) as (_, http):
        for response in (
            await http.get(PATH),
            await http.put(PATH, json={"entries": {"Nguyen": "win"}}),
            await http.delete(PATH, params={"written": "Nguyen"}),
        ):
            check_refused(response, 401, "invalid_api_key")
        headers = {"authorization": "Bearer secret"}
        response = await http.put(PATH, json={"entries": {"a": "b"}}, headers=headers)
        assert response.status_code == 200
