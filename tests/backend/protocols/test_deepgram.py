"""Deepgram's protocol, alone and on the real server with the fake engine."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from unittest.mock import ANY
from uuid import UUID

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from backend.errors import BadFormat, BadMessage, DuplexError, Unsupported
from backend.events import (
    Audio,
    Cancel,
    Cancelled,
    Command,
    Done,
    End,
    Failed,
    Flush,
    Flushed,
    Ping,
    Played,
    Pong,
    Ready,
    Start,
    Text,
    Voice,
)
from backend.protocols.base import Close
from backend.protocols.deepgram.query import (
    SpeakRequest,
    count_characters,
    decode_text,
    parse_file_query,
    parse_stream_query,
    pronounce_text,
)
from backend.protocols.deepgram.websocket import DeepgramProtocol, build_refusal
from backend.protocols.voice_names import find_voice
from tests.support.engines.fake_engine import CHARACTER_SAMPLES, FakeModel
from tests.support.live_server import LiveServer, live_server, wait_until

VOICES = (
    Voice("heart", "en-US", "", ready=True, gender="female"),
    Voice("emma", "en-GB", "", ready=True, gender="female"),
)


def find_test_voice(name: str) -> str:
    return find_voice(name, VOICES, "heart")


START = Start("", voice="emma", format="mulaw", mode="stream")


@pytest.fixture
def protocol() -> DeepgramProtocol:
    return DeepgramProtocol(SpeakRequest(START, "aura-2-thalia-en"))


def decode_message(protocol: DeepgramProtocol, kind: str, **fields: object) -> tuple[Command, ...]:
    return tuple(protocol.decode(json.dumps({"type": kind, **fields})))


def encode_events(protocol: DeepgramProtocol, *events: Any) -> list[Any]:
    """Encode the events; JSON messages are parsed."""
    messages = [message for event in events for message in protocol.encode(event)]
    return [json.loads(message) if isinstance(message, str) else message for message in messages]


def audio_event(context: str, data: bytes = b"sound") -> Audio:
    return Audio(context, 0, 0.0, 10.0, (0, 1), (), data)


# --- the query ------------------------------------------------------------------------------------


def test_stream_defaults_to_linear16_and_the_default_voice() -> None:
    start = parse_stream_query({}, find_test_voice).start
    assert (start.format, start.sample_rate, start.voice) == ("pcm_s16le", None, None)
    assert (start.language, start.mode) == ("en", "stream")


def test_query_of_livekit_and_pipecat_is_parsed() -> None:
    query = {
        "encoding": "mulaw",
        "model": "aura-2-helena-en",
        "sample_rate": "8000",
        "speed": "1.25",
        "mip_opt_out": "false",
    }
    speech = parse_stream_query(query, find_test_voice)
    assert speech.model == "aura-2-helena-en"
    assert speech.start == Start(
        "", "heart", "mulaw", 8000, speed=1.25, language="en", mode="stream", ssml=True
    )


@pytest.mark.parametrize(
    ("model", "voice", "language"),
    [
        ("emma", "emma", None),
        ("aura-2-emma-en", "emma", "en"),
        ("aura-asteria-en", "heart", "en"),
        ("aura-2-celeste-es", "heart", "es"),
        ("flux-alexis-en", "heart", "en"),
        ("Aura-2-Pandora-EN", "emma", "en"),
    ],
)
def test_model_maps_to_a_voice_and_language(
    model: str, voice: str | None, language: str | None
) -> None:
    start = parse_stream_query({"model": model}, find_test_voice).start
    assert (start.voice, start.language) == (voice, language)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ("mp3", None, None)),
        ({"encoding": "mp3", "bit_rate": "48000.0"}, ("mp3", None, 48000)),
        ({"encoding": "linear16", "sample_rate": "24000.0"}, ("wav", 24000, None)),
        ({"encoding": "linear16", "container": "none"}, ("pcm_s16le", None, None)),
        ({"encoding": "mulaw"}, ("wav_mulaw", None, None)),
        ({"encoding": "alaw", "container": "none"}, ("alaw", None, None)),
        ({"encoding": "opus", "container": "ogg"}, ("opus", None, None)),
        ({"encoding": "flac"}, ("flac", None, None)),
        ({"encoding": "aac", "container": "none"}, ("aac", None, None)),
    ],
)
def test_file_query_has_deepgrams_containers_and_defaults(
    query: dict[str, str], expected: tuple[str, int | None, int | None]
) -> None:
    start = parse_file_query(query, find_test_voice).start
    assert (start.format, start.sample_rate, start.bit_rate) == expected


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({"encoding": "ogg"}, BadFormat),
        ({"encoding": "mp3", "container": "wav"}, BadFormat),
        ({"sample_rate": "fast"}, BadMessage),
        ({"sample_rate": "nan"}, BadMessage),
        ({"bit_rate": "inf"}, BadMessage),
        ({"speed": ""}, BadMessage),
        ({"callback": "https://example.org"}, Unsupported),
    ],
)
def test_invalid_file_query_is_refused(query: dict[str, str], error: type[DuplexError]) -> None:
    with pytest.raises(error):
        parse_file_query(query, find_test_voice)


def test_stream_refuses_compressed_encodings() -> None:
    with pytest.raises(BadFormat, match="linear16, mulaw, alaw"):
        parse_stream_query({"encoding": "mp3"}, find_test_voice)


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        (b'{"text": "Hello."}', "application/json", "Hello."),
        (b'{"text": "Hello.", "more": 1}', "", "Hello."),
        ("Grüß Gott".encode(), "text/plain; charset=utf-8", "Grüß Gott"),
        (b'{"text": "Hello."}', "text/plain", '{"text": "Hello."}'),
    ],
)
def test_body_is_json_or_plain_text(body: bytes, content_type: str, text: str) -> None:
    assert decode_text(body, content_type) == text


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "application/json"),
        (b"", "text/plain"),
        (b"\xff", "text/plain"),
        (b"[]", "application/json"),
        (b'{"url": "https://example.org/a.txt"}', "application/json"),
        (b'{"text": ""}', "application/json"),
        (b'{"text": 5}', "application/json"),
        (b'{"text": "\\ud83d"}', "application/json"),
        (b"[" * 100_000, "application/json"),
    ],
)
def test_body_without_text_is_refused(body: bytes, content_type: str) -> None:
    with pytest.raises(DuplexError):
        decode_text(body, content_type)


def test_pronunciation_becomes_a_tag() -> None:
    text = 'Take \\{"word": "dupilumab", "pronounce": "duːpˈɪljuːmæb"\\} daily.'
    body = json.dumps({"text": text}).encode()
    assert decode_text(body, "application/json") == text
    tag = '<phoneme alphabet="ipa" ph="duːpˈɪljuːmæb">dupilumab</phoneme>'
    assert pronounce_text(text) == f"Take {tag} daily."
    assert count_characters(text) == len("Take dupilumab daily.")


# --- client messages ------------------------------------------------------------------------------


def test_one_context_lasts_across_flushes(protocol: DeepgramProtocol) -> None:
    assert decode_message(protocol, "Speak", text="Hello ") == (
        Start("1", voice="emma", format="mulaw", mode="stream"),
        Text("1", "Hello "),
    )
    assert decode_message(protocol, "Speak", text="there") == (Text("1", "there"),)
    assert decode_message(protocol, "Flush") == (Text("1", "\n"), Flush("1"))
    assert decode_message(protocol, "Flush") == (Flush("1"),)
    assert decode_message(protocol, "Speak", text="Next") == (
        Played("1", math.inf),
        Text("1", "Next"),
    )
    assert decode_message(protocol, "Speak", text=" one") == (Text("1", " one"),)
    assert decode_message(protocol, "Close") == (End("1"),)


def test_empty_speak_opens_no_context(protocol: DeepgramProtocol) -> None:
    assert decode_message(protocol, "Speak", text="") == ()
    assert decode_message(protocol, "Flush") == (Ping("Flushed"),)


def test_flush_clear_and_close_are_answered_without_a_context(
    protocol: DeepgramProtocol,
) -> None:
    commands = [
        *decode_message(protocol, "Flush"),
        *decode_message(protocol, "Clear"),
        *decode_message(protocol, "Close"),
    ]
    assert commands == [Ping("Flushed"), Ping("Cleared"), Ping("Close")]
    assert encode_events(
        protocol, *(Pong(ping.id) for ping in commands if isinstance(ping, Ping))
    ) == [
        {"type": "Flushed", "sequence_id": 0},
        {"type": "Cleared", "sequence_id": 1},
        Close(1000),
    ]


def test_clear_cancels_and_the_next_text_opens_a_context(protocol: DeepgramProtocol) -> None:
    decode_message(protocol, "Speak", text="One.")
    decode_message(protocol, "Flush")
    assert decode_message(protocol, "Clear") == (Ping("Cleared"), Cancel("1"))
    assert decode_message(protocol, "Clear") == (Ping("Cleared"),)
    start, text = decode_message(protocol, "Speak", text="Two.")
    assert isinstance(start, Start)
    assert (start.context, text) == ("2", Text("2", "Two."))


def test_cleared_context_has_no_messages(protocol: DeepgramProtocol) -> None:
    decode_message(protocol, "Speak", text="One.")
    decode_message(protocol, "Clear")
    late = [audio_event("1"), Flushed("1", 4), Failed("1", "timeout", "late"), Cancelled("1", 0, 0)]
    assert encode_events(protocol, *late) == []
    decode_message(protocol, "Speak", text="Two.")
    assert encode_events(protocol, audio_event("1"), Done("1", 1, 1, 1), audio_event("2")) == [
        b"sound"
    ]


def test_messages_after_close_are_ignored(protocol: DeepgramProtocol) -> None:
    decode_message(protocol, "Speak", text="One.")
    decode_message(protocol, "Close")
    assert decode_message(protocol, "Speak", text="Two.") == decode_message(protocol, "Clear") == ()
    assert encode_events(protocol, audio_event("1"), Done("1", 1, 1, 1)) == [b"sound", Close(1000)]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"sound", "binary_message"),
        ("Hello", "bad_json"),
        ("[]", "bad_message"),
        ("{}", "bad_message"),
        ('{"type": "Speak"}', "bad_message"),
        ('{"type": "Speak", "text": 5}', "bad_message"),
        ('{"type": "Speak", "text": "\\ud83d"}', "bad_json"),
        ('{"type": "Shout", "text": "Hello"}', "unknown_type"),
        ('{"type": ["Speak"]}', "bad_message"),
    ],
)
def test_invalid_message_gets_a_warning(
    protocol: DeepgramProtocol, message: str | bytes, code: str
) -> None:
    with pytest.raises(DuplexError) as error:
        protocol.decode(message)
    assert error.value.code == code
    (warning,) = encode_events(protocol, Failed(None, code, error.value.message))
    assert (warning["type"], warning["code"]) == ("Warning", code)
    assert warning["description"] == warning["warn_msg"] == error.value.message


def test_split_pronunciation_becomes_a_tag(protocol: DeepgramProtocol) -> None:
    text = 'Take \\{"word": "dupilumab", "pronounce": "duːpˈɪ"\\} daily.'
    commands = [command for c in text for command in decode_message(protocol, "Speak", text=c)]
    commands += decode_message(protocol, "Flush")
    tag = '<phoneme alphabet="ipa" ph="duːpˈɪ">dupilumab</phoneme>'
    assert "".join(c.text for c in commands if isinstance(c, Text)) == f"Take {tag} daily.\n"


@pytest.mark.parametrize("kind", ["Flush", "Close"])
def test_incomplete_pronunciation_is_spoken_at_the_end_of_the_turn(
    protocol: DeepgramProtocol, kind: str
) -> None:
    decode_message(protocol, "Speak", text='a \\{"wor')
    text, *_ = decode_message(protocol, kind)
    assert text == Text("1", '\\{"wor')


def test_clear_drops_held_text(protocol: DeepgramProtocol) -> None:
    decode_message(protocol, "Speak", text="a \\")
    decode_message(protocol, "Clear")
    assert decode_message(protocol, "Speak", text="b")[1] == Text("2", "b")
    decode_message(protocol, "Clear")
    assert decode_message(protocol, "Speak", text="\\") == ()
    start, text, end, flush = decode_message(protocol, "Flush")
    assert isinstance(start, Start)
    assert (text, end, flush) == (Text("3", "\\"), Text("3", "\n"), Flush("3"))


# --- server messages ------------------------------------------------------------------------------


def test_metadata_has_the_requested_model(
    protocol: DeepgramProtocol,
) -> None:
    (metadata,) = encode_events(protocol, Ready("session", "token", "heart", 24000, "pcm_s16le"))
    assert metadata["type"] == "Metadata"
    assert metadata["request_id"] == "session"
    assert metadata["model_name"] == "aura-2-thalia-en"
    assert {"model_version", "model_uuid"} <= set(metadata)
    assert "token" not in metadata.values()


def test_empty_audio_is_not_sent(protocol: DeepgramProtocol) -> None:
    decode_message(protocol, "Speak", text=" ")
    assert encode_events(protocol, audio_event("1", b"")) == []


def test_failed_sentence_gets_an_error_and_the_context_continues(
    protocol: DeepgramProtocol,
) -> None:
    decode_message(protocol, "Speak", text="One.")
    (error,) = encode_events(protocol, Failed("1", "engine_failed", "it broke"))
    assert (error["type"], error["description"], error["err_code"]) == (
        "Error",
        "it broke",
        "engine_failed",
    )
    assert decode_message(protocol, "Speak", text="Two.") == (Text("1", "Two."),)


def test_fatal_error_closes_the_connection(protocol: DeepgramProtocol) -> None:
    decode_message(protocol, "Speak", text="One.")
    error, close = encode_events(protocol, Failed("1", "voice_unavailable", "no weights"))
    assert (error["type"], close) == ("Error", Close(1008, "voice_unavailable"))


@pytest.mark.parametrize(
    ("code", "status", "vendor_code"),
    [
        ("invalid_api_key", 401, "INVALID_AUTH"),
        ("bad_format", 400, "Bad Request"),
        ("text_limit", 413, "PAYLOAD_TOO_LARGE"),
        ("overloaded", 429, "TOO_MANY_REQUESTS"),
        ("internal", 500, "INTERNAL_SERVER_ERROR"),
    ],
)
def test_http_errors_have_deepgrams_form(code: str, status: int, vendor_code: str) -> None:
    refused = build_refusal(code, "Why:\r\n it is “so”")
    body = json.loads(refused.body)
    assert (refused.status, body["err_code"], body["err_msg"]) == (
        status,
        vendor_code,
        "Why:\r\n it is “so”",
    )
    assert body["request_id"]
    assert refused.headers["dg-error"] == "Why: it is ?so?"


# --- on the server --------------------------------------------------------------------------------


class DeepgramClient:
    """A minimal Deepgram client."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def send_message(self, kind: str, **fields: object) -> None:
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def read_to(self, kind: str) -> tuple[bytes, dict[str, Any]]:
        """The audio up to the next message of this kind, and the message."""
        audio = b""
        while True:
            message = await self.socket.recv()
            if isinstance(message, bytes):
                audio += message
            else:
                fields: dict[str, Any] = json.loads(message)
                assert fields["type"] == kind, fields
                return audio, fields

    async def read_to_close(self) -> tuple[bytes, int]:
        """The audio up to the server's close, and its code."""
        audio = b""
        with suppress(ConnectionClosed):
            while True:
                message = await self.socket.recv()
                assert isinstance(message, bytes), message
                audio += message
        assert self.socket.close_code is not None
        return audio, self.socket.close_code


@asynccontextmanager
async def connect_client(
    live: LiveServer, query: str = "", **options: Any
) -> AsyncIterator[DeepgramClient]:
    url = f"ws://{live.address}/v1/speak{query}"
    async with connect(url, compression=None, **options) as socket:
        client = DeepgramClient(socket)
        await client.read_to("Metadata")
        yield client


def linear16_bytes(*texts: str) -> int:
    """The number of bytes that speak the texts."""
    return sum(not c.isspace() for text in texts for c in text) * CHARACTER_SAMPLES * 2


async def test_turns_are_spoken_in_order_each_followed_by_flushed() -> None:
    async with live_server() as live, connect_client(live) as client:
        turns = ["Hello there, how are you", "Second turn. With two sentences.", "Third"]
        for turn in turns:  # without waiting, as pipecat with a fast LLM
            for word in turn.split():
                await client.send_message("Speak", text=f"{word} ")
            await client.send_message("Flush")
        for number, turn in enumerate(turns):
            audio, flushed = await client.read_to("Flushed")
            assert flushed == {"type": "Flushed", "sequence_id": number}
            assert len(audio) == linear16_bytes(turn)
        await client.send_message("Close")
        assert await client.read_to_close() == (b"", 1000)


async def test_new_turn_does_not_wait_for_playback_of_the_previous() -> None:
    async with live_server() as live, connect_client(live) as client:
        await client.send_message("Speak", text="x" * 2000 + ".")  # 20 s of audio, sent at once
        await client.send_message("Flush")
        await client.read_to("Flushed")
        await client.send_message("Speak", text="An interruption, which is not finished ")
        async with asyncio.timeout(5):
            assert isinstance(await client.socket.recv(), bytes)


async def test_close_speaks_unflushed_text_first() -> None:
    async with live_server() as live, connect_client(live, "?encoding=mulaw") as client:
        await client.send_message("Speak", text="Not flushed")
        await client.send_message("Close")
        audio, code = await client.read_to_close()
        assert (len(audio), code) == (linear16_bytes("Not flushed") // 6, 1000)


async def test_clear_drops_earlier_audio() -> None:
    async with live_server() as live, connect_client(live) as client:
        await client.send_message("Speak", text="word " * 2000)
        await client.send_message("Flush")
        await client.socket.recv()
        await client.send_message("Clear")
        _, cleared = await client.read_to("Cleared")
        assert cleared["sequence_id"] == 0
        await client.send_message("Speak", text="New.")
        await client.send_message("Flush")
        audio, flushed = await client.read_to("Flushed")
        assert (len(audio), flushed["sequence_id"]) == (linear16_bytes("New."), 1)
        await wait_until(lambda: live.model.open_utterances == 0)


async def test_disconnect_during_speech_releases_everything() -> None:
    async with live_server() as live:
        async with connect_client(live) as client:
            await client.send_message("Speak", text="word " * 2000)
            await client.socket.recv()
            client.socket.transport.abort()
        await wait_until(lambda: not live.connections.sessions())
        await wait_until(lambda: live.model.open_utterances == 0)


async def test_invalid_message_does_not_disturb_other_clients() -> None:
    async with live_server() as live, connect_client(live) as client, connect_client(live) as other:
        await other.send_message("Speak", text="Undisturbed.")
        for garbage in ("{", b"\0", '{"type": "Speak"}'):
            await client.socket.send(garbage)
            await client.read_to("Warning")
        await other.send_message("Flush")
        audio, _ = await other.read_to("Flushed")
        assert len(audio) == linear16_bytes("Undisturbed.")
        await client.send_message("Speak", text="Still here.")
        await client.send_message("Flush")
        audio, _ = await client.read_to("Flushed")
        assert len(audio) == linear16_bytes("Still here.")


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("?model=nova-3", b"nova-3"),
        ("?model=aura-2-celeste-es", b"language"),
        ("?encoding=mp3", b"encoding"),
        ("?sample_rate=1", b"sample_rate"),
        ("?speed=9", b"speed"),
    ],
)
async def test_invalid_query_refuses_the_handshake(query: str, why: bytes) -> None:
    async with live_server() as live:
        with pytest.raises(InvalidStatus) as refused:
            async with connect_client(live, query):
                pass
        response = refused.value.response
        assert response.status_code == 400
        assert why in (response.body or b"")
        assert why.decode() in response.headers["dg-error"]


async def test_key_is_required_and_refused_in_deepgrams_form() -> None:
    async with live_server(access={"api_keys": "right"}) as live:
        for scheme in ("Token", "token", "Bearer"):
            headers = {"Authorization": f"{scheme} right"}
            async with connect_client(live, additional_headers=headers):
                pass
        for headers in ({}, {"Authorization": "Token wrong"}, {"Authorization": "Basic right"}):
            with pytest.raises(InvalidStatus) as refused:
                async with connect_client(live, additional_headers=headers):
                    pass
            assert refused.value.response.status_code == 401
            async with httpx.AsyncClient(base_url=live.http, headers=headers) as http:
                response = await http.post("/v1/speak", json={"text": "Hello."})
            assert (response.status_code, response.json()["err_code"]) == (401, "INVALID_AUTH")


async def test_browser_sends_its_key_as_a_subprotocol() -> None:
    async with live_server(access={"api_keys": "right"}) as live:
        async with connect_client(live, subprotocols=["token", "right"]) as client:
            assert client.socket.subprotocol == "token"
            await client.send_message("Speak", text="Hello.")
            await client.send_message("Close")
            assert await client.read_to_close() == (ANY, 1000)
        with pytest.raises(InvalidStatus) as refused:
            async with connect_client(live, subprotocols=["token", "wrong"]):
                pass
        assert refused.value.response.status_code == 401


async def test_post_returns_the_file() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        query = {"encoding": "linear16", "container": "none", "model": "aura-2-thalia-en"}
        response = await http.post("/v1/speak", params=query, json={"text": "Hello there."})
        assert response.status_code == 200
        assert len(response.content) == linear16_bytes("Hello there.")
        assert response.headers["dg-model-name"] == "aura-2-thalia-en"
        assert response.headers["dg-char-count"] == "12"
        for name in ("content-type", "transfer-encoding", "date"):
            assert response.headers[name]
        for name in ("dg-request-id", "dg-model-uuid"):
            UUID(response.headers[name])
        again = await http.post("/v1/speak", params=query, json={"text": "Hello there."})
        assert again.headers["dg-model-uuid"] == response.headers["dg-model-uuid"]
        plain = {"content-type": "text/plain"}
        response = await http.post("/v1/speak", content="Hello there.", headers=plain)
        assert response.headers["content-type"] == "audio/mpeg"
        assert response.content[:2] in (b"\xff\xf3", b"\xff\xfb"), "an mp3 frame"


@pytest.mark.parametrize(
    ("query", "body", "status"),
    [
        ("", b"{}", 400),
        ("", b'{"url": "https://example.org"}', 400),
        ("?encoding=cassette", b'{"text": "a"}', 400),
        ("?bit_rate=1", b'{"text": "a"}', 400),
        ("?speed=9", b'{"text": "a"}', 400),
        ("", json.dumps({"text": "a" * 30_000}).encode(), 413),
    ],
)
async def test_invalid_post_gets_a_deepgram_error(query: str, body: bytes, status: int) -> None:
    async with live_server(FakeModel()) as live, httpx.AsyncClient(base_url=live.http) as http:
        response = await http.post(f"/v1/speak{query}", content=body)
        assert response.status_code == status
        assert set(response.json()) == {"err_code", "err_msg", "request_id"}
