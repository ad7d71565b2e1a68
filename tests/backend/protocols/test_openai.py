"""OpenAI's speech API: what is read, what is answered, at the real server with the fake engine."""

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
from tests.support.live_server import Live, live_server

shares_the_server = pytest.mark.asyncio(loop_scope="module")

HELLO = "Hello there. How are you?"  # 21 characters to hear, 10 ms each
HELLO_MS = 210


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live() -> AsyncIterator[Live]:
    async with live_server() as running:
        yield running


async def ask(live: Live, **fields: Any) -> httpx.Response:
    body = {"model": "tts-1", "voice": "alloy", "input": HELLO, **fields}
    async with httpx.AsyncClient(base_url=live.http) as http:
        return await http.post("/v1/audio/speech", json=body)


def error_of(answer: httpx.Response) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/json"
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def seconds(data: bytes, container: str | None) -> float:
    with av.open(io.BytesIO(data), "r", format=container) as reader:
        rate = reader.streams.audio[0].rate
        return sum(frame.samples for frame in reader.decode(audio=0)) / rate


# --- voices --------------------------------------------------------------------------------------


def voices(*ready: str, remote: tuple[str, ...] = ()) -> tuple[Voice, ...]:
    return tuple(Voice(name, "en", "", name in ready) for name in (*ready, *remote))


def test_every_name_of_theirs_is_a_voice_that_needs_no_download() -> None:
    known = voices("second", "heart", remote=("fable", "emma"))
    assert {find_openai_voice(name, known, "heart") for name in VOICES} == {"heart", "second"}
    assert find_openai_voice("alloy", known, "heart") == "heart"


def test_their_names_are_different_voices_where_there_are_several() -> None:
    known = voices("a", "b", "c", "d")
    assert [find_openai_voice(name, known, "b") for name in VOICES[:4]] == ["b", "a", "c", "d"]


def test_a_voice_of_the_same_name_speaks_for_itself_once_it_is_here() -> None:
    assert find_openai_voice("fable", voices("heart", "fable"), "heart") == "fable"
    assert find_openai_voice("fable", voices("fable", "heart"), "fable") == "fable"
    assert find_openai_voice("fable", voices("heart", remote=("fable",)), "heart") == "heart"


def test_other_names_are_the_server_s_own() -> None:
    known = voices("heart", remote=("emma",))
    assert find_openai_voice("emma", known, "heart") == "emma"
    assert find_openai_voice("nobody", known, "heart") == "nobody"
    assert find_openai_voice(None, known, "heart") is None


def test_a_voice_that_a_customer_of_theirs_has_made_is_the_default() -> None:
    assert find_openai_voice("voice_68a1b2", voices("second", "heart"), "heart") == "heart"


# --- the body ------------------------------------------------------------------------------------


@pytest.mark.parametrize("voice", ["alloy", {"id": "alloy"}])
def test_a_voice_is_a_name_or_an_object(voice: object) -> None:
    asked = decode_request(json.dumps({"input": "Hi", "model": "tts-1", "voice": voice}).encode())
    assert asked.voice_name == "alloy"


def test_what_is_null_or_unknown_is_left_out() -> None:
    body = {"input": "Hi", "voice": None, "speed": None, "instructions": "Whisper.", "user": 5}
    asked = decode_request(json.dumps(body).encode())
    assert (asked.voice_name, asked.speed, asked.response_format) == (None, 1.0, "mp3")


# --- the answer ----------------------------------------------------------------------------------


@shares_the_server
@pytest.mark.parametrize(
    ("response_format", "media_type", "container", "late_s"),
    [
        ("mp3", "audio/mpeg", "mp3", 0.12),
        ("opus", "audio/ogg", "ogg", 0.001),
        ("aac", "audio/aac", "aac", 0.09),
        ("flac", "audio/flac", "flac", 0.001),
        ("wav", "audio/wav", "wav", 0.001),
    ],
)
async def test_each_format_is_a_file_that_players_play(
    live: Live, response_format: str, media_type: str, container: str, late_s: float
) -> None:
    answer = await ask(live, response_format=response_format)
    assert answer.headers["content-type"] == media_type
    heard_s = seconds(answer.content, container)
    assert HELLO_MS / 1000 - 0.001 <= heard_s <= HELLO_MS / 1000 + late_s


@shares_the_server
async def test_pcm_is_16_bits_at_24_khz(live: Live) -> None:
    answer = await ask(live, response_format="pcm")
    assert answer.headers["content-type"] == "audio/pcm"
    assert len(answer.content) == HELLO_MS * 24 * 2


@shares_the_server
async def test_mp3_is_the_default(live: Live) -> None:
    assert (await ask(live)).headers["content-type"] == "audio/mpeg"


@shares_the_server
async def test_events_bring_the_same_audio_and_end_with_the_usage(live: Live) -> None:
    bare = await ask(live, response_format="pcm")
    answer = await ask(live, response_format="pcm", stream_format="sse")
    assert answer.headers["content-type"] == "text/event-stream"
    *lines, end = answer.text.split("\n\n")
    assert end == ""
    *deltas, done = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert {delta["type"] for delta in deltas} == {"speech.audio.delta"}
    assert b"".join(base64.b64decode(delta["audio"]) for delta in deltas) == bare.content
    assert done["type"] == "speech.audio.done"
    assert done["usage"] == {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}


def test_a_failure_among_events_is_an_event_that_their_client_raises() -> None:
    events = OpenAIEvents({})
    audio = Audio("speech", 0, 0.0, 10.0, (0, 1), (), b"x")
    assert b"delta" in events.encode(audio)
    failed = events.encode(Failed("speech", "engine_failed", "out of memory"))
    assert json.loads(failed.removeprefix(b"data: "))["error"]["type"] == "server_error"
    assert b"done" in events.encode(Done("speech", 10.0, 1, 1))


@shares_the_server
async def test_a_sentence_that_fails_breaks_bare_audio_off(live: Live) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await ask(live, input="Hello there. It will explode now.", response_format="pcm")


@shares_the_server
async def test_speed_goes_as_far_as_the_voices_do_and_the_answer_says_so(live: Live) -> None:
    assert "x-speed" not in (await ask(live, speed=1.5)).headers
    assert (await ask(live, speed=4.0)).headers["x-speed"] == "2"
    assert (await ask(live, speed=0.25)).headers["x-speed"] == "0.5"


@shares_the_server
async def test_the_volume_as_kokoros_clients_ask_for_it(live: Live) -> None:
    normal, louder = [
        np.frombuffer((await ask(live, response_format="pcm", **fields)).content, "<i2")
        for fields in ({}, {"volume_multiplier": 2.0})
    ]
    assert np.abs(louder.astype(int)).max() == pytest.approx(2 * np.abs(normal).max(), abs=2)


# --- errors --------------------------------------------------------------------------------------


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
async def test_what_is_wrong_is_said_in_their_form(
    live: Live, fields: dict[str, Any], status: int, code: str, param: str | None
) -> None:
    answer = await ask(live, **fields)
    error = error_of(answer)
    assert (answer.status_code, error["code"], error["param"]) == (status, code, param)
    assert error["type"] == ("server_error" if status >= 500 else "invalid_request_error")
    assert error["message"]


@shares_the_server
@pytest.mark.parametrize("body", [b"", b"hello", b"[]", b"\xff", b'{"model": "tts-1"}'])
async def test_a_body_that_is_no_request_is_refused(live: Live, body: bytes) -> None:
    async with httpx.AsyncClient(base_url=live.http) as http:
        answer = await http.post("/v1/audio/speech", content=body)
    assert answer.status_code == 400
    assert error_of(answer)["type"] == "invalid_request_error"


@shares_the_server
async def test_what_may_be_tried_again_says_when(live: Live) -> None:
    assert (await ask(live, voice="remote")).headers["retry-after"] == "1"


@shares_the_server
async def test_a_url_that_is_not_here_is_answered_in_their_form(live: Live) -> None:
    async with httpx.AsyncClient(base_url=live.http) as http:
        for answer in (
            await http.post("/v1/audio/transcriptions"),
            await http.get("/v1/audio/speech"),
        ):
            assert answer.status_code == 404
            assert error_of(answer)["code"] == "unknown_url"


async def test_a_key_is_demanded_everywhere_and_a_wrong_one_refused() -> None:
    urls = ("/v1/models", "/v1/models/tts-1")
    async with (
        live_server(access={"api_keys": "secret"}) as live,
        httpx.AsyncClient(base_url=live.http) as http,
    ):
        for key, status in ((None, 401), ("wrong", 401), ("secret", 200)):
            headers = {"authorization": f"Bearer {key}"} if key else {}
            said = await http.post("/v1/audio/speech", json={"input": "Hi"}, headers=headers)
            answers = [said, *[await http.get(url, headers=headers) for url in urls]]
            for answer in answers:
                assert answer.status_code == status
                if status == 401:
                    assert error_of(answer)["code"] == "invalid_api_key"
        for url in ("/v1/audio/voices", "/v1/audio/models"):  # Open WebUI sends no key there
            assert (await http.get(url)).status_code == 200


# --- what there is -------------------------------------------------------------------------------


@shares_the_server
async def test_models_and_voices_are_listed(live: Live) -> None:
    async with httpx.AsyncClient(base_url=live.http) as http:
        models = (await http.get("/v1/models")).json()
        assert models["object"] == "list"
        names = [model["id"] for model in models["data"]]
        assert names == ["fake", *openai.MODELS]
        for name in names:
            model = (await http.get(f"/v1/models/{name}")).json()
            assert (model["id"], model["object"]) == (name, "model")
        missing = await http.get("/v1/models/gpt-9")
        assert (missing.status_code, error_of(missing)["code"]) == (404, "model_not_found")
        assert (await http.get("/v1/audio/models")).json() == {"models": models["data"]}
        voices = (await http.get("/v1/audio/voices")).json()
        assert [v["id"] for v in voices["voices"]] == ["heart", "second", "remote", "broken"]
        assert voices["openai"]["alloy"] == "heart"
        assert set(voices["openai"]) == set(VOICES)


async def test_who_asks_as_elevenlabs_gets_elevenlabs_models() -> None:
    async with (
        live_server(access={"api_keys": "secret"}) as live,
        httpx.AsyncClient(base_url=live.http) as http,
    ):
        answer = await http.get("/v1/models", headers={"xi-api-key": "secret"})
        assert [model["model_id"] for model in answer.json()] == ["fake"]
        refused = await http.get("/v1/models", headers={"xi-api-key": "wrong"})
        assert refused.status_code == 401
        assert refused.json()["detail"]["status"] == "invalid_api_key"
