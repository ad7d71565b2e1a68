"""mistralai, with only its server's address changed."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from mistralai.client import Mistral
from mistralai.client.errors import HTTPValidationError, SDKError
from mistralai.client.models import (
    RealtimeSpeechError,
    RealtimeSpeechSessionCreated,
    RealtimeSpeechSessionUpdated,
    SpeechStreamAudioDelta,
    SpeechStreamDone,
)
from mistralai.extra.exceptions import RealtimeSpeechException
from mistralai.extra.realtime.speech import RealtimeSpeechConnection, audio_bytes

from tests.interop.conftest import WRONG_KEY
from tests.interop.listening import HELLO, STORY, SpeechChecker, TimedRecording, decode
from tests.interop.live_servers import RunningServer

MODEL = "voxtral-mini-tts-latest"
VOICE = "gb_jane_neutral"
RAW = {"pcm": "f32le"}


def create_client(server: RunningServer, key: str = "any") -> Mistral:
    return Mistral(api_key=key, server_url=server.http)


@pytest.fixture
def client(server: RunningServer) -> Mistral:
    return create_client(server)


async def words_of(text: str, period_s: float = 0.0) -> AsyncIterator[str]:
    for word in text.split():
        yield f"{word} "
        await asyncio.sleep(period_s)


# --- WebSocket ------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", ["pcm", "wav", "mp3", "flac", "opus"])
async def test_a_written_text_is_spoken_in_each_format(
    client: Mistral, checker: SpeechChecker, format_: Any
) -> None:
    recording = TimedRecording()
    kinds: list[type] = []
    speech = client.audio.realtime_speech.speak_stream(
        words_of(STORY), MODEL, voice_id=VOICE, response_format=format_
    )
    async for event in speech:
        kinds.append(type(event))
        if isinstance(event, SpeechStreamAudioDelta):
            recording.add_piece(audio_bytes(event))
    assert kinds[:2] == [RealtimeSpeechSessionCreated, RealtimeSpeechSessionUpdated]
    assert set(kinds[2:-1]) == {SpeechStreamAudioDelta}
    assert kinds[-1] is SpeechStreamDone
    clip = decode(recording.data, RAW.get(format_), 24000 if format_ in RAW else None)
    checker.expect_speech(clip, STORY)


async def test_text_is_heard_while_it_is_written(client: Mistral, checker: SpeechChecker) -> None:
    recording = TimedRecording()
    written_s = 0.0

    async def write() -> AsyncIterator[str]:
        nonlocal written_s
        async for word in words_of(STORY, 0.08):
            written_s = time.perf_counter()
            yield word

    speech = client.audio.realtime_speech.speak_stream(write(), MODEL, response_format="pcm")
    async for event in speech:
        if isinstance(event, SpeechStreamAudioDelta):
            recording.add_piece(audio_bytes(event))
    assert recording.first_s < written_s
    checker.expect_speech(recording.clip("f32le", 24000), STORY)


async def read_generation(connection: RealtimeSpeechConnection, events: Any) -> bytes:
    data = b""
    async for event in events:
        if isinstance(event, SpeechStreamDone):
            return data
        if isinstance(event, SpeechStreamAudioDelta):
            data += audio_bytes(event)
        else:
            assert not isinstance(event, RealtimeSpeechError), event
    raise AssertionError("the connection was closed")


async def test_generations_share_a_session_and_are_whole_files(
    client: Mistral, checker: SpeechChecker
) -> None:
    async with await client.audio.realtime_speech.connect(MODEL, voice_id=VOICE) as connection:
        events = connection.events()
        for text in (HELLO, STORY):
            await connection.send_text(text[:5])
            await connection.flush(text[5:])
        await connection.update_session(response_format="mp3", expressiveness=1.5)
        await connection.send_text(HELLO)
        await connection.flush()
        for text in (HELLO, STORY, HELLO):
            checker.expect_speech(decode(await read_generation(connection, events)), text)
        assert connection.session.response_format == "mp3"
        await connection.end()
        assert [event async for event in events] == []


async def test_unknown_voice_raises_the_sdks_error_with_the_choices(client: Mistral) -> None:
    speech = client.audio.realtime_speech.speak_stream(words_of(HELLO), MODEL, voice_id="nope")
    with pytest.raises(RealtimeSpeechException, match="'nope'; voices: heart") as refused:
        async for _ in speech:
            pass
    assert refused.value.code == 1008


async def test_a_rejected_message_is_an_error_event(client: Mistral) -> None:
    async with await client.audio.realtime_speech.connect(MODEL) as connection:
        await connection.update_session(ref_audio="UklGRg==")
        events = [event async for event in _first(connection.events(), 2)]
        assert isinstance(events[1], RealtimeSpeechError)
        assert "POST /v1/voices" in str(events[1].error.message)


async def _first(events: AsyncIterator[Any], count: int) -> AsyncIterator[Any]:
    for _ in range(count):
        yield await anext(events)


async def test_a_wrong_key_is_refused(keyed_server: RunningServer) -> None:
    right = create_client(keyed_server, str(keyed_server.key)).audio
    async with await right.realtime_speech.connect(MODEL):
        pass
    assert right.speech.complete(input=HELLO, voice_id=VOICE).audio_data
    wrong = create_client(keyed_server, WRONG_KEY).audio
    with pytest.raises(RealtimeSpeechException, match="401"):
        await wrong.realtime_speech.connect(MODEL)
    with pytest.raises(SDKError, match="invalid_api_key") as refused:
        wrong.speech.complete(input=HELLO, voice_id=VOICE)
    assert refused.value.status_code == 401


# --- HTTP -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", ["pcm", "wav", "mp3", "flac", "opus"])
def test_speech_is_a_file_or_a_stream(
    client: Mistral, checker: SpeechChecker, format_: Any
) -> None:
    options: dict[str, Any] = {"input": STORY, "voice_id": VOICE, "response_format": format_}
    whole = base64.b64decode(client.audio.speech.complete(**options).audio_data)
    streamed, kinds = b"", []
    for event in client.audio.speech.complete(**options, stream=True):
        kinds.append(event.event)
        if isinstance(event.data, SpeechStreamAudioDelta):
            streamed += base64.b64decode(event.data.audio_data)
    assert (set(kinds[:-1]), kinds[-1]) == ({"speech.audio.delta"}, "speech.audio.done")
    for data in (whole, streamed):
        clip = decode(data, RAW.get(format_), 24000 if format_ in RAW else None)
        checker.expect_speech(clip, STORY)


def test_invalid_requests_raise_the_sdks_errors(client: Mistral) -> None:
    with pytest.raises(SDKError, match="invalid_voice") as unknown:
        client.audio.speech.complete(input=HELLO, voice_id="nope")
    assert unknown.value.status_code == 404
    with pytest.raises(HTTPValidationError) as invalid:
        client.audio.speech.complete(input="", voice_id=VOICE)
    assert invalid.value.data.detail
    assert invalid.value.data.detail[0].loc == ["body", "input"]


def test_voices_are_listed_in_pages(client: Mistral) -> None:
    first = client.audio.voices.search(page_size=2, language=["en"])
    assert first is not None
    following = first.next()
    assert following is not None
    names = [voice.slug for page in (first, following) for voice in page.result.data]
    assert len(set(names)) == len(names) > 2
    listed = client.audio.voices.list(limit=2)
    assert (len(listed.items), listed.page_size) == (2, 2)
    assert client.audio.voices.get(voice_id="heart").gender == "female"
