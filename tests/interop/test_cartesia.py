"""The cartesia SDK, with only its URL changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cartesia import APIStatusError, AsyncCartesia, Cartesia, NotFoundError
from websockets.exceptions import InvalidStatus

from tests.interop.conftest import WRONG_KEY
from tests.interop.listening import HELLO, SENTENCE, STORY, SpeechChecker, TimedRecording, decode
from tests.interop.live_servers import RunningServer
from tests.interop.timing import expect_timed

KATIE = "f786b574-daa5-4673-aa0c-cbe3e8534c02"  # a vendor id
PCM = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24000}
REQUEST: dict[str, Any] = {"model_id": "sonic-3", "voice": KATIE, "output_format": PCM}


@pytest.fixture
def client(server: RunningServer) -> Iterator[Cartesia]:
    with Cartesia(api_key="any", base_url=server.http, websocket_base_url=server.ws) as created:
        yield created


# --- over HTTP ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output_format", "container", "rate_hz"),
    [
        (PCM, "s16le", 24000),
        ({**PCM, "encoding": "pcm_f32le", "sample_rate": 44100}, "f32le", 44100),
        ({**PCM, "encoding": "pcm_mulaw", "sample_rate": 8000}, "mulaw", 8000),
        ({**PCM, "encoding": "pcm_alaw", "sample_rate": 8000}, "alaw", 8000),
        ({**PCM, "container": "wav"}, "wav", None),
        ({**PCM, "container": "wav", "encoding": "pcm_f32le"}, "wav", None),
        ({"container": "mp3", "sample_rate": 44100, "bit_rate": 128000}, "mp3", None),
    ],
)
def test_every_format_speaks_the_text(
    client: Cartesia,
    checker: SpeechChecker,
    output_format: dict[str, Any],
    container: str,
    rate_hz: int | None,
) -> None:
    response = client.tts.generate(**{**REQUEST, "output_format": output_format}, transcript=STORY)
    checker.expect_speech(decode(response.read(), container, rate_hz), STORY)


def test_bytes_are_streamed(client: Cartesia) -> None:
    recording = TimedRecording()
    started_s = time.perf_counter()
    with client.tts.with_streaming_response.generate(
        **REQUEST, transcript=" ".join([STORY] * 5)
    ) as response:
        for piece in response.iter_bytes():
            recording.add_piece(piece)
    assert recording.first_s - started_s < 0.5 * (time.perf_counter() - started_s)


def test_sse_has_audio_and_word_times(client: Cartesia, checker: SpeechChecker) -> None:
    data, words, kinds = b"", [], []
    for event in client.tts.generate_sse(**REQUEST, transcript=STORY, add_timestamps=True):
        kinds.append(event.type)
        if event.type == "chunk":
            data += event.audio or b""
        elif event.type == "timestamps":
            words += list(
                zip(event.word_timestamps.words, event.word_timestamps.start, strict=True)
            )
    assert kinds[-1] == "done"
    expect_timed(checker, decode(data, "s16le", 24000), STORY, words)


def test_speed_changes_the_duration(client: Cartesia) -> None:
    seconds = [
        decode(
            client.tts.generate(
                **REQUEST, transcript=STORY, generation_config={"speed": speed}
            ).read(),
            "s16le",
            24000,
        ).duration_s
        for speed in (1.0, 1.4)
    ]
    assert seconds[0] / seconds[1] == pytest.approx(1.4, rel=0.07)


# --- over a WebSocket -----------------------------------------------------------------------------


async def test_tokens_are_heard_before_the_text_ends(
    server: RunningServer, checker: SpeechChecker
) -> None:
    recording = TimedRecording()
    async with (
        AsyncCartesia(
            api_key="any", base_url=server.http, websocket_base_url=server.ws
        ) as async_client,
        async_client.tts.websocket_connect() as connection,
    ):
        context = connection.context(**REQUEST)
        ended_s = asyncio.create_task(write(context))
        await asyncio.sleep(0.1)  # the SDK reads only after a message was sent
        async for event in context.receive():
            if event.type == "chunk":
                recording.add_piece(event.audio or b"")
        assert recording.first_s < await ended_s, "no audio before the text was complete"
    checker.expect_speech(recording.clip("s16le", 24000), SENTENCE)


async def write(context: Any) -> float:
    """Push tokens as a model writes them; returns the time of the last."""
    for n, token in enumerate(SENTENCE.split(" ")):
        await asyncio.sleep(0.06)
        await context.push(" " * bool(n) + token)
    await context.no_more_inputs()
    return time.perf_counter()


def test_two_utterances_on_one_connection_with_timestamps_and_flush(
    client: Cartesia, checker: SpeechChecker
) -> None:
    with client.tts.websocket_connect() as connection:
        for n in range(2):
            context = connection.context(**REQUEST, add_timestamps=True)
            context.push("Hello there, old friend. ")
            context.push("", flush=True)
            context.push("How are you doing today?")
            context.no_more_inputs()
            data, words, kinds = b"", [], []
            for event in context.receive():
                kinds.append(event.type)
                if event.type == "chunk":
                    data += event.audio or b""
                elif event.type == "timestamps":
                    times = event.word_timestamps
                    words += list(zip(times.words, times.start, strict=True))
                elif event.type == "flush_done":
                    assert event.flush_id == 1
                    flushed = decode(data, "s16le", 24000)
            assert kinds[-1] == "done"
            assert kinds.count("flush_done") == 1
            text = "Hello there, old friend. How are you doing today?"
            expect_timed(checker, decode(data, "s16le", 24000), text, words)
            rate, transcript = checker.word_error_rate(flushed, "Hello there, old friend.")
            assert rate == 0, f"flush {n}: {transcript!r}"


def test_concurrent_contexts_are_separate(client: Cartesia, checker: SpeechChecker) -> None:
    texts = [HELLO, STORY]
    with client.tts.websocket_connect() as connection:
        contexts = [connection.context(**REQUEST) for _ in texts]
        for context, text in zip(contexts, texts, strict=True):
            context.push(text, continue_=False)
        for context, text in zip(contexts, texts, strict=True):
            data = b"".join(e.audio or b"" for e in context.receive() if e.type == "chunk")
            checker.expect_speech(decode(data, "s16le", 24000), text)


def test_cancelled_context_has_no_more_audio(client: Cartesia, checker: SpeechChecker) -> None:
    with client.tts.websocket_connect() as connection:
        long = " ".join([STORY] * 60)
        connection.send({**REQUEST, "context_id": "long", "transcript": long, "continue": False})
        assert connection.recv().type == "chunk"
        connection.send({"context_id": "long", "cancel": True})
        connection.send({**REQUEST, "context_id": "short", "transcript": HELLO, "continue": False})
        received: list[tuple[str, str]] = []
        data = b""
        while not received or received[-1] != ("short", "done"):
            event = connection.recv()
            received.append((event.context_id, event.type))
            if received[-1] == ("short", "chunk"):
                data += event.audio or b""
    assert ("long", "done") not in received
    late = received[received.index(("short", "chunk")) :]
    assert all(name == "short" for name, _ in late)
    checker.expect_speech(decode(data, "s16le", 24000), HELLO)


def test_older_bytes_interface_works(client: Cartesia, checker: SpeechChecker) -> None:
    data = b"".join(client.tts.bytes(**REQUEST, transcript=HELLO))
    checker.expect_speech(decode(data, "s16le", 24000), HELLO)


# --- errors ---------------------------------------------------------------------------------------


def test_unknown_voice_error_lists_the_voices(client: Cartesia) -> None:
    with pytest.raises(NotFoundError, match="heart"):
        client.tts.generate(**{**REQUEST, "voice": "haert"}, transcript=HELLO)
    with client.tts.websocket_connect() as connection:
        bad, good = (connection.context(**{**REQUEST, "voice": v}) for v in ("haert", "heart"))
        bad.push(HELLO, continue_=False)
        good.push(HELLO, continue_=False)
        (error,) = bad.receive()
        assert error.type == "error"
        assert "heart" in error.message
        received = [event.type for event in good.receive()]
        assert (received[0], received[-1]) == ("chunk", "done"), (
            "no messages of the other context in between"
        )


def test_wrong_key_is_refused(keyed_server: RunningServer) -> None:
    with Cartesia(
        api_key=WRONG_KEY, base_url=keyed_server.http, websocket_base_url=keyed_server.ws
    ) as wrong:
        with pytest.raises(APIStatusError) as caught:
            wrong.tts.generate(**REQUEST, transcript=HELLO)
        assert caught.value.status_code == 401
        with pytest.raises(InvalidStatus), wrong.tts.websocket_connect():
            pass


def test_right_key_is_accepted(keyed_server: RunningServer, checker: SpeechChecker) -> None:
    with Cartesia(
        api_key=keyed_server.key, base_url=keyed_server.http, websocket_base_url=keyed_server.ws
    ) as right:
        checker.expect_speech(
            decode(right.tts.generate(**REQUEST, transcript=HELLO).read(), "s16le", 24000), HELLO
        )


def test_pronunciation_dictionaries(client: Cartesia) -> None:
    items = [{"text": "Nguyen", "alias": "win"}, {"text": "bayou", "alias": "<<ˈ|b|aɪ|u>>"}]
    made = client.pronunciation_dicts.create(name="names", items=items)
    assert [item.text for item in made.items] == ["Nguyen", "bayou"]
    assert made.id in [each.id for each in client.pronunciation_dicts.list(limit=1)]
    changed = client.pronunciation_dicts.update(made.id, name="new", items=items[:1])
    assert client.pronunciation_dicts.retrieve(made.id) == changed
    spoken = client.tts.generate(**REQUEST, transcript="Nguyen.", pronunciation_dict_id=made.id)
    assert spoken.read()
    client.pronunciation_dicts.delete(made.id)
    with pytest.raises(NotFoundError):
        client.pronunciation_dicts.retrieve(made.id)
