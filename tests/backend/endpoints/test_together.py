"""Together's routes on the real server with the fake engine."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.engines.fake_engine import CHARACTER_SAMPLES
from tests.support.json_client import JsonClient
from tests.support.live_server import LiveServer, live_server, wait_until
from tests.support.together_messages import COMMIT, DELTA, DONE, FAILED, RECEIVED, WORDS, append

PATH = "/v1/audio/speech/websocket"


@asynccontextmanager
async def connect_client(
    live: LiveServer, query: str = "", **options: Any
) -> AsyncIterator[JsonClient]:
    url = f"ws://{live.address}{PATH}{query}"
    async with connect(url, compression=None, max_size=None, **options) as socket:
        client = JsonClient(socket, "delta", (DELTA, RECEIVED, "session.updated"))
        assert (await client.receive())["type"] == "session.created"
        yield client


def sample_bytes(text: str) -> int:
    return sum(not c.isspace() for c in text) * CHARACTER_SAMPLES * 2


TURNS = ["Hello there, how are you", "Second turn. With two sentences.", "Third"] * 10


async def test_many_commits_without_waiting_are_spoken() -> None:
    async with live_server() as live, connect_client(live) as client:
        for turn in TURNS:
            await client.send(*(append(f"{word} ") for word in turn.split()), COMMIT)
        heard_bytes = 0
        while heard_bytes < sample_bytes("".join(TURNS)):
            data, _ = await client.read_to(DONE)
            heard_bytes += len(data)
        assert heard_bytes == sample_bytes("".join(TURNS))


async def test_many_commits_without_waiting_give_a_file_each_in_order() -> None:
    async with live_server() as live, connect_client(live, "?response_format=wav") as client:
        for turn in TURNS:
            await client.send(*(append(f"{word} ") for word in turn.split()), COMMIT)
        for number, turn in enumerate(TURNS, 1):
            data, done = await client.read_to(DONE)
            assert (len(data), done["item_id"]) == (44 + sample_bytes(turn), f"tts_{number}")


async def test_a_context_for_each_turn_never_runs_out() -> None:
    async with live_server() as live, connect_client(live) as client:
        for number in range(25):
            name = {"context_id": f"turn-{number}"}
            await client.send(append("Hello.", **name), COMMIT | name)
            data, _ = await client.read_to(DONE)
            assert len(data) == sample_bytes("Hello.")


async def test_garbage_disturbs_neither_this_nor_other_sessions() -> None:
    async with live_server() as live, connect_client(live) as client, connect_client(live) as other:
        await other.send(append("Undisturbed."))
        for garbage in ("{", b"\0", "[]", '{"type": "x"}', '{"type": "tts_session.updated"}'):
            await client.socket.send(garbage)
            assert (await client.receive())["type"] == FAILED
        for each, text in ((client, "Still here."), (other, "Undisturbed.")):
            await each.send(*([append(text)] if each is client else []), COMMIT)
            data, _ = await each.read_to(DONE)
            assert len(data) == sample_bytes(text)


async def test_after_too_much_text_later_text_is_spoken_with_its_words() -> None:
    async with (
        live_server(server={"max_text_length": 100}) as live,
        connect_client(live, "?alignment=word") as client,
    ):
        await client.send(append("Short. "), append("x" * 200))
        while (message := await client.receive())["type"] != FAILED:
            pass
        assert message["error"]["code"] == "text_limit"
        await client.send(append("Later."), COMMIT)
        words: list[str] = []
        while (message := await client.receive())["type"] != DONE or words[-1:] != ["Later."]:
            words += message.get("words", [])
        assert words == ["Short.", "Later."]


async def test_disconnect_in_mid_word_releases_everything() -> None:
    async with live_server() as live:
        async with connect_client(live) as client:
            await client.send(append("word " * 2000 + "wor"))
            await client.read_to(DELTA)
            client.socket.transport.abort()
        await wait_until(lambda: not live.connections.sessions())
        await wait_until(lambda: live.model.open_utterances == 0)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("?voice=friendly%20sidekick", "unknown_voice"),
        ("?language=xx", "unsupported"),
        ("?response_format=cassette", "bad_message"),
        ("?sample_rate=1", "bad_format"),
        ("?speed=9", "bad_message"),
        ("?extra_params={", "bad_json"),
    ],
)
async def test_invalid_query_refuses_the_handshake(query: str, code: str) -> None:
    async with live_server() as live:
        with pytest.raises(InvalidStatus) as refused:
            async with connect_client(live, query):
                pass
    response = refused.value.response
    assert response.status_code == 400
    assert json.loads(response.body or b"")["error"]["code"] == code


async def test_key_is_a_bearer_or_in_the_url() -> None:
    right, wrong = ({"Authorization": f"Bearer {key}"} for key in ("right", "wrong"))
    async with live_server(access={"api_keys": "right"}) as live:
        async with connect_client(live, additional_headers=right):
            pass
        async with connect_client(live, "?api_key=right&model=x"):
            pass
        for query, headers in (("", {}), ("", wrong), ("?api_key=wrong", {})):
            with pytest.raises(InvalidStatus) as refused:
                async with connect_client(live, query, additional_headers=headers):
                    pass
            response = refused.value.response
            assert response.status_code == 401
            assert json.loads(response.body or b"")["error"]["code"] == "invalid_api_key"


async def post(live: LiveServer, body: dict[str, Any], **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=live.http, headers=headers) as http:
        return await http.post("/v1/audio/speech", json={"input": "Hi", "voice": "tara", **body})


async def test_post_returns_a_file_or_events() -> None:
    sdk = {"user-agent": "Together/Python 3.1.1"}
    async with live_server() as live:
        file = await post(live, {}, **sdk)
        assert (file.headers["content-type"], file.content[:4]) == ("audio/wav", b"RIFF")
        assert len(file.content) == 44 + sample_bytes("Hi")
        raw = await post(live, {"response_format": "raw", "response_encoding": "pcm_f32le"})
        assert len(raw.content) == 2 * sample_bytes("Hi")
        streamed = await post(live, {"response_format": "raw", "stream": True, "alignment": "word"})
        assert streamed.headers["content-type"].startswith("text/event-stream")
        *events, last = streamed.text.strip().split("\n\n")
        assert last == "data: [DONE]"
        delta, words = (json.loads(event.removeprefix("data: ")) for event in events)
        assert len(base64.b64decode(delta["delta"])) == sample_bytes("Hi")
        assert (words["type"], words["words"]) == (WORDS, ["Hi"])


@pytest.mark.parametrize("fields", [{"stream": True}, {"sample_rate": 48000}, {"model": "a/b"}])
async def test_local_servers_fields_still_get_openais_answer(fields: dict[str, Any]) -> None:
    """Kokoro-FastAPI and speaches take `stream` and `sample_rate`, and answer with plain audio."""
    async with live_server() as live:
        assert (await post(live, fields)).headers["content-type"] == "audio/mpeg"


@pytest.mark.parametrize(
    "body",
    [
        {"voice": "nope"},
        {"input": ""},
        {"input": "日本"},
        {"input": "a" * 30_000},
        {"sample_rate": 1},
        {"response_format": "cassette"},
        {"extra_params": {"pronunciation_dict": ["a"]}},
        {"extra_params": {"pronunciation_dict": ["a/1"]}},
    ],
)
async def test_invalid_post_gets_the_error_in_openais_form(body: dict[str, Any]) -> None:
    async with live_server() as live:
        response = await post(live, {"segment": "sentence", **body})
    assert response.status_code == 400
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}


async def test_voices_are_listed_by_model() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        listed = (await http.get("/v1/voices", params={"model": "hexgrad/Kokoro-82M"})).json()
    (model,) = listed["data"]
    assert model["model"] == "fake"
    assert {"id": "heart", "name": "heart"} in model["voices"]
    assert listed["voices"], "other clients read these"
