"""The native protocol of `/ws/tts`: docs/protocol.md is its description.

Sans I/O: `decode` makes a command of a received message, `encode` a message of an event.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from backend.errors import (
    BadJson,
    BadMessage,
    BadText,
    BinaryMessage,
    DuplexError,
    UnknownType,
)
from backend.events import (
    Audio,
    Cancel,
    Cancelled,
    Command,
    Done,
    End,
    Event,
    Failed,
    Flush,
    Flushed,
    Ping,
    Played,
    Pong,
    Ready,
    Resume,
    Retract,
    Retracted,
    Start,
    Text,
)
from backend.protocols.base import Message, Refusal

PROTOCOL_VERSION = 1
DEFAULT_CONTEXT = "default"
MAX_CONTEXT_LENGTH = 128

# The dataclasses of the core are the schema: a field there is a field on the wire.
_COMMANDS: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(command)
    for name, command in {
        "start": Start,
        "text": Text,
        "retract": Retract,
        "flush": Flush,
        "end": End,
        "cancel": Cancel,
        "played": Played,
        "ping": Ping,
        "resume": Resume,
    }.items()
}
_STATUS = {"invalid_api_key": 401, "overloaded": 503, "voice_unavailable": 503, "internal": 500}
_STATUS |= {"engine_failed": 500, "engine_dead": 503, "timeout": 503}
_NAMES: dict[type, str] = {
    Ready: "ready",
    Done: "done",
    Cancelled: "cancelled",
    Retracted: "retracted",
    Failed: "error",
    Pong: "pong",
}


class NativeProtocol:
    """See `base.WireProtocol`. Nothing is remembered from message to message."""

    idle_timeout_s: float | None = None

    def decode(self, message: str | bytes) -> Sequence[Command]:
        """See `decode`."""
        return (decode(message),)

    def encode(self, event: Event) -> Sequence[Message]:
        """See `encode`. A flush is not told of: the spans of the audio say how far it got."""
        return () if isinstance(event, Flushed) else (encode(event),)

    def deny(self, error: DuplexError) -> Refusal | None:
        """None: a browser's page can read a message, but not the status of a handshake."""
        return None


class NativeLines:
    """The server's messages over HTTP: one JSON object a line. See `http_speech.HttpTranslator`."""

    media_type = "application/x-ndjson"
    headers: Mapping[str, str] = {"cache-control": "no-store"}
    needs_sound = False

    def encode(self, event: Event) -> bytes:
        """A line."""
        message = encode(event)
        assert isinstance(message, str), "over HTTP audio is asked for in JSON frames"
        return message.encode() + b"\n"

    def refuse(self, failed: Failed) -> Refusal:
        """The `error` message as the whole answer."""
        return Refusal(_STATUS.get(failed.code, 400), str(encode(failed)))


def decode_speech(body: bytes) -> tuple[Start, str]:
    """Read the body of a request over HTTP: the fields of `start`, and `text`.

    Raises what `decode` raises.
    """
    try:
        fields = _object(body.decode())
    except UnicodeDecodeError as error:
        raise BadJson(f"not UTF-8: {error}") from error
    given = {"context": DEFAULT_CONTEXT}
    text = _validate("text", {"text": fields.pop("text", None), **given})
    start = _validate("start", {**fields, **given, "frames": "json"})
    assert isinstance(text, Text)
    assert isinstance(start, Start)
    return start, text.text


def decode(message: str | bytes) -> Command:
    """Read one message of a client. Fields that the type does not have are ignored.

    Raises `BinaryMessage`, `BadJson`, `UnknownType`, `BadMessage`, `BadText`; the error carries the
    context that the message names.
    """
    if isinstance(message, bytes):
        raise BinaryMessage("clients send JSON text messages; audio goes only the other way")
    fields = _object(message)
    kind = fields.pop("type", None)
    if kind in ("ping", "resume"):  # they concern no single context
        return _validate(kind, fields)
    context = fields.setdefault("context", DEFAULT_CONTEXT)
    if not isinstance(context, str) or not 0 < len(context) <= MAX_CONTEXT_LENGTH:
        raise BadMessage(f"context: expected a string of 1 to {MAX_CONTEXT_LENGTH} characters")
    try:
        return _validate(kind, fields)
    except DuplexError as error:
        error.context = context
        error.ends_context = kind == "start"
        raise


def _object(message: str) -> dict[str, Any]:
    try:
        fields = json.loads(message, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadJson(f"not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise BadJson('expected a JSON object, such as {"type": "text", "text": "Hello"}')
    if "\\u" in message:  # the only way for a lone surrogate to come in
        try:
            json.dumps(fields, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise BadText("a lone surrogate is not a character; send the whole pair") from error
    return fields


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _validate(kind: object, fields: dict[str, Any]) -> Command:
    adapter = _COMMANDS.get(kind) if isinstance(kind, str) else None
    if adapter is None:
        known = ", ".join(_COMMANDS)
        raise UnknownType(f"unknown type {str(kind)[:40]!r}; known types: {known}")
    try:
        # As JSON: in strict mode a dataclass takes a dict from JSON only.
        command: Command = adapter.validate_json(json.dumps(fields), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadMessage(f"{kind}: {where}: {first['msg']}") from error
    return command


def encode(event: Event) -> str | bytes:
    """Write one event as a message: bytes for audio in binary frames, else JSON text."""
    if isinstance(event, Audio):
        return _encode_audio(event)
    fields: dict[str, Any] = {"type": _NAMES[type(event)]}
    if isinstance(event, Ready):
        fields["protocol"] = PROTOCOL_VERSION
    # `vars` does not know slots
    fields.update({name: getattr(event, name) for name in event.__dataclass_fields__})
    return json.dumps(fields, ensure_ascii=False)


def _encode_audio(event: Audio) -> str | bytes:
    header: dict[str, Any] = {
        "type": "audio",
        "context": event.context,
        "seq": event.seq,
        "start_ms": event.start_ms,
        "duration_ms": event.duration_ms,
        "text": event.text,
        "words": [[w.start, w.end, round(w.start_ms, 1), round(w.end_ms, 1)] for w in event.words],
    }
    if event.frames == "json":
        header["audio"] = base64.b64encode(event.data).decode("ascii")
        return json.dumps(header, ensure_ascii=False)
    head = json.dumps(header, ensure_ascii=False).encode()
    return struct.pack("<I", len(head)) + head + event.data
