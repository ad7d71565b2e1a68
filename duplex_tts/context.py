"""One stream of text to speech within a session."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal, TypedDict

from duplex_tts.errors import ClientError, ProtocolError
from duplex_tts.events import Audio, Cancelled, ContextEvent, Done, Error

ROUNDING_MS = 1.0  # durations are rounded on the wire, one by one and in the sum

REFUSALS = frozenset(
    {
        "bad_format",
        "bad_message",
        "overloaded",
        "too_many_contexts",
        "unknown_voice",
        "unsupported",
        "voice_unavailable",
    }
)
"""Errors after which a context does not speak: its events end with them."""


class Parameters(TypedDict, total=False):
    """How a context speaks; what is left out is the server's default."""

    voice: str | None
    format: str | None
    sample_rate: int | None
    speed: float | None
    seed: int | None
    language: str | None
    mode: Literal["live", "batch"] | None
    frames: Literal["binary", "json"] | None


class Context:
    """One ordered stream of text to speech; iterate it for its events.

    The events end after `Done`, `Cancelled`, or the `Error` of a refused start. Commands return
    when they are handed to the socket and raise `ConnectionLost` when there is none. The sums of
    what arrived are checked against `Done`; iterating raises `ProtocolError` when they differ.
    """

    def __init__(self, id_: str, send: Callable[..., Awaitable[None]]) -> None:
        self.id = id_
        self._send_command = send
        # Unbounded on purpose: it holds no more than the speech of the text pushed here, and a
        # bound would let a context that nobody iterates stop all others of the connection.
        self._events: asyncio.Queue[ContextEvent | ClientError] = asyncio.Queue()
        self._ended = False
        self._audio_ms = 0.0
        self._characters = 0
        self._chunks = 0

    async def push(self, text: str) -> None:
        """Send more text: a character, a word, a token, a page."""
        if text:
            await self._send("text", text=text)

    async def flush(self) -> None:
        """Ask to speak all that is known now; more text may follow."""
        await self._send("flush")

    async def end(self) -> None:
        """Say that no more text comes; `Done` is the last event."""
        await self._send("end")

    async def cancel(self) -> None:
        """Ask for silence; `Cancelled` is the last event."""
        await self._send("cancel")

    async def retract(self, to: int) -> None:
        """Take back the text from offset `to` on; `Retracted` says from where that was possible."""
        await self._send("retract", to=to)

    async def played(self, ms: float) -> None:
        """Report how much of the audio has really been heard: the server paces itself by it."""
        await self._send("played", ms=ms)

    def deliver(self, event: ContextEvent | ClientError) -> None:
        """Queue what the session's reader has for this context."""
        self._events.put_nowait(event)

    def __aiter__(self) -> Context:
        return self

    async def __anext__(self) -> ContextEvent:
        if self._ended:
            raise StopAsyncIteration
        event = await self._events.get()
        if isinstance(event, ClientError):
            self._events.put_nowait(event)  # whoever asks again gets the same answer
            raise event
        self._ended = _is_last(event)
        self._check(event)
        return event

    async def _send(self, type_: str, **fields: object) -> None:
        await self._send_command(type_, context=self.id, **fields)

    def _check(self, event: ContextEvent) -> None:
        """Count what arrives; raise `ProtocolError` at a gap, a repetition, or a wrong sum."""
        if isinstance(event, Audio):
            if event.text[0] != self._characters:
                raise ProtocolError(
                    f"audio for text {event.text} when {self._characters} characters were spoken"
                )
            self._chunks += 1
            self._characters = event.text[1]
            self._audio_ms += event.duration_ms
        elif isinstance(event, Done):
            promised = (event.characters, event.chunks)
            arrived = (self._characters, self._chunks)
            if promised != arrived or abs(event.audio_ms - self._audio_ms) > ROUNDING_MS:
                raise ProtocolError(f"{event}, but {self._audio_ms} ms, {arrived} arrived")


def _is_last(event: ContextEvent) -> bool:
    if isinstance(event, Error):
        return event.code in REFUSALS
    return isinstance(event, Done | Cancelled)
