"""The ElevenLabs protocol: what its clients say, what they are told, and its routes."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from backend.errors import BadFormat, BadMessage, DuplexError, Unauthorized
from backend.events import Done, End, Failed, Flush, Ping, Pong, Start, Text, Word
from backend.protocols.base import Close
from backend.protocols.elevenlabs.http import build_start, parse_output_format
from backend.protocols.elevenlabs.stream_request import StreamQuery
from backend.protocols.elevenlabs.websocket import ElevenLabsProtocol
from backend.protocols.json_fields import read_query
from tests.support.live_server import live_server
from tests.support.vendor_dialogue import answers, converse, said_in, spoken


def protocol(*, multi: bool = True, **query: Any) -> ElevenLabsProtocol:
    start = Start("", format="pcm_f32le", sample_rate=24000, mode="stream")
    return ElevenLabsProtocol(start, StreamQuery(**query), multi=multi)


def decode(translator: ElevenLabsProtocol, **message: object) -> list[object]:
    return list(translator.decode(json.dumps(message)))


# --- what clients say ----------------------------------------------------------------------------


def test_the_first_message_opens_with_its_settings_and_is_not_spoken() -> None:
    (start,) = decode(protocol(), text=" ", context_id="c", voice_settings={"speed": 1.1})
    assert isinstance(start, Start)
    assert (start.context, start.speed, start.format) == ("1", 1.1, "pcm_f32le")


def test_a_first_message_with_text_is_spoken_verbatim() -> None:
    _, text = decode(protocol(), text=" Hel", context_id="c")
    assert text == Text("1", " Hel")


def test_tokens_are_joined_as_they_are() -> None:
    translator = protocol()
    decode(translator, text=" ")
    assert decode(translator, text="Hel", try_trigger_generation=True) == [Text("1", "Hel")]
    assert decode(translator, text="lo") == [Text("1", "lo")]


def test_flush_comes_behind_the_text_of_its_message() -> None:
    translator = protocol(multi=False)
    decode(translator, text=" ")
    assert decode(translator, text="Hi ", flush=True) == [Text("1", "Hi "), Flush("1")]
    assert decode(translator, flush=True) == [Flush("1")]


def test_in_auto_mode_a_message_is_a_complete_phrase() -> None:
    translator = protocol(auto_mode=True)
    decode(translator, text=" ")
    assert decode(translator, text="there.") == [Text("1", "there. "), Flush("1")]
    assert decode(translator, text="Second ") == [Text("1", "Second "), Flush("1")]


def test_empty_text_ends_a_single_stream() -> None:
    translator = protocol(multi=False)
    decode(translator, text="Hi")
    assert decode(translator, text="") == [End("1")]
    assert decode(translator, text="late") == []


def test_a_stream_may_end_before_anything_was_said() -> None:
    start, end = decode(protocol(multi=False), text="")
    assert isinstance(start, Start)
    assert end == End("1")


def test_empty_text_only_keeps_a_multi_stream_alive() -> None:
    translator = protocol()
    assert decode(translator, text="") == []
    assert decode(translator, text="", context_id="never") == []
    assert decode(translator, flush=True, context_id="never") == []
    decode(translator, text=" ", context_id="c")
    assert decode(translator, text="", context_id="c") == []


def test_contexts_are_apart_and_closed_once() -> None:
    translator = protocol()
    decode(translator, text="a ", context_id="a")
    decode(translator, text="b ", contextId="b")
    assert decode(translator, close_context=True, context_id="a", text="ignored") == [End("1")]
    assert decode(translator, close_context=True, context_id="a") == []
    assert decode(translator, text="more ", context_id="b") == [Text("2", "more ")]


def test_a_name_may_be_used_again_after_its_end() -> None:
    translator = protocol()
    decode(translator, text="a ", context_id="a")
    decode(translator, close_context=True, context_id="a")
    start, text = decode(translator, text="again ", context_id="a")
    assert isinstance(start, Start)
    assert (start.context, text) == ("2", Text("2", "again "))


def test_close_socket_ends_every_context_and_then_the_connection() -> None:
    translator = protocol()
    decode(translator, text="a ", context_id="a")
    decode(translator, text="b ", context_id="b")
    assert decode(translator, close_socket=True) == [End("1"), End("2"), Ping()]
    assert decode(translator, text="late ", context_id="a") == []
    assert answers(translator, Pong(None)) == []
    assert answers(translator, Done("1", 0, 0, 0)) == [
        {"audio": None, "isFinal": True, "contextId": "a"}
    ]
    assert answers(translator, Done("2", 0, 0, 0))[1] == Close()


def test_close_socket_closes_at_once_when_nothing_is_spoken() -> None:
    translator = protocol()
    assert decode(translator, close_socket=True) == [Ping()]
    assert answers(translator, Pong(None)) == [Close()]


def test_ssml_is_taken_out_where_the_client_says_that_there_is_some() -> None:
    tags = 'One <break time="1s"/>two <phoneme alphabet="ipa" ph="x">three</phoneme> 1 < 2'
    assert decode(protocol(enable_ssml_parsing=True), text=tags)[1] == Text(
        "1", "One two three 1 < 2"
    )
    assert decode(protocol(), text="<p>One</p>")[1] == Text("1", "<p>One</p>")
    assert decode(protocol(), text=tags)[1] == Text("1", "One two three 1 < 2"), "obeyed by theirs"


def test_a_key_is_demanded_in_the_first_message() -> None:
    translator = protocol(inactivity_timeout=180)

    def authorize(key: str | None) -> None:
        if key != "right":
            raise Unauthorized("wrong")

    translator.require_key(authorize)
    assert translator.idle_timeout_s == 20
    for wrong in ({"text": "Hi"}, {"text": "Hi", "xi_api_key": "wrong"}):
        with pytest.raises(Unauthorized):
            decode(translator, **wrong)
    assert len(decode(translator, **{"text": "Hi", "xi-api-key": "right"})) == 2
    assert len(decode(translator, text="Hi")) == 1
    assert translator.idle_timeout_s == 180


@pytest.mark.parametrize(
    "raw",
    ["", "hello", "[]", '{"text": 1}', '{"text": "\\ud83d"}', '{"text": "a", "context_id": 5}',
     '{"context_id": "%s"}' % ("c" * 129), '{"text": "a", "voice_settings": {"speed": NaN}}'],
)  # fmt: skip
def test_garbage_is_refused(raw: str) -> None:
    with pytest.raises(DuplexError):
        protocol().decode(raw)


@given(st.binary() | st.text() | st.recursive(st.none() | st.text(), st.lists).map(json.dumps))
def test_nothing_but_an_error_with_a_code_comes_of_garbage(raw: str | bytes) -> None:
    translator = protocol()
    code = None
    try:
        translator.decode(raw)
    except DuplexError as error:
        code = error.code
    assert code in (None, "bad_json", "bad_message", "binary_message")


# --- what clients are told -----------------------------------------------------------------------


def test_a_dialogue_on_a_single_stream() -> None:
    *audio, last, close = converse(
        protocol(multi=False),
        {"text": " "},
        {"text": "Hello there. "},
        {"text": "Bye"},
        {"text": ""},
    )
    assert close == Close(1000)
    assert last == {"audio": None, "isFinal": True}
    assert said_in([a["audio"] for a in audio]) == "Hellothere.Bye"
    assert "".join("".join(a["alignment"]["chars"]) for a in audio) == "Hello there. Bye"
    assert all(a["isFinal"] is None and "contextId" not in a for a in audio)


def test_sentences_in_messages_without_a_space_are_not_glued() -> None:
    first, second, *_ = converse(
        protocol(multi=False), {"text": "Hello there."}, {"text": "Second one."}, {"text": ""}
    )
    assert said_in([first["audio"]]) == "Hellothere."
    assert said_in([second["audio"]]) == "Secondone."


def test_times_are_relative_to_each_message_and_tile_its_audio() -> None:
    translator = protocol(multi=False)
    decode(translator, text="ab cd")
    first = spoken("1", (0, 3), Word(0, 3, 10.4, 20.4), ms=50.4)
    second = spoken("1", (3, 5), Word(3, 5, 60.4, 70.4), start_ms=50.4, ms=30.3)
    assert answers(translator, first)[0]["alignment"] == {
        "chars": ["a", "b", " "],
        "charStartTimesMs": [10, 15, 20],
        "charDurationsMs": [5, 5, 30],
    }
    (message,) = answers(translator, second)
    assert message["alignment"]["charStartTimesMs"] == [10, 15]
    assert message["normalizedAlignment"] == message["alignment"]


def test_sums_of_rounded_times_do_not_drift() -> None:
    translator = protocol(multi=False)
    decode(translator, text="x" * 1000)
    at_ms = 0.0
    clock_ms = 0
    for n in range(1000):
        (message,) = answers(translator, spoken("1", (n, n + 1), start_ms=at_ms, ms=10.4))
        times = message["alignment"]
        clock_ms += times["charStartTimesMs"][-1] + times["charDurationsMs"][-1]
        at_ms += 10.4
    assert abs(clock_ms - at_ms) < 1


def test_with_sync_alignment_times_are_those_of_the_context() -> None:
    translator = protocol(sync_alignment=True)
    decode(translator, text="ab", context_id="c")
    answers(translator, spoken("1", (0, 1)))
    (message,) = answers(translator, spoken("1", (1, 2), start_ms=100))
    assert message["alignment"]["charStartTimesMs"] == [100]
    assert message["contextId"] == "c"


def test_a_long_silent_text_is_told_in_messages_of_a_bearable_size() -> None:
    translator = protocol()
    decode(translator, text="👋" * 20_000)
    event = spoken("1", (0, 20_000), ms=0)
    messages = answers(translator, event)
    assert sum(len(m["alignment"]["chars"]) for m in messages) == 20_000
    assert [bool(m["audio"]) for m in messages] == [True] + [False] * (len(messages) - 1)


def test_an_error_closes_the_connection() -> None:
    translator = protocol()
    decode(translator, text="a", context_id="c")
    message, close = answers(translator, Failed("1", "text_limit", "too much"))
    assert message == {"message": "too much", "error": "text_limit", "code": 1008, "contextId": "c"}
    assert close == Close(1008, "text_limit: too much")


def test_a_sentence_that_fails_does_not_end_the_others() -> None:
    translator = protocol(multi=False)
    said = [{"text": "Good. explode now. Fine. "}, {"text": ""}]
    heard_: list[str] = []
    errors: list[str] = []
    for answer in converse(translator, *said):
        if isinstance(answer, dict):
            errors += [answer["error"]] if "error" in answer else []
            heard_ += [answer["audio"]] if answer.get("audio") else []
    assert errors == ["engine_failed"]
    assert said_in(heard_) == "Good.Fine."


TEXT = st.text(alphabet="ab. 👋\n", max_size=12)


@given(st.lists(TEXT, max_size=8), st.booleans(), st.booleans())
def test_the_alignment_has_every_character_once(
    pieces: list[str], flush: bool, multi: bool
) -> None:
    said: list[dict[str, object]] = [{"text": " "}]
    said += [{"text": piece, "flush": flush} for piece in pieces if piece]
    said += [{"close_context": True}] if multi else [{"text": ""}]
    told = converse(protocol(multi=multi), *said)
    audio = [m for m in told if isinstance(m, dict) and m.get("alignment")]
    assert "".join("".join(m["alignment"]["chars"]) for m in audio) == "".join(pieces)
    assert said_in([m["audio"] for m in audio]) == "".join(
        c for c in "".join(pieces) if not c.isspace() and c != "👋"
    )
    for message in audio:
        times = message["alignment"]
        ends = [
            s + d for s, d in zip(times["charStartTimesMs"], times["charDurationsMs"], strict=True)
        ]
        assert times["charStartTimesMs"][1:] == ends[:-1]


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("mp3_44100_128", ("mp3", 44100, 128_000)),
        ("mp3_22050_32", ("mp3", 22050, 32_000)),
        ("opus_48000_96", ("opus", 48000, 96_000)),
        ("pcm_8000", ("pcm_s16le", 8000, None)),
        ("pcm_48000", ("pcm_s16le", 48000, None)),
        ("ulaw_8000", ("mulaw", 8000, None)),
        ("alaw_8000", ("alaw", 8000, None)),
        ("wav_44100", ("wav", 44100, None)),
    ],
)
def test_output_formats(name: str, meant: tuple[object, ...]) -> None:
    assert parse_output_format(name) == meant


@pytest.mark.parametrize("name", ["", "mp3", "mp3_44100", "pcm_24000_16", "PCM_24000", "pcm_٣٤٥٦٧"])
def test_unknown_output_formats_are_refused_with_what_there_is(name: str) -> None:
    with pytest.raises(BadFormat, match="mp3_44100_128"):
        parse_output_format(name)


def test_seeds_are_brought_into_the_range_of_the_core() -> None:
    assert build_start(None, "pcm_24000", language=None, seed=2**32 - 1).seed == 2**31 - 1


@pytest.mark.parametrize("timeout", ["soon", "nan"])
def test_a_query_that_is_no_number_is_refused(timeout: str) -> None:
    with pytest.raises(BadMessage, match="inactivity_timeout"):
        read_query(StreamQuery, {"inactivity_timeout": timeout})


@pytest.mark.parametrize(
    ("asked", "granted_s"),
    [("0.5", 0.5), ("180", 180), ("181", 180), ("300", 180), ("1e300", 180), ("0", 20), ("-1", 20)],
)
def test_a_timeout_beyond_the_limits_is_brought_within_them(asked: str, granted_s: float) -> None:
    query = read_query(StreamQuery, {"inactivity_timeout": asked})
    assert query.inactivity_timeout == granted_s


# --- the routes ----------------------------------------------------------------------------------

PCM = "output_format=pcm_24000"


async def test_speaks_over_a_websocket() -> None:
    async with live_server() as live:
        url = f"ws://{live.address}/v1/text-to-speech/heart/stream-input?{PCM}"
        async with connect(url, compression=None) as socket:
            for text in (" ", "Hello there.", ""):
                await socket.send(json.dumps({"text": text}))
            told = [json.loads(message) async for message in socket]
        assert socket.close_code == 1000
    chars = [c for m in told if m.get("alignment") for c in m["alignment"]["chars"]]
    assert "".join(chars) == "Hello there."
    assert told[-1]["isFinal"] is True


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("haert/stream-input", "voice_id_does_not_exist"),
        ("haert/multi-stream-input", "voice_id_does_not_exist"),
        ("heart/multi-stream-input?output_format=cassette", "bad_format"),
        ("heart/stream-input?output_format=mp3_11111_64", "bad_format"),
        ("heart/stream-input?inactivity_timeout=soon", "bad_message"),
        ("heart/stream-input?language_code=xx", "unsupported"),
    ],
)
async def test_what_is_wrong_with_a_url_is_said_on_the_open_socket(path: str, code: str) -> None:
    async with live_server() as live:
        told, socket = await refused_by(f"ws://{live.address}/v1/text-to-speech/{path}")
    assert (told["error"], told["code"]) == (code, 1008)
    named = {"contextId"} if "multi" in path else set()
    assert set(told) == {"message", "error", "code"} | named, "livekit wants to know whose it is"
    assert socket.close_code == 1008
    assert code in (socket.close_reason or "")


async def refused_by(url: str, **options: Any) -> tuple[dict[str, Any], ClientConnection]:
    """What the server says before it hangs up."""
    async with connect(url, **options) as socket:
        await socket.send(json.dumps({"text": " ", "context_id": "c"}))
        (told,) = [json.loads(message) async for message in messages(socket)]
    return told, socket


async def messages(socket: ClientConnection) -> AsyncIterator[str | bytes]:
    """All up to the close, whatever its code."""
    with suppress(ConnectionClosed):
        while True:
            yield await socket.recv()


async def test_who_says_nothing_is_told_too() -> None:
    async with live_server() as live:
        url = f"ws://{live.address}/v1/text-to-speech/haert/multi-stream-input"
        async with connect(url) as socket:
            (told,) = [json.loads(message) async for message in messages(socket)]
    assert set(told) == {"message", "error", "code"}
    assert (told["error"], socket.close_code) == ("voice_id_does_not_exist", 1008)


async def test_what_livekit_1_0_asks_for_is_spoken() -> None:
    query = "model_id=eleven_turbo_v2_5&enable_ssml_parsing=false&inactivity_timeout=300"
    async with live_server() as live:
        url = f"ws://{live.address}/v1/text-to-speech/EXAVITQu4vr4xnSDxMaL/stream-input?{query}"
        async with connect(f"{url}&output_format=mp3_22050_32") as socket:
            for text in (" ", "Hello there. ", ""):
                await socket.send(json.dumps({"text": text}))
            told = [json.loads(message) async for message in socket]
    assert told[-1]["isFinal"] is True
    assert any(message.get("audio") for message in told)


async def test_a_key_counts_wherever_it_is() -> None:
    async with live_server(access={"api_keys": "right"}) as live:
        url = f"ws://{live.address}/v1/text-to-speech/heart/stream-input?{PCM}"
        told, socket = await refused_by(url, additional_headers={"xi-api-key": "wrong"})
        assert (told["error"], socket.close_code) == ("invalid_api_key", 1008)
        for options, suffix, first in (
            ({"additional_headers": {"xi-api-key": "right"}}, "", {}),
            ({"additional_headers": {"authorization": "Bearer right"}}, "", {}),
            ({}, "&xi-api-key=right", {}),
            ({}, "", {"xi_api_key": "right"}),
            ({}, "", {"authorization": "Bearer right"}),
        ):
            async with connect(url + suffix, **options) as socket:  # type: ignore[arg-type]
                await socket.send(json.dumps({"text": "Hi", **first}))
                await socket.send(json.dumps({"text": ""}))
                assert json.loads(await socket.recv())["audio"]


async def test_without_a_key_nothing_is_spoken() -> None:
    async with live_server(access={"api_keys": "right"}) as live:
        url = f"ws://{live.address}/v1/text-to-speech/heart/multi-stream-input?{PCM}"
        async with connect(url) as socket:
            await socket.send(json.dumps({"text": "Hi", "context_id": "c", "flush": True}))
            told = json.loads(await socket.recv())
            assert (told["error"], told["code"]) == ("invalid_api_key", 1008)
            with pytest.raises(ConnectionClosed):
                await socket.recv()
        assert socket.close_code == 1008


async def test_a_silent_client_is_told_and_hung_up_on() -> None:
    async with live_server() as live:
        path = f"/v1/text-to-speech/heart/multi-stream-input?{PCM}&inactivity_timeout=0.2"
        async with connect(f"ws://{live.address}{path}") as socket:
            told = json.loads(await socket.recv())
            assert (told["error"], told["code"]) == ("idle_timeout", 1008)
            with pytest.raises(ConnectionClosed):
                await socket.recv()
        assert socket.close_code == 1008


async def test_speaks_over_http() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        path, body = "/v1/text-to-speech/21m00Tcm4TlvDq8ikWAM", {"text": "Hi there.", "seed": 5}
        for suffix in ("", "/stream"):
            answer = await http.post(f"{path}{suffix}?{PCM}", json=body)
            assert answer.headers["content-type"] == "audio/pcm"
            assert len(answer.content) == 8 * 240 * 2
        whole = (await http.post(f"{path}/with-timestamps?{PCM}", json=body)).json()
        assert len(base64.b64decode(whole["audio_base64"])) == 8 * 240 * 2
        assert "".join(whole["alignment"]["characters"]) == "Hi there."
        assert whole["alignment"]["character_end_times_seconds"][-1] == 0.08
        mp3 = await http.post(path, json={"text": "Hi", "voice_settings": None})
        assert mp3.headers["content-type"] == "audio/mpeg"


async def test_lines_with_timestamps_are_short_and_their_times_go_on() -> None:
    text = "word " * 400
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        path = "/v1/text-to-speech/heart/stream/with-timestamps?output_format=pcm_48000"
        answer = await http.post(path, json={"text": text})
    lines = answer.text.splitlines()
    assert max(map(len, lines)) < 128 * 1024
    told = list(map(json.loads, lines))
    assert sum(len(base64.b64decode(line["audio_base64"])) for line in told) == 1600 * 480 * 2
    aligned = [line["alignment"] for line in told if line["alignment"]]
    assert "".join("".join(a["characters"]) for a in aligned) == text
    starts = [s for a in aligned for s in a["character_start_times_seconds"]]
    assert starts == sorted(starts)
    assert abs(aligned[-1]["character_end_times_seconds"][-1] - 16) < 0.01, "the resampler lags"


@pytest.mark.parametrize("output_format", ["mp3_44100_128", "opus_48000_64", "pcm_8000"])
@pytest.mark.parametrize("text", ["hi", "Hello there. How are you?", "a", "word " * 100])
async def test_no_line_lacks_the_characters_that_are_heard_in_it(
    text: str, output_format: str
) -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        path = f"/v1/text-to-speech/heart/stream/with-timestamps?output_format={output_format}"
        answer = await http.post(path, json={"text": text})
        plain = await http.post(path.replace("/with-timestamps", ""), json={"text": text})
    told = list(map(json.loads, answer.text.splitlines()))
    assert all(line["alignment"] and line["alignment"]["characters"] for line in told)
    assert "".join("".join(line["alignment"]["characters"]) for line in told) == text
    data = b"".join(base64.b64decode(line["audio_base64"]) for line in told)
    assert len(data) == len(plain.content)


def test_what_an_encoder_keeps_back_is_told_with_the_characters_before_it() -> None:
    translator = protocol(multi=False)
    decode(translator, text="Hi you")
    (early,) = answers(translator, spoken("1", (0, 3)))
    assert early["alignment"]["chars"] == list("Hi ")
    decode(translator, text="")
    assert answers(translator, spoken("1", (3, 6), start_ms=100)) == []
    assert answers(translator, spoken("1", (6, 6), start_ms=200, ms=26)) == []
    last, final, _ = answers(translator, Done("1", 226, 6, 3))
    assert last["alignment"]["chars"] == list("you")
    assert last["alignment"]["charStartTimesMs"][0] == 0
    times = last["alignment"]
    assert times["charStartTimesMs"][-1] + times["charDurationsMs"][-1] == 126
    assert base64.b64decode(last["audio"]) == bytes(8)
    assert final["isFinal"] is True


def test_audio_waits_only_for_the_end_of_a_text_that_has_ended() -> None:
    translator = protocol(multi=False)
    decode(translator, text="Hi ")
    assert answers(translator, spoken("1", (0, 3))), "more text may follow"
    decode(translator, text="you. Bye.")
    decode(translator, text="")
    assert answers(translator, spoken("1", (3, 8), start_ms=100)), "there is more to speak"


@pytest.mark.parametrize("query", [{}, {"enable_ssml_parsing": True}])
def test_a_tag_is_taken_out_also_a_character_at_a_time(query: dict[str, Any]) -> None:
    text = 'Hello <break time="1.0s" /> there, 1 < 2.'
    told = converse(
        protocol(multi=False, **query), *({"text": c} for c in ["a ", *text]), {"text": ""}
    )
    chars = [
        c for m in told if isinstance(m, dict) for c in (m.get("alignment") or {}).get("chars", [])
    ]
    assert "".join(chars) == "a Hello  there, 1 < 2."
    heard_ = said_in([m["audio"] for m in told if isinstance(m, dict) and m.get("audio")])
    assert heard_ == "aHellothere,1<2."


def test_what_began_like_a_tag_is_spoken_when_the_text_ends() -> None:
    for said in ({"text": ""}, {"text": " ", "flush": True}):
        translator = protocol(multi=False)
        decode(translator, text="a <brea")
        text, *_ = decode(translator, **said)
        assert isinstance(text, Text)
        assert text.text.startswith("<brea")
    translator = protocol()
    decode(translator, text="a <brea", context_id="a")
    assert decode(translator, close_context=True, context_id="a") == [Text("1", "<brea"), End("1")]
    decode(translator, text="a <brea", context_id="b")
    assert decode(translator, close_socket=True) == [Text("2", "<brea"), End("2"), Ping()]


async def test_tags_are_not_read_aloud_over_http() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        body = {"text": 'Hi <break time="1.0s" />there.'}
        for suffix in ("", "/stream"):
            answer = await http.post(f"/v1/text-to-speech/heart{suffix}?{PCM}", json=body)
            assert len(answer.content) == 8 * 240 * 2
        whole = await http.post(f"/v1/text-to-speech/heart/with-timestamps?{PCM}", json=body)
        assert "".join(whole.json()["alignment"]["characters"]) == "Hi there."


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("haert", {"text": "a"}, 404, "unknown_voice"),
        ("heart?output_format=cassette", {"text": "a"}, 400, "bad_format"),
        ("heart", {"text": ""}, 422, "bad_message"),
        ("heart", {}, 422, "bad_message"),
        ("heart", {"text": "a", "voice_settings": {"speed": 9}}, 422, "bad_message"),
        ("heart/stream", {"text": "a" * 30_000}, 400, "text_limit"),
        ("remote", {"text": "a"}, 503, "voice_unavailable"),
    ],
)
async def test_bad_requests(path: str, body: dict[str, object], status: int, code: str) -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        answer = await http.post(f"/v1/text-to-speech/{path}", json=body)
    assert (answer.status_code, answer.json()["detail"]["status"]) == (status, code)


async def test_a_request_without_a_key_is_told_so() -> None:
    async with (
        live_server(access={"api_keys": "right"}) as live,
        httpx.AsyncClient(base_url=live.http) as http,
    ):
        body = {"text": "a"}
        refused = await http.post("/v1/text-to-speech/heart", json=body)
        assert refused.status_code == 401
        assert refused.json()["detail"]["status"] == "invalid_api_key"
        headers = {"xi-api-key": "right"}
        spoken_ = await http.post("/v1/text-to-speech/heart", json=body, headers=headers)
        assert spoken_.status_code == 200


async def test_voices_are_listed() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        for path in ("/v1/voices", "/v2/voices"):
            voices = (await http.get(path)).json()["voices"]
            assert {(v["voice_id"], v["name"]) for v in voices} >= {("heart", "heart")}


async def test_one_voice_is_described_also_for_an_id_of_theirs() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        for name in ("heart", "21m00Tcm4TlvDq8ikWAM"):
            told = (await http.get(f"/v1/voices/{name}")).json()
            assert (told["voice_id"], told["name"]) == ("heart", "heart")
        missing = await http.get("/v1/voices/nobody")
    assert missing.status_code == 404
    assert missing.json()["detail"]["status"] == "unknown_voice"
    assert "heart" in missing.json()["detail"]["message"]


async def test_who_asks_is_nobody_who_pays() -> None:
    async with (
        live_server(access={"api_keys": "right"}) as live,
        httpx.AsyncClient(base_url=live.http) as http,
    ):
        for path in ("/v1/user", "/v1/user/subscription"):
            refused = await http.get(path)
            assert (refused.status_code, refused.json()["detail"]["status"]) == (
                401,
                "invalid_api_key",
            )
            told = (await http.get(path, headers={"xi-api-key": "right"})).json()
            subscription = told.get("subscription", told)
            assert subscription["character_count"] < subscription["character_limit"]
