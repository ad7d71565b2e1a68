"""The native protocol of `/ws/tts`: docs/protocol.md is its description.

Sans I/O: `decode` makes a command of a received message, `encode` a message of an event.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import fields
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
MAX_MESSAGE_LENGTH = 1 << 18  # characters: 20,000 of text fit, whichever they are and all escaped
MAX_AFTER = 1000  # contexts that a client speaks of at once

# Characters of a message of any type but `text`. A longer one is not made objects of: if it were
# all brackets, that would hold up everybody for 80 ns a character.
_SHORT = 1 << 14

# The dataclasses of the core are the schema: a field there is a field on the wire.
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


def _small(kind: Any) -> core_schema.CoreSchema:
    """What is of another type becomes an empty list: an error would hold all of it."""
    typed = TypeAdapter(kind).core_schema
    return core_schema.nullable_schema(  # so that what is missing stays so
        core_schema.with_default_schema(typed, default_factory=list, on_error="default")
    )


_LONG = SchemaValidator(
    core_schema.typed_dict_schema(
        {
            name: core_schema.typed_dict_field(_small(kind), required=False)
            for name, kind in {"type": str, "text": str, **get_type_hints(Start)}.items()
        }
    ),
    CoreConfig(strict=True, allow_inf_nan=False),
)
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
        given = _object(body.decode())
    except UnicodeDecodeError as error:
        raise BadJson(f"not UTF-8: {error}") from error
    context = {"context": DEFAULT_CONTEXT}
    text = _validate("text", {"text": given.pop("text", None), **context})
    start = _validate("start", {**given, **context, "frames": "json"})
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
    given = _object(message)
    kind = given.pop("type", None)
    if len(message) > _SHORT and kind != "text":
        raise BadMessage(f"expected at most {_SHORT} characters of any type but `text`")
    if kind in ("ping", "resume"):  # they concern no single context
        _refuse_too_much(given)
        return _validate(kind, given)
    context = _checked(given.setdefault("context", DEFAULT_CONTEXT))
    try:
        return _validate(kind, given)
    except DuplexError as error:
        error.context = context
        error.ends_context = kind == "start"
        raise


def _checked(context: object) -> str:
    if not isinstance(context, str) or not 0 < len(context) <= MAX_CONTEXT_LENGTH:
        raise BadMessage(f"context: expected a string of 1 to {MAX_CONTEXT_LENGTH} characters")
    return context


def _refuse_too_much(given: Mapping[str, Any]) -> None:
    id_, after = given.get("id"), given.get("after")
    if isinstance(id_, str) and len(id_) > MAX_CONTEXT_LENGTH:
        raise BadMessage(f"id: expected at most {MAX_CONTEXT_LENGTH} characters")
    if isinstance(after, dict) and len(after) > MAX_AFTER:
        raise BadMessage(f"after: expected at most {MAX_AFTER} contexts, those that are unfinished")


def _object(message: str) -> dict[str, Any]:
    if len(message) > MAX_MESSAGE_LENGTH:
        raise BadMessage(
            f"expected a message of at most {MAX_MESSAGE_LENGTH} characters; send a longer text in "
            "parts"
        )
    if len(message) > _SHORT:
        return _long_object(message)
    try:
        found = json.loads(message, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadJson(f"not JSON: {error}") from error
    if not isinstance(found, dict):
        raise BadJson('expected a JSON object, such as {"type": "text", "text": "Hello"}')
    if "\\u" in message:  # the only way for a lone surrogate to come in
        try:
            json.dumps(found, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise _lone_surrogate() from error
    return found


def _long_object(message: str) -> dict[str, Any]:
    """What is in it of a text and of what it is spoken with; the rest becomes no object."""
    try:
        found: dict[str, Any] = _LONG.validate_json(message)
    except ValidationError as error:
        kind, what = _first(error)
        if kind == "json_invalid" and "hex escape" in what:
            raise _lone_surrogate() from error
        raise BadJson(f"not a JSON object: {what}") from error
    return found


def _lone_surrogate() -> BadText:
    return BadText("a lone surrogate is not a character; send the whole pair")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _validate(kind: object, values: dict[str, Any]) -> Command:
    if not isinstance(kind, str) or kind not in _COMMANDS:
        name = kind[:40] if isinstance(kind, str) else type(kind).__name__
        raise UnknownType(f"unknown type {name!r}; known types: {', '.join(_COMMANDS)}")
    wanted = fields(_COMMANDS[kind])
    given = {field.name: values[field.name] for field in wanted if field.name in values}
    try:
        # As JSON: in strict mode a dataclass takes a dict from JSON only.
        command: Command = _ADAPTERS[kind].validate_json(json.dumps(given), strict=True)
    except ValidationError as error:
        raise BadMessage(f"{kind}: {_first(error)[1]}") from error
    return command


def _first(error: ValidationError) -> tuple[str, str]:
    """The kind of the first mistake, and where it is and which."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return first["type"], f"{where[:100]}: {first['msg']}" if where else first["msg"]


def encode(event: Event) -> str | bytes:
    """Write one event as a message: bytes for audio in binary frames, else JSON text."""
    if isinstance(event, Audio):
        return _encode_audio(event)
    told: dict[str, Any] = {"type": _NAMES[type(event)]}
    if isinstance(event, Ready):
        told["protocol"] = PROTOCOL_VERSION
    # `vars` does not know slots
    told.update({name: getattr(event, name) for name in event.__dataclass_fields__})
    return json.dumps(told, ensure_ascii=False)


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
