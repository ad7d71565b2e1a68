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
    except (ValueError, KeyError, TypeError, AttributeError, struct.error, binascii.Error) as error:
        raise ProtocolError(f"not a message of this protocol: {error!r}") from error


def _ready(header: dict[str, Any], _: bytes) -> Ready:
    if header["protocol"] != PROTOCOL_VERSION:
        raise ValueError(f"protocol {header['protocol']}, this client speaks {PROTOCOL_VERSION}")
    fields = ("session", "token", "voice", "sample_rate", "format")
    return Ready(**{name: header[name] for name in fields}, received=header.get("received"))


def _audio(header: dict[str, Any], data: bytes) -> Audio:
    start, end = header["text"]
    return Audio(
        context=header["context"],
        seq=header["seq"],
        start_ms=header["start_ms"],
        duration_ms=header["duration_ms"],
        text=(start, end),
        words=tuple(Word(*word) for word in header["words"]),
        data=data,
    )


_DECODERS: dict[str, Callable[[dict[str, Any], bytes], Event]] = {
    "ready": _ready,
    "audio": _audio,
    "done": lambda h, _: Done(h["context"], h["audio_ms"], h["characters"], h["chunks"]),
    "cancelled": lambda h, _: Cancelled(h["context"], h["text_to"], h["audio_ms"]),
    "retracted": lambda h, _: Retracted(h["context"], h["to"]),
    "error": lambda h, _: Error(h.get("context"), h["code"], h["message"]),
    "pong": lambda h, _: Pong(h.get("id"), h.get("received")),
}
