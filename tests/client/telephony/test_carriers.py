"""The carriers' words, after the examples in their documents."""

import base64
import json
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from duplex_tts.telephony.carrier import (
    Carrier,
    Complaint,
    Digit,
    Marked,
    Sound,
    Started,
    Stopped,
)
from duplex_tts.telephony.errors import BadCarrierMessage, TelephonyError, UnsupportedCodec
from duplex_tts.telephony.inbox import Reorder
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


def started(name: str) -> Carrier:
    kind, start = STARTS[name]
    carrier = kind()
    carrier.decode(json.dumps(start))
    return carrier


def test_twilio_says_which_call_it_is() -> None:
    event = Twilio().decode(json.dumps(TWILIO_START))
    assert isinstance(event, Started)
    assert (event.call_id, event.stream_id, event.codec.name) == ("CA1", "MZ1", "PCMU")
    assert event.parameters == {"customer": "Ada"}
    assert (event.caller, event.called) == (None, None)


def test_telnyx_says_which_call_it_is_and_who_calls() -> None:
    event = Telnyx().decode(json.dumps(TELNYX_START))
    assert isinstance(event, Started)
    assert (event.call_id, event.stream_id, event.codec.name) == ("v2:C1", "ST1", "PCMU")
    assert (event.caller, event.called) == ("+13122010094", "+13122123456")


@pytest.mark.parametrize("name", STARTS)
def test_what_the_carrier_says_during_a_call(name: str) -> None:
    carrier = started(name)
    payload = base64.b64encode(b"\x7f" * 160).decode()
    media = {"track": "inbound", "chunk": "3", "timestamp": "60", "payload": payload}
    said: list[tuple[dict[str, Any], object]] = [
        ({"event": "connected", "protocol": "Call", "version": "1.0.0"}, None),
        ({"event": "media", "media": media}, Sound(b"\x7f" * 160, 3)),
        ({"event": "media", "media": {**media, "track": "outbound"}}, None),
        ({"event": "dtmf", "dtmf": {"track": "inbound_track", "digit": "#"}}, Digit("#")),
        ({"event": "mark", "mark": {"name": "1.2"}}, Marked("1.2")),
        ({"event": "something new"}, None),
        ({"event": "stop", "stop": {}}, Stopped()),
    ]
    for message, event in said:
        assert carrier.decode(json.dumps(message)) == event, message


def test_what_telnyx_complains_about_is_told() -> None:
    message = {"event": "error", "payload": {"code": 100003, "title": "malformed_frame"}}
    event = Telnyx().decode(json.dumps(message))
    assert isinstance(event, Complaint)
    assert "malformed_frame" in event.message


def test_what_is_said_to_twilio() -> None:
    carrier = started("twilio")
    assert json.loads(carrier.media(b"\xff\x00")) == {
        "event": "media",
        "streamSid": "MZ1",
        "media": {"payload": "/wA="},
    }
    assert json.loads(carrier.mark("m")) == {
        "event": "mark",
        "streamSid": "MZ1",
        "mark": {"name": "m"},
    }
    assert json.loads(carrier.clear()) == {"event": "clear", "streamSid": "MZ1"}


def test_what_is_said_to_telnyx() -> None:
    carrier = started("telnyx")
    assert json.loads(carrier.media(b"\xff\x00")) == {
        "event": "media",
        "media": {"payload": "/wA="},
    }
    assert json.loads(carrier.mark("m")) == {"event": "mark", "mark": {"name": "m"}}
    assert json.loads(carrier.clear()) == {"event": "clear"}


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
def test_garbage_is_told_from_messages(name: str, message: str | bytes) -> None:
    with pytest.raises(BadCarrierMessage):
        started(name).decode(message)


@pytest.mark.parametrize("name", STARTS)
def test_one_stream_has_one_start_and_no_media_before_it(name: str) -> None:
    kind, start = STARTS[name]
    with pytest.raises(BadCarrierMessage, match="twice"):
        started(name).decode(json.dumps(start))
    with pytest.raises(BadCarrierMessage, match="before start"):
        kind().decode('{"event": "media", "media": {"payload": "/w=="}}')


def test_half_a_sample_is_no_audio() -> None:
    start = json.loads(json.dumps(TELNYX_START))
    start["start"]["media_format"] = {"encoding": "L16", "sample_rate": 16000, "channels": 1}
    carrier = Telnyx()
    carrier.decode(json.dumps(start))
    with pytest.raises(BadCarrierMessage, match="no whole samples"):
        carrier.decode('{"event": "media", "media": {"payload": "AAAA"}}')


def test_a_codec_that_is_not_spoken_is_refused() -> None:
    start = json.loads(json.dumps(TELNYX_START))
    start["start"]["media_format"]["encoding"] = "G722"
    with pytest.raises(UnsupportedCodec, match="G722"):
        Telnyx().decode(json.dumps(start))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
names = st.sampled_from(["start", "media", "dtmf", "mark", "stop", "error", "x"])


@given(names, json_values, st.booleans())
def test_no_message_breaks_a_carrier(event: str, value: object, inside: bool) -> None:
    fields = {"event": event, "stream_id": "s", event: value}
    if inside:
        fields[event] = {"payload": value, "chunk": value, "digit": value, "name": value}
    for name in STARTS:
        try:
            started(name).decode(json.dumps(fields))
        except TelephonyError:
            continue


def sound(chunk: int | None) -> Sound:
    return Sound(str(chunk).encode(), chunk)


def in_order(chunks: list[int]) -> list[int | None]:
    reorder = Reorder(limit=3)
    return [ready.chunk for chunk in chunks for ready in reorder.push(sound(chunk))]


def test_sounds_are_put_in_the_order_of_their_chunks() -> None:
    assert in_order([1, 3, 2, 4]) == [1, 2, 3, 4]
    assert in_order([1, 2, 2, 1, 3]) == [1, 2, 3]


def test_a_lost_sound_is_not_waited_for_long() -> None:
    assert in_order([1, 3, 4, 5, 6, 7]) == [1, 3, 4, 5, 6, 7]
    assert in_order([1, 3, 4, 5, 6, 2]) == [1, 3, 4, 5, 6]


def test_a_count_that_begins_anew_is_followed() -> None:
    assert in_order([700, 701, 1, 2, 3]) == [700, 701, 1, 2, 3]
    assert in_order([1, 10**12, 2, 3]) == [1, 10**12, 2, 3]


def test_sounds_without_chunks_come_as_they_are() -> None:
    reorder = Reorder()
    assert reorder.push(sound(None)) == [sound(None)]
