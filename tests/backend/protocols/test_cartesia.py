"""The Cartesia protocol: client messages, server messages and routes."""

from __future__ import annotations

import json
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from backend.errors import BadFormat, BadMessage, DuplexError
from backend.events import (
    Audio,
    Cancel,
    Cancelled,
    Done,
    End,
    Failed,
    Flush,
    Flushed,
    Start,
    Text,
    Voice,
)
from backend.protocols.cartesia.request import CartesiaSpeechRequest
from backend.protocols.cartesia.websocket import CartesiaProtocol
from backend.protocols.json_fields import read_json
from backend.protocols.voice_names import find_voice
from tests.support.engines.fake_engine import decode_pcm
from tests.support.live_server import live_server
from tests.support.vendor_dialogue import (
    ParsedMessage,
    audio_event,
    decode_speech,
    encode_parsed,
    run_dialogue,
)

RAW = {"container": "raw", "encoding": "pcm_f32le", "sample_rate": 24000}
REQUEST = {"model_id": "sonic-3", "voice": {"mode": "id", "id": "heart"}, "output_format": RAW}
VENDOR_VOICE_ID = "694f9389-aac1-45b6-b726-9d9369183238"


VOICES = (Voice("heart", "en-US", "", ready=True, gender="female"),)


def find_test_voice(name: str) -> str:
    return find_voice(name, VOICES, "heart")


def create_protocol() -> CartesiaProtocol:
    return CartesiaProtocol(find_test_voice)


def build_message(
    transcript: str = "Hi ", more: bool | None = True, **fields: object
) -> dict[str, Any]:
    message = {**REQUEST, "context_id": "c", "transcript": transcript, **fields}
    return message if more is None else {**message, "continue": more}


def decode_json(translator: CartesiaProtocol, **message: object) -> list[object]:
    return list(translator.decode(json.dumps(message)))


def build_start(**fields: object) -> Start:
    request = read_json(CartesiaSpeechRequest, json.dumps({"transcript": "a", **REQUEST, **fields}))
    return request.build_start("1", find_test_voice)


# --- client messages ------------------------------------------------------------------------------


def test_first_request_opens_a_context_and_the_next_continues_it() -> None:
    translator = create_protocol()
    start, text = decode_json(translator, **build_message("Hel", language="en"))
    assert start == Start("1", "heart", "pcm_f32le", 24000, language="en", mode="stream", ssml=True)
    assert text == Text("1", "Hel")
    assert decode_json(translator, **build_message("lo", voice="nobody")) == [Text("1", "lo")]


@pytest.mark.parametrize("more", [False, None])
def test_request_without_continue_ends_the_context(more: bool | None) -> None:
    translator = create_protocol()
    _, text, end = decode_json(translator, **build_message("Hi", more))
    assert (text, end) == (Text("1", "Hi"), End("1"))
    assert decode_json(translator, **build_message("Hi"))[1] == Text("2", "Hi"), (
        "the name may be reused"
    )


def test_null_fields_count_as_absent() -> None:
    named = ("context_id", "cancel", "flush", "language", "speed", "add_timestamps")
    nulls: dict[str, Any] = dict.fromkeys(named)
    nulls["output_format"] = {"container": None, "encoding": None, "sample_rate": 16000}
    start, *_ = decode_json(create_protocol(), **build_message(**nulls))
    assert start == Start("1", "heart", "pcm_s16le", 16000, mode="stream", ssml=True)


def test_empty_last_transcript_only_ends_the_context() -> None:
    translator = create_protocol()
    decode_json(translator, **build_message())
    assert decode_json(translator, **build_message("", more=False)) == [End("1")]


def test_flush_follows_the_text_of_its_message() -> None:
    translator = create_protocol()
    decode_json(translator, **build_message())
    assert decode_json(translator, **build_message("there ", flush=True)) == [
        Text("1", "there "),
        Flush("1"),
    ]
    assert decode_json(translator, **build_message("", flush=True)) == [Flush("1")]


def test_zero_buffer_delay_flushes_each_transcript() -> None:
    translator = create_protocol()
    assert decode_json(translator, **build_message("One.", max_buffer_delay_ms=0))[1:] == [
        Text("1", "One."),
        Flush("1"),
    ]
    assert decode_json(translator, **build_message(" ", max_buffer_delay_ms=0)) == [Text("1", " ")]
    last = decode_json(translator, **build_message("Two.", more=False, max_buffer_delay_ms=0))
    assert last == [Text("1", "Two."), End("1")]


def test_cancel_also_stops_an_ended_context() -> None:
    translator = create_protocol()
    decode_json(translator, **build_message())
    assert decode_json(translator, context_id="c", cancel=True) == [Cancel("1")]
    assert encode_parsed(translator, Cancelled("1", 0, 0)) == []
    assert encode_parsed(translator, Flushed("1", 0)) == []
    decode_json(translator, **build_message(more=False))
    assert decode_json(translator, context_id="c", cancel=True) == [Cancel("2")]


def test_late_cancel_is_ignored() -> None:
    translator = create_protocol()
    assert decode_json(translator, context_id="never", cancel=True) == []
    decode_json(translator, **build_message(more=False))
    encode_parsed(translator, Done("1", 0, 0, 0))
    assert decode_json(translator, context_id="c", cancel=True) == []


def test_tags_are_passed_on() -> None:
    text = 'Call <spell>ABC</spell>, <break time="1s"/>then <emotion value="sad" /> 1 < 2.'
    start, passed = decode_json(create_protocol(), **build_message(text))
    assert isinstance(start, Start)
    assert start.ssml
    assert passed == Text("1", text)


def test_split_tag_is_not_spoken() -> None:
    text = '<speed ratio="1.05"/>Hello <emotion value="sad"/>there, 1 < 2.'
    for pieces in (text.partition("ratio"), list(text)):
        replies = run_dialogue(
            create_protocol(),
            *(build_message(p, add_timestamps=True) for p in pieces),
            build_message("", more=False),
        )
        assert decode_speech([m["data"] for m in replies if "data" in m]) == "Hellothere,1<2."
        words = [
            w for m in replies if "word_timestamps" in m for w in m["word_timestamps"]["words"]
        ]
        assert words == ["Hello", "there,", "1", "<", "2."]


@pytest.mark.parametrize("last", [{"flush": True}, {"more": False}])
def test_incomplete_tag_is_spoken_at_a_flush_and_at_the_end(last: dict[str, Any]) -> None:
    translator = create_protocol()
    assert decode_json(translator, **build_message("a <brea"))[1] == Text("1", "a ")
    assert decode_json(translator, **build_message("", **last))[0] == Text("1", "<brea")


def test_split_tag_stays_whole_with_zero_buffer_delay() -> None:
    translator = create_protocol()
    decode_json(translator, **build_message("One. <bre", max_buffer_delay_ms=0))
    assert decode_json(translator, **build_message('ak time="1s"/>', max_buffer_delay_ms=0)) == [
        Text("1", '<break time="1s"/>'),
        Flush("1"),
    ]
    assert decode_json(translator, **build_message("Two.", max_buffer_delay_ms=10_000)) == [
        Text("1", "Two.")
    ]


@pytest.mark.parametrize(
    ("voice", "expected"),
    [
        ("heart", "heart"),
        ({"id": "heart"}, "heart"),
        ({"mode": "id", "id": "haert"}, "haert"),
        (VENDOR_VOICE_ID, "heart"),
        ({"mode": "id", "id": VENDOR_VOICE_ID.upper()}, "heart"),
        ({"mode": "embedding", "embedding": [0.1, 0.2]}, None),
    ],
)
def test_voice_is_resolved(voice: object, expected: str | None) -> None:
    assert build_start(voice=voice).voice == expected


@pytest.mark.parametrize(
    ("output_format", "expected"),
    [
        ({"encoding": "pcm_s16le", "sample_rate": 8000}, ("pcm_s16le", 8000, None)),
        ({"encoding": "pcm_mulaw", "sample_rate": 8000}, ("mulaw", 8000, None)),
        ({"encoding": "pcm_alaw", "sample_rate": 16000}, ("alaw", 16000, None)),
        (
            {"container": "wav", "encoding": "pcm_f32le", "sample_rate": 44100},
            ("wav_f32le", 44100, None),
        ),
        (
            {"container": "mp3", "sample_rate": 44100, "bit_rate": 128000},
            ("mp3", 44100, 128000),
        ),
    ],
)
def test_output_format_is_resolved(
    output_format: dict[str, object], expected: tuple[object, ...]
) -> None:
    start = build_start(output_format=output_format)
    assert (start.format, start.sample_rate, start.bit_rate) == expected


@pytest.mark.parametrize(
    ("fields", "speed"),
    [
        ({}, None),
        ({"speed": "slow"}, 0.8),
        ({"speed": 1.3}, 1.3),
        ({"voice": {"id": "heart", "__experimental_controls": {"speed": "fast"}}}, 1.2),
        ({"voice": {"id": "heart", "__experimental_controls": {"speed": 0.5}}}, None),
        ({"speed": "fast", "generation_config": {"speed": 0.9, "emotion": "sad"}}, 0.9),
    ],
)
def test_speed_is_resolved(fields: dict[str, object], speed: float | None) -> None:
    assert build_start(**fields).speed == speed


def test_volume_is_passed_on() -> None:
    assert build_start().volume is None
    assert build_start(generation_config={"volume": 1.5}).volume == 1.5


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"speed": "quickly"}, BadMessage),
        ({"voice": {"mode": "id"}}, BadMessage),
        ({"output_format": {**RAW, "encoding": "pcm_s8"}}, BadFormat),
        ({"output_format": {**RAW, "container": "ogg"}}, BadFormat),
    ],
)
def test_unsupported_values_are_refused(
    fields: dict[str, object], error: type[DuplexError]
) -> None:
    with pytest.raises(error):
        build_start(**fields)


@given(st.binary() | st.text() | st.recursive(st.none() | st.text(), st.lists).map(json.dumps))
def test_garbage_gives_only_errors_with_a_code(raw: str | bytes) -> None:
    translator = create_protocol()
    refused = None
    try:
        translator.decode(raw)
    except DuplexError as error:
        refused = Failed(error.context, error.code, error.message)
    if refused is not None:
        assert refused.code in ("bad_json", "bad_message", "binary_message")
        assert message_types(encode_parsed(translator, refused)) == ["error"]


# --- server messages ------------------------------------------------------------------------------


def message_types(replies: list[Any]) -> list[str]:
    return [message["type"] for message in replies]


def test_dialogue_has_chunks_timestamps_and_done() -> None:
    replies = run_dialogue(
        create_protocol(),
        build_message("Hello there. ", add_timestamps=True),
        build_message("By"),
        build_message("e", more=False),
    )
    assert all(isinstance(m, dict) and m["context_id"] == "c" for m in replies)
    assert set(message_types(replies[:-1])) == {"chunk", "timestamps"}
    assert replies[-1] == {"type": "done", "context_id": "c", "status_code": 200, "done": True}
    chunks = [m for m in replies if isinstance(m, dict) and m["type"] == "chunk"]
    assert decode_speech([m["data"] for m in chunks]) == "Hellothere.Bye"
    assert all(m["done"] is False and m["status_code"] == 206 for m in chunks)
    times = [
        m["word_timestamps"] for m in replies if isinstance(m, dict) and "word_timestamps" in m
    ]
    assert [w for t in times for w in t["words"]] == ["Hello", "there.", "Bye"]
    assert [s for t in times for s in t["start"]] == [0.0, 0.05, 0.11]


def test_timestamps_are_sent_only_on_request() -> None:
    assert message_types(run_dialogue(create_protocol(), build_message("Hi", more=False))) == [
        "chunk",
        "done",
    ]


def test_flushes_are_numbered_and_answered_after_their_audio() -> None:
    replies = run_dialogue(
        create_protocol(),
        build_message("One. ", flush=True),
        build_message("Two. ", flush=True),
        build_message("Three.", more=False),
    )
    assert [(m["type"], m.get("flush_id")) for m in replies if isinstance(m, dict)] == [
        ("chunk", 1),
        ("flush_done", 1),
        ("chunk", 2),
        ("flush_done", 2),
        ("chunk", 3),
        ("done", None),
    ]


def test_unbuffered_transcripts_are_separate_words() -> None:
    replies = run_dialogue(
        create_protocol(),
        build_message("One.", max_buffer_delay_ms=0, add_timestamps=True),
        build_message("Two.", max_buffer_delay_ms=0),
        build_message("", more=False),
    )
    times = [m["word_timestamps"]["words"] for m in replies if "word_timestamps" in m]
    assert times == [["One."], ["Two."]]


def test_cancelled_context_gets_no_more_messages() -> None:
    replies = run_dialogue(
        create_protocol(),
        build_message("word " * 100),
        {"context_id": "c", "cancel": True},
        build_message("Hi", more=False, context_id="d"),
    )
    assert {m["context_id"] for m in replies} == {"d"}


def test_error_ends_only_its_context() -> None:
    replies = run_dialogue(
        create_protocol(),
        build_message("Fine.", context_id="good"),
        build_message("Hi", voice="haert", context_id="bad"),
        build_message("", more=False, context_id="good"),
    )
    (error,) = [m for m in replies if isinstance(m, dict) and m["type"] == "error"]
    bad = [m["type"] for m in replies if m["context_id"] == "bad"]
    assert bad == ["error", "done"], "livekit waits for `done`"
    assert (error["context_id"], error["error_code"], error["status_code"]) == (
        "bad",
        "unknown_voice",
        404,
    )
    assert "heart" in error["message"]
    assert replies[-1]["type"] == "done"


def test_nothing_follows_the_error_and_done_of_a_context() -> None:
    translator = create_protocol()
    decode_json(translator, **build_message())
    replies = encode_parsed(translator, Failed("1", "engine_failed", "broken"))
    assert message_types(replies) == ["error", "done"]
    assert encode_parsed(translator, audio_event("1", (0, 3))) == []
    assert encode_parsed(translator, Done("1", 0, 0, 0)) == []
    assert encode_parsed(translator, Failed("1", "timeout", "late")) == []
    later = decode_json(translator, **build_message("x ", context_id="d"))
    assert later[-1] == Cancel("1"), "nothing else would end it"


def test_malformed_request_is_answered_in_its_context() -> None:
    error, done = run_dialogue(create_protocol(), {"context_id": "c", "transcript": 5})
    assert (done["type"], done["context_id"]) == ("done", "c")
    assert (error["context_id"], error["error_code"]) == ("c", "bad_message")


def test_silent_text_has_timestamps_but_no_chunk() -> None:
    translator = create_protocol()
    decode_json(translator, **build_message("👋 ", add_timestamps=True))
    silent = Audio("1", 0, 50.0, 0.0, (0, 2), (), b"")
    (reply,) = encode_parsed(translator, silent)
    assert isinstance(reply, dict)
    assert reply["word_timestamps"] == {"words": ["👋"], "start": [0.05], "end": [0.05]}


TEXT = st.text(alphabet="ab. 👋\n", max_size=12)


@given(st.lists(TEXT, max_size=8), st.booleans(), st.sampled_from([None, 0, 3000]))
def test_every_word_is_spoken_and_reported_once(
    pieces: list[str], flush: bool, delay_ms: int | None
) -> None:
    fields: dict[str, Any] = {
        "flush": flush,
        "add_timestamps": True,
        "max_buffer_delay_ms": delay_ms,
    }
    replies: list[Any] = run_dialogue(
        create_protocol(),
        *(build_message(piece, **fields) for piece in pieces),
        build_message("", more=False, **fields),
    )
    text = "".join(pieces)
    words = [w for m in replies if "word_timestamps" in m for w in m["word_timestamps"]["words"]]
    assert "".join(words) == "".join(text.split())
    assert decode_speech([m["data"] for m in replies if "data" in m]) == "".join(
        c for c in text if not c.isspace() and c != "👋"
    )
    starts = [s for m in replies if "word_timestamps" in m for s in m["word_timestamps"]["start"]]
    assert starts == sorted(starts)


# --- routes ---------------------------------------------------------------------------------------


async def test_websocket_speaks_contexts_in_order() -> None:
    async with (
        live_server() as live,
        connect(f"ws://{live.address}/tts/websocket?cartesia_version=1999-01-01") as socket,
    ):
        replies: list[ParsedMessage] = []
        for name in ("a", "b"):
            await socket.send(json.dumps(build_message("Hi", more=False, context_id=name)))
            replies.append(json.loads(await socket.recv()))
            while replies[-1]["type"] != "done":
                replies.append(json.loads(await socket.recv()))
    assert decode_speech([m["data"] for m in replies if m["type"] == "chunk"]) == "HiHi"
    assert [m["context_id"] for m in replies if m["type"] == "done"] == ["a", "b"]


async def test_http_returns_audio() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        body = {**REQUEST, "transcript": "Hi there.", "voice": VENDOR_VOICE_ID}
        raw = await http.post("/tts/bytes", json=body)
        assert decode_pcm(np.frombuffer(raw.content, "<f4")) == "Hithere."
        wav = {**RAW, "container": "wav"}
        response = await http.post("/tts/bytes", json={**body, "output_format": wav})
        assert response.headers["content-type"] == "audio/wav"
        assert response.content[:4] == b"RIFF"


async def test_sse_returns_chunks_and_timestamps() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        body = {**REQUEST, "transcript": "Hi there.", "add_timestamps": True, "context_id": "c"}
        response = await http.post("/tts/sse", json=body)
    assert response.headers["content-type"].startswith("text/event-stream")
    replies = []
    for event in response.text.strip().split("\n\n"):
        name, data = event.split("\n")
        replies.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {replies[-1]['type']}"
    assert message_types(replies) == ["chunk", "timestamps", "done"]
    assert decode_speech([replies[0]["data"]]) == "Hithere."
    assert replies[1]["word_timestamps"]["words"] == ["Hi", "there."]
    assert {m["context_id"] for m in replies} == {"c"}


@pytest.mark.parametrize("path", ["/tts/bytes", "/tts/sse"])
@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"transcript": ""}, 400, "bad_message"),
        ({"transcript": "a", "voice": "haert"}, 404, "unknown_voice"),
        ({"transcript": "a", "output_format": {**RAW, "sample_rate": 7}}, 400, "bad_format"),
        ({"transcript": "a", "language": "xx"}, 400, "unsupported"),
    ],
)
async def test_bad_request_gets_a_cartesia_error(
    path: str, fields: dict[str, object], status: int, code: str
) -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        response = await http.post(path, json={**REQUEST, **fields})
    assert (response.status_code, response.json()["error_code"]) == (status, code)


@pytest.mark.parametrize(
    "fields",
    [{"voice": "haert"}, {"language": "xx"}, {"output_format": {**RAW, "encoding": "cassette"}}],
)
async def test_done_follows_an_error(fields: dict[str, Any]) -> None:
    sentences = [
        build_message("One. ", **fields),
        build_message("Two. ", **fields),
        build_message(" ", more=False, **fields),
    ]
    async with (
        live_server() as live,
        connect(f"ws://{live.address}/tts/websocket") as socket,
    ):
        for message in sentences:  # as livekit does: it reads `done` only after the last
            await socket.send(json.dumps(message))
        replies = [json.loads(await socket.recv()) for _ in range(2 * len(sentences))]
        assert message_types(replies) == ["error", "done"] * len(sentences)
        assert {m["context_id"] for m in replies} == {"c"}
        assert [m["done"] for m in replies] == [False, True] * len(sentences)


async def test_python_sdk_gets_no_done_after_an_error() -> None:
    sdk = {"user_agent_header": "cartesia-python/4.2.0"}
    async with (
        live_server() as live,
        connect(f"ws://{live.address}/tts/websocket", **sdk) as socket,  # type: ignore[arg-type]
    ):
        await socket.send(json.dumps(build_message("Hi", voice="haert", context_id="bad")))
        await socket.send(json.dumps(build_message("Hi", more=False)))
        replies = [json.loads(await socket.recv()) for _ in range(3)]
    assert [(m["context_id"], m["type"]) for m in replies] == [
        ("bad", "error"),
        ("c", "chunk"),
        ("c", "done"),
    ]


async def test_key_is_accepted_from_each_place() -> None:
    async with (
        live_server(access={"api_keys": "right"}) as live,
        httpx.AsyncClient(base_url=live.http) as http,
    ):
        body = {**REQUEST, "transcript": "Hi"}
        for headers in ({}, {"x-api-key": "wrong"}, {"authorization": "Bearer wrong"}):
            response = await http.post("/tts/bytes", json=body, headers=headers)
            assert (response.status_code, response.json()["error_code"]) == (401, "invalid_api_key")
        for headers in ({"x-api-key": "right"}, {"authorization": "Bearer right"}):
            assert (await http.post("/tts/bytes", json=body, headers=headers)).status_code == 200
        url = f"ws://{live.address}/tts/websocket"
        with pytest.raises(InvalidStatus) as caught:
            await connect(url)
        assert caught.value.response.status_code == 401
        async with connect(f"{url}?api_key=right") as socket:
            await socket.send(json.dumps(build_message("Hi", more=False)))
            assert json.loads(await socket.recv())["type"] == "chunk"
