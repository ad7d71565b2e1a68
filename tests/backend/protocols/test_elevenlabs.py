"""The ElevenLabs protocol: client messages and server messages."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import BadFormat, BadMessage, DuplexError, Unauthorized
from backend.events import Done, End, Failed, Flush, Ping, Pong, Start, Text, Word
from backend.protocols.base import Close
from backend.protocols.elevenlabs.http import build_start, parse_output_format
from backend.protocols.elevenlabs.stream_request import StreamQuery
from backend.protocols.elevenlabs.websocket import ElevenLabsProtocol
from backend.protocols.json_fields import read_query
from tests.support.vendor_dialogue import audio_event, decode_speech, encode_parsed, run_dialogue


def create_protocol(*, multi: bool = True, **query: Any) -> ElevenLabsProtocol:
    start = Start("", format="pcm_f32le", sample_rate=24000, mode="stream")
    return ElevenLabsProtocol(start, StreamQuery(**query), multi=multi)


def decode_json(translator: ElevenLabsProtocol, **message: object) -> list[object]:
    return list(translator.decode(json.dumps(message)))


# --- client messages ------------------------------------------------------------------------------


def test_first_message_applies_its_settings_and_is_not_spoken() -> None:
    (start,) = decode_json(
        create_protocol(), text=" ", context_id="c", voice_settings={"speed": 1.1}
    )
    assert isinstance(start, Start)
    assert (start.context, start.speed, start.format) == ("1", 1.1, "pcm_f32le")


def test_first_message_with_text_is_spoken_verbatim() -> None:
    _, text = decode_json(create_protocol(), text=" Hel", context_id="c")
    assert text == Text("1", " Hel")


def test_tokens_are_joined_verbatim() -> None:
    translator = create_protocol()
    decode_json(translator, text=" ")
    assert decode_json(translator, text="Hel", try_trigger_generation=True) == [Text("1", "Hel")]
    assert decode_json(translator, text="lo") == [Text("1", "lo")]


def test_flush_follows_the_text_of_its_message() -> None:
    translator = create_protocol(multi=False)
    decode_json(translator, text=" ")
    assert decode_json(translator, text="Hi ", flush=True) == [Text("1", "Hi "), Flush("1")]
    assert decode_json(translator, flush=True) == [Flush("1")]


def test_auto_mode_flushes_each_message_as_a_phrase() -> None:
    translator = create_protocol(auto_mode=True)
    decode_json(translator, text=" ")
    assert decode_json(translator, text="there.") == [Text("1", "there. "), Flush("1")]
    assert decode_json(translator, text="Second ") == [Text("1", "Second "), Flush("1")]


def test_empty_text_ends_a_single_stream() -> None:
    translator = create_protocol(multi=False)
    decode_json(translator, text="Hi")
    assert decode_json(translator, text="") == [End("1")]
    assert decode_json(translator, text="late") == []


def test_stream_may_end_without_text() -> None:
    start, end = decode_json(create_protocol(multi=False), text="")
    assert isinstance(start, Start)
    assert end == End("1")


def test_empty_text_only_keeps_a_multi_stream_alive() -> None:
    translator = create_protocol()
    assert decode_json(translator, text="") == []
    assert decode_json(translator, text="", context_id="never") == []
    assert decode_json(translator, flush=True, context_id="never") == []
    decode_json(translator, text=" ", context_id="c")
    assert decode_json(translator, text="", context_id="c") == []


def test_contexts_are_separate_and_closed_once() -> None:
    translator = create_protocol()
    decode_json(translator, text="a ", context_id="a")
    decode_json(translator, text="b ", contextId="b")
    assert decode_json(translator, close_context=True, context_id="a", text="ignored") == [End("1")]
    assert decode_json(translator, close_context=True, context_id="a") == []
    assert decode_json(translator, text="more ", context_id="b") == [Text("2", "more ")]


def test_context_name_may_be_reused_after_its_end() -> None:
    translator = create_protocol()
    decode_json(translator, text="a ", context_id="a")
    decode_json(translator, close_context=True, context_id="a")
    start, text = decode_json(translator, text="again ", context_id="a")
    assert isinstance(start, Start)
    assert (start.context, text) == ("2", Text("2", "again "))


def test_close_socket_ends_every_context_and_then_the_connection() -> None:
    translator = create_protocol()
    decode_json(translator, text="a ", context_id="a")
    decode_json(translator, text="b ", context_id="b")
    assert decode_json(translator, close_socket=True) == [End("1"), End("2"), Ping()]
    assert decode_json(translator, text="late ", context_id="a") == []
    assert encode_parsed(translator, Pong(None)) == []
    assert encode_parsed(translator, Done("1", 0, 0, 0)) == [
        {"audio": None, "isFinal": True, "contextId": "a"}
    ]
    assert encode_parsed(translator, Done("2", 0, 0, 0))[1] == Close()


def test_close_socket_closes_at_once_without_contexts() -> None:
    translator = create_protocol()
    assert decode_json(translator, close_socket=True) == [Ping()]
    assert encode_parsed(translator, Pong(None)) == [Close()]


@pytest.mark.parametrize("enabled", [True, False])
def test_ssml_is_passed_on(enabled: bool) -> None:
    tags = '<p>One</p> <break time="1s"/>two <phoneme alphabet="ipa" ph="x">three</phoneme> 1 < 2'
    translator = create_protocol(enable_ssml_parsing=enabled)
    assert decode_json(translator, text=tags)[1] == Text("1", tags)
    translator = create_protocol(enable_ssml_parsing=enabled)
    pieces = decode_json(translator, text="a <bre")[1:] + decode_json(translator, text="ak/> b")
    assert pieces == [Text("1", "a "), Text("1", "<break/> b")]


def test_key_is_required_in_the_first_message() -> None:
    translator = create_protocol(inactivity_timeout=180)

    def authorize(key: str | None) -> None:
        if key != "right":
            raise Unauthorized("wrong")

    translator.require_key(authorize)
    assert translator.idle_timeout_s == 20
    for wrong in ({"text": "Hi"}, {"text": "Hi", "xi_api_key": "wrong"}):
        with pytest.raises(Unauthorized):
            decode_json(translator, **wrong)
    assert len(decode_json(translator, **{"text": "Hi", "xi-api-key": "right"})) == 2
    assert len(decode_json(translator, text="Hi")) == 1
    assert translator.idle_timeout_s == 180


@pytest.mark.parametrize(
    "raw",
    ["", "hello", "[]", '{"text": 1}', '{"text": "\\ud83d"}', '{"text": "a", "context_id": 5}',
     '{"context_id": "%s"}' % ("c" * 129), '{"text": "a", "voice_settings": {"speed": NaN}}'],
)  # fmt: skip
def test_invalid_message_is_refused(raw: str) -> None:
    with pytest.raises(DuplexError):
        create_protocol().decode(raw)


@given(st.binary() | st.text() | st.recursive(st.none() | st.text(), st.lists).map(json.dumps))
def test_garbage_gives_only_errors_with_a_code(raw: str | bytes) -> None:
    translator = create_protocol()
    code = None
    try:
        translator.decode(raw)
    except DuplexError as error:
        code = error.code
    assert code in (None, "bad_json", "bad_message", "binary_message")


# --- server messages ------------------------------------------------------------------------------


def test_single_stream_dialogue_has_audio_final_and_close() -> None:
    *audio, last, close = run_dialogue(
        create_protocol(multi=False),
        {"text": " "},
        {"text": "Hello there. "},
        {"text": "Bye"},
        {"text": ""},
    )
    assert close == Close(1000)
    assert last == {"audio": None, "isFinal": True}
    assert decode_speech([a["audio"] for a in audio]) == "Hellothere.Bye"
    assert "".join("".join(a["alignment"]["chars"]) for a in audio) == "Hello there. Bye"
    assert all(a["isFinal"] is None and "contextId" not in a for a in audio)


def test_sentences_without_a_space_between_are_separate() -> None:
    first, second, *_ = run_dialogue(
        create_protocol(multi=False),
        {"text": "Hello there."},
        {"text": "Second one."},
        {"text": ""},
    )
    assert decode_speech([first["audio"]]) == "Hellothere."
    assert decode_speech([second["audio"]]) == "Secondone."


def test_times_are_relative_to_each_message_and_tile_its_audio() -> None:
    translator = create_protocol(multi=False)
    decode_json(translator, text="ab cd")
    first = audio_event("1", (0, 3), Word(0, 3, 10.4, 20.4), ms=50.4)
    second = audio_event("1", (3, 5), Word(3, 5, 60.4, 70.4), start_ms=50.4, ms=30.3)
    assert encode_parsed(translator, first)[0]["alignment"] == {
        "chars": ["a", "b", " "],
        "charStartTimesMs": [10, 15, 20],
        "charDurationsMs": [5, 5, 30],
    }
    (message,) = encode_parsed(translator, second)
    assert message["alignment"]["charStartTimesMs"] == [10, 15]
    assert message["normalizedAlignment"] == message["alignment"]


def test_sums_of_rounded_times_do_not_drift() -> None:
    translator = create_protocol(multi=False)
    decode_json(translator, text="x" * 1000)
    at_ms = 0.0
    clock_ms = 0
    for n in range(1000):
        (message,) = encode_parsed(
            translator, audio_event("1", (n, n + 1), start_ms=at_ms, ms=10.4)
        )
        times = message["alignment"]
        clock_ms += times["charStartTimesMs"][-1] + times["charDurationsMs"][-1]
        at_ms += 10.4
    assert abs(clock_ms - at_ms) < 1


def test_sync_alignment_gives_times_relative_to_the_context() -> None:
    translator = create_protocol(sync_alignment=True)
    decode_json(translator, text="ab", context_id="c")
    encode_parsed(translator, audio_event("1", (0, 1)))
    (message,) = encode_parsed(translator, audio_event("1", (1, 2), start_ms=100))
    assert message["alignment"]["charStartTimesMs"] == [100]
    assert message["contextId"] == "c"


def test_alignment_of_a_long_silent_text_is_split_into_messages() -> None:
    translator = create_protocol()
    decode_json(translator, text="👋" * 20_000)
    event = audio_event("1", (0, 20_000), ms=0)
    messages = encode_parsed(translator, event)
    assert sum(len(m["alignment"]["chars"]) for m in messages) == 20_000
    assert [bool(m["audio"]) for m in messages] == [True] + [False] * (len(messages) - 1)


def test_error_closes_the_connection() -> None:
    translator = create_protocol()
    decode_json(translator, text="a", context_id="c")
    message, close = encode_parsed(translator, Failed("1", "text_limit", "too much"))
    assert message == {"message": "too much", "error": "text_limit", "code": 1008, "contextId": "c"}
    assert close == Close(1008, "text_limit: too much")


def test_failed_sentence_does_not_end_the_context() -> None:
    translator = create_protocol(multi=False)
    sent = [{"text": "Good. explode now. Fine. "}, {"text": ""}]
    chunks: list[str] = []
    errors: list[str] = []
    for response in run_dialogue(translator, *sent):
        if isinstance(response, dict):
            errors += [response["error"]] if "error" in response else []
            chunks += [response["audio"]] if response.get("audio") else []
    assert errors == ["engine_failed"]
    assert decode_speech(chunks) == "Good.Fine."


TEXT = st.text(alphabet="ab. 👋\n", max_size=12)


@given(st.lists(TEXT, max_size=8), st.booleans(), st.booleans())
def test_alignment_has_every_character_once(pieces: list[str], flush: bool, multi: bool) -> None:
    sent: list[dict[str, object]] = [{"text": " "}]
    sent += [{"text": piece, "flush": flush} for piece in pieces if piece]
    sent += [{"close_context": True}] if multi else [{"text": ""}]
    replies = run_dialogue(create_protocol(multi=multi), *sent)
    audio = [m for m in replies if isinstance(m, dict) and m.get("alignment")]
    assert "".join("".join(m["alignment"]["chars"]) for m in audio) == "".join(pieces)
    assert decode_speech([m["audio"] for m in audio]) == "".join(
        c for c in "".join(pieces) if not c.isspace() and c != "👋"
    )
    for message in audio:
        times = message["alignment"]
        ends = [
            s + d for s, d in zip(times["charStartTimesMs"], times["charDurationsMs"], strict=True)
        ]
        assert times["charStartTimesMs"][1:] == ends[:-1]


# --- formats and queries --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
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
def test_output_format_is_parsed(name: str, expected: tuple[object, ...]) -> None:
    assert parse_output_format(name) == expected


@pytest.mark.parametrize("name", ["", "mp3", "mp3_44100", "pcm_24000_16", "PCM_24000", "pcm_٣٤٥٦٧"])
def test_unknown_output_format_is_refused_with_the_choices(name: str) -> None:
    with pytest.raises(BadFormat, match="mp3_44100_128"):
        parse_output_format(name)


def test_seed_is_reduced_to_the_range_of_the_core() -> None:
    assert build_start(None, "pcm_24000", language=None, seed=2**32 - 1).seed == 2**31 - 1


@pytest.mark.parametrize("timeout", ["soon", "nan"])
def test_non_numeric_timeout_is_refused(timeout: str) -> None:
    with pytest.raises(BadMessage, match="inactivity_timeout"):
        read_query(StreamQuery, {"inactivity_timeout": timeout})


@pytest.mark.parametrize(
    ("requested", "clamped_s"),
    [("0.5", 0.5), ("180", 180), ("181", 180), ("300", 180), ("1e300", 180), ("0", 20), ("-1", 20)],
)
def test_timeout_is_clamped_to_the_limits(requested: str, clamped_s: float) -> None:
    query = read_query(StreamQuery, {"inactivity_timeout": requested})
    assert query.inactivity_timeout == clamped_s


# --- the end of a text ----------------------------------------------------------------------------


def test_final_encoder_flush_is_sent_with_the_last_characters() -> None:
    translator = create_protocol(multi=False)
    decode_json(translator, text="Hi you")
    (early,) = encode_parsed(translator, audio_event("1", (0, 3)))
    assert early["alignment"]["chars"] == list("Hi ")
    decode_json(translator, text="")
    assert encode_parsed(translator, audio_event("1", (3, 6), start_ms=100)) == []
    assert encode_parsed(translator, audio_event("1", (6, 6), start_ms=200, ms=26)) == []
    last, final, _ = encode_parsed(translator, Done("1", 226, 6, 3))
    assert last["alignment"]["chars"] == list("you")
    assert last["alignment"]["charStartTimesMs"][0] == 0
    times = last["alignment"]
    assert times["charStartTimesMs"][-1] + times["charDurationsMs"][-1] == 126
    assert base64.b64decode(last["audio"]) == bytes(8)
    assert final["isFinal"] is True


def test_audio_is_held_only_at_the_end_of_an_ended_text() -> None:
    translator = create_protocol(multi=False)
    decode_json(translator, text="Hi ")
    assert encode_parsed(translator, audio_event("1", (0, 3))), "more text may follow"
    decode_json(translator, text="you. Bye.")
    decode_json(translator, text="")
    assert encode_parsed(translator, audio_event("1", (3, 8), start_ms=100)), (
        "more text is unspoken"
    )


@pytest.mark.parametrize("query", [{}, {"enable_ssml_parsing": True}])
def test_tag_is_removed_also_one_character_at_a_time(query: dict[str, Any]) -> None:
    text = 'Hello <break time="1.0s" /> there, 1 < 2.'
    replies = run_dialogue(
        create_protocol(multi=False, **query), *({"text": c} for c in ["a ", *text]), {"text": ""}
    )
    chars = [
        c
        for m in replies
        if isinstance(m, dict)
        for c in (m.get("alignment") or {}).get("chars", [])
    ]
    assert "".join(chars) == "a Hello   there, 1 < 2."
    spoken = decode_speech([m["audio"] for m in replies if isinstance(m, dict) and m.get("audio")])
    assert spoken == "aHellothere,1<2."


def test_incomplete_tag_is_spoken_when_the_text_ends() -> None:
    for sent in ({"text": ""}, {"text": " ", "flush": True}):
        translator = create_protocol(multi=False)
        decode_json(translator, text="a <brea")
        text, *_ = decode_json(translator, **sent)
        assert isinstance(text, Text)
        assert text.text.startswith("<brea")
    translator = create_protocol()
    decode_json(translator, text="a <brea", context_id="a")
    assert decode_json(translator, close_context=True, context_id="a") == [
        Text("1", "<brea"),
        End("1"),
    ]
    decode_json(translator, text="a <brea", context_id="b")
    assert decode_json(translator, close_socket=True) == [Text("2", "<brea"), End("2"), Ping()]
