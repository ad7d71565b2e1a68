"""The openai SDK: what an application hears that only changed its `base_url`."""

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
from tests.interop.listening import HELLO, STORY, Ear, Recording, decode
from tests.interop.live_servers import Server

MODEL = "gpt-4o-mini-tts"


@pytest.fixture
def client(server: Server) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server.http}/v1", api_key="any") as made:
        yield made


@pytest.fixture
async def async_client(server: Server) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{server.http}/v1", api_key="any") as made:
        yield made


@pytest.mark.parametrize("response_format", ["mp3", "opus", "aac", "flac", "wav"])
def test_a_file_in_each_format_says_the_text(
    client: OpenAI, ear: Ear, tmp_path: Path, response_format: Any
) -> None:
    answer = client.audio.speech.create(
        input=STORY, model=MODEL, voice="alloy", response_format=response_format
    )
    path = tmp_path / f"speech.{response_format}"
    answer.write_to_file(path)
    with av.open(str(path)) as reader:  # by its content, as a player finds out
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
    ear.expect(decode(path.read_bytes()), STORY)


def test_the_default_is_mp3(client: OpenAI, ear: Ear) -> None:
    answer = client.audio.speech.create(input=HELLO, model="tts-1", voice="nova")
    assert answer.response.headers["content-type"] == "audio/mpeg"
    ear.expect(decode(answer.content, "mp3"), HELLO)


def test_pcm_is_heard_long_before_it_is_complete(client: OpenAI, ear: Ear) -> None:
    recording = Recording()
    asked_s = time.perf_counter()
    with client.audio.speech.with_streaming_response.create(
        input=" ".join([STORY] * 3), model=MODEL, voice="alloy", response_format="pcm"
    ) as answer:
        for piece in answer.iter_bytes():
            recording.add(piece)
    ended_s = time.perf_counter()
    assert recording.first_s - asked_s < 0.5 * (ended_s - asked_s)
    assert len(recording.pieces) > 3
    ear.expect(recording.sound("s16le", 24000), " ".join([STORY] * 3))


async def test_the_async_client_streams_into_a_file(
    async_client: AsyncOpenAI, ear: Ear, tmp_path: Path
) -> None:
    path = tmp_path / "speech.opus"
    async with async_client.audio.speech.with_streaming_response.create(
        input=STORY, model=MODEL, voice={"id": "heart"}, response_format="opus"
    ) as answer:
        await answer.stream_to_file(path)
    ear.expect(decode(path.read_bytes()), STORY)


async def test_events_bring_audio_and_end_with_the_usage(
    async_client: AsyncOpenAI, ear: Ear
) -> None:
    audio, types = b"", []
    async with async_client.audio.speech.with_streaming_response.create(
        input=STORY, model=MODEL, voice="coral", response_format="wav", stream_format="sse"
    ) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        async for line in answer.iter_lines():
            if line.startswith("data: "):
                event = json.loads(line.removeprefix("data: "))
                types.append(event["type"])
                audio += base64.b64decode(event.get("audio", ""))
    assert types[-1] == "speech.audio.done"
    assert set(types[:-1]) == {"speech.audio.delta"}
    usage = event["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0
    ear.expect(decode(audio, "wav"), STORY)


@pytest.mark.parametrize(("speed", "times"), [(1.4, 1 / 1.4), (0.6, 1 / 0.6), (4.0, 1 / 2)])
def test_speed_is_heard(client: OpenAI, speed: float, times: float) -> None:
    seconds = [
        decode(
            client.audio.speech.create(
                input=STORY, model=MODEL, voice="alloy", speed=each, response_format="wav"
            ).content
        ).duration_s
        for each in (1.0, speed)
    ]
    assert seconds[1] / seconds[0] == pytest.approx(times, rel=0.07)


def test_instructions_are_taken_and_every_voice_of_theirs_speaks(client: OpenAI) -> None:
    for voice in ("alloy", "fable", "cedar"):
        answer = client.audio.speech.create(
            input="Hello.", model=MODEL, voice=voice, instructions="Whisper.", response_format="wav"
        )
        assert decode(answer.content).loudest > 0.05


def test_a_client_that_leaves_in_mid_speech_frees_the_server(client: OpenAI) -> None:
    for _ in range(3):
        with client.audio.speech.with_streaming_response.create(
            input="word " * 800, model=MODEL, voice="alloy", response_format="pcm"
        ) as answer:
            next(answer.iter_bytes())
    asked_s = time.perf_counter()
    client.audio.speech.create(input=HELLO, model=MODEL, voice="alloy")
    assert time.perf_counter() - asked_s < 5  # 3,200 words would take a minute


@pytest.mark.parametrize("voice", ["af_bella", "am_michael", "af_sky+af_bella", "Alloy", "HEART"])
def test_names_of_other_services_are_the_nearest_voice(client: OpenAI, voice: str) -> None:
    answer = client.audio.speech.create(
        input="Hello.", model="kokoro", voice=voice, response_format="wav"
    )
    assert answer.response.headers["x-voice"] == "heart"
    assert decode(answer.content).loudest > 0.05


@pytest.mark.parametrize("base", ["", "/", "/v1/", "/v1"])
def test_the_base_url_may_end_as_it_likes(server: Server, base: str) -> None:
    with OpenAI(base_url=server.http + base, api_key="any") as client:
        assert client.models.list().data
        answer = client.audio.speech.create(input="Hello.", model=MODEL, voice="alloy")
        assert decode(answer.content).loudest > 0.05


@pytest.mark.parametrize("response_format", ["wav", "flac", "mp3", "opus", "aac"])
def test_a_text_without_words_is_a_file_that_players_play(
    client: OpenAI, response_format: Any
) -> None:
    answer = client.audio.speech.create(
        input="🙂", model=MODEL, voice="alloy", response_format=response_format
    )
    sound = decode(answer.content)
    assert 0 < sound.duration_s < 0.3
    assert sound.loudest < 0.001


def test_models_are_listed(client: OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert MODEL in names
    assert client.models.retrieve(names[0]).id == names[0]
    with pytest.raises(openai.NotFoundError) as missing:
        client.models.retrieve("gpt-9")
    assert missing.value.code == "model_not_found"


def test_bad_requests_are_their_errors(client: OpenAI) -> None:
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


def test_the_key_is_theirs_and_a_wrong_one_is_refused(guarded: Server, ear: Ear) -> None:
    with OpenAI(base_url=f"{guarded.http}/v1", api_key=guarded.key) as client:
        answer = client.audio.speech.create(input=HELLO, model=MODEL, voice="alloy")
        ear.expect(decode(answer.content), HELLO)
    with OpenAI(base_url=f"{guarded.http}/v1", api_key=WRONG_KEY) as client:
        with pytest.raises(openai.AuthenticationError) as refused:
            client.audio.speech.create(input=HELLO, model=MODEL, voice="alloy")
        assert refused.value.code == "invalid_api_key"
        with pytest.raises(openai.AuthenticationError):
            client.models.list()
