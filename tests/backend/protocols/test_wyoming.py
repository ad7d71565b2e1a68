"""The Wyoming protocol, alone and on the TCP server with the fake engine."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.event import Event as WyomingEvent
from wyoming.event import Eventable, read_event
from wyoming.info import Describe, Info
from wyoming.ping import Ping as WyomingPing
from wyoming.ping import Pong as WyomingPong
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
    SynthesizeVoice,
)

from backend.application import create_app
from backend.errors import BadJson, BadMessage, ConfigError, DuplexError, Unsupported
from backend.events import (
    Audio,
    Command,
    Done,
    End,
    Failed,
    Ping,
    Pong,
    Ready,
    Start,
    Text,
    Voice,
)
from backend.protocols.base import Close
from backend.protocols.wyoming import MAX_BYTES, WyomingProtocol, read_lengths
from backend.transport.listener import listen
from tests.support.engines.fake_engine import CHARACTER_SAMPLES, FakeModel
from tests.support.live_server import LiveServer, live_server, wait_until

VOICES = [
    Voice("heart", "en-US", "American, female", ready=True),
    Voice("emma", "en-GB", "British, female", ready=False),
]
READY = Ready("session", "token", "heart", 24000, "pcm_s16le")


@pytest.fixture
def protocol() -> WyomingProtocol:
    translator = WyomingProtocol(VOICES)
    assert translator.encode(READY) == ()
    return translator


def serialize_event(event: Eventable) -> bytes:
    """As the server passes it on: a header line and the data."""
    wrapped = event.event()
    data = json.dumps(wrapped.data).encode()
    header = json.dumps({"type": wrapped.type, "data_length": len(data)}).encode()
    return header + b"\n" + data


def decode_events(protocol: WyomingProtocol, *events: Eventable) -> list[Command]:
    return [command for event in events for command in protocol.decode(serialize_event(event))]


def encode_events(protocol: WyomingProtocol, *events: Any) -> list[WyomingEvent | Close]:
    messages: list[WyomingEvent | Close] = []
    for event in events:
        for sent in protocol.encode(event):
            if isinstance(sent, Close):
                messages.append(sent)
            else:
                assert isinstance(sent, bytes)
                read = read_event(io.BytesIO(sent))
                assert read is not None
                messages.append(read)
    return messages


def event_types(messages: Sequence[WyomingEvent | Close]) -> list[str]:
    return ["(close)" if isinstance(message, Close) else message.type for message in messages]


def audio_event(start_ms: float = 0.0, data: bytes = b"\1\2") -> Audio:
    return Audio("1", 0, start_ms, 10.0, (0, 1), (), data)


DONE = Done("1", 20.0, 5, 1)

# --- the protocol ---------------------------------------------------------------------------------


def test_describe_lists_voices_and_streaming_support(protocol: WyomingProtocol) -> None:
    (ping,) = decode_events(protocol, Describe())
    assert isinstance(ping, Ping)
    (event,) = encode_events(protocol, Pong(ping.id))
    assert isinstance(event, WyomingEvent)
    (program,) = Info.from_event(event).tts
    assert program.installed
    assert program.supports_synthesize_streaming
    assert [(v.name, v.languages, v.installed) for v in program.voices] == [
        ("heart", ["en-US"], True),
        ("emma", ["en-GB"], False),
    ]


def test_a_voice_is_offered_in_every_language_that_it_speaks() -> None:
    voice = Voice("default", "en", "", ready=True, other_languages=("ar", "de"))
    protocol = WyomingProtocol([voice])
    (event,) = encode_events(protocol, Pong("info"))
    assert isinstance(event, WyomingEvent)
    (program,) = Info.from_event(event).tts
    assert program.voices[0].languages == ["en", "ar", "de"]


@pytest.mark.parametrize("text", ["hello", "info", None])
def test_ping_is_answered_with_its_text(protocol: WyomingProtocol, text: str | None) -> None:
    (ping,) = decode_events(protocol, WyomingPing(text))
    assert isinstance(ping, Ping)
    (event,) = encode_events(protocol, Pong(ping.id))
    assert isinstance(event, WyomingEvent)
    assert WyomingPong.from_event(event).text == text


def test_whole_text_is_spoken_between_start_and_stop(protocol: WyomingProtocol) -> None:
    event = Synthesize("Hello.", SynthesizeVoice(name="emma", speaker="any"))
    assert decode_events(protocol, event) == [
        Start("1", voice="emma", mode="stream"),
        Text("1", "Hello."),
        End("1"),
    ]
    events = encode_events(protocol, audio_event(), audio_event(10.0), DONE)
    assert event_types(events) == ["audio-start", "audio-chunk", "audio-chunk", "audio-stop"]
    start, _, second, stop = (message for message in events if isinstance(message, WyomingEvent))
    assert AudioStart.from_event(start) == AudioStart(24000, 2, 1, 0)
    assert AudioChunk.from_event(second) == AudioChunk(24000, 2, 1, b"\1\2", 10)
    assert AudioStop.from_event(stop).timestamp == 20


def test_home_assistants_event_order_speaks_the_text_once(protocol: WyomingProtocol) -> None:
    assert decode_events(
        protocol,
        SynthesizeStart(voice=SynthesizeVoice(language="en-GB")),
        SynthesizeChunk("Hello "),
        SynthesizeChunk("there."),
        Synthesize("Hello there."),
        SynthesizeStop(),
    ) == [
        Start("1", language="en-GB", mode="stream"),
        Text("1", "Hello "),
        Text("1", "there."),
        End("1"),
    ]
    assert event_types(encode_events(protocol, audio_event(), DONE)) == [
        "audio-start",
        "audio-chunk",
        "audio-stop",
        "synthesize-stopped",
    ]


def test_silent_text_gets_start_and_stop(protocol: WyomingProtocol) -> None:
    decode_events(protocol, Synthesize(""))
    assert event_types(encode_events(protocol, audio_event(data=b""), DONE)) == [
        "audio-start",
        "audio-stop",
    ]


def test_next_text_has_its_own_context(protocol: WyomingProtocol) -> None:
    decode_events(protocol, SynthesizeStart(), SynthesizeStop())
    encode_events(protocol, DONE)
    start, *_ = decode_events(protocol, Synthesize("Next."))
    assert isinstance(start, Start)
    assert start.context == "2"
    events = encode_events(
        protocol, Audio("2", 0, 0.0, 1.0, (0, 1), (), b"\1\2"), Done("2", 1.0, 5, 1)
    )
    assert event_types(events) == ["audio-start", "audio-chunk", "audio-stop"]


@pytest.mark.parametrize("event", [Synthesize("Two."), SynthesizeStart()])
def test_second_text_during_speech_is_refused(protocol: WyomingProtocol, event: Eventable) -> None:
    decode_events(protocol, Synthesize("One."))
    with pytest.raises(BadMessage, match="one text at a time"):
        decode_events(protocol, event)


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (serialize_event(Synthesize("Hi", text_format="xml")), Unsupported),
        (serialize_event(SynthesizeChunk("without a start")), BadMessage),
        (b'{"type": "synthesize"}\n', BadMessage),
        (b'{"type": "synthesize", "data": {"text": 5}}\n', BadMessage),
        (b'{"type": "synthesize", "data": {"text": "\\ud83d"}}\n', BadJson),
        (b'{"type": "synthesize"}\n{"text": "\\ud83d"}', BadJson),
        (b'{"type": "synthesize"}\n[1]', BadMessage),
        (b'{"type": "ping"}\n{"text": []}', BadMessage),
    ],
)
def test_invalid_event_is_refused(
    protocol: WyomingProtocol, sent: bytes, error: type[DuplexError]
) -> None:
    with pytest.raises(error):
        protocol.decode(sent)
    assert event_types(encode_events(protocol, Failed(None, error.code, "why"))) == ["error"]


@pytest.mark.parametrize("kind", ["transcribe", "select-program", "synthesize-stop", "nonsense"])
def test_unrelated_events_are_ignored(protocol: WyomingProtocol, kind: str) -> None:
    assert protocol.decode(json.dumps({"type": kind}).encode() + b"\n") == ()


def test_fatal_error_closes_the_connection(protocol: WyomingProtocol) -> None:
    decode_events(protocol, Synthesize("Long."))
    assert event_types(encode_events(protocol, Failed("1", "text_limit", "too long"))) == [
        "error",
        "(close)",
    ]


@pytest.mark.parametrize("code", ["timeout", "engine_failed", "text_limit"])
def test_failed_sentence_does_not_end_the_stream(protocol: WyomingProtocol, code: str) -> None:
    decode_events(protocol, SynthesizeStart())
    (event,) = encode_events(protocol, Failed("1", code, "why"))
    assert isinstance(event, WyomingEvent)
    assert Error.from_event(event) == Error("why", code)


def test_lengths_after_a_header_are_bounded() -> None:
    assert read_lengths(b'{"type": "a"}\n') == (0, 0)
    assert read_lengths(b'{"type": "a", "data_length": 5, "payload_length": null}\n') == (5, 0)
    for header in (
        b"GET / HTTP/1.1\r\n",
        b"{}\n",
        b'{"type": "a", "data_length": -1}\n',
        b'{"type": "a", "payload_length": %d}\n' % (MAX_BYTES + 1),
    ):
        with pytest.raises((BadJson, BadMessage)):
            read_lengths(header)


# --- on the server --------------------------------------------------------------------------------


def find_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@asynccontextmanager
async def run_wyoming_server(**sections: Any) -> AsyncIterator[tuple[LiveServer, int]]:
    """Run a server with Wyoming; yields it and the port."""
    port = find_free_port()
    async with live_server(wyoming={"port": port}, **sections) as live:
        yield live, port


async def read_audio(client: AsyncTcpClient, until: type[Eventable]) -> tuple[bytes, list[str]]:
    """Read to an event; returns the audio and the event types, consecutive chunks as one."""
    audio = b""
    types: list[str] = []
    async with asyncio.timeout(20):
        while True:
            event = await client.read_event()
            assert event is not None, f"closed after {types}"
            if AudioChunk.is_type(event.type):
                audio += AudioChunk.from_event(event).audio
            if not types or types[-1] != event.type:
                types.append(event.type)
            if until.is_type(event.type):
                return audio, types


def speech_bytes(text: str) -> int:
    """The number of bytes that speak the text."""
    return sum(not character.isspace() for character in text) * CHARACTER_SAMPLES * 2


async def test_texts_are_spoken_in_turn_on_one_connection() -> None:
    async with run_wyoming_server() as (_, port), AsyncTcpClient("127.0.0.1", port) as client:
        for text in ("Hello there.", "And once more."):
            await client.write_event(Synthesize(text).event())
            audio, types = await read_audio(client, AudioStop)
            assert types == ["audio-start", "audio-chunk", "audio-stop"]
            assert len(audio) == speech_bytes(text)


async def test_speech_starts_before_the_text_ends() -> None:
    async with run_wyoming_server() as (_, port), AsyncTcpClient("127.0.0.1", port) as client:
        await client.write_event(SynthesizeStart().event())
        await client.write_event(SynthesizeChunk("The first sentence. And ").event())
        _, types = await read_audio(client, AudioChunk)
        assert types == ["audio-start", "audio-chunk"]
        await client.write_event(SynthesizeChunk("more.").event())
        await client.write_event(Synthesize("The first sentence. And more.").event())
        await client.write_event(SynthesizeStop().event())
        _, types = await read_audio(client, SynthesizeStopped)
        assert types == ["audio-chunk", "audio-stop", "synthesize-stopped"]


async def test_disconnect_during_speech_releases_everything() -> None:
    async with run_wyoming_server() as (live, port):
        async with AsyncTcpClient("127.0.0.1", port) as client:
            await client.write_event(Synthesize("word " * 2000).event())
            await read_audio(client, AudioChunk)
            assert len(live.connections.sessions()) == 1
        await wait_until(lambda: not live.connections.sessions())
        await wait_until(lambda: live.model.open_utterances == 0)


async def read_to_end(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(10):
        return await reader.read()


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST / HTTP/1.1\r\n\r\n" + b'{"type": "describe"}\n',
        b"\0\1\2\n",
        b"[" * 100_000 + b"\n",
        b"x" * (MAX_BYTES + 10),
        b'{"type": "describe", "payload_length": 99999999999}\n',
    ],
    ids=["http", "post", "binary", "deep", "endless", "huge"],
)
async def test_garbage_closes_only_its_connection(garbage: bytes) -> None:
    async with run_wyoming_server() as (live, port), AsyncTcpClient("127.0.0.1", port) as client:
        await client.write_event(Describe().event())
        await read_audio(client, Info)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(garbage)
        with suppress(ConnectionResetError):  # some input was unread
            assert await read_to_end(reader) == b""
        writer.close()
        await wait_until(lambda: len(live.connections.sessions()) == 1)
        await client.write_event(Synthesize("Undisturbed.").event())
        audio, _ = await read_audio(client, AudioStop)
        assert len(audio) == speech_bytes("Undisturbed.")


async def test_reset_within_an_event_releases_everything() -> None:
    async with run_wyoming_server() as (live, port):
        for sent in (b'{"type": "synth', b'{"type": "synthesize", "data_length": 100}\n{'):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            await writer.drain()
            await wait_until(lambda: len(live.connections.sessions()) == 1)
            linger = struct.pack("ii", 1, 0)  # close with a reset
            raw: socket.socket = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.close()
            await wait_until(lambda: not live.connections.sessions())


@pytest.mark.parametrize("sent", [b"", b'{"type"', b'{"type": "synthesize", "data_length": 9}\n{'])
async def test_connection_without_an_event_in_time_is_closed(sent: bytes) -> None:
    async with (
        run_wyoming_server(server={"request_timeout": 0.3}) as (live, port),
        AsyncTcpClient("127.0.0.1", port) as client,
    ):
        await client.write_event(Describe().event())
        await read_audio(client, Info)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        assert await read_to_end(reader) == b""
        writer.close()
        await wait_until(lambda: len(live.connections.sessions()) == 1)
        await client.write_event(Synthesize("Hi.").event())  # an idle connection stays open
        assert (await read_audio(client, AudioStop))[0]


async def test_connections_per_address_are_limited() -> None:
    async with run_wyoming_server(server={"connections_per_address": 1}) as (live, port):
        for _ in range(2):
            async with AsyncTcpClient("127.0.0.1", port) as client:
                await client.write_event(Describe().event())
                await read_audio(client, Info)
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                with suppress(ConnectionResetError):
                    assert await read_to_end(reader) == b""
                writer.close()
            await wait_until(lambda: not live.connections.sessions())


async def test_unknown_voice_gets_an_error_and_a_close() -> None:
    async with run_wyoming_server() as (_, port), AsyncTcpClient("127.0.0.1", port) as client:
        await client.write_event(Synthesize("Hi.", SynthesizeVoice(name="nobody")).event())
        event = await client.read_event()
        assert event is not None
        assert Error.from_event(event).code == "unknown_voice"
        assert await client.read_event() is None


async def test_wyoming_counts_toward_max_connections() -> None:
    async with (
        run_wyoming_server(server={"max_connections": 1}) as (live, port),
        live.connect(),
        AsyncTcpClient("127.0.0.1", port) as client,
    ):
        event = await client.read_event()
        assert event is not None
        assert Error.from_event(event).code == "overloaded"
        assert await client.read_event() is None


async def test_wyoming_needs_no_key_on_this_machine() -> None:
    async with (
        run_wyoming_server(access={"api_keys": "one"}) as (_, port),
        AsyncTcpClient("127.0.0.1", port) as client,
    ):
        await client.write_event(Synthesize("Hello.").event())
        audio, _ = await read_audio(client, AudioStop)
        assert len(audio) == speech_bytes("Hello.")


async def test_shutdown_waits_for_running_speech() -> None:
    async with run_wyoming_server() as (live, port), AsyncTcpClient("127.0.0.1", port) as client:
        await client.write_event(Synthesize("word " * 200).event())
        await read_audio(client, AudioChunk)
        live.request_shutdown()
        _, types = await read_audio(client, AudioStop)
        assert types[-1] == "audio-stop"
        assert await client.read_event() is None


async def test_idle_connection_does_not_delay_shutdown() -> None:
    async with run_wyoming_server() as (live, port), AsyncTcpClient("127.0.0.1", port) as client:
        live.request_shutdown()
        async with asyncio.timeout(10):
            await live.serving
        assert await client.read_event() is None


async def test_operator_can_end_a_session() -> None:
    async with run_wyoming_server() as (live, port), AsyncTcpClient("127.0.0.1", port) as client:
        await client.write_event(Describe().event())
        await read_audio(client, Info)
        (session,) = live.connections.sessions()
        assert live.connections.end_session(session.id)
        event = await client.read_event()
        assert event is not None
        assert Error.from_event(event).code == "session_ended"
        assert await client.read_event() is None


async def test_slow_reader_gets_all_audio() -> None:
    text = "word " * 3000
    async with run_wyoming_server() as (live, port):
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(sock=raw, limit=1 << 18)
        client = AsyncTcpClient("127.0.0.1", port)
        client._reader, client._writer = reader, writer
        await client.write_event(Synthesize(text).event())
        await wait_until(lambda: live.connections.queued_messages >= 20, within_s=20)
        audio, _ = await read_audio(client, AudioStop)
        assert len(audio) == speech_bytes(text)
        await client.disconnect()


def test_port_in_use_prevents_startup() -> None:
    from backend.config import Settings

    with listen("127.0.0.1", 0) as taken:
        settings = Settings.model_validate({"wyoming": {"port": taken.getsockname()[1]}})
        with pytest.raises(ConfigError, match="port"):
            create_app(settings, FakeModel())
