"""Deepgram's protocol: the query, client messages, server messages."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

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
