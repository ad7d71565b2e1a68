"""Events and messages that all carriers share; `twilio` and `telnyx` translate them. No I/O."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from duplex_tts.telephony.codecs import TelephoneCodec
from duplex_tts.telephony.errors import BadCarrierMessage


@dataclass(frozen=True, slots=True)
class StreamStarted:
    """A call's stream begins.

    `codec`: of the caller's audio. `caller`, `called`: telephone numbers, if the carrier sends
    them. `parameters`: set by the call's application.
    """

    call_id: str
    stream_id: str
    codec: TelephoneCodec
    caller: str | None = None
    called: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CallerAudio:
    """The caller's audio, in the stream's codec; `chunk`: its number, if the carrier sends it."""

    payload: bytes = field(repr=False)
    chunk: int | None = None


@dataclass(frozen=True, slots=True)
class DigitPressed:
    """The caller pressed a key: 0-9, *, #, A-D."""

    digit: str


@dataclass(frozen=True, slots=True)
class MarkReached:
    """Everything sent before this mark was played, or dropped by a clear."""

    name: str


@dataclass(frozen=True, slots=True)
class ErrorReported:
    """The carrier reports an error."""

    message: str


@dataclass(frozen=True, slots=True)
class StreamStopped:
    """The stream is over."""


CarrierEvent = (
    StreamStarted | CallerAudio | DigitPressed | MarkReached | ErrorReported | StreamStopped
)


class Carrier(Protocol):
    """Translates one connection's messages; stores the stream's id."""

    name: str

    def decode(self, message: str | bytes) -> CarrierEvent | None:
        """The event in a message; None if it is unknown or irrelevant.

        Raises `BadCarrierMessage` and, for a start, `UnsupportedCodec`.
        """

    def encode_media(self, payload: bytes) -> str:
        """The message that plays audio to the caller, after what was sent before."""

    def encode_mark(self, name: str) -> str:
        """The message that requests a `MarkReached` when all before it was played."""

    def encode_clear(self) -> str:
        """The message that drops all unplayed audio."""


def parse_object(message: str | bytes) -> dict[str, Any]:
    """The JSON object in a text message. Raises `BadCarrierMessage`."""
    if not isinstance(message, str):
        raise BadCarrierMessage("a binary message; media streams send JSON text")
    try:
        fields = json.loads(message)
    except (ValueError, RecursionError) as error:
        raise BadCarrierMessage(f"not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise BadCarrierMessage("not a JSON object")
    return fields


def get_object(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The object in a field. Raises `BadCarrierMessage`."""
    inner = fields.get(name)
    if not isinstance(inner, dict):
        raise BadCarrierMessage(f"no object {name!r} in the message")
    return inner


def get_string(fields: Mapping[str, Any], name: str) -> str:
    """The non-empty string in a field. Raises `BadCarrierMessage`."""
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise BadCarrierMessage(f"no string {name!r} in the message")
    return value


def get_integer(fields: Mapping[str, Any], name: str) -> int:
    """The integer in a field, also as a string. Raises `BadCarrierMessage`."""
    try:
        return int(fields[name])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BadCarrierMessage(f"no number {name!r} in the message") from error


def get_string_values(fields: Mapping[str, Any], name: str) -> dict[str, str]:
    """The string values of an optional object."""
    inner = fields.get(name)
    if not isinstance(inner, dict):
        return {}
    return {key: value for key, value in inner.items() if isinstance(value, str)}


def decode_audio(media: Mapping[str, Any], codec: TelephoneCodec) -> CallerAudio:
    """The audio of a media message, whole samples. Raises `BadCarrierMessage`."""
    try:
        payload = base64.b64decode(get_string(media, "payload"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadCarrierMessage(f"the payload is not base64: {error}") from error
    if len(payload) % len(codec.silence):
        raise BadCarrierMessage(f"{len(payload)} bytes are not whole samples of {codec.name}")
    return CallerAudio(payload, get_integer(media, "chunk") if "chunk" in media else None)


def encode_json(**fields: object) -> str:
    """A message as compact JSON."""
    return json.dumps(fields, separators=(",", ":"))


def encode_base64(payload: bytes) -> str:
    """Audio as base64 text."""
    return base64.b64encode(payload).decode("ascii")
