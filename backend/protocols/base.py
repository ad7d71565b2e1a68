"""What a protocol is to the server: a translator, one for each connection or request.

A protocol is sans I/O and decides nothing: it makes commands of a client's messages and messages of
the core's events. What it remembers (a default context, sums for an alignment) is of the wire.
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
    """Hang up, once everything before it is written."""

    code: int = CLOSE_NORMAL
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP answer that is an error; `body` is JSON text. To a handshake or a request."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)


Message = str | bytes | Close
"""What goes out: a text message, a binary message, the end."""


class WireProtocol(Protocol):
    """One connection's translator.

    `idle_timeout_s`: a client that has been silent for so long, with nothing left to be spoken, is
    told `Failed` (code `idle_timeout`) and hung up on; None: never.
    """

    idle_timeout_s: float | None

    def decode(self, message: str | bytes) -> Sequence[Command]:
        """The commands in a client's message. Raises `DuplexError`: it is answered as `Failed`."""

    def encode(self, event: Event) -> Sequence[Message]:
        """The messages that tell of an event; empty when this protocol does not tell of it."""

    def deny(self, error: DuplexError) -> Refusal | None:
        """How a connection is refused. None: it is opened, told `Failed`, and closed."""


class HttpTranslator(Protocol):
    """Makes the body of an answer out of the core's events; one for each request. Sans I/O.

    `media_type`, `headers`: of an answer that speaks. `needs_sound`: its client takes an answer
    without audio for a failure, so that a text without sound is told as a moment of silence also
    where bare samples are asked for.
    """

    media_type: str
    headers: Mapping[str, str]
    needs_sound: bool

    def encode(self, event: Event) -> bytes:
        """What goes into the body for this event; empty for nothing. Nothing for a `Failed` means
        that the body cannot tell: it is broken off, so that the client sees it is not complete.
        """

    def refuse(self, failed: Failed) -> Refusal:
        """The answer when nothing could be spoken."""
