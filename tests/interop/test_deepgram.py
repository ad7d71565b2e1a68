"""deepgram-sdk, with only its environment changed."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from deepgram import AsyncDeepgramClient, DeepgramClient
from deepgram.core.api_error import ApiError
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment
from deepgram.errors import BadRequestError
from deepgram.speak.v1.types import SpeakV1Text
from websockets.exceptions import InvalidStatus

from tests.interop.conftest import WRONG_KEY
from tests.interop.listening import HELLO, STORY, SpeechChecker, TimedRecording, decode
from tests.interop.live_servers import RunningServer

MODEL = "aura-2-thalia-en"
LINEAR16: dict[str, Any] = {"model": MODEL, "encoding": "linear16", "sample_rate": "24000"}


def environment(server: RunningServer) -> DeepgramClientEnvironment:
    return DeepgramClientEnvironment(
        base=server.http, production=server.ws, agent=server.ws, agent_rest=server.http
    )


@pytest.fixture
def client(server: RunningServer) -> DeepgramClient:
    return DeepgramClient(api_key="any", environment=environment(server))


@pytest.fixture
def async_client(server: RunningServer) -> AsyncDeepgramClient:
    return AsyncDeepgramClient(api_key="any", environment=environment(server))


# --- REST -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "container", "rate_hz"),
    [
        ({}, "mp3", None),
        ({"encoding": "mp3", "bit_rate": 48000}, "mp3", None),
        ({"encoding": "linear16", "sample_rate": 24000}, "wav", None),
        ({"encoding": "linear16", "container": "none", "sample_rate": 16000}, "s16le", 16000),
        ({"encoding": "mulaw", "container": "none", "sample_rate": 8000}, "mulaw", 8000),
        ({"encoding": "alaw", "container": "wav"}, "wav", None),
        ({"encoding": "opus", "container": "ogg"}, "ogg", None),
        ({"encoding": "flac"}, "flac", None),
        ({"encoding": "aac"}, "aac", None),
    ],
)
def test_file_in_each_encoding_speaks_the_text(
    client: DeepgramClient,
    checker: SpeechChecker,
    query: dict[str, Any],
    container: str,
    rate_hz: int | None,
) -> None:
    data = b"".join(client.speak.v1.audio.generate(text=STORY, model=MODEL, **query))
    checker.expect_speech(decode(data, container, rate_hz), STORY)


def test_speed_changes_the_duration(client: DeepgramClient) -> None:
    seconds = [
        decode(b"".join(client.speak.v1.audio.generate(text=STORY, speed=speed))).duration_s
        for speed in (0.7, 1.5)
    ]
    assert seconds[0] > 1.6 * seconds[1]


async def test_file_is_streamed(async_client: AsyncDeepgramClient) -> None:
    recording = TimedRecording()
    text = f"{STORY} " * 4
    async for piece in async_client.speak.v1.audio.generate(text=text, encoding="linear16"):
        recording.add_piece(piece)
    assert recording.arrivals_s[-1] - recording.first_s > 0.2, "all audio arrived at the end"


def test_invalid_request_raises_the_sdk_error(client: DeepgramClient) -> None:
    with pytest.raises(BadRequestError) as refused:
        b"".join(client.speak.v1.audio.generate(text=HELLO, model="nova-3"))
    assert set(refused.value.body) == {"err_code", "err_msg", "request_id"}
    assert "heart" in refused.value.body["err_msg"]


# --- WebSocket ------------------------------------------------------------------------------------


def hear_turn(connection: Any, recording: TimedRecording) -> float:
    """Read to `Flushed`; returns its sequence_id."""
    while True:
        message = connection.recv()
        if isinstance(message, bytes):
            recording.add_piece(message)
        elif message.type == "Flushed":
            return message.sequence_id
        else:
            assert message.type == "Metadata", message


def test_two_turns_on_one_connection(client: DeepgramClient, checker: SpeechChecker) -> None:
    with client.speak.v1.connect(**LINEAR16) as connection:
        metadata = connection.recv()
        assert (metadata.type, metadata.model_name) == ("Metadata", MODEL)
        for number, text in enumerate((HELLO, STORY)):
            recording = TimedRecording()
            for word in text.split():
                connection.send_text(SpeakV1Text(text=f"{word} "))
            connection.send_flush()
            assert hear_turn(connection, recording) == number
            checker.expect_speech(recording.clip("s16le", 24000), text)


def test_close_speaks_the_rest_and_ends_the_connection(
    client: DeepgramClient, checker: SpeechChecker
) -> None:
    recording = TimedRecording()
    seen: list[Any] = []
    with client.speak.v1.connect(model=MODEL, encoding="mulaw", sample_rate="8000") as connection:
        connection.on(
            EventType.MESSAGE, lambda m: recording.add_piece(m) if isinstance(m, bytes) else 0
        )
        connection.on(EventType.ERROR, seen.append)
        connection.on(EventType.CLOSE, lambda _: seen.append("closed"))
        connection.send_text(SpeakV1Text(text=HELLO))
        connection.send_close()
        connection.start_listening()
    assert seen == ["closed"]
    checker.expect_speech(recording.clip("mulaw", 8000), HELLO)


async def test_text_is_heard_while_it_is_written(
    async_client: AsyncDeepgramClient, checker: SpeechChecker
) -> None:
    recording = TimedRecording()
    async with async_client.speak.v1.connect(**LINEAR16) as connection:

        async def write() -> float:
            for word in STORY.split():
                await connection.send_text(SpeakV1Text(text=f"{word} "))
                await asyncio.sleep(0.08)
            written_s = time.perf_counter()
            await connection.send_flush()
            return written_s

        async def read_stream() -> None:
            async for message in connection:
                if isinstance(message, bytes):
                    recording.add_piece(message)
                elif message.type == "Flushed":
                    return

        written_s, _ = await asyncio.gather(write(), read_stream())
    assert recording.first_s < written_s
    checker.expect_speech(recording.clip("s16le", 24000), STORY)


def test_only_later_text_is_heard_after_clear(
    client: DeepgramClient, checker: SpeechChecker
) -> None:
    with client.speak.v1.connect(**LINEAR16) as connection:
        connection.send_text(SpeakV1Text(text=f"{STORY} " * 20))
        connection.send_flush()
        while not isinstance(connection.recv(), bytes):
            pass
        connection.send_clear()
        while isinstance(message := connection.recv(), bytes):
            pass  # audio in flight
        assert message.type == "Cleared"
        recording = TimedRecording()
        connection.send_text(SpeakV1Text(text=HELLO))
        connection.send_flush()
        hear_turn(connection, recording)
        checker.expect_speech(recording.clip("s16le", 24000), HELLO)


async def test_clear_works_with_the_async_client(
    async_client: AsyncDeepgramClient, checker: SpeechChecker
) -> None:
    async with async_client.speak.v1.connect(**LINEAR16) as connection:
        await connection.send_text(SpeakV1Text(text=f"{STORY} " * 20))
        await connection.send_flush()
        while not isinstance(await connection.recv(), bytes):
            pass
        await connection.send_clear()
        while isinstance(message := await connection.recv(), bytes):
            pass  # audio in flight
        assert message.type == "Cleared"
        recording = TimedRecording()
        await connection.send_text(SpeakV1Text(text=HELLO))
        await connection.send_flush()
        while isinstance(message := await connection.recv(), bytes):
            recording.add_piece(message)
        assert message.type == "Flushed"
    checker.expect_speech(recording.clip("s16le", 24000), HELLO)


def test_warning_has_a_description(client: DeepgramClient) -> None:
    with client.speak.v1.connect(**LINEAR16) as connection:
        connection._send({"type": "Shout"})
        messages = [connection.recv() for _ in range(2)]
        assert messages[1].type == "Warning"
        assert (messages[1].code, "Shout" in messages[1].description) == ("unknown_type", True)


async def test_key_is_required_and_a_wrong_one_raises_the_sdk_error(
    keyed_server: RunningServer,
) -> None:
    right = DeepgramClient(api_key=keyed_server.key, environment=environment(keyed_server))
    assert b"".join(right.speak.v1.audio.generate(text=HELLO))
    with right.speak.v1.connect(**LINEAR16) as connection:
        assert connection.recv().type == "Metadata"
    bearer = DeepgramClient(access_token=keyed_server.key, environment=environment(keyed_server))
    assert b"".join(bearer.speak.v1.audio.generate(text=HELLO))
    wrong = DeepgramClient(api_key=WRONG_KEY, environment=environment(keyed_server))
    with pytest.raises(ApiError) as refused:
        b"".join(wrong.speak.v1.audio.generate(text=HELLO))
    assert refused.value.status_code == 401
    with pytest.raises(InvalidStatus) as denied, wrong.speak.v1.connect(**LINEAR16):
        pass
    assert denied.value.response.status_code == 401
    wrong_async = AsyncDeepgramClient(api_key=WRONG_KEY, environment=environment(keyed_server))
    with pytest.raises(ApiError) as refused:
        async with wrong_async.speak.v1.connect(**LINEAR16):
            pass
    assert refused.value.status_code == 401
