"""Mistral's routes on the real server with the fake engine."""

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
from tests.support.mistral_messages import END, FLUSH, PCM, append

PATH = "/v1/audio/speech/realtime"


@asynccontextmanager
async def connect_client(live: LiveServer, **options: Any) -> AsyncIterator[JsonClient]:
    url = f"ws://{live.address}{PATH}?model=voxtral"
    async with connect(url, compression=None, max_size=None, **options) as socket:
        client = JsonClient(socket, "audio_data", ("speech.audio.delta",))
        created = await client.receive()
        assert (created["type"], created["session"]["model"]) == ("session.created", "voxtral")
        yield client


def float_bytes(text: str) -> int:
    return sum(not c.isspace() for c in text) * CHARACTER_SAMPLES * 4


async def test_turns_without_waiting_are_spoken_in_order() -> None:
    turns = ["Hello there, how are you", "Second turn. With two sentences.", "Third"] * 10
    async with live_server() as live, connect_client(live) as client:
        await client.send(PCM)
        assert (await client.receive())["type"] == "session.updated"
        for turn in turns:
            await client.send(*(append(f"{word} ") for word in turn.split()), FLUSH)
        for turn in turns:
            data, _ = await client.read_to("speech.audio.done")
            assert len(data) == float_bytes(turn)
        await client.send(END)
        assert await client.read_to_close() == ([], 1000)


async def test_garbage_disturbs_neither_this_nor_other_sessions() -> None:
    async with live_server() as live, connect_client(live) as client, connect_client(live) as other:
        await other.send(PCM, append("Undisturbed."))
        await client.send(PCM)
        assert (await client.receive())["type"] == "session.updated"
        for garbage in ("{", b"\0", "[]", '{"type": "x"}', '{"type": "input_text.append"}'):
            await client.socket.send(garbage)
            assert (await client.receive())["type"] == "error"
        for each, text in ((client, "Still here."), (other, "")):
            await each.send(FLUSH | {"text": text})
        data, _ = await client.read_to("speech.audio.done")
        assert len(data) == float_bytes("Still here.")
        assert (await other.receive())["type"] == "session.updated"
        data, _ = await other.read_to("speech.audio.done")
        assert len(data) == float_bytes("Undisturbed.")


async def test_too_much_text_is_refused_and_the_rest_is_spoken() -> None:
    async with live_server(server={"max_text_length": 100}) as live, connect_client(live) as client:
        await client.send(PCM, append("Short. "), append("x" * 200), FLUSH)
        assert (await client.receive())["type"] == "session.updated"
        refused = await client.receive()
        while refused["type"] != "error":
            refused = await client.receive()
        assert refused["error"]["type"] == "text_limit"
        await client.read_to("speech.audio.done")
        await client.send(append("More."), END)
        messages, code = await client.read_to_close()
        assert (messages[-1]["type"], code) == ("speech.audio.done", 1000)


async def test_disconnect_in_mid_word_releases_everything() -> None:
    async with live_server() as live:
        async with connect_client(live) as client:
            await client.send(append("word " * 2000 + "wor"))
            await client.socket.recv()
            client.socket.transport.abort()
        await wait_until(lambda: not live.connections.sessions())
        await wait_until(lambda: live.model.open_utterances == 0)


async def test_key_is_a_bearer_or_a_browsers_subprotocol() -> None:
    async with live_server(access={"api_keys": "right"}) as live:
        for options in (
            {"additional_headers": {"Authorization": "Bearer right"}},
            {"subprotocols": ["realtime", "right"]},
        ):
            async with connect_client(live, **options) as client:
                assert client.socket.subprotocol == (
                    "realtime" if "subprotocols" in options else None
                )
        for options in (
            {},
            {"additional_headers": {"Authorization": "Bearer wrong"}},
            {"subprotocols": ["realtime", "wrong"]},
        ):
            with pytest.raises(InvalidStatus) as refused:
                async with connect_client(live, **options):
                    pass
            response = refused.value.response
            assert response.status_code == 401
            assert json.loads(response.body or b"")["type"] == "invalid_api_key"


async def post(live: LiveServer, body: dict[str, Any], **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=live.http, headers=headers) as http:
        return await http.post("/v1/audio/speech", json=body)


async def test_post_is_answered_by_an_object_or_events() -> None:
    async with live_server() as live:
        body = {"input": "Hi", "voice_id": "gb_jane_neutral", "response_format": "pcm"}
        whole = await post(live, body)
        assert whole.headers["content-type"] == "application/json"
        assert len(base64.b64decode(whole.json()["audio_data"])) == float_bytes("Hi")
        streamed = await post(live, {**body, "stream": True})
        assert streamed.headers["content-type"].startswith("text/event-stream")
        events = [event.split("\ndata: ") for event in streamed.text.strip().split("\n\n")]
        assert [name for name, _ in events] == [
            "event: speech.audio.delta",
            "event: speech.audio.done",
        ]
        assert len(base64.b64decode(json.loads(events[0][1])["audio_data"])) == float_bytes("Hi")


async def test_post_of_the_sdk_needs_no_voice_and_others_get_openais_answer() -> None:
    sdk = {"user-agent": "speakeasy-sdk/python 3.7.0 2.935.1 1.0.0 mistralai"}
    async with live_server() as live:
        assert (await post(live, {"input": "Hi"}, **sdk)).json()["audio_data"]
        plain = await post(live, {"input": "Hi", "voice": "nova", "voice_id": "x"})
        assert plain.headers["content-type"] == "audio/mpeg"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"input": "Hi", "voice_id": "nope"}, 404),
        ({"input": "", "voice_id": "heart"}, 422),
        ({"voice_id": "heart"}, 422),
        ({"input": "Hi", "voice_id": "heart", "response_format": "aac"}, 422),
        ({"input": "Hi", "voice_id": "heart", "phoneme_hints": {"a": ["1"]}}, 400),
        ({"input": "Hi", "ref_audio": "AAAA"}, 400),
        ({"input": "日本", "voice_id": "heart"}, 400),
        ({"input": "a" * 30_000, "voice_id": "heart"}, 400),
    ],
)
async def test_invalid_post_gets_a_mistral_error(body: dict[str, Any], status: int) -> None:
    async with live_server() as live:
        response = await post(live, body)
    assert (response.status_code, response.json()["raw_status_code"]) == (status, status)
    assert response.json()["object"] == "error"


async def test_wrong_key_of_the_sdk_is_refused_in_mistrals_form() -> None:
    sdk = {"user-agent": "speakeasy-sdk/typescript mistralai", "authorization": "Bearer no"}
    async with live_server(access={"api_keys": "right"}) as live:
        response = await post(live, {"input": "Hi"}, **sdk)
    assert (response.status_code, response.json()["raw_status_code"]) == (401, 401)


async def test_voices_are_listed_in_pages() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        first = (await http.get("/v1/audio/voices", params={"limit": 1})).json()
        assert first["voices"], "OpenAI's clients read these"
        assert (len(first["items"]), first["page"], first["page_size"]) == (1, 1, 1)
        names, token = [], ""
        while token is not None:
            query = f"page_size=1&page_token={token}&language=en&language=ar"
            page = (await http.get(f"/v2/audio/voices?{query}")).json()
            names += [voice["slug"] for voice in page["data"]]
            token = page["next_page_token"]
        assert len(names) == len(set(names)) == first["total"] == first["total_pages"]
        custom = (await http.get("/v2/audio/voices", params={"type": "custom"})).json()
        assert custom["data"] == []
        found = await http.get("/v1/audio/voices/gb_jane_neutral")
        assert found.json()["id"] == "heart"
        for path in ("/v1/audio/voices/nope", "/v2/audio/nothing"):
            missing = await http.get(path)
            assert (missing.status_code, missing.json()["object"]) == (404, "error")
        for query in ({"page_size": "x"}, {"page_token": "²"}):
            assert (await http.get("/v2/audio/voices", params=query)).status_code == 422
