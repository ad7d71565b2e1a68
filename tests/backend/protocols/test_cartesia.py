"""The Cartesia protocol: what its clients say, what they are told, and its routes."""

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
from tests.support.engines.fake_engine import heard
from tests.support.live_server import live_server
from tests.support.vendor_dialogue import Answer, answers, converse, said_in, spoken

RAW = {"container": "raw", "encoding": "pcm_f32le", "sample_rate": 24000}
ASK = {"model_id": "sonic-3", "voice": {"mode": "id", "id": "heart"}, "output_format": RAW}
FOREIGN = "694f9389-aac1-45b6-b726-9d9369183238"


VOICES = (Voice("heart", "en-US", "", ready=True, gender="female"),)


def find(name: str) -> str:
    return find_voice(name, VOICES, "heart")


def protocol() -> CartesiaProtocol:
    return CartesiaProtocol(find)


def ask(transcript: str = "Hi ", more: bool | None = True, **fields: object) -> dict[str, Any]:
    message = {**ASK, "context_id": "c", "transcript": transcript, **fields}
    return message if more is None else {**message, "continue": more}


def decode(translator: CartesiaProtocol, **message: object) -> list[object]:
    return list(translator.decode(json.dumps(message)))


def start_of(**fields: object) -> Start:
    request = read_json(CartesiaSpeechRequest, json.dumps({"transcript": "a", **ASK, **fields}))
    return request.build_start("1", find)


# --- what clients say ----------------------------------------------------------------------------


def test_a_request_opens_a_context_and_the_next_goes_on() -> None:
    translator = protocol()
    start, text = decode(translator, **ask("Hel", language="en"))
    assert start == Start("1", "heart", "pcm_f32le", 24000, language="en", mode="stream")
    assert text == Text("1", "Hel")
    assert decode(translator, **ask("lo", voice="nobody")) == [Text("1", "lo")]


@pytest.mark.parametrize("more", [False, None])
def test_without_continue_a_request_is_the_last(more: bool | None) -> None:
    translator = protocol()
    _, text, end = decode(translator, **ask("Hi", more))
    assert (text, end) == (Text("1", "Hi"), End("1"))
    assert decode(translator, **ask("Hi"))[1] == Text("2", "Hi"), "the name may be used again"


def test_what_is_null_is_as_good_as_left_out() -> None:
    named = ("context_id", "cancel", "flush", "language", "speed", "add_timestamps")
    nulls: dict[str, Any] = dict.fromkeys(named)
    nulls["output_format"] = {"container": None, "encoding": None, "sample_rate": 16000}
    start, *_ = decode(protocol(), **ask(**nulls))
    assert start == Start("1", "heart", "pcm_s16le", 16000, mode="stream")


def test_an_empty_last_transcript_only_ends() -> None:
    translator = protocol()
    decode(translator, **ask())
    assert decode(translator, **ask("", more=False)) == [End("1")]


def test_flush_comes_behind_the_text_of_its_message() -> None:
    translator = protocol()
    decode(translator, **ask())
    assert decode(translator, **ask("there ", flush=True)) == [Text("1", "there "), Flush("1")]
    assert decode(translator, **ask("", flush=True)) == [Flush("1")]


def test_without_buffering_each_transcript_is_spoken_at_once() -> None:
    translator = protocol()
    assert decode(translator, **ask("One.", max_buffer_delay_ms=0))[1:] == [
        Text("1", "One."),
        Flush("1"),
    ]
    assert decode(translator, **ask(" ", max_buffer_delay_ms=0)) == [Text("1", " ")]
    last = decode(translator, **ask("Two.", more=False, max_buffer_delay_ms=0))
    assert last == [Text("1", "Two."), End("1")]


def test_cancel_stops_a_context_also_behind_its_last_transcript() -> None:
    translator = protocol()
    decode(translator, **ask())
    assert decode(translator, context_id="c", cancel=True) == [Cancel("1")]
    assert answers(translator, Cancelled("1", 0, 0)) == []
    assert answers(translator, Flushed("1", 0)) == []
    decode(translator, **ask(more=False))
    assert decode(translator, context_id="c", cancel=True) == [Cancel("2")]


def test_a_cancel_too_late_is_no_mistake() -> None:
    translator = protocol()
    assert decode(translator, context_id="never", cancel=True) == []
    decode(translator, **ask(more=False))
    answers(translator, Done("1", 0, 0, 0))
    assert decode(translator, context_id="c", cancel=True) == []


def test_marks_that_the_vendors_voices_obey_are_not_read_aloud() -> None:
    said = 'Call <spell>ABC</spell>, <break time="1s"/>then <emotion value="sad" /> 1 < 2.'
    assert decode(protocol(), **ask(said))[1] == Text("1", "Call ABC, then  1 < 2.")


def test_a_mark_in_pieces_is_not_read_aloud() -> None:
    text = '<speed ratio="1.05"/>Hello <emotion value="sad"/>there, 1 < 2.'
    for pieces in (text.partition("ratio"), list(text)):
        told = converse(
            protocol(), *(ask(p, add_timestamps=True) for p in pieces), ask("", more=False)
        )
        assert said_in([m["data"] for m in told if "data" in m]) == "Hellothere,1<2."
        words = [w for m in told if "word_timestamps" in m for w in m["word_timestamps"]["words"]]
        assert words == ["Hello", "there,", "1", "<", "2."]


@pytest.mark.parametrize("last", [{"flush": True}, {"more": False}])
def test_what_began_like_a_mark_is_spoken_at_a_flush_and_at_the_end(last: dict[str, Any]) -> None:
    translator = protocol()
    assert decode(translator, **ask("a <brea"))[1] == Text("1", "a ")
    assert decode(translator, **ask("", **last))[0] == Text("1", "<brea")


def test_without_buffering_a_mark_may_come_in_pieces_too() -> None:
    translator = protocol()
    decode(translator, **ask("One. <bre", max_buffer_delay_ms=0))
    assert decode(translator, **ask('ak time="1s"/>', max_buffer_delay_ms=0)) == []
    assert decode(translator, **ask("Two.", max_buffer_delay_ms=10_000)) == [Text("1", "Two.")]


@pytest.mark.parametrize(
    ("voice", "meant"),
    [
        ("heart", "heart"),
        ({"id": "heart"}, "heart"),
        ({"mode": "id", "id": "haert"}, "haert"),
        (FOREIGN, "heart"),
        ({"mode": "id", "id": FOREIGN.upper()}, "heart"),
        ({"mode": "embedding", "embedding": [0.1, 0.2]}, None),
    ],
)
def test_voices(voice: object, meant: str | None) -> None:
    assert start_of(voice=voice).voice == meant


@pytest.mark.parametrize(
    ("wanted", "meant"),
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
def test_output_formats(wanted: dict[str, object], meant: tuple[object, ...]) -> None:
    start = start_of(output_format=wanted)
    assert (start.format, start.sample_rate, start.bit_rate) == meant


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
def test_speeds(fields: dict[str, object], speed: float | None) -> None:
    assert start_of(**fields).speed == speed


def test_the_volume() -> None:
    assert start_of().volume is None
    assert start_of(generation_config={"volume": 1.5}).volume == 1.5


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"speed": "quickly"}, BadMessage),
        ({"voice": {"mode": "id"}}, BadMessage),
        ({"output_format": {**RAW, "encoding": "pcm_s8"}}, BadFormat),
        ({"output_format": {**RAW, "container": "ogg"}}, BadFormat),
    ],
)
def test_what_is_not_offered_is_refused(
    fields: dict[str, object], error: type[DuplexError]
) -> None:
    with pytest.raises(error):
        start_of(**fields)


@given(st.binary() | st.text() | st.recursive(st.none() | st.text(), st.lists).map(json.dumps))
def test_nothing_but_an_error_with_a_code_comes_of_garbage(raw: str | bytes) -> None:
    translator = protocol()
    refused = None
    try:
        translator.decode(raw)
    except DuplexError as error:
        refused = Failed(error.context, error.code, error.message)
    if refused is not None:
        assert refused.code in ("bad_json", "bad_message", "binary_message")
        assert types(answers(translator, refused)) == ["error"]


# --- what clients are told -----------------------------------------------------------------------


def types(told: list[Any]) -> list[str]:
    return [message["type"] for message in told]


def test_a_dialogue() -> None:
    told = converse(
        protocol(), ask("Hello there. ", add_timestamps=True), ask("By"), ask("e", more=False)
    )
    assert all(isinstance(m, dict) and m["context_id"] == "c" for m in told)
    assert set(types(told[:-1])) == {"chunk", "timestamps"}
    assert told[-1] == {"type": "done", "context_id": "c", "status_code": 200, "done": True}
    chunks = [m for m in told if isinstance(m, dict) and m["type"] == "chunk"]
    assert said_in([m["data"] for m in chunks]) == "Hellothere.Bye"
    assert all(m["done"] is False and m["status_code"] == 206 for m in chunks)
    times = [m["word_timestamps"] for m in told if isinstance(m, dict) and "word_timestamps" in m]
    assert [w for t in times for w in t["words"]] == ["Hello", "there.", "Bye"]
    assert [s for t in times for s in t["start"]] == [0.0, 0.05, 0.11]


def test_words_are_not_timed_unless_asked_for() -> None:
    assert types(converse(protocol(), ask("Hi", more=False))) == ["chunk", "done"]


def test_flushes_are_numbered_and_answered_behind_their_audio() -> None:
    told = converse(
        protocol(), ask("One. ", flush=True), ask("Two. ", flush=True), ask("Three.", more=False)
    )
    assert [(m["type"], m.get("flush_id")) for m in told if isinstance(m, dict)] == [
        ("chunk", 1),
        ("flush_done", 1),
        ("chunk", 2),
        ("flush_done", 2),
        ("chunk", 3),
        ("done", None),
    ]


def test_transcripts_that_are_not_buffered_are_not_glued() -> None:
    told = converse(
        protocol(),
        ask("One.", max_buffer_delay_ms=0, add_timestamps=True),
        ask("Two.", max_buffer_delay_ms=0),
        ask("", more=False),
    )
    times = [m["word_timestamps"]["words"] for m in told if "word_timestamps" in m]
    assert times == [["One."], ["Two."]]


def test_nothing_is_heard_after_a_cancel() -> None:
    told = converse(
        protocol(),
        ask("word " * 100),
        {"context_id": "c", "cancel": True},
        ask("Hi", more=False, context_id="d"),
    )
    assert {m["context_id"] for m in told} == {"d"}


def test_an_error_ends_its_context_and_no_other() -> None:
    told = converse(
        protocol(),
        ask("Fine.", context_id="good"),
        ask("Hi", voice="haert", context_id="bad"),
        ask("", more=False, context_id="good"),
    )
    (error,) = [m for m in told if isinstance(m, dict) and m["type"] == "error"]
    bad = [m["type"] for m in told if m["context_id"] == "bad"]
    assert bad == ["error", "done"], "livekit waits for it"
    assert (error["context_id"], error["error_code"], error["status_code"]) == (
        "bad",
        "unknown_voice",
        404,
    )
    assert "heart" in error["message"]
    assert told[-1]["type"] == "done"


def test_nothing_follows_the_error_and_the_done_of_a_context() -> None:
    translator = protocol()
    decode(translator, **ask())
    told = answers(translator, Failed("1", "engine_failed", "broken"))
    assert types(told) == ["error", "done"]
    assert answers(translator, spoken("1", (0, 3))) == []
    assert answers(translator, Done("1", 0, 0, 0)) == []
    assert answers(translator, Failed("1", "timeout", "late")) == []
    later = decode(translator, **ask("x ", context_id="d"))
    assert later[-1] == Cancel("1"), "nobody would end it otherwise"


def test_a_malformed_request_is_answered_in_its_context() -> None:
    error, done = converse(protocol(), {"context_id": "c", "transcript": 5})
    assert (done["type"], done["context_id"]) == ("done", "c")
    assert (error["context_id"], error["error_code"]) == ("c", "bad_message")


def test_what_has_no_sound_is_timed_with_no_chunk() -> None:
    translator = protocol()
    decode(translator, **ask("👋 ", add_timestamps=True))
    silent = Audio("1", 0, 50.0, 0.0, (0, 2), (), b"")
    (told,) = answers(translator, silent)
    assert isinstance(told, dict)
    assert told["word_timestamps"] == {"words": ["👋"], "start": [0.05], "end": [0.05]}


TEXT = st.text(alphabet="ab. 👋\n", max_size=12)


@given(st.lists(TEXT, max_size=8), st.booleans(), st.sampled_from([None, 0, 3000]))
def test_every_word_is_heard_and_told_once(
    pieces: list[str], flush: bool, delay_ms: int | None
) -> None:
    fields: dict[str, Any] = {
        "flush": flush,
        "add_timestamps": True,
        "max_buffer_delay_ms": delay_ms,
    }
    told: list[Any] = converse(
        protocol(), *(ask(piece, **fields) for piece in pieces), ask("", more=False, **fields)
    )
    text = "".join(pieces)
    words = [w for m in told if "word_timestamps" in m for w in m["word_timestamps"]["words"]]
    assert "".join(words) == "".join(text.split())
    assert said_in([m["data"] for m in told if "data" in m]) == "".join(
        c for c in text if not c.isspace() and c != "👋"
    )
    starts = [s for m in told if "word_timestamps" in m for s in m["word_timestamps"]["start"]]
    assert starts == sorted(starts)


# --- the routes ----------------------------------------------------------------------------------


async def test_speaks_over_a_websocket() -> None:
    async with (
        live_server() as live,
        connect(f"ws://{live.address}/tts/websocket?cartesia_version=1999-01-01") as socket,
    ):
        told: list[Answer] = []
        for name in ("a", "b"):
            await socket.send(json.dumps(ask("Hi", more=False, context_id=name)))
            told.append(json.loads(await socket.recv()))
            while told[-1]["type"] != "done":
                told.append(json.loads(await socket.recv()))
    assert said_in([m["data"] for m in told if m["type"] == "chunk"]) == "HiHi"
    assert [m["context_id"] for m in told if m["type"] == "done"] == ["a", "b"]


async def test_speaks_over_http() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        body = {**ASK, "transcript": "Hi there.", "voice": FOREIGN}
        raw = await http.post("/tts/bytes", json=body)
        assert heard(np.frombuffer(raw.content, "<f4")) == "Hithere."
        wav = {**RAW, "container": "wav"}
        answer = await http.post("/tts/bytes", json={**body, "output_format": wav})
        assert answer.headers["content-type"] == "audio/wav"
        assert answer.content[:4] == b"RIFF"


async def test_speaks_in_server_sent_events() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        body = {**ASK, "transcript": "Hi there.", "add_timestamps": True, "context_id": "c"}
        answer = await http.post("/tts/sse", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = []
    for event in answer.text.strip().split("\n\n"):
        name, data = event.split("\n")
        told.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {told[-1]['type']}"
    assert types(told) == ["chunk", "timestamps", "done"]
    assert said_in([told[0]["data"]]) == "Hithere."
    assert told[1]["word_timestamps"]["words"] == ["Hi", "there."]
    assert {m["context_id"] for m in told} == {"c"}


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
async def test_bad_requests(path: str, fields: dict[str, object], status: int, code: str) -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        answer = await http.post(path, json={**ASK, **fields})
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)


@pytest.mark.parametrize(
    "fields",
    [{"voice": "haert"}, {"language": "xx"}, {"output_format": {**RAW, "encoding": "cassette"}}],
)
async def test_who_waits_for_done_gets_it_behind_an_error(fields: dict[str, Any]) -> None:
    sentences = [ask("One. ", **fields), ask("Two. ", **fields), ask(" ", more=False, **fields)]
    async with (
        live_server() as live,
        connect(f"ws://{live.address}/tts/websocket") as socket,
    ):
        for message in sentences:  # as livekit does: it looks for `done` only behind the last
            await socket.send(json.dumps(message))
        told = [json.loads(await socket.recv()) for _ in range(2 * len(sentences))]
        assert types(told) == ["error", "done"] * len(sentences)
        assert {m["context_id"] for m in told} == {"c"}
        assert [m["done"] for m in told] == [False, True] * len(sentences)


async def test_to_the_vendors_sdk_an_error_is_the_end() -> None:
    sdk = {"user_agent_header": "cartesia-python/4.2.0"}
    async with (
        live_server() as live,
        connect(f"ws://{live.address}/tts/websocket", **sdk) as socket,  # type: ignore[arg-type]
    ):
        await socket.send(json.dumps(ask("Hi", voice="haert", context_id="bad")))
        await socket.send(json.dumps(ask("Hi", more=False)))
        told = [json.loads(await socket.recv()) for _ in range(3)]
    assert [(m["context_id"], m["type"]) for m in told] == [
        ("bad", "error"),
        ("c", "chunk"),
        ("c", "done"),
    ]


async def test_a_key_counts_wherever_it_is() -> None:
    async with (
        live_server(access={"api_keys": "right"}) as live,
        httpx.AsyncClient(base_url=live.http) as http,
    ):
        body = {**ASK, "transcript": "Hi"}
        for headers in ({}, {"x-api-key": "wrong"}, {"authorization": "Bearer wrong"}):
            answer = await http.post("/tts/bytes", json=body, headers=headers)
            assert (answer.status_code, answer.json()["error_code"]) == (401, "invalid_api_key")
        for headers in ({"x-api-key": "right"}, {"authorization": "Bearer right"}):
            assert (await http.post("/tts/bytes", json=body, headers=headers)).status_code == 200
        url = f"ws://{live.address}/tts/websocket"
        with pytest.raises(InvalidStatus) as caught:
            await connect(url)
        assert caught.value.response.status_code == 401
        async with connect(f"{url}?api_key=right") as socket:
            await socket.send(json.dumps(ask("Hi", more=False)))
            assert json.loads(await socket.recv())["type"] == "chunk"
