"""OpenAI's speech API, alone and on the real server with the fake engine."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import av
import httpx
import numpy as np
import pytest
import pytest_asyncio

from backend.events import Audio, Done, Failed, Voice
from backend.protocols import openai
from backend.protocols.openai import OpenAIEvents, decode_request, find_openai_voice
from backend.protocols.voice_names import OPENAI_VOICES as VOICES
from tests.support.live_server import LiveServer, live_server

shares_the_server = pytest.mark.asyncio(loop_scope="module")

HELLO = "Hello there. How are you?"  # 21 audible characters, 10 ms each
HELLO_MS = 210


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live() -> AsyncIterator[LiveServer]:
    async with live_server() as running:
        yield running


async def post_speech(live: LiveServer, **fields: Any) -> httpx.Response:
    body = {"model": "tts-1", "voice": "alloy", "input": HELLO, **fields}
    async with httpx.AsyncClient(base_url=live.http) as http:
        return await http.post("/v1/audio/speech", json=body)


def read_error(response: httpx.Response) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/json"
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def duration_s(data: bytes, container: str | None) -> float:
    with av.open(io.BytesIO(data), "r", format=container) as reader:
        rate = reader.streams.audio[0].rate
        return sum(frame.samples for frame in reader.decode(audio=0)) / rate


# --- voices ---------------------------------------------------------------------------------------


def make_voices(*ready: str, remote: tuple[str, ...] = ()) -> tuple[Voice, ...]:
    return tuple(Voice(name, "en", "", name in ready) for name in (*ready, *remote))


def test_openai_names_map_to_downloaded_voices() -> None:
    known = make_voices("second", "heart", remote=("fable", "emma"))
    assert {find_openai_voice(name, known, "heart") for name in VOICES} == {"heart", "second"}
    assert find_openai_voice("alloy", known, "heart") == "heart"


def test_openai_names_spread_over_several_voices() -> None:
    known = make_voices("a", "b", "c", "d")
    assert [find_openai_voice(name, known, "b") for name in VOICES[:4]] == ["b", "a", "c", "d"]


def test_voice_of_the_same_name_is_used_once_downloaded() -> None:
    assert find_openai_voice("fable", make_voices("heart", "fable"), "heart") == "fable"
    assert find_openai_voice("fable", make_voices("fable", "heart"), "fable") == "fable"
    assert find_openai_voice("fable", make_voices("heart", remote=("fable",)), "heart") == "heart"


def test_other_names_are_returned_unchanged() -> None:
    known = make_voices("heart", remote=("emma",))
    assert find_openai_voice("emma", known, "heart") == "emma"
    assert find_openai_voice("nobody", known, "heart") == "nobody"
    assert find_openai_voice(None, known, "heart") is None


def test_custom_openai_voice_maps_to_the_default() -> None:
    assert find_openai_voice("voice_68a1b2", make_voices("second", "heart"), "heart") == "heart"


# --- requests -------------------------------------------------------------------------------------


@pytest.mark.parametrize("voice", ["alloy", {"id": "alloy"}])
def test_voice_may_be_a_name_or_an_object(voice: object) -> None:
    request = decode_request(json.dumps({"input": "Hi", "model": "tts-1", "voice": voice}).encode())
    assert request.voice_name == "alloy"


def test_null_and_unknown_fields_are_ignored() -> None:
    body = {"input": "Hi", "voice": None, "speed": None, "instructions": "Whisper.", "user": 5}
    request = decode_request(json.dumps(body).encode())
    assert (request.voice_name, request.speed, request.response_format) == (None, 1.0, "mp3")


# --- responses ------------------------------------------------------------------------------------


@shares_the_server
@pytest.mark.parametrize(
    ("response_format", "media_type", "container", "tolerance_s"),
    [
        ("mp3", "audio/mpeg", "mp3", 0.12),
        ("opus", "audio/ogg", "ogg", 0.001),
        ("aac", "audio/aac", "aac", 0.09),
        ("flac", "audio/flac", "flac", 0.001),
        ("wav", "audio/wav", "wav", 0.001),
    ],
)
async def test_each_format_is_a_playable_file(
    live: LiveServer, response_format: str, media_type: str, container: str, tolerance_s: float
) -> None:
    response = await post_speech(live, response_format=response_format)
    assert response.headers["content-type"] == media_type
    decoded_s = duration_s(response.content, container)
    assert HELLO_MS / 1000 - 0.001 <= decoded_s <= HELLO_MS / 1000 + tolerance_s


@shares_the_server
async def test_pcm_is_16_bits_at_24_khz(live: LiveServer) -> None:
    response = await post_speech(live, response_format="pcm")
    assert response.headers["content-type"] == "audio/pcm"
    assert len(response.content) == HELLO_MS * 24 * 2


@shares_the_server
async def test_mp3_is_the_default(live: LiveServer) -> None:
    assert (await post_speech(live)).headers["content-type"] == "audio/mpeg"


@shares_the_server
async def test_sse_has_the_same_audio_and_ends_with_usage(live: LiveServer) -> None:
    bare = await post_speech(live, response_format="pcm")
    response = await post_speech(live, response_format="pcm", stream_format="sse")
    assert response.headers["content-type"] == "text/event-stream"
    *lines, end = response.text.split("\n\n")
    assert end == ""
    *deltas, done = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert {delta["type"] for delta in deltas} == {"speech.audio.delta"}
    assert b"".join(base64.b64decode(delta["audio"]) for delta in deltas) == bare.content
    assert done["type"] == "speech.audio.done"
    assert done["usage"] == {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}


def test_failed_sentence_is_an_sse_error() -> None:
    events = OpenAIEvents({})
    audio = Audio("speech", 0, 0.0, 10.0, (0, 1), (), b"x")
    assert b"delta" in events.encode(audio)
    failed = events.encode(Failed("speech", "engine_failed", "out of memory"))
    assert json.loads(failed.removeprefix(b"data: "))["error"]["type"] == "server_error"
    assert b"done" in events.encode(Done("speech", 10.0, 1, 1))


@shares_the_server
async def test_failed_sentence_aborts_an_audio_response(live: LiveServer) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await post_speech(live, input="Hello there. It will explode now.", response_format="pcm")


@shares_the_server
async def test_speed_is_clamped_and_reported_in_a_header(live: LiveServer) -> None:
    assert "x-speed" not in (await post_speech(live, speed=1.5)).headers
    assert (await post_speech(live, speed=4.0)).headers["x-speed"] == "2"
    assert (await post_speech(live, speed=0.25)).headers["x-speed"] == "0.5"


@shares_the_server
async def test_kokoro_volume_multiplier_scales_the_audio(live: LiveServer) -> None:
    normal, louder = [
        np.frombuffer((await post_speech(live, response_format="pcm", **fields)).content, "<i2")
        for fields in ({}, {"volume_multiplier": 2.0})
    ]
    assert np.abs(louder.astype(int)).max() == pytest.approx(2 * np.abs(normal).max(), abs=2)


# --- errors ---------------------------------------------------------------------------------------


@shares_the_server
@pytest.mark.parametrize(
    ("fields", "status", "code", "param"),
    [
        ({"input": 5}, 400, "bad_message", "input"),
        ({"input": ""}, 400, "bad_message", "input"),
        ({"input": "x" * 4097}, 400, "bad_message", "input"),
        ({"voice": "nobody"}, 400, "unknown_voice", "voice"),
        ({"voice": {"name": "alloy"}}, 400, "bad_message", "voice"),
        ({"voice": "remote"}, 503, "voice_unavailable", None),
        ({"response_format": "midi"}, 400, "bad_message", "response_format"),
        ({"stream_format": "fax"}, 400, "bad_message", "stream_format"),
        ({"speed": 4.1}, 400, "bad_message", "speed"),
        ({"speed": 0.2}, 400, "bad_message", "speed"),
        ({"input": "It will explode."}, 500, "engine_failed", None),
    ],
)
async def test_invalid_request_gets_an_openai_error(
    live: LiveServer, fields: dict[str, Any], status: int, code: str, param: str | None
) -> None:
    response = await post_speech(live, **fields)
    error = read_error(response)
    assert (response.status_code, error["code"], error["param"]) == (status, code, param)
    assert error["type"] == ("server_error" if status >= 500 else "invalid_request_error")
    assert error["message"]


@shares_the_server
@pytest.mark.parametrize("body", [b"", b"hello", b"[]", b"\xff", b'{"model": "tts-1"}'])
async def test_malformed_body_is_refused(live: LiveServer, body: bytes) -> None:
    async with httpx.AsyncClient(base_url=live.http) as http:
        response = await http.post("/v1/audio/speech", content=body)
    assert response.status_code == 400
    assert read_error(response)["type"] == "invalid_request_error"


@shares_the_server
async def test_retryable_error_has_retry_after(live: LiveServer) -> None:
    assert (await post_speech(live, voice="remote")).headers["retry-after"] == "1"


@shares_the_server
async def test_unknown_url_gets_an_openai_error(live: LiveServer) -> None:
    async with httpx.AsyncClient(base_url=live.http) as http:
        for response in (
            await http.post("/v1/audio/transcriptions"),
            await http.get("/v1/audio/speech"),
        ):
            assert response.status_code == 404
            assert read_error(response)["code"] == "unknown_url"


async def test_key_is_required_on_every_protected_route() -> None:
    urls = ("/v1/models", "/v1/models/tts-1")
    async with (
        live_server(access={"api_keys": "secret"}) as live,
        httpx.AsyncClient(base_url=live.http) as http,
    ):
        for key, status in ((None, 401), ("wrong", 401), ("secret", 200)):
            headers = {"authorization": f"Bearer {key}"} if key else {}
            response = await http.post("/v1/audio/speech", json={"input": "Hi"}, headers=headers)
            responses = [response, *[await http.get(url, headers=headers) for url in urls]]
            for response in responses:
                assert response.status_code == status
                if status == 401:
                    assert read_error(response)["code"] == "invalid_api_key"
        for url in ("/v1/audio/voices", "/v1/audio/models"):  # Open WebUI sends no key there
            assert (await http.get(url)).status_code == 200


# --- models and voices ----------------------------------------------------------------------------


@shares_the_server
async def test_models_and_voices_are_listed(live: LiveServer) -> None:
    async with httpx.AsyncClient(base_url=live.http) as http:
        models = (await http.get("/v1/models")).json()
        assert models["object"] == "list"
        names = [model["id"] for model in models["data"]]
        assert names == ["fake", *openai.MODELS]
        for name in names:
            model = (await http.get(f"/v1/models/{name}")).json()
            assert (model["id"], model["object"]) == (name, "model")
        missing = await http.get("/v1/models/gpt-9")
        assert (missing.status_code, read_error(missing)["code"]) == (404, "model_not_found")
        assert (await http.get("/v1/audio/models")).json() == {"models": models["data"]}
        voices = (await http.get("/v1/audio/voices")).json()
        assert [v["id"] for v in voices["voices"]] == ["heart", "second", "remote", "broken"]
        assert voices["openai"]["alloy"] == "heart"
        assert set(voices["openai"]) == set(VOICES)


async def test_elevenlabs_header_selects_elevenlabs_models() -> None:
    async with (
        live_server(access={"api_keys": "secret"}) as live,
        httpx.AsyncClient(base_url=live.http) as http,
    ):
        response = await http.get("/v1/models", headers={"xi-api-key": "secret"})
        assert [model["model_id"] for model in response.json()] == ["fake"]
        refused = await http.get("/v1/models", headers={"xi-api-key": "wrong"})
        assert refused.status_code == 401
        assert refused.json()["detail"]["status"] == "invalid_api_key"
