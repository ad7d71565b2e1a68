"""Messages of the server, decoded; invalid ones are protocol errors."""

import base64
import json
from typing import Any

import pytest

from duplex_tts.channel import wire
from duplex_tts.errors import ProtocolError
from duplex_tts.events import (
    Pong,
)
from tests.support.scripted_server import READY, audio_message


def test_audio_decodes_alike_from_binary_and_json_frames() -> None:
    binary = audio_message("c", 0, 3)
    header = json.loads(binary[4 : 4 + int.from_bytes(binary[:4], "little")])
    text = json.dumps({**header, "audio": base64.b64encode(b"\1\2" * 240).decode()})
    assert wire.decode(text) == wire.decode(binary)
    assert wire.decode('{"type": "pong"}') == Pong(None)


AUDIO = {
    "type": "audio",
    "context": "c",
    "seq": 0,
    "start_ms": 0.0,
    "duration_ms": 10.0,
    "text": [0, 3],
    "words": [[0, 3, 0.0, 10.0]],
}
DONE = {"type": "done", "context": "c", "audio_ms": 10.0, "characters": 3, "chunks": 1}
CANCELLED = {"type": "cancelled", "context": "c", "text_to": 3, "audio_ms": 10.0}


@pytest.mark.parametrize(
    ("message", "field"),
    [
        *[(AUDIO, field) for field in ("seq", "start_ms", "duration_ms")],
        *[(DONE, field) for field in ("audio_ms", "characters", "chunks")],
        *[(CANCELLED, field) for field in ("text_to", "audio_ms")],
        ({"type": "retracted", "context": "c", "to": 0}, "to"),
        (READY, "sample_rate"),
    ],
)
@pytest.mark.parametrize(
    "value", ["NaN", "Infinity", "-1", "1e400", "true", "null", '"1"', "[]", "9" * 400]
)
def test_invalid_numbers_are_protocol_errors(
    message: dict[str, Any], field: str, value: str
) -> None:
    assert wire.decode(json.dumps(message))
    with pytest.raises(ProtocolError) as raised:
        wire.decode(json.dumps(message | {field: "@"}).replace('"@"', value))
    assert raised.value.code == "protocol_error"


@pytest.mark.parametrize(
    "changed",
    [
        AUDIO | {"text": [3, 0]},
        AUDIO | {"text": [0, 1, 2]},
        AUDIO | {"text": [0.0, 3.0]},
        AUDIO | {"context": 1},
        AUDIO | {"words": [[0, 3, 10.0, 0.0]]},
        AUDIO | {"words": [[3, 0, 0.0, 10.0]]},
        AUDIO | {"words": [[0, 3, 0.0]]},
        AUDIO | {"words": 7},
        READY | {"voice": None},
        READY | {"sample_rate": 7},
        READY | {"received": -1},
        {"type": "error", "context": None, "code": 1, "message": "x"},
        {"type": "error", "context": [], "code": "x", "message": "x"},
        {"type": "pong", "id": {}},
        {"type": "pong", "received": 1.5},
    ],
)
def test_invalid_fields_are_protocol_errors(changed: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        wire.decode(json.dumps(changed))


def test_deeply_nested_json_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError):
        wire.decode('{"type":' + "[" * 100_000)
