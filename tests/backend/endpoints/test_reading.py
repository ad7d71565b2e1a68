"""How a text is read, over HTTP, on the real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.endpoints.reading import MOST_CHARACTERS
from tests.support.engines.hibari_model import shared_model
from tests.support.live_server import live_server

PATH = "/v1/read"
MARKED = (
    "Pay **$3.50**/hr, now!\n\n- 🙂 Ask Dr.\u00a0Li.<think>no</think> [pause 1s] Tom &amp; I go."
)


@asynccontextmanager
async def serve_reading(
    folder: Path, model: Any = None, **sections: Any
) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        live_server(model, lexicon={"folder": str(folder)}, **sections) as live,
        httpx.AsyncClient(base_url=live.http, timeout=20) as http,
    ):
        yield http


async def read(http: httpx.AsyncClient, text: str, **fields: Any) -> dict[str, Any]:
    response = await http.post(PATH, json={"text": text, **fields})
    body: dict[str, Any] = response.json()
    assert response.status_code == 200, body
    return body


def check_refused(response: httpx.Response, status: int, code: str) -> str:
    body = response.json()
    assert (response.status_code, body["code"]) == (status, code), body
    return str(body["message"])


async def test_what_is_said_is_plain_words(tmp_path: Path) -> None:
    async with serve_reading(tmp_path) as http:
        answer = await read(http, "It costs $3.50 per hour. Ask Dr. Smith.", language="en")
    assert answer["spoken"] == "It costs three dollars and fifty cents per hour. Ask Doctor Smith."
    assert answer["sentences"] == [[0, 25], [25, 39]]


async def test_words_point_to_what_is_written(tmp_path: Path) -> None:
    async with serve_reading(tmp_path) as http:
        words = (await read(http, MARKED, language="en"))["words"]
    written = [(MARKED[word["from"] : word["to"]], word["spoken"]) for word in words]
    assert written == [
        ("Pay", "Pay"),
        ("$3.50**/hr,", "three dollars and fifty cents per hour"),
        ("now!", "now"),
        ("Ask", "Ask"),
        ("Dr.", "Doctor"),
        ("Li.", "Li"),
        ("Tom", "Tom"),
        ("&", "and"),
        ("I", "I"),
        ("go.", "go"),
    ]


async def test_marks_that_only_pause_are_no_words(tmp_path: Path) -> None:
    async with serve_reading(tmp_path) as http:
        words = (await read(http, "Well 🎉 . So", language="qaa"))["words"]
    assert [word["spoken"] for word in words] == ["Well", "So"]


@pytest.mark.parametrize("text", [MARKED, "", " \n", "🙂", "Well... no? Yes! <b>x", "5. 6. 7"])
async def test_sentences_tile_the_text(tmp_path: Path, text: str) -> None:
    async with serve_reading(tmp_path) as http:
        sentences = (await read(http, text))["sentences"]
    ends = [end for _, end in sentences]
    assert [start for start, _ in sentences] == [0, *ends][: len(sentences)]
    assert (ends or [0])[-1] == len(text)


async def test_an_engine_without_phonemes_has_none(tmp_path: Path) -> None:
    async with serve_reading(tmp_path) as http:
        words = (await read(http, "Hello there."))["words"]
    assert [word["phonemes"] for word in words] == [None, None]


async def test_the_embedded_voice_has_phonemes(tmp_path: Path) -> None:
    async with serve_reading(tmp_path, shared_model()) as http:
        five, tomatoes = (await read(http, "5 tomatoes", voice="heart"))["words"]
        lexicon = {"tomatoes": "/tɒmɑːtəʊz/"}
        _, told = (await read(http, "5 tomatoes", lexicon=lexicon))["words"]
    assert five["phonemes"] == "fˈIv"
    assert tomatoes["phonemes"].startswith("təm")
    assert told["phonemes"] != tomatoes["phonemes"]


async def test_the_language_decides_how_text_is_read(tmp_path: Path) -> None:
    async with serve_reading(tmp_path) as http:
        assert (await read(http, "5 kg", language="en"))["spoken"] == "five kilograms"
        assert (await read(http, "5 kg", language="qaa"))["spoken"] == "5 kg"  # has no rules
        response = await http.post(PATH, json={"text": "5 kg", "language": "xx"})
    message = check_refused(response, 400, "unsupported")
    assert "'xx'" in message
    assert "qaa, en" in message


async def test_ssml_is_carried_out_on_request(tmp_path: Path) -> None:
    text = '<sub alias="World Wide Web Consortium">W3C</sub>'
    async with serve_reading(tmp_path) as http:
        assert (await read(http, text, ssml=True))["spoken"] == "World Wide Web Consortium"
        assert "Consortium" not in (await read(http, text))["spoken"]


async def test_lexicons_apply(tmp_path: Path) -> None:
    (tmp_path / "lexicon.txt").write_text("Nguyen = win\nSiobhan = shi vawn\n", "utf-8")
    async with serve_reading(tmp_path) as http:
        answer = await read(http, "Siobhan Nguyen", lexicon={"Nguyen": "noo yen"})
        assert answer["spoken"] == "shi vawn noo yen"
        response = await http.post(PATH, json={"text": "a", "lexicon": {"Nguyen": "w1n"}})
        assert "Nguyen" in check_refused(response, 400, "bad_lexicon")


@pytest.mark.parametrize(
    ("body", "code", "part"),
    [
        (b"{", "bad_json", ""),
        (b"\xff", "bad_json", ""),
        (b"[]", "bad_message", "object"),
        (b"{}", "bad_message", "text"),
        (b'{"text": 5}', "bad_message", "text"),
        (b'{"text": "a", "ssml": "perhaps"}', "bad_message", "ssml"),
    ],
)
async def test_bad_bodies_are_refused(tmp_path: Path, body: bytes, code: str, part: str) -> None:
    async with serve_reading(tmp_path) as http:
        response = await http.post(PATH, content=body)
    assert part in check_refused(response, 400, code)


async def test_unknown_voice_is_refused(tmp_path: Path) -> None:
    async with serve_reading(tmp_path) as http:
        response = await http.post(PATH, json={"text": "a", "voice": "nobody"})
    assert "nobody" in check_refused(response, 404, "unknown_voice")


async def test_the_length_of_the_text_is_bounded(tmp_path: Path) -> None:
    async with serve_reading(tmp_path) as http:
        longest = ("word " * MOST_CHARACTERS)[:MOST_CHARACTERS]
        assert (await read(http, longest))["sentences"][-1][1] == MOST_CHARACTERS
        response = await http.post(PATH, json={"text": longest + "x"})
        assert str(MOST_CHARACTERS) in check_refused(response, 400, "text_limit")
        huge = await http.post(PATH, content=b" " * ((1 << 20) + 1))
        assert huge.status_code == 413


async def test_requires_the_key(tmp_path: Path) -> None:
    async with serve_reading(tmp_path, access={"api_keys": "secret"}) as http:
        check_refused(await http.post(PATH, json={"text": "a"}), 401, "invalid_api_key")
        check_refused(await http.post(PATH, content=b"{"), 401, "invalid_api_key")
        http.headers["authorization"] = "Bearer secret"
        assert (await read(http, "a"))["sentences"] == [[0, 1]]
