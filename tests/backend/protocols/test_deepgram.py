"""Deepgram's protocol: the translator alone, then at the real server with the fake engine."""

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
    decode_text,
    parse_file_query,
    parse_stream_query,
)
from backend.protocols.deepgram.websocket import DeepgramProtocol, build_refusal
from backend.protocols.voice_names import find_voice
from tests.support.engines.fake_engine import CHARACTER_SAMPLES, FakeModel
from tests.support.live_server import Live, eventually, live_server

VOICES = (
    Voice("heart", "en-US", "", ready=True, gender="female"),
    Voice("emma", "en-GB", "", ready=True, gender="female"),
)


def find(name: str) -> str:
    return find_voice(name, VOICES, "heart")


START = Start("", voice="emma", format="mulaw", mode="stream")


@pytest.fixture
def protocol() -> DeepgramProtocol:
    return DeepgramProtocol(SpeakRequest(START, "aura-2-thalia-en"))


def say(protocol: DeepgramProtocol, kind: str, **fields: object) -> tuple[Command, ...]:
    return tuple(protocol.decode(json.dumps({"type": kind, **fields})))


def told(protocol: DeepgramProtocol, *events: Any) -> list[Any]:
    """What goes out for the events; JSON messages as objects."""
    messages = [message for event in events for message in protocol.encode(event)]
    return [json.loads(each) if isinstance(each, str) else each for each in messages]


def audio(context: str, data: bytes = b"sound") -> Audio:
    return Audio(context, 0, 0.0, 10.0, (0, 1), (), data)


# --- the query ------------------------------------------------------------------------------------


def test_a_stream_without_a_query_is_linear16_in_the_default_voice() -> None:
    start = parse_stream_query({}, find).start
    assert (start.format, start.sample_rate, start.voice) == ("pcm_s16le", None, None)
    assert (start.language, start.mode) == ("en", "stream")


def test_the_query_of_livekit_and_pipecat_is_understood() -> None:
    query = {
        "encoding": "mulaw",
        "model": "aura-2-helena-en",
        "sample_rate": "8000",
        "speed": "1.25",
        "mip_opt_out": "false",
    }
    speech = parse_stream_query(query, find)
    assert speech.model == "aura-2-helena-en"
    assert speech.start == Start(
        "", "heart", "mulaw", sample_rate=8000, speed=1.25, language="en", mode="stream"
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
def test_their_model_is_one_of_our_voices_or_the_default(
    model: str, voice: str | None, language: str | None
) -> None:
    start = parse_stream_query({"model": model}, find).start
    assert (start.voice, start.language) == (voice, language)


@pytest.mark.parametrize(
    ("query", "form"),
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
def test_a_file_has_their_containers_and_defaults(
    query: dict[str, str], form: tuple[str, int | None, int | None]
) -> None:
    start = parse_file_query(query, find).start
    assert (start.format, start.sample_rate, start.bit_rate) == form


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
def test_a_query_that_cannot_be_met_is_refused(
    query: dict[str, str], error: type[DuplexError]
) -> None:
    with pytest.raises(error):
        parse_file_query(query, find)


def test_only_bare_samples_are_streamed() -> None:
    with pytest.raises(BadFormat, match="linear16, mulaw, alaw"):
        parse_stream_query({"encoding": "mp3"}, find)


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        (b'{"text": "Hello."}', "application/json", "Hello."),
        (b'{"text": "Hello.", "more": 1}', "", "Hello."),
        ("Grüß Gott".encode(), "text/plain; charset=utf-8", "Grüß Gott"),
        (b'{"text": "Hello."}', "text/plain", '{"text": "Hello."}'),
    ],
)
def test_a_body_is_json_or_plain_text(body: bytes, content_type: str, text: str) -> None:
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
def test_a_body_without_a_text_is_refused(body: bytes, content_type: str) -> None:
    with pytest.raises(DuplexError):
        decode_text(body, content_type)


def test_a_prescribed_pronunciation_leaves_its_word() -> None:
    text = 'Take \\{"word": "dupilumab", "pronounce": "duːpˈɪljuːmæb"\\} daily.'
    body = json.dumps({"text": text}).encode()
    assert decode_text(body, "application/json") == "Take dupilumab daily."


# --- what is said ---------------------------------------------------------------------------------


def test_text_opens_one_context_that_lasts_over_flushes(protocol: DeepgramProtocol) -> None:
    assert say(protocol, "Speak", text="Hello ") == (
        Start("1", voice="emma", format="mulaw", mode="stream"),
        Text("1", "Hello "),
    )
    assert say(protocol, "Speak", text="there") == (Text("1", "there"),)
    assert say(protocol, "Flush") == (Text("1", "\n"), Flush("1"))
    assert say(protocol, "Flush") == (Flush("1"),)
    assert say(protocol, "Speak", text="Next") == (Played("1", math.inf), Text("1", "Next"))
    assert say(protocol, "Speak", text=" one") == (Text("1", " one"),)
    assert say(protocol, "Close") == (End("1"),)


def test_an_empty_speak_opens_nothing(protocol: DeepgramProtocol) -> None:
    assert say(protocol, "Speak", text="") == ()
    assert say(protocol, "Flush") == (Ping("Flushed"),)


def test_flush_clear_and_close_are_answered_where_nothing_was_said(
    protocol: DeepgramProtocol,
) -> None:
    asked = [*say(protocol, "Flush"), *say(protocol, "Clear"), *say(protocol, "Close")]
    assert asked == [Ping("Flushed"), Ping("Cleared"), Ping("Close")]
    assert told(protocol, *(Pong(ping.id) for ping in asked if isinstance(ping, Ping))) == [
        {"type": "Flushed", "sequence_id": 0},
        {"type": "Cleared", "sequence_id": 1},
        Close(1000),
    ]


def test_clear_cancels_and_the_next_text_opens_anew(protocol: DeepgramProtocol) -> None:
    say(protocol, "Speak", text="One.")
    say(protocol, "Flush")
    assert say(protocol, "Clear") == (Ping("Cleared"), Cancel("1"))
    assert say(protocol, "Clear") == (Ping("Cleared"),)
    start, text = say(protocol, "Speak", text="Two.")
    assert isinstance(start, Start)
    assert (start.context, text) == ("2", Text("2", "Two."))


def test_nothing_of_what_was_cleared_is_told(protocol: DeepgramProtocol) -> None:
    say(protocol, "Speak", text="One.")
    say(protocol, "Clear")
    late = [audio("1"), Flushed("1", 4), Failed("1", "timeout", "late"), Cancelled("1", 0, 0)]
    assert told(protocol, *late) == []
    say(protocol, "Speak", text="Two.")
    assert told(protocol, audio("1"), Done("1", 1, 1, 1), audio("2")) == [b"sound"]


def test_after_close_nothing_more_is_taken(protocol: DeepgramProtocol) -> None:
    say(protocol, "Speak", text="One.")
    say(protocol, "Close")
    assert say(protocol, "Speak", text="Two.") == say(protocol, "Clear") == ()
    assert told(protocol, audio("1"), Done("1", 1, 1, 1)) == [b"sound", Close(1000)]


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
def test_what_is_not_understood_is_a_warning_and_the_speech_goes_on(
    protocol: DeepgramProtocol, message: str | bytes, code: str
) -> None:
    with pytest.raises(DuplexError) as error:
        protocol.decode(message)
    assert error.value.code == code
    (warning,) = told(protocol, Failed(None, code, error.value.message))
    assert (warning["type"], warning["code"]) == ("Warning", code)
    assert warning["description"] == warning["warn_msg"] == error.value.message


def test_a_prescribed_pronunciation_may_come_in_pieces(protocol: DeepgramProtocol) -> None:
    text = 'Take \\{"word": "dupilumab", "pronounce": "duːpˈɪ"\\} daily.'
    said = [command for c in text for command in say(protocol, "Speak", text=c)]
    said += say(protocol, "Flush")
    assert "".join(c.text for c in said if isinstance(c, Text)) == "Take dupilumab daily.\n"


@pytest.mark.parametrize("kind", ["Flush", "Close"])
def test_what_began_like_one_is_spoken_when_the_turn_ends(
    protocol: DeepgramProtocol, kind: str
) -> None:
    say(protocol, "Speak", text='a \\{"wor')
    text, *_ = say(protocol, kind)
    assert text == Text("1", '\\{"wor')


def test_of_what_was_cleared_nothing_is_kept_back(protocol: DeepgramProtocol) -> None:
    say(protocol, "Speak", text="a \\")
    say(protocol, "Clear")
    assert say(protocol, "Speak", text="b")[1] == Text("2", "b")
    say(protocol, "Clear")
    assert say(protocol, "Speak", text="\\") == ()
    start, text, end, flush = say(protocol, "Flush")
    assert isinstance(start, Start)
    assert (text, end, flush) == (Text("3", "\\"), Text("3", "\n"), Flush("3"))


# --- what is told ---------------------------------------------------------------------------------


def test_metadata_comes_first_with_the_model_that_was_asked_for(
    protocol: DeepgramProtocol,
) -> None:
    (metadata,) = told(protocol, Ready("session", "token", "heart", 24000, "pcm_s16le"))
    assert metadata["type"] == "Metadata"
    assert metadata["request_id"] == "session"
    assert metadata["model_name"] == "aura-2-thalia-en"
    assert {"model_version", "model_uuid"} <= set(metadata)
    assert "token" not in metadata.values()


def test_audio_without_bytes_is_not_told(protocol: DeepgramProtocol) -> None:
    say(protocol, "Speak", text=" ")
    assert told(protocol, audio("1", b"")) == []


def test_a_sentence_that_fails_is_an_error_and_the_next_is_spoken(
    protocol: DeepgramProtocol,
) -> None:
    say(protocol, "Speak", text="One.")
    (error,) = told(protocol, Failed("1", "engine_failed", "it broke"))
    assert (error["type"], error["description"], error["err_code"]) == (
        "Error",
        "it broke",
        "engine_failed",
    )
    assert say(protocol, "Speak", text="Two.") == (Text("1", "Two."),)


def test_who_can_say_nothing_more_is_hung_up_on(protocol: DeepgramProtocol) -> None:
    say(protocol, "Speak", text="One.")
    error, close = told(protocol, Failed("1", "voice_unavailable", "no weights"))
    assert (error["type"], close) == ("Error", Close(1008, "voice_unavailable"))


@pytest.mark.parametrize(
    ("code", "status", "theirs"),
    [
        ("invalid_api_key", 401, "INVALID_AUTH"),
        ("bad_format", 400, "Bad Request"),
        ("text_limit", 413, "PAYLOAD_TOO_LARGE"),
        ("overloaded", 429, "TOO_MANY_REQUESTS"),
        ("internal", 500, "INTERNAL_SERVER_ERROR"),
    ],
)
def test_errors_over_http_have_their_form(code: str, status: int, theirs: str) -> None:
    refused = build_refusal(code, "Why:\r\n it is “so”")
    body = json.loads(refused.body)
    assert (refused.status, body["err_code"], body["err_msg"]) == (
        status,
        theirs,
        "Why:\r\n it is “so”",
    )
    assert body["request_id"]
    assert refused.headers["dg-error"] == "Why: it is ?so?"


# --- at the server --------------------------------------------------------------------------------


class Client:
    """A Deepgram client that knows nothing."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def say(self, kind: str, **fields: object) -> None:
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def read_to(self, kind: str) -> tuple[bytes, dict[str, Any]]:
        """The sound up to the next message of this kind, and the message."""
        sound = b""
        while True:
            message = await self.socket.recv()
            if isinstance(message, bytes):
                sound += message
            else:
                fields: dict[str, Any] = json.loads(message)
                assert fields["type"] == kind, fields
                return sound, fields

    async def closed(self) -> tuple[bytes, int]:
        """The sound up to the server's close, and its code."""
        sound = b""
        with suppress(ConnectionClosed):
            while True:
                message = await self.socket.recv()
                assert isinstance(message, bytes), message
                sound += message
        assert self.socket.close_code is not None
        return sound, self.socket.close_code


@asynccontextmanager
async def speaking(live: Live, query: str = "", **options: Any) -> AsyncIterator[Client]:
    url = f"ws://{live.address}/v1/speak{query}"
    async with connect(url, compression=None, **options) as socket:
        client = Client(socket)
        await client.read_to("Metadata")
        yield client


def linear16(*texts: str) -> int:
    """How many bytes speak the texts."""
    return sum(not c.isspace() for text in texts for c in text) * CHARACTER_SAMPLES * 2


async def test_turns_are_spoken_in_order_each_with_its_flushed_behind_its_sound() -> None:
    async with live_server() as live, speaking(live) as client:
        turns = ["Hello there, how are you", "Second turn. With two sentences.", "Third"]
        for turn in turns:  # without waiting: what pipecat does with a quick LLM
            for word in turn.split():
                await client.say("Speak", text=f"{word} ")
            await client.say("Flush")
        for number, turn in enumerate(turns):
            sound, flushed = await client.read_to("Flushed")
            assert flushed == {"type": "Flushed", "sequence_id": number}
            assert len(sound) == linear16(turn)
        await client.say("Close")
        assert await client.closed() == (b"", 1000)


async def test_a_turn_does_not_wait_until_the_one_before_is_heard() -> None:
    async with live_server() as live, speaking(live) as client:
        await client.say("Speak", text="x" * 2000 + ".")  # 20 s of sound, sent at once
        await client.say("Flush")
        await client.read_to("Flushed")
        await client.say("Speak", text="An interruption, which is not finished ")
        async with asyncio.timeout(5):
            assert isinstance(await client.socket.recv(), bytes)


async def test_close_lets_what_was_said_be_heard() -> None:
    async with live_server() as live, speaking(live, "?encoding=mulaw") as client:
        await client.say("Speak", text="Not flushed")
        await client.say("Close")
        sound, code = await client.closed()
        assert (len(sound), code) == (linear16("Not flushed") // 6, 1000)


async def test_after_clear_nothing_of_before_is_heard() -> None:
    async with live_server() as live, speaking(live) as client:
        await client.say("Speak", text="word " * 2000)
        await client.say("Flush")
        await client.socket.recv()
        await client.say("Clear")
        _, cleared = await client.read_to("Cleared")
        assert cleared["sequence_id"] == 0
        await client.say("Speak", text="New.")
        await client.say("Flush")
        sound, flushed = await client.read_to("Flushed")
        assert (len(sound), flushed["sequence_id"]) == (linear16("New."), 1)
        await eventually(lambda: live.model.open_utterances == 0)


async def test_a_client_that_vanishes_in_mid_speech_leaves_nothing_behind() -> None:
    async with live_server() as live:
        async with speaking(live) as client:
            await client.say("Speak", text="word " * 2000)
            await client.socket.recv()
            client.socket.transport.abort()
        await eventually(lambda: not live.connections.sessions())
        await eventually(lambda: live.model.open_utterances == 0)


async def test_a_mistake_is_warned_of_and_disturbs_nobody() -> None:
    async with live_server() as live, speaking(live) as client, speaking(live) as other:
        await other.say("Speak", text="Undisturbed.")
        for garbage in ("{", b"\0", '{"type": "Speak"}'):
            await client.socket.send(garbage)
            await client.read_to("Warning")
        await other.say("Flush")
        sound, _ = await other.read_to("Flushed")
        assert len(sound) == linear16("Undisturbed.")
        await client.say("Speak", text="Still here.")
        await client.say("Flush")
        sound, _ = await client.read_to("Flushed")
        assert len(sound) == linear16("Still here.")


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
async def test_a_query_that_cannot_be_met_refuses_the_handshake(query: str, why: bytes) -> None:
    async with live_server() as live:
        with pytest.raises(InvalidStatus) as refused:
            async with speaking(live, query):
                pass
        response = refused.value.response
        assert response.status_code == 400
        assert why in (response.body or b"")
        assert why.decode() in response.headers["dg-error"]


async def test_the_key_is_a_token_and_a_wrong_one_is_refused_in_their_form() -> None:
    async with live_server(access={"api_keys": "right"}) as live:
        for scheme in ("Token", "token", "Bearer"):
            headers = {"Authorization": f"{scheme} right"}
            async with speaking(live, additional_headers=headers):
                pass
        for headers in ({}, {"Authorization": "Token wrong"}, {"Authorization": "Basic right"}):
            with pytest.raises(InvalidStatus) as refused:
                async with speaking(live, additional_headers=headers):
                    pass
            assert refused.value.response.status_code == 401
            async with httpx.AsyncClient(base_url=live.http, headers=headers) as http:
                answer = await http.post("/v1/speak", json={"text": "Hello."})
            assert (answer.status_code, answer.json()["err_code"]) == (401, "INVALID_AUTH")


async def test_a_browsers_page_has_its_key_in_the_subprotocols() -> None:
    async with live_server(access={"api_keys": "right"}) as live:
        async with speaking(live, subprotocols=["token", "right"]) as client:
            assert client.socket.subprotocol == "token"
            await client.say("Speak", text="Hello.")
            await client.say("Close")
            assert await client.closed() == (ANY, 1000)
        with pytest.raises(InvalidStatus) as refused:
            async with speaking(live, subprotocols=["token", "wrong"]):
                pass
        assert refused.value.response.status_code == 401


async def test_a_post_answers_with_the_file() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        query = {"encoding": "linear16", "container": "none", "model": "aura-2-thalia-en"}
        answer = await http.post("/v1/speak", params=query, json={"text": "Hello there."})
        assert answer.status_code == 200
        assert len(answer.content) == linear16("Hello there.")
        assert answer.headers["dg-model-name"] == "aura-2-thalia-en"
        assert answer.headers["dg-char-count"] == "12"
        for name in ("content-type", "transfer-encoding", "date"):
            assert answer.headers[name]
        for name in ("dg-request-id", "dg-model-uuid"):
            UUID(answer.headers[name])
        again = await http.post("/v1/speak", params=query, json={"text": "Hello there."})
        assert again.headers["dg-model-uuid"] == answer.headers["dg-model-uuid"]
        plain = {"content-type": "text/plain"}
        answer = await http.post("/v1/speak", content="Hello there.", headers=plain)
        assert answer.headers["content-type"] == "audio/mpeg"
        assert answer.content[:2] in (b"\xff\xf3", b"\xff\xfb"), "an mp3 frame"


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
async def test_a_post_that_cannot_be_met_gets_their_error(
    query: str, body: bytes, status: int
) -> None:
    async with live_server(FakeModel()) as live, httpx.AsyncClient(base_url=live.http) as http:
        answer = await http.post(f"/v1/speak{query}", content=body)
        assert answer.status_code == status
        assert set(answer.json()) == {"err_code", "err_msg", "request_id"}
