"""Home Assistant's protocol: the translator alone, then the TCP server with the fake engine."""

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
from backend.main import create_app, listen
from backend.protocols.base import Close
from backend.protocols.wyoming import MAX_BYTES, WyomingProtocol, lengths
from tests.support.engines.fake_engine import CHARACTER_SAMPLES, FakeModel
from tests.support.live_server import Live, eventually, live_server

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


def message(event: Eventable) -> bytes:
    """As the server hands it on: a header line and the data."""
    wrapped = event.event()
    data = json.dumps(wrapped.data).encode()
    header = json.dumps({"type": wrapped.type, "data_length": len(data)}).encode()
    return header + b"\n" + data


def say(protocol: WyomingProtocol, *events: Eventable) -> list[Command]:
    return [command for event in events for command in protocol.decode(message(event))]


def told(protocol: WyomingProtocol, *events: Any) -> list[WyomingEvent | Close]:
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


def types(messages: Sequence[WyomingEvent | Close]) -> list[str]:
    return ["(close)" if isinstance(each, Close) else each.type for each in messages]


def audio(start_ms: float = 0.0, data: bytes = b"\1\2") -> Audio:
    return Audio("1", 0, start_ms, 10.0, (0, 1), (), data)


DONE = Done("1", 20.0, 5, 1)

# --- the translator -------------------------------------------------------------------------------


def test_describe_tells_the_voices_and_that_text_may_stream(protocol: WyomingProtocol) -> None:
    (ping,) = say(protocol, Describe())
    assert isinstance(ping, Ping)
    (event,) = told(protocol, Pong(ping.id))
    assert isinstance(event, WyomingEvent)
    (program,) = Info.from_event(event).tts
    assert program.installed
    assert program.supports_synthesize_streaming
    assert [(v.name, v.languages, v.installed) for v in program.voices] == [
        ("heart", ["en-US"], True),
        ("emma", ["en-GB"], False),
    ]


@pytest.mark.parametrize("text", ["hello", "info", None])
def test_a_ping_is_answered_with_its_text(protocol: WyomingProtocol, text: str | None) -> None:
    (ping,) = say(protocol, WyomingPing(text))
    assert isinstance(ping, Ping)
    (event,) = told(protocol, Pong(ping.id))
    assert isinstance(event, WyomingEvent)
    assert WyomingPong.from_event(event).text == text


def test_a_whole_text_is_spoken_between_start_and_stop(protocol: WyomingProtocol) -> None:
    asked = Synthesize("Hello.", SynthesizeVoice(name="emma", speaker="any"))
    assert say(protocol, asked) == [
        Start("1", voice="emma", mode="stream"),
        Text("1", "Hello."),
        End("1"),
    ]
    heard = told(protocol, audio(), audio(10.0), DONE)
    assert types(heard) == ["audio-start", "audio-chunk", "audio-chunk", "audio-stop"]
    start, _, second, stop = (each for each in heard if isinstance(each, WyomingEvent))
    assert AudioStart.from_event(start) == AudioStart(24000, 2, 1, 0)
    assert AudioChunk.from_event(second) == AudioChunk(24000, 2, 1, b"\1\2", 10)
    assert AudioStop.from_event(stop).timestamp == 20


def test_home_assistants_order_speaks_the_text_once(protocol: WyomingProtocol) -> None:
    assert say(
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
    assert types(told(protocol, audio(), DONE)) == [
        "audio-start",
        "audio-chunk",
        "audio-stop",
        "synthesize-stopped",
    ]


def test_a_text_without_sound_is_answered_too(protocol: WyomingProtocol) -> None:
    say(protocol, Synthesize(""))
    assert types(told(protocol, audio(data=b""), DONE)) == ["audio-start", "audio-stop"]


def test_the_next_text_has_a_context_of_its_own(protocol: WyomingProtocol) -> None:
    say(protocol, SynthesizeStart(), SynthesizeStop())
    told(protocol, DONE)
    start, *_ = say(protocol, Synthesize("Next."))
    assert isinstance(start, Start)
    assert start.context == "2"
    heard = told(protocol, Audio("2", 0, 0.0, 1.0, (0, 1), (), b"\1\2"), Done("2", 1.0, 5, 1))
    assert types(heard) == ["audio-start", "audio-chunk", "audio-stop"]


@pytest.mark.parametrize("asked", [Synthesize("Two."), SynthesizeStart()])
def test_a_second_text_while_one_is_spoken_is_refused(
    protocol: WyomingProtocol, asked: Eventable
) -> None:
    say(protocol, Synthesize("One."))
    with pytest.raises(BadMessage, match="one text at a time"):
        say(protocol, asked)


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (message(Synthesize("<speak>Hi</speak>", text_format="ssml")), Unsupported),
        (message(SynthesizeChunk("without a start")), BadMessage),
        (b'{"type": "synthesize"}\n', BadMessage),
        (b'{"type": "synthesize", "data": {"text": 5}}\n', BadMessage),
        (b'{"type": "synthesize", "data": {"text": "\\ud83d"}}\n', BadJson),
        (b'{"type": "synthesize"}\n{"text": "\\ud83d"}', BadJson),
        (b'{"type": "synthesize"}\n[1]', BadMessage),
        (b'{"type": "ping"}\n{"text": []}', BadMessage),
    ],
)
def test_what_makes_no_sense_is_refused(
    protocol: WyomingProtocol, sent: bytes, error: type[DuplexError]
) -> None:
    with pytest.raises(error):
        protocol.decode(sent)
    assert types(told(protocol, Failed(None, error.code, "why"))) == ["error"]


@pytest.mark.parametrize("kind", ["transcribe", "select-program", "synthesize-stop", "nonsense"])
def test_what_is_not_for_us_is_passed_over(protocol: WyomingProtocol, kind: str) -> None:
    assert protocol.decode(json.dumps({"type": kind}).encode() + b"\n") == ()


def test_who_would_wait_forever_is_hung_up_on(protocol: WyomingProtocol) -> None:
    say(protocol, Synthesize("Long."))
    assert types(told(protocol, Failed("1", "text_limit", "too long"))) == ["error", "(close)"]


@pytest.mark.parametrize("code", ["timeout", "engine_failed", "text_limit"])
def test_a_stream_that_loses_a_sentence_goes_on(protocol: WyomingProtocol, code: str) -> None:
    say(protocol, SynthesizeStart())
    (event,) = told(protocol, Failed("1", code, "why"))
    assert isinstance(event, WyomingEvent)
    assert Error.from_event(event) == Error("why", code)


def test_the_lengths_behind_a_header_are_bounded() -> None:
    assert lengths(b'{"type": "a"}\n') == (0, 0)
    assert lengths(b'{"type": "a", "data_length": 5, "payload_length": null}\n') == (5, 0)
    for header in (
        b"GET / HTTP/1.1\r\n",
        b"{}\n",
        b'{"type": "a", "data_length": -1}\n',
        b'{"type": "a", "payload_length": %d}\n' % (MAX_BYTES + 1),
    ):
        with pytest.raises((BadJson, BadMessage)):
            lengths(header)


# --- at the server --------------------------------------------------------------------------------


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@asynccontextmanager
async def home(**sections: Any) -> AsyncIterator[tuple[Live, int]]:
    """A server with Wyoming, and its port."""
    port = free_port()
    async with live_server(wyoming={"port": port}, **sections) as live:
        yield live, port


async def heard(client: AsyncTcpClient, until: type[Eventable]) -> tuple[bytes, list[str]]:
    """The sound up to an event, and the types of all events, chunks as one."""
    sound = b""
    seen: list[str] = []
    async with asyncio.timeout(20):
        while True:
            event = await client.read_event()
            assert event is not None, f"hung up after {seen}"
            if AudioChunk.is_type(event.type):
                sound += AudioChunk.from_event(event).audio
            if not seen or seen[-1] != event.type:
                seen.append(event.type)
            if until.is_type(event.type):
                return sound, seen


def sound_of(text: str) -> int:
    """How many bytes speak the text."""
    return sum(not character.isspace() for character in text) * CHARACTER_SAMPLES * 2


async def test_texts_follow_each_other_on_one_connection() -> None:
    async with home() as (_, port), AsyncTcpClient("127.0.0.1", port) as client:
        for text in ("Hello there.", "And once more."):
            await client.write_event(Synthesize(text).event())
            sound, seen = await heard(client, AudioStop)
            assert seen == ["audio-start", "audio-chunk", "audio-stop"]
            assert len(sound) == sound_of(text)


async def test_speech_begins_before_the_text_ends() -> None:
    async with home() as (_, port), AsyncTcpClient("127.0.0.1", port) as client:
        await client.write_event(SynthesizeStart().event())
        await client.write_event(SynthesizeChunk("The first sentence. And ").event())
        _, seen = await heard(client, AudioChunk)
        assert seen == ["audio-start", "audio-chunk"]
        await client.write_event(SynthesizeChunk("more.").event())
        await client.write_event(Synthesize("The first sentence. And more.").event())
        await client.write_event(SynthesizeStop().event())
        _, seen = await heard(client, SynthesizeStopped)
        assert seen == ["audio-chunk", "audio-stop", "synthesize-stopped"]


async def test_a_client_that_leaves_in_mid_speech_leaves_nothing_behind() -> None:
    async with home() as (live, port):
        async with AsyncTcpClient("127.0.0.1", port) as client:
            await client.write_event(Synthesize("word " * 2000).event())
            await heard(client, AudioChunk)
            assert len(live.connections.sessions()) == 1
        await eventually(lambda: not live.connections.sessions())
        await eventually(lambda: live.model.open_utterances == 0)


async def hung_up(reader: asyncio.StreamReader) -> bytes:
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
async def test_garbage_is_hung_up_on_and_disturbs_nobody(garbage: bytes) -> None:
    async with home() as (live, port), AsyncTcpClient("127.0.0.1", port) as client:
        await client.write_event(Describe().event())
        await heard(client, Info)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(garbage)
        with suppress(ConnectionResetError):  # it had sent more than was read
            assert await hung_up(reader) == b""
        writer.close()
        await eventually(lambda: len(live.connections.sessions()) == 1)
        await client.write_event(Synthesize("Undisturbed.").event())
        sound, _ = await heard(client, AudioStop)
        assert len(sound) == sound_of("Undisturbed.")


async def test_half_an_event_and_a_reset_leave_nothing_behind() -> None:
    async with home() as (live, port):
        for sent in (b'{"type": "synth', b'{"type": "synthesize", "data_length": 100}\n{'):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            await writer.drain()
            await eventually(lambda: len(live.connections.sessions()) == 1)
            linger = struct.pack("ii", 1, 0)  # leave with a reset
            raw: socket.socket = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.close()
            await eventually(lambda: not live.connections.sessions())


@pytest.mark.parametrize("sent", [b"", b'{"type"', b'{"type": "synthesize", "data_length": 9}\n{'])
async def test_who_sends_no_event_in_time_is_hung_up_on(sent: bytes) -> None:
    async with (
        home(server={"request_timeout": 0.3}) as (live, port),
        AsyncTcpClient("127.0.0.1", port) as client,
    ):
        await client.write_event(Describe().event())
        await heard(client, Info)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        assert await hung_up(reader) == b""
        writer.close()
        await eventually(lambda: len(live.connections.sessions()) == 1)
        await client.write_event(Synthesize("Hi.").event())  # one that waited may go on
        assert (await heard(client, AudioStop))[0]


async def test_an_address_has_as_many_connections_to_wyoming_as_elsewhere() -> None:
    async with home(server={"connections_per_address": 1}) as (live, port):
        for _ in range(2):
            async with AsyncTcpClient("127.0.0.1", port) as client:
                await client.write_event(Describe().event())
                await heard(client, Info)
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                with suppress(ConnectionResetError):
                    assert await hung_up(reader) == b""
                writer.close()
            await eventually(lambda: not live.connections.sessions())


async def test_an_unknown_voice_is_an_error_and_the_end() -> None:
    async with home() as (_, port), AsyncTcpClient("127.0.0.1", port) as client:
        await client.write_event(Synthesize("Hi.", SynthesizeVoice(name="nobody")).event())
        event = await client.read_event()
        assert event is not None
        assert Error.from_event(event).code == "unknown_voice"
        assert await client.read_event() is None


async def test_wyoming_counts_among_the_connections() -> None:
    async with (
        home(server={"max_connections": 1}) as (live, port),
        live.client(),
        AsyncTcpClient("127.0.0.1", port) as client,
    ):
        event = await client.read_event()
        assert event is not None
        assert Error.from_event(event).code == "overloaded"
        assert await client.read_event() is None


async def test_where_keys_are_set_this_machine_needs_none_for_wyoming() -> None:
    async with (
        home(access={"api_keys": "one"}) as (_, port),
        AsyncTcpClient("127.0.0.1", port) as client,
    ):
        await client.write_event(Synthesize("Hello.").event())
        sound, _ = await heard(client, AudioStop)
        assert len(sound) == sound_of("Hello.")


async def test_running_speech_ends_before_the_server_does() -> None:
    async with home() as (live, port), AsyncTcpClient("127.0.0.1", port) as client:
        await client.write_event(Synthesize("word " * 200).event())
        await heard(client, AudioChunk)
        live.stop()
        _, seen = await heard(client, AudioStop)
        assert seen[-1] == "audio-stop"
        assert await client.read_event() is None


async def test_who_only_waits_does_not_hold_up_the_end_of_the_server() -> None:
    async with home() as (live, port), AsyncTcpClient("127.0.0.1", port) as client:
        live.stop()
        async with asyncio.timeout(10):
            await live.serving
        assert await client.read_event() is None


async def test_a_session_is_ended_by_whoever_runs_the_server() -> None:
    async with home() as (live, port), AsyncTcpClient("127.0.0.1", port) as client:
        await client.write_event(Describe().event())
        await heard(client, Info)
        (session,) = live.connections.sessions()
        assert live.connections.end_session(session.id)
        event = await client.read_event()
        assert event is not None
        assert Error.from_event(event).code == "session_ended"
        assert await client.read_event() is None


async def test_a_slow_reader_is_waited_for_and_gets_all_of_it() -> None:
    text = "word " * 3000
    async with home() as (live, port):
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(sock=raw, limit=1 << 18)
        client = AsyncTcpClient("127.0.0.1", port)
        client._reader, client._writer = reader, writer
        await client.write_event(Synthesize(text).event())
        await eventually(lambda: live.connections.queued_messages >= 20, within_s=20)
        sound, _ = await heard(client, AudioStop)
        assert len(sound) == sound_of(text)
        await client.disconnect()


def test_a_port_that_is_taken_stops_the_start() -> None:
    from backend.config import Settings

    with listen("127.0.0.1", 0) as taken:
        settings = Settings.model_validate({"wyoming": {"port": taken.getsockname()[1]}})
        with pytest.raises(ConfigError, match="port"):
            create_app(settings, FakeModel())
