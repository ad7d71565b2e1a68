"""The words that all carriers share; `twilio` and `telnyx` translate them. No sockets here."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from duplex_tts.telephony.codecs import Codec
from duplex_tts.telephony.errors import BadCarrierMessage


@dataclass(frozen=True, slots=True)
class Started:
    """The stream of a call begins.

    `codec`: what the caller's voice comes in. `caller`, `called`: telephone numbers, where the
    carrier says them. `parameters`: what the call's application gave the stream.
    """

    call_id: str
    stream_id: str
    codec: Codec
    caller: str | None = None
    called: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sound:
    """The caller's voice, in the stream's codec; `chunk` counts where the carrier says so."""

    payload: bytes = field(repr=False)
    chunk: int | None = None


@dataclass(frozen=True, slots=True)
class Digit:
    """The caller pressed a key: 0-9, *, #, A-D."""

    digit: str


@dataclass(frozen=True, slots=True)
class Marked:
    """Everything sent before this mark was played, or dropped by a clear."""

    name: str


@dataclass(frozen=True, slots=True)
class Complaint:
    """The carrier did not like something."""

    message: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """No more follows."""


CarrierEvent = Started | Sound | Digit | Marked | Complaint | Stopped


class Carrier(Protocol):
    """One connection's translation from and to the carrier's messages; keeps the stream's id."""

    name: str

    def decode(self, message: str | bytes) -> CarrierEvent | None:
        """What a message says; None: nothing that matters here, or nothing known.

        Raises `BadCarrierMessage` and, for a start, `UnsupportedCodec`.
        """

    def media(self, payload: bytes) -> str:
        """The message that plays this to the caller, after what was sent before."""

    def mark(self, name: str) -> str:
        """The message that asks for a `Marked` when all before it was played."""

    def clear(self) -> str:
        """The message that drops what is not played yet."""


def fields_of(message: str | bytes) -> dict[str, Any]:
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


def within(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The object in this field. Raises `BadCarrierMessage`."""
    inner = fields.get(name)
    if not isinstance(inner, dict):
        raise BadCarrierMessage(f"no object {name!r} in the message")
    return inner


def text_in(fields: Mapping[str, Any], name: str) -> str:
    """The string in this field, not empty. Raises `BadCarrierMessage`."""
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise BadCarrierMessage(f"no string {name!r} in the message")
    return value


def number_in(fields: Mapping[str, Any], name: str) -> int:
    """The integer in this field, a string or not. Raises `BadCarrierMessage`."""
    try:
        return int(fields[name])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BadCarrierMessage(f"no number {name!r} in the message") from error


def texts_in(fields: Mapping[str, Any], name: str) -> dict[str, str]:
    """The strings of an object that may be missing."""
    inner = fields.get(name)
    if not isinstance(inner, dict):
        return {}
    return {key: value for key, value in inner.items() if isinstance(value, str)}


def sound_in(media: Mapping[str, Any], codec: Codec) -> Sound:
    """The audio of a media message, whole samples. Raises `BadCarrierMessage`."""
    try:
        payload = base64.b64decode(text_in(media, "payload"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadCarrierMessage(f"the payload is not base64: {error}") from error
    if len(payload) % len(codec.silence):
        raise BadCarrierMessage(f"{len(payload)} bytes are no whole samples of {codec.name}")
    return Sound(payload, number_in(media, "chunk") if "chunk" in media else None)


def compact(**fields: object) -> str:
    """The JSON text of a message."""
    return json.dumps(fields, separators=(",", ":"))


def base64_of(payload: bytes) -> str:
    """As carriers want audio."""
    return base64.b64encode(payload).decode("ascii")
