"""The openai SDK, with only `base_url` changed."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import av
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.interop.conftest import WRONG_KEY
from tests.interop.listening import HELLO, STORY, SpeechChecker, TimedRecording, decode
from tests.interop.live_servers import RunningServer

MODEL = "gpt-4o-mini-tts"


@pytest.fixture
def client(server: RunningServer) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server.http}/v1", api_key="any") as created:
        yield created


@pytest.fixture
async def async_client(server: RunningServer) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{server.http}/v1", api_key="any") as created:
        yield created


@pytest.mark.parametrize("response_format", ["mp3", "opus", "aac", "flac", "wav"])
def test_file_in_each_format_speaks_the_text(
    client: OpenAI, checker: SpeechChecker, tmp_path: Path, response_format: Any
) -> None:
    response = client.audio.speech.create(
        input=STORY, model=MODEL, voice="alloy", response_format=response_format
    )
    path = tmp_path / f"speech.{response_format}"
    response.write_to_file(path)
    with av.open(str(path)) as reader:  # detected from its content, as players do
        assert (
            reader.streams.audio[0].codec_context.name.removeprefix("lib")
            in {
                "mp3": {"mp3", "mp3float"},
                "opus": {"opus"},
                "aac": {"aac"},
                "flac": {"flac"},
                "wav": {"pcm_s16le"},
            }[response_format]
        )
    checker.expect_speech(decode(path.read_bytes()), STORY)


def test_default_format_is_mp3(client: OpenAI, checker: SpeechChecker) -> None:
    response = client.audio.speech.create(input=HELLO, model="tts-1", voice="nova")
    assert response.response.headers["content-type"] == "audio/mpeg"
    checker.expect_speech(decode(response.content, "mp3"), HELLO)


def test_pcm_is_streamed(client: OpenAI, checker: SpeechChecker) -> None:
    recording = TimedRecording()
    started_s = time.perf_counter()
    with client.audio.speech.with_streaming_response.create(
        input=" ".join([STORY] * 3), model=MODEL, voice="alloy", response_format="pcm"
    ) as response:
        for piece in response.iter_bytes():
            recording.add_piece(piece)
    ended_s = time.perf_counter()
    assert recording.first_s - started_s < 0.5 * (ended_s - started_s)
    assert len(recording.pieces) > 3
    checker.expect_speech(recording.clip("s16le", 24000), " ".join([STORY] * 3))


async def test_async_client_streams_to_a_file(
    async_client: AsyncOpenAI, checker: SpeechChecker, tmp_path: Path
) -> None:
    path = tmp_path / "speech.opus"
    async with async_client.audio.speech.with_streaming_response.create(
        input=STORY, model=MODEL, voice={"id": "heart"}, response_format="opus"
    ) as response:
        await response.stream_to_file(path)
    checker.expect_speech(decode(path.read_bytes()), STORY)


async def test_sse_has_audio_and_ends_with_usage(
    async_client: AsyncOpenAI, checker: SpeechChecker
) -> None:
    audio, types = b"", []
    async with async_client.audio.speech.with_streaming_response.create(
        input=STORY, model=MODEL, voice="coral", response_format="wav", stream_format="sse"
    ) as response:
        assert response.headers["content-type"] == "text/event-stream"
        async for line in response.iter_lines():
            if line.startswith("data: "):
                event = json.loads(line.removeprefix("data: "))
                types.append(event["type"])
                audio += base64.b64decode(event.get("audio", ""))
    assert types[-1] == "speech.audio.done"
    assert set(types[:-1]) == {"speech.audio.delta"}
    usage = event["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0
    checker.expect_speech(decode(audio, "wav"), STORY)


@pytest.mark.parametrize(("speed", "times"), [(1.4, 1 / 1.4), (0.6, 1 / 0.6), (4.0, 1 / 2)])
def test_speed_changes_the_duration(client: OpenAI, speed: float, times: float) -> None:
    seconds = [
        decode(
            client.audio.speech.create(
                input=STORY, model=MODEL, voice="alloy", speed=requested, response_format="wav"
            ).content
        ).duration_s
        for requested in (1.0, speed)
    ]
    assert seconds[1] / seconds[0] == pytest.approx(times, rel=0.07)


def test_instructions_are_accepted_and_openai_voices_speak(client: OpenAI) -> None:
    for voice in ("alloy", "fable", "cedar"):
        response = client.audio.speech.create(
            input="Hello.", model=MODEL, voice=voice, instructions="Whisper.", response_format="wav"
        )
        assert decode(response.content).peak > 0.05


def test_leaving_during_speech_frees_the_server(client: OpenAI) -> None:
    for _ in range(3):
        with client.audio.speech.with_streaming_response.create(
            input="word " * 800, model=MODEL, voice="alloy", response_format="pcm"
        ) as response:
            next(response.iter_bytes())
    started_s = time.perf_counter()
    client.audio.speech.create(input=HELLO, model=MODEL, voice="alloy")
    assert time.perf_counter() - started_s < 5  # 3,200 words would take a minute


@pytest.mark.parametrize("voice", ["af_bella", "am_michael", "af_sky+af_bella", "Alloy", "HEART"])
def test_names_of_other_services_map_to_the_nearest_voice(client: OpenAI, voice: str) -> None:
    response = client.audio.speech.create(
        input="Hello.", model="kokoro", voice=voice, response_format="wav"
    )
    assert response.response.headers["x-voice"] == "heart"
    assert decode(response.content).peak > 0.05


@pytest.mark.parametrize("base", ["", "/", "/v1/", "/v1"])
def test_base_url_may_have_any_ending(server: RunningServer, base: str) -> None:
    with OpenAI(base_url=server.http + base, api_key="any") as client:
        assert client.models.list().data
        response = client.audio.speech.create(input="Hello.", model=MODEL, voice="alloy")
        assert decode(response.content).peak > 0.05


@pytest.mark.parametrize("response_format", ["wav", "flac", "mp3", "opus", "aac"])
def test_text_without_words_gives_a_playable_silent_file(
    client: OpenAI, response_format: Any
) -> None:
    response = client.audio.speech.create(
        input="🙂", model=MODEL, voice="alloy", response_format=response_format
    )
    clip = decode(response.content)
    assert 0 < clip.duration_s < 0.3
    assert clip.peak < 0.001


def test_models_are_listed(client: OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert MODEL in names
    assert client.models.retrieve(names[0]).id == names[0]
    with pytest.raises(openai.NotFoundError) as missing:
        client.models.retrieve("gpt-9")
    assert missing.value.code == "model_not_found"


def test_bad_request_raises_the_sdk_error(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.audio.speech.create(input=HELLO, model=MODEL, voice="nobody")
    assert (refused.value.param, refused.value.code) == ("voice", "unknown_voice")
    assert refused.value.type == "invalid_request_error"
    with pytest.raises(openai.BadRequestError) as refused:
        client.audio.speech.create(input="x" * 5000, model=MODEL, voice="alloy")
    assert refused.value.param == "input"
    with pytest.raises(openai.BadRequestError) as refused:
        client.audio.speech.create(input="Привет, мир.", model=MODEL, voice="alloy")
    assert (refused.value.param, refused.value.code) == ("input", "unreadable_text")


def test_right_key_is_accepted_and_a_wrong_one_refused(
    keyed_server: RunningServer, checker: SpeechChecker
) -> None:
    with OpenAI(base_url=f"{keyed_server.http}/v1", api_key=keyed_server.key) as client:
        response = client.audio.speech.create(input=HELLO, model=MODEL, voice="alloy")
        checker.expect_speech(decode(response.content), HELLO)
    with OpenAI(base_url=f"{keyed_server.http}/v1", api_key=WRONG_KEY) as client:
        with pytest.raises(openai.AuthenticationError) as refused:
            client.audio.speech.create(input=HELLO, model=MODEL, voice="alloy")
        assert refused.value.code == "invalid_api_key"
        with pytest.raises(openai.AuthenticationError):
            client.models.list()
