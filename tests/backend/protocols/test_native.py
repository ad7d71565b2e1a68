"""The native protocol: valid and invalid client messages, and every server message."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backend import errors
from backend.events import (
    Audio,
    Cancel,
    Cancelled,
    Done,
    End,
    Event,
    Failed,
    Flush,
    Ping,
    Played,
    Pong,
    Ready,
    Resume,
    Retract,
    Retracted,
    Start,
    Text,
    Word,
)
from backend.protocols.native import decode_message, encode_event

LONE = "\\ud83d"  # half of a surrogate pair, JSON-escaped


def to_json(**fields: object) -> str:
    return json.dumps(fields)


def code_of(sent: str | bytes) -> str:
    with pytest.raises(errors.DuplexError) as caught:
        decode_message(sent)
    return caught.value.code


# --- valid messages -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "command"),
    [
        ({"type": "start", "context": "c"}, Start("c")),
        (
            {
                "type": "start",
                "context": "c",
                "voice": "v",
                "format": "opus",
                "sample_rate": 48000,
                "speed": 1.5,
                "seed": 7,
                "language": "en",
                "mode": "batch",
                "frames": "json",
            },
            Start("c", "v", "opus", 48000, 1.5, 7, "en", "batch", "json"),
        ),
        ({"type": "text", "context": "c", "text": "Hi 👋"}, Text("c", "Hi 👋")),
        ({"type": "retract", "context": "c", "to": 3}, Retract("c", 3)),
        ({"type": "flush", "context": "c"}, Flush("c")),
        ({"type": "flush", "context": "c", "ends_stream": True}, Flush("c", ends_stream=True)),
        ({"type": "start", "context": "c", "follows": "b"}, Start("c", follows="b")),
        ({"type": "end", "context": "c"}, End("c")),
        ({"type": "cancel", "context": "c"}, Cancel("c")),
        ({"type": "played", "context": "c", "ms": 1.5}, Played("c", 1.5)),
        ({"type": "played", "context": "c", "ms": 2}, Played("c", 2.0)),
        ({"type": "ping", "id": "x"}, Ping("x")),
        ({"type": "ping", "id": 7}, Ping(7)),
        ({"type": "ping"}, Ping(None)),
        ({"type": "ping", "after": {"a": 3, "b": -1}}, Ping(None, {"a": 3, "b": -1})),
        ({"type": "ping", "after": {}, "answers": 2}, Ping(None, {}, 2)),
        (
            {"type": "resume", "session": "s", "token": "t", "after": {"a": 3}},
            Resume("s", "t", {"a": 3}),
        ),
        (
            {"type": "resume", "session": "s", "token": "t", "after": {}, "answers": 5},
            Resume("s", "t", {}, 5),
        ),
    ],
)
def test_every_client_message_is_decoded(fields: dict[str, object], command: object) -> None:
    assert decode_message(to_json(**fields)) == command


def test_context_may_be_omitted() -> None:
    assert decode_message(to_json(type="text", text="Hi")) == Text("default", "Hi")


def test_surrogate_pair_is_one_character() -> None:
    assert decode_message(r'{"type":"text","text":"\ud83d\ude42"}') == Text("default", "🙂")


def test_unknown_fields_are_ignored() -> None:
    assert decode_message(to_json(type="flush", context="c", later=[1])) == Flush("c")


def test_last_of_duplicate_keys_wins() -> None:
    assert decode_message('{"type":"text","text":"a","text":"b"}') == Text("default", "b")


# --- invalid messages -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "hello",
        '{"type": "text"',
        "[]",
        "1",
        "null",
        '"text"',
        '{"type":"played","ms":NaN}',
        '{"type":"played","ms":-Infinity}',
        "[" * 100_000,
        '{"a":' * 3_000,
        '{"a":' * 40_000,
        '{"type":"retract","to":' + "9" * 5000 + "}",
        "\ufeff{}",
    ],
)
def test_non_json_object_is_bad_json(sent: str) -> None:
    assert code_of(sent) == "bad_json"


@pytest.mark.parametrize("sent", [b"", b"{}", b'{"type":"ping"}', b"\xff\x00"])
def test_binary_message_is_refused(sent: bytes) -> None:
    assert code_of(sent) == "binary_message"


@pytest.mark.parametrize(
    "kind", [None, 1, True, "", "Text", "speak", ["text"], {"text": 1}, "x" * 16_000]
)
def test_unknown_type_is_refused_with_a_short_message(kind: object) -> None:
    with pytest.raises(errors.UnknownType) as caught:
        decode_message(to_json(type=kind, context="c"))
    assert caught.value.context == "c"
    assert len(caught.value.message) < 300


def test_missing_type_is_refused() -> None:
    assert code_of("{}") == "unknown_type"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"session": "s", "token": "t"},
        {"session": "s", "token": 1, "after": {}},
        {"session": "s", "token": "t", "after": []},
        {"session": "s", "token": "t", "after": {"a": "1"}},
        {"session": "s", "token": "t", "after": {"a": 1.5}},
        {"session": "s", "token": "t", "after": {}, "answers": "1"},
    ],
)
def test_incomplete_resume_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(errors.BadMessage) as caught:
        decode_message(to_json(type="resume", **fields))
    assert caught.value.context is None


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "text"},
        {"type": "text", "text": None},
        {"type": "text", "text": 5},
        {"type": "text", "text": ["a"]},
        {"type": "retract"},
        {"type": "retract", "to": "3"},
        {"type": "retract", "to": 3.0},
        {"type": "retract", "to": True},
        {"type": "played"},
        {"type": "played", "ms": "1"},
        {"type": "played", "ms": True},
        {"type": "start", "voice": 1},
        {"type": "start", "speed": "fast"},
        {"type": "start", "sample_rate": 24000.0},
        {"type": "start", "sample_rate": "24000"},
        {"type": "start", "seed": 0.5},
        {"type": "start", "mode": "slow"},
        {"type": "start", "mode": None},
        {"type": "start", "frames": "text"},
    ],
)
def test_invalid_field_is_refused_and_named(fields: dict[str, object]) -> None:
    with pytest.raises(errors.BadMessage) as caught:
        decode_message(to_json(**fields, context="c"))
    assert caught.value.context == "c"
    assert str(fields["type"]) in caught.value.message
    others = [name for name in fields if name != "type"]
    assert all(name in caught.value.message for name in others)


@pytest.mark.parametrize("context", [None, 1, "", [], {}, "c" * 129])
def test_context_must_be_a_short_string(context: object) -> None:
    assert code_of(to_json(type="text", text="a", context=context)) == "bad_message"
    assert decode_message(to_json(type="end", context="c" * 128)) == End("c" * 128)


def test_ping_with_a_structured_id_is_refused() -> None:
    assert code_of(to_json(type="ping", id={"a": 1})) == "bad_message"
    assert code_of(to_json(type="ping", id=True)) == "bad_message"


@pytest.mark.parametrize(
    "sent",
    [
        f'{{"type":"text","text":"a{LONE}"}}',
        f'{{"type":"text","text":"{LONE}\\ud83d"}}',
        '{"type":"text","text":"\\ude42\\ud83d"}',
        f'{{"type":"text","text":"a","context":"{LONE}"}}',
        f'{{"type":"ping","id":"{LONE}"}}',
        f'{{"type":"{LONE}"}}',
        f'{{"type":"start","voice":"{LONE}"}}',
        f'{{"type":"start","format":"{LONE}"}}',
        f'{{"type":"start","language":"{LONE}"}}',
    ],
)
def test_lone_surrogate_is_refused_in_any_field(sent: str) -> None:
    assert code_of(sent) == "bad_text"


@pytest.mark.parametrize("depth", [50, 150, 300, 450, 600, 750, 900, 980, 2000])
@pytest.mark.parametrize(
    "shape",
    [
        '{{"type":"text","text":"\\ud83d\\ude42","x":{}}}',
        '{{"type":{}}}',
        '{{"type":"text","text":{}}}',
        '{{"type":"ping","id":{}}}',
        '{{"type":"flush","context":{}}}',
    ],
)
@pytest.mark.parametrize("pair", ["[]", ('{"a":', "}")])
def test_deep_nesting_never_crashes_the_parser(
    shape: str, pair: tuple[str, str], depth: int
) -> None:
    nested = pair[0] * depth + "1" * (pair[0] != "[") + pair[1] * depth
    decode_or_refuse(shape.format(nested))


def decode_or_refuse(sent: str | bytes) -> None:
    """Fails on any exception but `DuplexError`, or an unsendable reply."""
    try:
        command = decode_message(sent)
    except errors.DuplexError as error:
        reply = encode_event(Failed(error.context, error.code, error.message))
        assert isinstance(reply, str)
        assert len(reply.encode()) < 10_000
    else:
        if isinstance(command, Ping):
            encode_event(Pong(command.id))


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**400, -(10**400), 2**63, 1e308, -0.0]),
    st.floats(),
    st.text(st.characters(), max_size=10),
    st.sampled_from(["c", "a", "live", "binary", "pcm_s16le", "x" * 200]),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
names = st.sampled_from(
    [
        *("context", "text", "to", "ms", "id", "voice", "format", "sample_rate", "speed"),
        *("seed", "language", "mode", "frames", "after", "answers", "session", "token", "x"),
    ]
)
kinds = st.sampled_from(
    ["start", "text", "retract", "flush", "end", "cancel", "played", "ping", "resume", "x", None]
)


@given(kinds, st.dictionaries(names, values, max_size=6), st.booleans())
def test_any_fields_give_a_command_or_an_error(
    kind: str | None, fields: dict[str, Any], ascii_only: bool
) -> None:
    sent = json.dumps({"type": kind, **fields}, ensure_ascii=ascii_only)
    decode_or_refuse(sent.encode("utf-8", "replace").decode())


@given(st.one_of(st.text(), st.binary(), st.text('{}[]":,\\ud83typex1e9-. ', max_size=60)))
@example('{"type":"played","ms":1e999}')
@example('{"type":"start","speed":-1e999}')
def test_any_message_gives_a_command_or_an_error(sent: str | bytes) -> None:
    decode_or_refuse(sent)


# --- server messages ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        (
            Ready("s", "t", "heart", 24000, "pcm_s16le", 4),
            {
                "type": "ready",
                "protocol": 1,
                "session": "s",
                "token": "t",
                "voice": "heart",
                "sample_rate": 24000,
                "format": "pcm_s16le",
                "received": 4,
            },
        ),
        (
            Done("c", 12.5, 3, 2),
            {"type": "done", "context": "c", "audio_ms": 12.5, "characters": 3, "chunks": 2},
        ),
        (
            Cancelled("c", 3, 12.5),
            {"type": "cancelled", "context": "c", "text_to": 3, "audio_ms": 12.5},
        ),
        (Retracted("c", 3), {"type": "retracted", "context": "c", "to": 3}),
        (
            Failed("c", "bad_text", "why"),
            {"type": "error", "context": "c", "code": "bad_text", "message": "why"},
        ),
        (
            Failed(None, "bad_json", "why"),
            {"type": "error", "context": None, "code": "bad_json", "message": "why"},
        ),
        (Pong("x"), {"type": "pong", "id": "x", "received": 0}),
        (Pong(None, 7), {"type": "pong", "id": None, "received": 7}),
    ],
)
def test_every_event_is_encoded(event: Event, fields: dict[str, object]) -> None:
    encoded = encode_event(event)
    assert isinstance(encoded, str)
    assert json.loads(encoded) == fields


AUDIO = Audio("c", 3, 20.0, 10.0, (4, 9), (Word(4, 9, 20.04, 30.0),), b"\1\2\3")
HEADER = {
    "type": "audio",
    "context": "c",
    "seq": 3,
    "start_ms": 20.0,
    "duration_ms": 10.0,
    "text": [4, 9],
    "words": [[4, 9, 20.0, 30.0]],
}


def test_binary_audio_is_length_header_and_data() -> None:
    encoded = encode_event(AUDIO)
    assert isinstance(encoded, bytes)
    (length,) = struct.unpack_from("<I", encoded)
    assert json.loads(encoded[4 : 4 + length]) == HEADER
    assert encoded[4 + length :] == b"\1\2\3"


def test_json_audio_is_the_header_with_base64_data() -> None:
    audio = Audio("c", 3, 20.0, 10.0, (4, 9), AUDIO.words, b"\1\2\3", frames="json")
    encoded = encode_event(audio)
    assert isinstance(encoded, str)
    assert json.loads(encoded) == {**HEADER, "audio": base64.b64encode(b"\1\2\3").decode()}


def test_header_length_counts_bytes() -> None:
    encoded = encode_event(Audio("声", 0, 0.0, 0.0, (0, 1), (), b"\7"))
    assert isinstance(encoded, bytes)
    (length,) = struct.unpack_from("<I", encoded)
    assert json.loads(encoded[4 : 4 + length])["context"] == "声"
    assert encoded[4 + length :] == b"\7"


# --- limits ---------------------------------------------------------------------------------------


def test_longest_text_fits_fully_escaped() -> None:
    text = "🙂" * 20_000
    assert decode_message(to_json(type="text", context="a", text=text)) == Text("a", text)


def test_oversized_message_is_refused() -> None:
    assert code_of(to_json(type="text", text="x" * (1 << 18))) == "bad_message"


def test_long_message_of_another_type_is_refused() -> None:
    assert code_of(to_json(type="ping", x="x" * (1 << 16))) == "bad_message"


@pytest.mark.parametrize("wrong", [{"text": 1}, {"context": [1]}, {"context": ""}, {"text": None}])
def test_long_text_message_is_validated_strictly(wrong: dict[str, object]) -> None:
    fields = {"type": "text", "text": "a", "x": "x" * (1 << 16), **wrong}
    assert code_of(to_json(**fields)) == "bad_message"


def test_long_text_with_a_lone_surrogate_is_bad_text() -> None:
    long = '{"type":"text","text":"' + "a" * (1 << 16) + '\\ud800"}'
    assert code_of(long) == "bad_text"


@pytest.mark.parametrize(
    "fields", [{"id": "x" * 129}, {"after": {str(n): 1 for n in range(1001)}}], ids=["id", "after"]
)
def test_oversized_ping_is_refused(fields: dict[str, object]) -> None:
    assert code_of(to_json(type="ping", **fields)) == "bad_message"
