"""together, with only its base URL changed. It has no client of the speech WebSocket: that is
tested with `websockets`, as in Together's documentation, and with pipecat.
"""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from together import AuthenticationError, BadRequestError, Together
from websockets.asyncio.client import connect

from tests.interop.conftest import WRONG_KEY
from tests.interop.listening import HELLO, STORY, SpeechChecker, TimedRecording, decode
from tests.interop.live_servers import RunningServer

MODEL = "hexgrad/Kokoro-82M"


def create_client(server: RunningServer, key: str = "any") -> Together:
    return Together(base_url=server.http, api_key=key, max_retries=0)


@pytest.fixture
def client(server: RunningServer) -> Together:
    return create_client(server)


@pytest.mark.parametrize(
    ("options", "container", "rate_hz"),
    [
        ({}, "wav", None),
        ({"response_format": "mp3", "bit_rate": 96000}, "mp3", None),
        ({"response_format": "wav", "sample_rate": 44100}, "wav", None),
        ({"response_format": "raw"}, "s16le", 24000),
        ({"response_format": "raw", "response_encoding": "pcm_f32le"}, "f32le", 24000),
        ({"response_format": "raw", "response_encoding": "pcm_mulaw"}, "mulaw", 8000),
    ],
)
def test_file_in_each_format_speaks_the_text(
    client: Together,
    checker: SpeechChecker,
    options: dict[str, Any],
    container: str,
    rate_hz: int | None,
) -> None:
    answer = client.audio.speech.create(model=MODEL, input=STORY, voice="af_bella", **options)
    checker.expect_speech(decode(answer.read(), container, rate_hz), STORY)


def test_stream_has_audio_and_words(client: Together, checker: SpeechChecker) -> None:
    data, words = b"", []
    stream = client.audio.speech.create(
        model=MODEL, input=STORY, voice="tara", stream=True, response_format="raw",
        response_encoding="pcm_s16le", extra_body={"alignment": "word", "segment": "sentence"},
    )  # fmt: skip
    for chunk in stream:
        fields: Any = chunk
        if fields.type == "conversation.item.audio_output.delta":
            data += base64.b64decode(fields.delta)
        else:
            words += fields.words
    assert words == STORY.split()
    checker.expect_speech(decode(data, "s16le", 24000), STORY)


def test_voices_and_errors_have_the_sdks_types(client: Together) -> None:
    (model,) = client.audio.voices.list().data
    assert "heart" in [voice.name for voice in model.voices]
    with pytest.raises(BadRequestError, match="heart"):
        client.audio.speech.create(model=MODEL, input=HELLO, voice="friendly sidekick")


def test_a_wrong_key_raises_the_sdks_error(keyed_server: RunningServer) -> None:
    create_client(keyed_server, str(keyed_server.key)).audio.speech.create(
        model=MODEL, input=HELLO, voice="tara"
    )
    with pytest.raises(AuthenticationError):
        create_client(keyed_server, WRONG_KEY).audio.speech.create(
            model=MODEL, input=HELLO, voice="tara"
        )


async def test_websocket_as_documented(server: RunningServer, checker: SpeechChecker) -> None:
    query = f"?model={MODEL}&voice=af_alloy&response_format=pcm&sample_rate=24000&alignment=word"
    recording = TimedRecording()
    words: list[str] = []
    url = f"{server.ws}/v1/audio/speech/websocket{query}"
    async with connect(url, additional_headers={"Authorization": "Bearer any"}) as socket:
        assert json.loads(await socket.recv())["session"]["id"]

        async def write() -> None:
            for word in STORY.split():
                text = {"type": "input_text_buffer.append", "text": f"{word} "}
                await socket.send(json.dumps(text))
                await asyncio.sleep(0.02)
            await socket.send('{"type": "input_text_buffer.commit"}')

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(write())
            async for message in socket:
                event = json.loads(message)
                if event["type"] == "conversation.item.audio_output.delta":
                    recording.add_piece(base64.b64decode(event["delta"]))
                words += event.get("words", [])
                if event["type"] == "conversation.item.audio_output.done":
                    break
    assert words == STORY.split()
    checker.expect_speech(recording.clip("s16le", 24000), STORY)
