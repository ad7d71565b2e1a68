"""Interfaces of a wire protocol: one translator per connection or request.

A protocol is sans I/O: it decodes a client's messages to commands and encodes the core's events to
messages. It keeps only wire state (a default context, sums for an alignment) and decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from backend.errors import DuplexError
from backend.events import Command, Event, Failed

CLOSE_NORMAL = 1000
CLOSE_POLICY = 1008


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection after everything queued before is written."""

    code: int = CLOSE_NORMAL
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP error response to a handshake or a request; `body` is JSON text."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)


Message = str | bytes | Close
"""An outgoing text message, binary message or close."""


class WireProtocol(Protocol):
    """One connection's translator.

    `idle_timeout_s`: a client that is silent for this long, with nothing left to speak, gets
    `Failed` (code `idle_timeout`) and is disconnected; None: never.
    """

    idle_timeout_s: float | None

    def decode(self, message: str | bytes) -> Sequence[Command]:
        """Decode a client's message. Raises `DuplexError`, which is answered as `Failed`."""

    def encode(self, event: Event) -> Sequence[Message]:
        """Encode an event; empty if the protocol has no message for it."""

    def deny(self, error: DuplexError) -> Refusal | None:
        """The HTTP refusal of a handshake. None: accept, send `Failed`, close."""


class HttpTranslator(Protocol):
    """Builds a response body from the core's events; one per request. Sans I/O.

    `media_type`, `headers`: of a successful response. `needs_sound`: the client treats a response
    without audio as a failure, so a text without sound yields a moment of silence, also in raw
    sample formats.
    """

    media_type: str
    headers: Mapping[str, str]
    needs_sound: bool

    def encode(self, event: Event) -> bytes:
        """The body bytes for this event; may be empty. Empty for a `Failed` means that the body
        cannot carry the error: the response is aborted, so the client sees it is incomplete.
        """

    def refuse(self, failed: Failed) -> Refusal:
        """The error response when nothing could be spoken."""
