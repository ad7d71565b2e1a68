"""The client side of the native wire protocol: encodes commands, decodes events.

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
    Advice,
    Audio,
    Cancelled,
    Direct,
    Done,
    Error,
    Event,
    Pong,
    Ready,
    Retracted,
    UnknownMessage,
    Word,
)

PROTOCOL_VERSION = 1
MAX_MESSAGE_BYTES = 256 * 1024
_LENGTH = struct.Struct("<I")
_SAMPLE_RATES_HZ = range(8_000, 192_001)
_MAX_NUMBER = 2**53  # larger numbers lose precision in JSON

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
    """Return the JSON of a command; None fields are omitted: the server's defaults.

    Raises `ValueError` or `TypeError` for values that JSON cannot hold.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    return json.dumps(
        {"type": type_, **given}, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )


def decode(message: str | bytes) -> Event:
    """Decode a WebSocket message to an event; of an unknown type, to `UnknownMessage`.

    Raises `ProtocolError` for an invalid one.
    """
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
        type_ = _check_text(header["type"])
        decoder = _DECODERS.get(type_)
        return decoder(header, data) if decoder else UnknownMessage(type_)
    except _MALFORMED as error:
        raise ProtocolError(f"not a message of this protocol: {error!r}") from error


def _decode_ready(header: dict[str, Any], _: bytes) -> Ready:
    if header["protocol"] != PROTOCOL_VERSION:
        raise ValueError(f"protocol {header['protocol']}, this client speaks {PROTOCOL_VERSION}")
    session, token, voice, format_ = (
        _check_text(header[name]) for name in ("session", "token", "voice", "format")
    )
    sample_rate = _check_count(header["sample_rate"])
    if sample_rate not in _SAMPLE_RATES_HZ:
        raise ValueError(f"a sample rate of {sample_rate} Hz")
    received, direct = _received_count(header), _decode_direct(header.get("direct"))
    return Ready(session, token, voice, sample_rate, format_, received, direct)


def _decode_direct(offer: Any) -> Direct | None:
    if offer is None:
        return None
    return Direct(_check_text(offer["url"]), _check_text(offer["ticket"]))


def _decode_audio(header: dict[str, Any], data: bytes) -> Audio:
    start, end = map(_check_count, header["text"])
    if end < start:
        raise ValueError(f"text from {start} to {end}")
    return Audio(
        context=_check_text(header["context"]),
        seq=_check_count(header["seq"]),
        start_ms=_check_ms(header["start_ms"]),
        duration_ms=_check_ms(header["duration_ms"]),
        text=(start, end),
        words=tuple(_decode_word(*word) for word in header["words"]),
        data=data,
    )


def _decode_word(start: object, end: object, start_ms: object, end_ms: object) -> Word:
    word = Word(_check_count(start), _check_count(end), _check_ms(start_ms), _check_ms(end_ms))
    if word.end < word.start or word.end_ms < word.start_ms:
        raise ValueError(f"{word} ends before it begins")
    return word


def _decode_error(header: dict[str, Any], _: bytes) -> Error:
    context = header.get("context")
    name = None if context is None else _check_text(context)
    wait_ms = header.get("retry_after_ms")
    return Error(
        name,
        _check_text(header["code"]),
        _check_text(header["message"]),
        None if wait_ms is None else _check_count(wait_ms),
    )


def _decode_advice(header: dict[str, Any], _: bytes) -> Advice:
    bit_rate = header["bit_rate"]
    return Advice(
        _check_text(header["context"]),
        _check_text(header["code"]),
        _check_text(header["message"]),
        _check_text(header["format"]),
        "auto" if bit_rate == "auto" else _check_count(bit_rate),
    )


def _decode_pong(header: dict[str, Any], _: bytes) -> Pong:
    id_ = header.get("id")
    if not isinstance(id_, str | int | None):
        raise TypeError(f"expected a string or a number as id, got {id_!r}")
    return Pong(id_, _received_count(header))


def _received_count(header: dict[str, Any]) -> int | None:
    received = header.get("received")
    return None if received is None else _check_count(received)


def _check_text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a string, got {value!r}")
    return value


def _check_count(value: object) -> int:
    """Check an offset or a count: an integer, 0 or more."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_NUMBER:
        raise ValueError(f"expected a whole number from 0 on, got {value!r}")
    return value


def _check_ms(value: object) -> float:
    """Check a time: a number, 0 or more."""
    if (
        not isinstance(value, int | float)
        or isinstance(value, bool)
        or not 0 <= value <= _MAX_NUMBER  # true for NaN, too
    ):
        raise ValueError(f"expected milliseconds, got {value!r}")
    return value


_DECODERS: dict[str, Callable[[dict[str, Any], bytes], Event]] = {
    "ready": _decode_ready,
    "audio": _decode_audio,
    "done": lambda h, _: Done(
        _check_text(h["context"]),
        _check_ms(h["audio_ms"]),
        _check_count(h["characters"]),
        _check_count(h["chunks"]),
    ),
    "cancelled": lambda h, _: Cancelled(
        _check_text(h["context"]), _check_count(h["text_to"]), _check_ms(h["audio_ms"])
    ),
    "retracted": lambda h, _: Retracted(_check_text(h["context"]), _check_count(h["to"])),
    "error": _decode_error,
    "advice": _decode_advice,
    "pong": _decode_pong,
}
