"""The native protocol of `/ws/tts`, described in docs/protocol.md.

Sans I/O: `decode_message` turns a message into a command, `encode_event` an event into a message.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic_core import CoreConfig, SchemaValidator, core_schema

from backend.errors import (
    BadJson,
    BadMessage,
    BadText,
    BinaryMessage,
    DuplexError,
    UnknownType,
)
from backend.events import (
    Advice,
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
MAX_MESSAGE_LENGTH = 1 << 18  # characters: fits 20,000 of any text, all escaped
MAX_AFTER = 1000  # contexts in one `after`

# Characters of a message of any type but `text`. A longer one is not parsed to objects: all
# brackets, it would block the event loop for 80 ns a character.
_MAX_SHORT_LENGTH = 1 << 14

# The core's dataclasses are the schema: their fields are the wire's fields.
_COMMANDS: dict[str, type[Command]] = {
    "start": Start,
    "text": Text,
    "retract": Retract,
    "flush": Flush,
    "end": End,
    "cancel": Cancel,
    "played": Played,
    "ping": Ping,
    "resume": Resume,
}
_ADAPTERS: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(command) for name, command in _COMMANDS.items()
}
_FIELDS = {name: tuple(field.name for field in fields(each)) for name, each in _COMMANDS.items()}


def _or_empty(kind: Any) -> core_schema.CoreSchema:
    """Replace a value of another type by an empty list: an error would contain all of it."""
    typed = TypeAdapter(kind).core_schema
    return core_schema.nullable_schema(  # a missing field stays missing
        core_schema.with_default_schema(typed, default_factory=list, on_error="default")
    )


_LONG_MESSAGE = SchemaValidator(
    core_schema.typed_dict_schema(
        {
            name: core_schema.typed_dict_field(_or_empty(kind), required=False)
            for name, kind in {"type": str, "text": str, **get_type_hints(Start)}.items()
        }
    ),
    CoreConfig(strict=True, allow_inf_nan=False),
)
_STATUS = {"invalid_api_key": 401, "overloaded": 503, "voice_unavailable": 503, "internal": 500}
_STATUS |= {"key_limit": 429}
_STATUS |= {"engine_failed": 500, "engine_dead": 503, "timeout": 503}
_EVENT_TYPES: dict[type, str] = {
    Ready: "ready",
    Done: "done",
    Cancelled: "cancelled",
    Retracted: "retracted",
    Failed: "error",
    Advice: "advice",
    Pong: "pong",
}


class NativeProtocol:
    """See `base.WireProtocol`. Stateless."""

    idle_timeout_s: float | None = None

    def decode(self, message: str | bytes) -> Sequence[Command]:
        """See `decode_message`."""
        return (decode_message(message),)

    def encode(self, event: Event) -> Sequence[Message]:
        """See `encode_event`. `Flushed` has no message: the audio spans show it."""
        return () if isinstance(event, Flushed) else (encode_event(event),)

    def deny(self, error: DuplexError) -> Refusal | None:
        """None: a web page can read a message, but not the status of a handshake."""
        return None


class NativeLines:
    """The server's messages over HTTP: one JSON object per line. See `base.HttpTranslator`."""

    media_type = "application/x-ndjson"
    headers: Mapping[str, str] = {"cache-control": "no-store"}
    needs_sound = False

    def encode(self, event: Event) -> bytes:
        """Encode an event as a line."""
        message = encode_event(event)
        assert isinstance(message, str), "HTTP requests use JSON frames"
        return message.encode() + b"\n"

    def refuse(self, failed: Failed) -> Refusal:
        """The `error` message as the whole response."""
        return Refusal(_STATUS.get(failed.code, 400), str(encode_event(failed)))


def decode_speech_request(body: bytes) -> tuple[Start, str]:
    """Parse the body of an HTTP request: the fields of `start`, and `text`.

    Raises the errors of `decode_message`.
    """
    try:
        values = _parse_object(body.decode())
    except UnicodeDecodeError as error:
        raise BadJson(f"not UTF-8: {error}") from error
    context = {"context": DEFAULT_CONTEXT}
    text = _to_command("text", {"text": values.pop("text", None), **context})
    start = _to_command("start", {**values, **context, "frames": "json"})
    assert isinstance(text, Text)
    assert isinstance(start, Start)
    return start, text.text


def decode_message(message: str | bytes) -> Command:
    """Parse one message of a client; unknown fields are ignored.

    Raises `BinaryMessage`, `BadJson`, `UnknownType`, `BadMessage`, `BadText`; the error has the
    message's context.
    """
    if isinstance(message, bytes):
        raise BinaryMessage("binary messages are not accepted; send JSON text messages")
    values = _parse_object(message)
    kind = values.pop("type", None)
    if len(message) > _MAX_SHORT_LENGTH and kind != "text":
        raise BadMessage(f"only `text` messages may exceed {_MAX_SHORT_LENGTH} characters")
    if kind in ("ping", "resume"):  # not about a single context
        _validate_sizes(values)
        return _to_command(kind, values)
    context = _validate_context(values.setdefault("context", DEFAULT_CONTEXT))
    try:
        return _to_command(kind, values)
    except DuplexError as error:
        error.context = context
        error.ends_context = kind == "start"
        raise


def _validate_context(context: object) -> str:
    if not isinstance(context, str) or not 0 < len(context) <= MAX_CONTEXT_LENGTH:
        raise BadMessage(f"context: expected a string of 1 to {MAX_CONTEXT_LENGTH} characters")
    return context


def _validate_sizes(values: Mapping[str, Any]) -> None:
    id_, after = values.get("id"), values.get("after")
    if isinstance(id_, str) and len(id_) > MAX_CONTEXT_LENGTH:
        raise BadMessage(f"id: expected at most {MAX_CONTEXT_LENGTH} characters")
    if isinstance(after, dict) and len(after) > MAX_AFTER:
        raise BadMessage(f"after: expected at most {MAX_AFTER} contexts; name only unfinished ones")


def _parse_object(message: str) -> dict[str, Any]:
    if len(message) > MAX_MESSAGE_LENGTH:
        raise BadMessage(
            f"at most {MAX_MESSAGE_LENGTH} characters in a message; send a longer text in parts"
        )
    if len(message) > _MAX_SHORT_LENGTH:
        return _parse_long_object(message)
    try:
        parsed = _DECODER.decode(message)
    except (ValueError, RecursionError) as error:
        raise BadJson(f"not JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise BadJson('expected a JSON object, such as {"type": "text", "text": "Hello"}')
    if "\\u" in message:  # lone surrogates arrive only escaped
        try:
            json.dumps(parsed, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise _lone_surrogate_error() from error
    return parsed


def _parse_long_object(message: str) -> dict[str, Any]:
    """Parse only the fields of `text` and `start`; skip the rest without building objects."""
    try:
        parsed: dict[str, Any] = _LONG_MESSAGE.validate_json(message)
    except ValidationError as error:
        kind, why = _first_error(error)
        if kind == "json_invalid" and "hex escape" in why:
            raise _lone_surrogate_error() from error
        raise BadJson(f"not a JSON object: {why}") from error
    return parsed


def _lone_surrogate_error() -> BadText:
    return BadText("a lone surrogate is not a character; send the whole pair")


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


_DECODER = json.JSONDecoder(parse_constant=_reject_constant)  # `json.loads` creates one per call


def _to_command(kind: object, values: dict[str, Any]) -> Command:
    if not isinstance(kind, str) or kind not in _COMMANDS:
        label = kind[:40] if isinstance(kind, str) else type(kind).__name__
        raise UnknownType(f"unknown type {label!r}; known types: {', '.join(_COMMANDS)}")
    if kind == "text" and isinstance(text := values.get("text"), str):  # with each token
        return Text(values["context"], text)
    known = {name: values[name] for name in _FIELDS[kind] if name in values}
    try:
        # As JSON: in strict mode a dataclass accepts an object from JSON only.
        command: Command = _ADAPTERS[kind].validate_json(json.dumps(known), strict=True)
    except ValidationError as error:
        raise BadMessage(f"{kind}: {_first_error(error)[1]}") from error
    return command


def _first_error(error: ValidationError) -> tuple[str, str]:
    """The type of the first error, and its location and message."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return first["type"], f"{where[:100]}: {first['msg']}" if where else first["msg"]


def encode_event(event: Event) -> str | bytes:
    """Encode an event as a message: bytes for audio in binary frames, else JSON text."""
    if isinstance(event, Audio):
        return _encode_audio(event)
    message: dict[str, Any] = {"type": _EVENT_TYPES[type(event)]}
    if isinstance(event, Ready):
        message["protocol"] = PROTOCOL_VERSION
    # `vars` does not work with slots
    message.update({name: getattr(event, name) for name in event.__dataclass_fields__})
    if isinstance(event, Failed) and event.retry_after_ms is None:
        del message["retry_after_ms"]
    if isinstance(event, Ready):
        direct = message.pop("direct")
        message |= {} if direct is None else {"direct": asdict(direct)}
    return json.dumps(message, ensure_ascii=False)


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
    # Compact: on a thin line headers are a sixth of all bytes.
    header_bytes = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    return struct.pack("<I", len(header_bytes)) + header_bytes + event.data
