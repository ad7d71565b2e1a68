"""The native wire protocol as a client sees it: commands to JSON, messages to events.

A binary message is a little-endian uint32 n, n bytes of JSON header, and the audio bytes; with
`frames: "json"` the header travels as text and carries the audio in base64. See `docs/protocol.md`.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Callable
from typing import Any

from duplex_tts.errors import ProtocolError
from duplex_tts.events import (
    Audio,
    Cancelled,
    Done,
    Error,
    Event,
    Pong,
    Ready,
    Retracted,
    Word,
)

PROTOCOL_VERSION = 1
MAX_MESSAGE_BYTES = 256 * 1024
_LENGTH = struct.Struct("<I")
_SAMPLE_RATES_HZ = range(8_000, 192_001)
_MOST = 2**53  # beyond that a number of JSON is not the one that was meant

_MALFORMED = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    binascii.Error,
    struct.error,
)


def encode(type_: str, **fields: object) -> str:
    """The JSON text of a command; fields that are None are left to the server's defaults.

    Raises `ValueError` or `TypeError` for what JSON cannot hold.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    return json.dumps(
        {"type": type_, **given}, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )


def decode(message: str | bytes) -> Event:
    """The event in a WebSocket message. Raises `ProtocolError` for anything that is none."""
    try:
        if isinstance(message, str):
            header = json.loads(message)
            data = base64.b64decode(header.get("audio", ""), validate=True)
        else:
            (length,) = _LENGTH.unpack_from(message)
            body = _LENGTH.size + length
            if body > len(message):
                raise ValueError("the header is longer than the message")
            header, data = json.loads(message[_LENGTH.size : body]), message[body:]
        return _DECODERS[header["type"]](header, data)
    except _MALFORMED as error:
        raise ProtocolError(f"not a message of this protocol: {error!r}") from error


def _ready(header: dict[str, Any], _: bytes) -> Ready:
    if header["protocol"] != PROTOCOL_VERSION:
        raise ValueError(f"protocol {header['protocol']}, this client speaks {PROTOCOL_VERSION}")
    session, token, voice, format_ = (
        _text(header[name]) for name in ("session", "token", "voice", "format")
    )
    sample_rate = _count(header["sample_rate"])
    if sample_rate not in _SAMPLE_RATES_HZ:
        raise ValueError(f"a sample rate of {sample_rate} Hz")
    return Ready(session, token, voice, sample_rate, format_, _received(header))


def _audio(header: dict[str, Any], data: bytes) -> Audio:
    start, end = map(_count, header["text"])
    if end < start:
        raise ValueError(f"text from {start} to {end}")
    return Audio(
        context=_text(header["context"]),
        seq=_count(header["seq"]),
        start_ms=_ms(header["start_ms"]),
        duration_ms=_ms(header["duration_ms"]),
        text=(start, end),
        words=tuple(_word(*word) for word in header["words"]),
        data=data,
    )


def _word(start: object, end: object, start_ms: object, end_ms: object) -> Word:
    word = Word(_count(start), _count(end), _ms(start_ms), _ms(end_ms))
    if word.end < word.start or word.end_ms < word.start_ms:
        raise ValueError(f"{word} ends before it begins")
    return word


def _error(header: dict[str, Any], _: bytes) -> Error:
    context = header.get("context")
    name = None if context is None else _text(context)
    return Error(name, _text(header["code"]), _text(header["message"]))


def _pong(header: dict[str, Any], _: bytes) -> Pong:
    id_ = header.get("id")
    if not isinstance(id_, str | int | None):
        raise TypeError(f"an id that is none: {id_!r}")
    return Pong(id_, _received(header))


def _received(header: dict[str, Any]) -> int | None:
    received = header.get("received")
    return None if received is None else _count(received)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a string, got {value!r}")
    return value


def _count(value: object) -> int:
    """An offset, a number of things: 0 or more."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST:
        raise ValueError(f"expected a whole number from 0 on, got {value!r}")
    return value


def _ms(value: object) -> float:
    """A time: a number, 0 or more."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= _MOST:
        raise ValueError(f"expected milliseconds, got {value!r}")  # NaN is in no range
    return value


_DECODERS: dict[str, Callable[[dict[str, Any], bytes], Event]] = {
    "ready": _ready,
    "audio": _audio,
    "done": lambda h, _: Done(
        _text(h["context"]), _ms(h["audio_ms"]), _count(h["characters"]), _count(h["chunks"])
    ),
    "cancelled": lambda h, _: Cancelled(
        _text(h["context"]), _count(h["text_to"]), _ms(h["audio_ms"])
    ),
    "retracted": lambda h, _: Retracted(_text(h["context"]), _count(h["to"])),
    "error": _error,
    "pong": _pong,
}
