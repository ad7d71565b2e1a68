"""The ElevenLabs routes, on the real server with the fake engine."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.live_server import live_server

PCM = "output_format=pcm_24000"


async def test_websocket_speaks_and_closes() -> None:
    async with live_server() as live:
        url = f"ws://{live.address}/v1/text-to-speech/heart/stream-input?{PCM}"
        async with connect(url, compression=None) as socket:
            for text in (" ", "Hello there.", ""):
                await socket.send(json.dumps({"text": text}))
            replies = [json.loads(message) async for message in socket]
        assert socket.close_code == 1000
    chars = [c for m in replies if m.get("alignment") for c in m["alignment"]["chars"]]
    assert "".join(chars) == "Hello there."
    assert replies[-1]["isFinal"] is True


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("haert/stream-input", "voice_id_does_not_exist"),
        ("haert/multi-stream-input", "voice_id_does_not_exist"),
        ("heart/multi-stream-input?output_format=cassette", "bad_format"),
        ("heart/stream-input?output_format=mp3_11111_64", "bad_format"),
        ("heart/stream-input?inactivity_timeout=soon", "bad_message"),
        ("heart/stream-input?language_code=xx", "unsupported"),
    ],
)
async def test_url_errors_are_sent_on_the_open_socket(path: str, code: str) -> None:
    async with live_server() as live:
        reply, socket = await connect_refused(f"ws://{live.address}/v1/text-to-speech/{path}")
    assert (reply["error"], reply["code"]) == (code, 1008)
    named = {"contextId"} if "multi" in path else set()
    assert set(reply) == {"message", "error", "code"} | named, "livekit needs the context"
    assert socket.close_code == 1008
    assert code in (socket.close_reason or "")


async def connect_refused(url: str, **options: Any) -> tuple[dict[str, Any], ClientConnection]:
    """Connect and return the error message and the closed socket."""
    async with connect(url, **options) as socket:
        await socket.send(json.dumps({"text": " ", "context_id": "c"}))
        (reply,) = [json.loads(message) async for message in read_to_close(socket)]
    return reply, socket


async def read_to_close(socket: ClientConnection) -> AsyncIterator[str | bytes]:
    """Yield messages up to the close, with any code."""
    with suppress(ConnectionClosed):
        while True:
            yield await socket.recv()


@pytest.mark.slow
async def test_silent_client_also_gets_the_url_error() -> None:
    async with live_server() as live:
        url = f"ws://{live.address}/v1/text-to-speech/haert/multi-stream-input"
        async with connect(url) as socket:
            (reply,) = [json.loads(message) async for message in read_to_close(socket)]
    assert set(reply) == {"message", "error", "code"}
    assert (reply["error"], socket.close_code) == ("voice_id_does_not_exist", 1008)


async def test_query_of_livekit_1_0_is_accepted() -> None:
    query = "model_id=eleven_turbo_v2_5&enable_ssml_parsing=false&inactivity_timeout=300"
    async with live_server() as live:
        url = f"ws://{live.address}/v1/text-to-speech/EXAVITQu4vr4xnSDxMaL/stream-input?{query}"
        async with connect(f"{url}&output_format=mp3_22050_32") as socket:
            for text in (" ", "Hello there. ", ""):
                await socket.send(json.dumps({"text": text}))
            replies = [json.loads(message) async for message in socket]
    assert replies[-1]["isFinal"] is True
    assert any(message.get("audio") for message in replies)


async def test_key_is_accepted_from_each_place() -> None:
    async with live_server(access={"api_keys": "right"}) as live:
        url = f"ws://{live.address}/v1/text-to-speech/heart/stream-input?{PCM}"
        reply, socket = await connect_refused(url, additional_headers={"xi-api-key": "wrong"})
        assert (reply["error"], socket.close_code) == ("invalid_api_key", 1008)
        for options, suffix, first in (
            ({"additional_headers": {"xi-api-key": "right"}}, "", {}),
            ({"additional_headers": {"authorization": "Bearer right"}}, "", {}),
            ({}, "&xi-api-key=right", {}),
            ({}, "", {"xi_api_key": "right"}),
            ({}, "", {"authorization": "Bearer right"}),
        ):
            async with connect(url + suffix, **options) as socket:  # type: ignore[arg-type]
                await socket.send(json.dumps({"text": "Hi", **first}))
                await socket.send(json.dumps({"text": ""}))
                assert json.loads(await socket.recv())["audio"]


async def test_missing_key_closes_the_connection() -> None:
    async with live_server(access={"api_keys": "right"}) as live:
        url = f"ws://{live.address}/v1/text-to-speech/heart/multi-stream-input?{PCM}"
        async with connect(url) as socket:
            await socket.send(json.dumps({"text": "Hi", "context_id": "c", "flush": True}))
            reply = json.loads(await socket.recv())
            assert (reply["error"], reply["code"]) == ("invalid_api_key", 1008)
            with pytest.raises(ConnectionClosed):
                await socket.recv()
        assert socket.close_code == 1008


async def test_idle_client_gets_an_error_and_is_disconnected() -> None:
    async with live_server() as live:
        path = f"/v1/text-to-speech/heart/multi-stream-input?{PCM}&inactivity_timeout=0.2"
        async with connect(f"ws://{live.address}{path}") as socket:
            reply = json.loads(await socket.recv())
            assert (reply["error"], reply["code"]) == ("idle_timeout", 1008)
            with pytest.raises(ConnectionClosed):
                await socket.recv()
        assert socket.close_code == 1008


async def test_http_returns_audio_and_timestamps() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        path, body = "/v1/text-to-speech/21m00Tcm4TlvDq8ikWAM", {"text": "Hi there.", "seed": 5}
        for suffix in ("", "/stream"):
            response = await http.post(f"{path}{suffix}?{PCM}", json=body)
            assert response.headers["content-type"] == "audio/pcm"
            assert len(response.content) == 8 * 240 * 2
        whole = (await http.post(f"{path}/with-timestamps?{PCM}", json=body)).json()
        assert len(base64.b64decode(whole["audio_base64"])) == 8 * 240 * 2
        assert "".join(whole["alignment"]["characters"]) == "Hi there."
        assert whole["alignment"]["character_end_times_seconds"][-1] == 0.08
        mp3 = await http.post(path, json={"text": "Hi", "voice_settings": None})
        assert mp3.headers["content-type"] == "audio/mpeg"


async def test_timestamped_lines_are_short_and_their_times_continue() -> None:
    text = "word " * 400
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        path = "/v1/text-to-speech/heart/stream/with-timestamps?output_format=pcm_48000"
        response = await http.post(path, json={"text": text})
    lines = response.text.splitlines()
    assert max(map(len, lines)) < 128 * 1024
    replies = list(map(json.loads, lines))
    assert sum(len(base64.b64decode(line["audio_base64"])) for line in replies) == 1600 * 480 * 2
    aligned = [line["alignment"] for line in replies if line["alignment"]]
    assert "".join("".join(a["characters"]) for a in aligned) == text
    starts = [s for a in aligned for s in a["character_start_times_seconds"]]
    assert starts == sorted(starts)
    assert abs(aligned[-1]["character_end_times_seconds"][-1] - 16) < 0.01, "the resampler lags"


@pytest.mark.parametrize("output_format", ["mp3_44100_128", "opus_48000_64", "pcm_8000"])
@pytest.mark.parametrize("text", ["hi", "Hello there. How are you?", "a", "word " * 100])
async def test_every_line_has_characters(text: str, output_format: str) -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        path = f"/v1/text-to-speech/heart/stream/with-timestamps?output_format={output_format}"
        response = await http.post(path, json={"text": text})
        plain = await http.post(path.replace("/with-timestamps", ""), json={"text": text})
    replies = list(map(json.loads, response.text.splitlines()))
    assert all(line["alignment"] and line["alignment"]["characters"] for line in replies)
    assert "".join("".join(line["alignment"]["characters"]) for line in replies) == text
    data = b"".join(base64.b64decode(line["audio_base64"]) for line in replies)
    assert len(data) == len(plain.content)


async def test_tags_are_not_spoken_over_http() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        body = {"text": 'Hi <break time="1.0s" />there.'}
        for suffix in ("", "/stream"):
            response = await http.post(f"/v1/text-to-speech/heart{suffix}?{PCM}", json=body)
            assert len(response.content) == (8 * 240 + 24_000) * 2  # a second of silence
        whole = await http.post(f"/v1/text-to-speech/heart/with-timestamps?{PCM}", json=body)
        assert "".join(whole.json()["alignment"]["characters"]) == "Hi  there."


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("haert", {"text": "a"}, 404, "unknown_voice"),
        ("heart?output_format=cassette", {"text": "a"}, 400, "bad_format"),
        ("heart", {"text": ""}, 422, "bad_message"),
        ("heart", {}, 422, "bad_message"),
        ("heart", {"text": "a", "voice_settings": {"speed": 9}}, 422, "bad_message"),
        ("heart/stream", {"text": "a" * 30_000}, 400, "text_limit"),
        ("remote", {"text": "a"}, 503, "voice_unavailable"),
    ],
)
async def test_bad_request_gets_an_elevenlabs_error(
    path: str, body: dict[str, object], status: int, code: str
) -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        response = await http.post(f"/v1/text-to-speech/{path}", json=body)
    assert (response.status_code, response.json()["detail"]["status"]) == (status, code)


async def test_request_without_a_key_is_refused() -> None:
    async with (
        live_server(access={"api_keys": "right"}) as live,
        httpx.AsyncClient(base_url=live.http) as http,
    ):
        body = {"text": "a"}
        refused = await http.post("/v1/text-to-speech/heart", json=body)
        assert refused.status_code == 401
        assert refused.json()["detail"]["status"] == "invalid_api_key"
        headers = {"xi-api-key": "right"}
        accepted = await http.post("/v1/text-to-speech/heart", json=body, headers=headers)
        assert accepted.status_code == 200


async def test_voices_are_listed() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        for path in ("/v1/voices", "/v2/voices"):
            voices = (await http.get(path)).json()["voices"]
            assert {(v["voice_id"], v["name"]) for v in voices} >= {("heart", "heart")}


async def test_voice_is_described_also_for_an_elevenlabs_id() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        for name in ("heart", "21m00Tcm4TlvDq8ikWAM"):
            reply = (await http.get(f"/v1/voices/{name}")).json()
            assert (reply["voice_id"], reply["name"]) == ("heart", "heart")
        missing = await http.get("/v1/voices/unknown")
    assert missing.status_code == 404
    assert missing.json()["detail"]["status"] == "unknown_voice"
    assert "heart" in missing.json()["detail"]["message"]


async def test_account_has_unused_quota() -> None:
    async with (
        live_server(access={"api_keys": "right"}) as live,
        httpx.AsyncClient(base_url=live.http) as http,
    ):
        for path in ("/v1/user", "/v1/user/subscription"):
            refused = await http.get(path)
            assert (refused.status_code, refused.json()["detail"]["status"]) == (
                401,
                "invalid_api_key",
            )
            reply = (await http.get(path, headers={"xi-api-key": "right"})).json()
            subscription = reply.get("subscription", reply)
            assert subscription["character_count"] < subscription["character_limit"]
