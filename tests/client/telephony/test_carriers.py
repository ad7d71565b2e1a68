"""The carriers' messages, after the examples in their documents."""

import base64
import json
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from duplex_tts.telephony.carrier import (
    CallerAudio,
    Carrier,
    DigitPressed,
    ErrorReported,
    MarkReached,
    StreamStarted,
    StreamStopped,
)
from duplex_tts.telephony.errors import BadCarrierMessage, TelephonyError, UnsupportedCodec
from duplex_tts.telephony.inbox import ReorderBuffer
from duplex_tts.telephony.telnyx import Telnyx
from duplex_tts.telephony.twilio import Twilio

TWILIO_START: dict[str, Any] = {
    "event": "start",
    "sequenceNumber": "1",
    "start": {
        "accountSid": "AC1",
        "streamSid": "MZ1",
        "callSid": "CA1",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"customer": "Ada", "odd": 7},
    },
    "streamSid": "MZ1",
}
TELNYX_START: dict[str, Any] = {
    "event": "start",
    "sequence_number": "1",
    "start": {
        "user_id": "U1",
        "call_control_id": "v2:C1",
        "call_session_id": "S1",
        "from": "+13122010094",
        "to": "+13122123456",
        "client_state": "aGk=",
        "media_format": {"encoding": "PCMU", "sample_rate": 8000, "channels": 1},
    },
    "stream_id": "ST1",
}
STARTS: dict[str, tuple[type[Twilio] | type[Telnyx], dict[str, Any]]] = {
    "twilio": (Twilio, TWILIO_START),
    "telnyx": (Telnyx, TELNYX_START),
}


def started_carrier(name: str) -> Carrier:
    kind, start = STARTS[name]
    carrier = kind()
    carrier.decode(json.dumps(start))
    return carrier


def test_twilio_start_identifies_the_call() -> None:
    event = Twilio().decode(json.dumps(TWILIO_START))
    assert isinstance(event, StreamStarted)
    assert (event.call_id, event.stream_id, event.codec.name) == ("CA1", "MZ1", "PCMU")
    assert event.parameters == {"customer": "Ada"}
    assert (event.caller, event.called) == (None, None)


def test_telnyx_start_identifies_the_call_and_both_numbers() -> None:
    event = Telnyx().decode(json.dumps(TELNYX_START))
    assert isinstance(event, StreamStarted)
    assert (event.call_id, event.stream_id, event.codec.name) == ("v2:C1", "ST1", "PCMU")
    assert (event.caller, event.called) == ("+13122010094", "+13122123456")


@pytest.mark.parametrize("name", STARTS)
def test_messages_decode_to_events(name: str) -> None:
    carrier = started_carrier(name)
    payload = base64.b64encode(b"\x7f" * 160).decode()
    media = {"track": "inbound", "chunk": "3", "timestamp": "60", "payload": payload}
    cases: list[tuple[dict[str, Any], object]] = [
        ({"event": "connected", "protocol": "Call", "version": "1.0.0"}, None),
        ({"event": "media", "media": media}, CallerAudio(b"\x7f" * 160, 3)),
        ({"event": "media", "media": {**media, "track": "outbound"}}, None),
        ({"event": "dtmf", "dtmf": {"track": "inbound_track", "digit": "#"}}, DigitPressed("#")),
        ({"event": "mark", "mark": {"name": "1.2"}}, MarkReached("1.2")),
        ({"event": "something new"}, None),
        ({"event": "stop", "stop": {}}, StreamStopped()),
    ]
    for message, event in cases:
        assert carrier.decode(json.dumps(message)) == event, message


def test_telnyx_errors_are_reported() -> None:
    message = {"event": "error", "payload": {"code": 100003, "title": "malformed_frame"}}
    event = Telnyx().decode(json.dumps(message))
    assert isinstance(event, ErrorReported)
    assert "malformed_frame" in event.message


def test_twilio_messages_are_encoded() -> None:
    carrier = started_carrier("twilio")
    assert json.loads(carrier.encode_media(b"\xff\x00")) == {
        "event": "media",
        "streamSid": "MZ1",
        "media": {"payload": "/wA="},
    }
    assert json.loads(carrier.encode_mark("m")) == {
        "event": "mark",
        "streamSid": "MZ1",
        "mark": {"name": "m"},
    }
    assert json.loads(carrier.encode_clear()) == {"event": "clear", "streamSid": "MZ1"}


def test_telnyx_messages_are_encoded() -> None:
    carrier = started_carrier("telnyx")
    assert json.loads(carrier.encode_media(b"\xff\x00")) == {
        "event": "media",
        "media": {"payload": "/wA="},
    }
    assert json.loads(carrier.encode_mark("m")) == {"event": "mark", "mark": {"name": "m"}}
    assert json.loads(carrier.encode_clear()) == {"event": "clear"}


@pytest.mark.parametrize("name", STARTS)
@pytest.mark.parametrize(
    "message",
    [
        "",
        "nonsense",
        "[]",
        "17",
        "{}",
        '{"event": 3}',
        '{"event": "media"}',
        '{"event": "media", "media": {"payload": "***"}}',
        '{"event": "media", "media": {"payload": "/w==", "chunk": "many"}}',
        '{"event": "media", "media": {"payload": "/w==", "chunk": 1e999}}',
        '{"event": "dtmf", "dtmf": {"digit": 5}}',
        '{"event": "mark", "mark": "x"}',
        "[" * 100_000,
        b"\x00\xff",
    ],
)
def test_invalid_messages_raise_bad_carrier_message(name: str, message: str | bytes) -> None:
    with pytest.raises(BadCarrierMessage):
        started_carrier(name).decode(message)


@pytest.mark.parametrize("name", STARTS)
def test_a_second_start_and_media_before_start_are_refused(name: str) -> None:
    kind, start = STARTS[name]
    with pytest.raises(BadCarrierMessage, match="twice"):
        started_carrier(name).decode(json.dumps(start))
    with pytest.raises(BadCarrierMessage, match="before `start`"):
        kind().decode('{"event": "media", "media": {"payload": "/w=="}}')


def test_half_a_sample_is_refused() -> None:
    start = json.loads(json.dumps(TELNYX_START))
    start["start"]["media_format"] = {"encoding": "L16", "sample_rate": 16000, "channels": 1}
    carrier = Telnyx()
    carrier.decode(json.dumps(start))
    with pytest.raises(BadCarrierMessage, match="not whole samples"):
        carrier.decode('{"event": "media", "media": {"payload": "AAAA"}}')


def test_an_unsupported_codec_is_refused() -> None:
    start = json.loads(json.dumps(TELNYX_START))
    start["start"]["media_format"]["encoding"] = "G722"
    with pytest.raises(UnsupportedCodec, match="G722"):
        Telnyx().decode(json.dumps(start))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
event_names = st.sampled_from(["start", "media", "dtmf", "mark", "stop", "error", "x"])


@given(event_names, json_values, st.booleans())
def test_messages_raise_only_telephony_errors(event: str, value: object, nested: bool) -> None:
    fields = {"event": event, "stream_id": "s", event: value}
    if nested:
        fields[event] = {"payload": value, "chunk": value, "digit": value, "name": value}
    for name in STARTS:
        try:
            started_carrier(name).decode(json.dumps(fields))
        except TelephonyError:
            continue


def chunk_audio(chunk: int | None) -> CallerAudio:
    return CallerAudio(str(chunk).encode(), chunk)


def reorder(chunks: list[int]) -> list[int | None]:
    buffer = ReorderBuffer(limit=3)
    return [ready.chunk for chunk in chunks for ready in buffer.push_audio(chunk_audio(chunk))]


def test_audio_is_reordered_by_chunk() -> None:
    assert reorder([1, 3, 2, 4]) == [1, 2, 3, 4]
    assert reorder([1, 2, 2, 1, 3]) == [1, 2, 3]


def test_a_lost_chunk_is_skipped_after_the_limit() -> None:
    assert reorder([1, 3, 4, 5, 6, 7]) == [1, 3, 4, 5, 6, 7]
    assert reorder([1, 3, 4, 5, 6, 2]) == [1, 3, 4, 5, 6]


def test_a_restarted_chunk_count_is_followed() -> None:
    assert reorder([700, 701, 1, 2, 3]) == [700, 701, 1, 2, 3]
    assert reorder([1, 10**12, 2, 3]) == [1, 10**12, 2, 3]


def test_audio_without_chunks_passes_unchanged() -> None:
    reorder_buffer = ReorderBuffer()
    assert reorder_buffer.push_audio(chunk_audio(None)) == [chunk_audio(None)]
