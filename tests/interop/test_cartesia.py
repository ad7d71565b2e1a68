"""The cartesia SDK: what an application hears that only changed its URL."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cartesia import APIStatusError, AsyncCartesia, Cartesia, NotFoundError
from websockets.exceptions import InvalidStatus

from tests.interop.conftest import WRONG_KEY
from tests.interop.listening import HELLO, SENTENCE, STORY, Ear, Recording, decode
from tests.interop.live_servers import Server
from tests.interop.timing import expect_timed

KATIE = "f786b574-daa5-4673-aa0c-cbe3e8534c02"  # one of the vendor's
PCM = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24000}
ASK: dict[str, Any] = {"model_id": "sonic-3", "voice": KATIE, "output_format": PCM}


@pytest.fixture
def client(server: Server) -> Iterator[Cartesia]:
    with Cartesia(api_key="any", base_url=server.http, websocket_base_url=server.ws) as made:
        yield made


# --- over HTTP -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "container", "rate_hz"),
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
def test_every_format_says_the_text(
    client: Cartesia, ear: Ear, wanted: dict[str, Any], container: str, rate_hz: int | None
) -> None:
    answer = client.tts.generate(**{**ASK, "output_format": wanted}, transcript=STORY)
    ear.expect(decode(answer.read(), container, rate_hz), STORY)


def test_bytes_are_heard_long_before_they_are_complete(client: Cartesia) -> None:
    recording = Recording()
    asked_s = time.perf_counter()
    with client.tts.with_streaming_response.generate(
        **ASK, transcript=" ".join([STORY] * 5)
    ) as answer:
        for piece in answer.iter_bytes():
            recording.add(piece)
    assert recording.first_s - asked_s < 0.5 * (time.perf_counter() - asked_s)


def test_events_bring_audio_and_the_times_of_the_words(client: Cartesia, ear: Ear) -> None:
    data, words, kinds = b"", [], []
    for event in client.tts.generate_sse(**ASK, transcript=STORY, add_timestamps=True):
        kinds.append(event.type)
        if event.type == "chunk":
            data += event.audio or b""
        elif event.type == "timestamps":
            words += list(
                zip(event.word_timestamps.words, event.word_timestamps.start, strict=True)
            )
    assert kinds[-1] == "done"
    expect_timed(ear, decode(data, "s16le", 24000), STORY, words)


def test_speed_is_heard(client: Cartesia) -> None:
    seconds = [
        decode(
            client.tts.generate(**ASK, transcript=STORY, generation_config={"speed": speed}).read(),
            "s16le",
            24000,
        ).duration_s
        for speed in (1.0, 1.4)
    ]
    assert seconds[0] / seconds[1] == pytest.approx(1.4, rel=0.07)


# --- over a WebSocket ----------------------------------------------------------------------------


async def test_tokens_are_heard_before_the_text_is_written(server: Server, ear: Ear) -> None:
    recording = Recording()
    async with (
        AsyncCartesia(
            api_key="any", base_url=server.http, websocket_base_url=server.ws
        ) as async_client,
        async_client.tts.websocket_connect() as connection,
    ):
        context = connection.context(**ASK)
        ended_s = asyncio.create_task(write(context))
        await asyncio.sleep(0.1)  # the SDK reads only once something was sent
        async for event in context.receive():
            if event.type == "chunk":
                recording.add(event.audio or b"")
        assert recording.first_s < await ended_s, "it was finished before a word was heard"
    ear.expect(recording.sound("s16le", 24000), SENTENCE)


async def write(context: Any) -> float:
    """As a model writes it, a token at a time; returns when the last was sent."""
    for n, token in enumerate(SENTENCE.split(" ")):
        await asyncio.sleep(0.06)
        await context.push(" " * bool(n) + token)
    await context.no_more_inputs()
    return time.perf_counter()


def test_two_utterances_on_one_connection_with_timestamps_and_flush(
    client: Cartesia, ear: Ear
) -> None:
    with client.tts.websocket_connect() as connection:
        for n in range(2):
            context = connection.context(**ASK, add_timestamps=True)
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
            expect_timed(ear, decode(data, "s16le", 24000), text, words)
            rate, heard = ear.word_error_rate(flushed, "Hello there, old friend.")
            assert rate == 0, f"flush {n}: {heard!r}"


def test_contexts_side_by_side_keep_to_themselves(client: Cartesia, ear: Ear) -> None:
    texts = [HELLO, STORY]
    with client.tts.websocket_connect() as connection:
        contexts = [connection.context(**ASK) for _ in texts]
        for context, text in zip(contexts, texts, strict=True):
            context.push(text, continue_=False)
        for context, text in zip(contexts, texts, strict=True):
            data = b"".join(e.audio or b"" for e in context.receive() if e.type == "chunk")
            ear.expect(decode(data, "s16le", 24000), text)


def test_nothing_is_heard_after_a_cancel(client: Cartesia, ear: Ear) -> None:
    with client.tts.websocket_connect() as connection:
        long = " ".join([STORY] * 60)
        connection.send({**ASK, "context_id": "long", "transcript": long, "continue": False})
        assert connection.recv().type == "chunk"
        connection.send({"context_id": "long", "cancel": True})
        connection.send({**ASK, "context_id": "short", "transcript": HELLO, "continue": False})
        heard: list[tuple[str, str]] = []
        data = b""
        while not heard or heard[-1] != ("short", "done"):
            event = connection.recv()
            heard.append((event.context_id, event.type))
            if heard[-1] == ("short", "chunk"):
                data += event.audio or b""
    assert ("long", "done") not in heard
    late = heard[heard.index(("short", "chunk")) :]
    assert all(name == "short" for name, _ in late)
    ear.expect(decode(data, "s16le", 24000), HELLO)


def test_the_interface_of_older_versions_works_too(client: Cartesia, ear: Ear) -> None:
    data = b"".join(client.tts.bytes(**ASK, transcript=HELLO))
    ear.expect(decode(data, "s16le", 24000), HELLO)


# --- what goes wrong -----------------------------------------------------------------------------


def test_a_voice_that_nobody_has_is_an_error_with_those_there_are(client: Cartesia) -> None:
    with pytest.raises(NotFoundError, match="heart"):
        client.tts.generate(**{**ASK, "voice": "haert"}, transcript=HELLO)
    with client.tts.websocket_connect() as connection:
        bad, good = (connection.context(**{**ASK, "voice": v}) for v in ("haert", "heart"))
        bad.push(HELLO, continue_=False)
        good.push(HELLO, continue_=False)
        (error,) = bad.receive()
        assert error.type == "error"
        assert "heart" in error.message
        heard = [event.type for event in good.receive()]
        assert (heard[0], heard[-1]) == ("chunk", "done"), "of the other nothing comes in between"


def test_a_wrong_key_is_refused(guarded: Server) -> None:
    with Cartesia(api_key=WRONG_KEY, base_url=guarded.http, websocket_base_url=guarded.ws) as wrong:
        with pytest.raises(APIStatusError) as caught:
            wrong.tts.generate(**ASK, transcript=HELLO)
        assert caught.value.status_code == 401
        with pytest.raises(InvalidStatus), wrong.tts.websocket_connect():
            pass


def test_the_right_key_is_heard(guarded: Server, ear: Ear) -> None:
    with Cartesia(
        api_key=guarded.key, base_url=guarded.http, websocket_base_url=guarded.ws
    ) as right:
        ear.expect(
            decode(right.tts.generate(**ASK, transcript=HELLO).read(), "s16le", 24000), HELLO
        )
