"""A context: one stream of text to speech in a session, the low-level API below `Utterance`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from time import monotonic
from typing import Literal, Protocol, TypedDict

from duplex_tts.channel.progress_timeout import NO_PROGRESS, QUEUED_FACTOR, ProgressTimeout
from duplex_tts.channel.reassembly import AudioForm, AudioReassembly
from duplex_tts.channel.unheard_text import Command, UnheardText
from duplex_tts.errors import ClientError, ProtocolError, SpeechFailed
from duplex_tts.events import (
    Audio,
    Cancelled,
    ContextEvent,
    ContextReply,
    Done,
    Error,
    Restarted,
    Retracted,
)

UNSPOKEN_LIMIT = 5_000
"""Characters sent ahead of speech: below the server's limit, enough that it never waits."""

PIECE_LENGTH = 1_000
TELEPHONE_HZ = 8_000  # default rate of mu-law and A-law
HELD_UP_S = 10.0
"""After this long at the limit without audio, flush: a server may be configured to speak only on
flush.
"""

REFUSALS = frozenset(
    {
        "bad_format",
        "bad_lexicon",
        "bad_message",
        "overloaded",
        "too_many_contexts",
        "unknown_lexicon",
        "unknown_voice",
        "unsupported",
        "voice_unavailable",
    }
)
"""Errors that end a context."""


class Parameters(TypedDict, total=False):
    """The parameters of a context; omitted ones and None mean the server's default."""

    voice: str | None
    format: str | None
    sample_rate: int | None
    bit_rate: int | Literal["auto"] | None
    speed: float | None
    volume: float | None
    seed: int | None
    language: str | None
    mode: Literal["live", "stream", "batch"] | None
    typing: Literal["auto", "word", "phrase", "sentence"] | None
    priority: Literal["interactive", "normal", "background"] | None
    frames: Literal["binary", "json"] | None
    lexicon: Mapping[str, str] | None
    dictionaries: Sequence[str] | None
    ssml: bool | None


Arrival = ContextEvent | ClientError
"""An event of a context, or the error that ends it."""


class Channel(Protocol):
    """Carries contexts to the server: `ResumingConnection` (WebSocket) or `HttpChannel`."""

    def post_command(self, wire_id: str, type_: str, **fields: object) -> None:
        """Queue a command; returns at once. Raises `ClientError` when the channel is lost."""

    async def wait_for_room(self) -> None:
        """Wait while the send queue is full."""


class Context:
    """One ordered stream of text to speech; iterate it for its events.

    The events end after `Done`, `Cancelled`, or the `Error` of a refused start. Commands return
    when they are queued; they and the iteration raise `ConnectionLost` when the session is closed
    or lost. A reconnect is invisible here, except for `Restarted` when the server had lost the
    context. Iterating raises `ProtocolError` when what arrived does not match the totals of `Done`.
    """

    def __init__(
        self,
        id_: str,
        parameters: Parameters,
        defaults: AudioForm,
        on_arrival: Callable[[Arrival], None] | None = None,
    ) -> None:
        """`on_arrival` is called with each arrival instead of the iteration; it must not raise."""
        self.id = id_
        self.parameters = parameters
        # Unbounded: it holds at most the speech of the text pushed here, and a bound would let a
        # context that is not iterated block all others of the connection.
        self._events: asyncio.Queue[Arrival] = asyncio.Queue()
        self._on_arrival = on_arrival or self._events.put_nowait
        self._reassembly = AudioReassembly(id_, _audio_form(parameters, defaults))
        self._timeout = ProgressTimeout()
        self._open_retractions = 0  # not answered yet
        self._end_requested = False
        self._unheard_text = UnheardText()
        self._channel: Channel | None = None
        self._wire_id = id_
        self._progress = asyncio.Event()
        self._cancelled = False
        self._incomplete = False  # an error was reported: the totals may differ
        self._iteration_ended = False
        self._lost: ClientError | None = None
        self.over = False  # nothing more will arrive
        self.is_suspended = False  # the server has no room for it; `restart` starts it again

    # --- commands ---------------------------------------------------------------------------------

    async def push(self, text: str) -> None:
        """Send more text: a character, a word, a token, a book.

        Waits while `UNSPOKEN_LIMIT` characters are not spoken yet. Raises `ValueError` for a lone
        surrogate.
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"not text: a lone surrogate at {error.start}") from error
        for start in range(0, len(text), PIECE_LENGTH):
            await self._wait_below_limit()
            self._send_command(Command("text", text[start : start + PIECE_LENGTH]))
        if self._channel is not None:
            await self._channel.wait_for_room()

    async def flush(self) -> None:
        """Ask the server to speak all text sent so far; more may follow."""
        self._send_command(Command("flush"))

    async def end(self) -> None:
        """End the text; `Done` will be the last event."""
        self._send_command(Command("end"))

    async def retract(self, to: int) -> None:
        """Take back the text from offset `to` on; `Retracted` answers from where it was possible.

        Raises `ValueError` for a negative offset.
        """
        if to < 0:
            raise ValueError(f"retract to {to}: the offset must be 0 or more")
        self._send_command(Command("retract", to=to))

    async def cancel(self) -> None:
        """Stop the speech; `Cancelled` will be the last event."""
        self.cancel_now()

    async def played(self, ms: float) -> None:
        """Report how much of the audio was heard, for the server's pacing."""
        self.played_now(ms)

    def cancel_now(self) -> None:
        """The synchronous form of `cancel`."""
        if self._cancelled:
            return
        self._post("cancel")
        self._cancelled = True
        if self.is_suspended:  # nothing is on the server
            self._finish(Cancelled(self.id, self.heard_to, 0.0))
        else:
            self._timeout.expect_reply(monotonic())

    def flush_now(self) -> None:
        """The synchronous form of `flush`."""
        self._send_command(Command("flush"))

    def played_now(self, ms: float) -> None:
        """The synchronous form of `played`."""
        self._post("played", ms=self._reassembly.to_wire_ms(ms))
        self._timeout.note_played(self._reassembly.arrived_ms - ms, monotonic())

    def _send_command(self, command: Command) -> None:
        on_wire = replace(command, to=self._reassembly.to_wire_offset(command.to))
        self._post(command.type, **on_wire.fields)
        self._unheard_text.add_command(command)
        self._open_retractions += command.type == "retract"
        self._end_requested = self._end_requested or command.type == "end"
        if command.type in ("end", "retract"):
            self._timeout.expect_reply(monotonic())

    def _post(self, type_: str, **fields: object) -> None:
        if self._lost is not None:
            raise self._lost
        if self.over or self._cancelled or self.is_suspended:
            return
        assert self._channel is not None, "the context is not attached to a channel"
        self._channel.post_command(self._wire_id, type_, **fields)

    async def _wait_below_limit(self) -> None:
        while self._unheard_text.unheard_length > UNSPOKEN_LIMIT and not self.over:
            self._progress.clear()
            try:
                async with asyncio.timeout(HELD_UP_S):
                    await self._progress.wait()
            except TimeoutError:
                self._send_command(Command("flush"))
                self._timeout.expect_reply(monotonic())

    # --- for the channel --------------------------------------------------------------------------

    @property
    def last_seq(self) -> int:
        """`seq` of the last audio message received; -1 before the first."""
        return self._reassembly.last_seq

    @property
    def heard_to(self) -> int:
        """Offset up to which the text was heard."""
        return self._reassembly.text_to

    def attach(self, channel: Channel, wire_id: str) -> None:
        """Start the context on the server, under this id."""
        self._channel, self._wire_id = channel, wire_id
        self.is_suspended = False
        self._post("start", **self.parameters)

    def suspend(self) -> None:
        """Note that the server refused to start it for now: commands wait for `restart`."""
        self.is_suspended = True
        self._timeout.expect_nothing()

    def restart(self, channel: Channel, wire_id: str) -> Restarted | None:
        """Start the context again for its unheard text, after the server has lost it.

        Returns where it continues; None if it was cancelled and needs no restart.
        """
        restarted = self._reassembly.restart()
        if self._cancelled:
            self._finish(Cancelled(self.id, restarted.text_to, restarted.audio_ms))
            return None
        self._on_arrival(restarted)
        self.attach(channel, wire_id)
        for command in self._unheard_text.commands_to_resend():
            self._post(command.type, **command.fields)
        return restarted

    def process_event(self, event: ContextReply) -> None:
        """Process an event that the server sent for this context. Raises `ProtocolError`."""
        match event:
            case Audio():
                if event.text[1] > self._unheard_text.length - self._reassembly.wire_start:
                    raise ProtocolError(f"audio for text {event.text}, more than was sent")
                self._deliver_audio(self._reassembly.add_audio(event))
                self._timeout.note_audio(event.duration_ms, monotonic())
            case Done():
                held, done = self._reassembly.finish(event)
                self._deliver_audio(held)
                if not self._incomplete and done.characters != self._unheard_text.length:
                    sent = self._unheard_text.length
                    raise ProtocolError(f"{done}, but {sent} characters were sent")
                self._finish(done)
            case Cancelled():
                self._finish(self._reassembly.translate_cancelled(event))
            case Retracted():
                to = self._reassembly.from_wire_offset(event.to)
                if to > self._unheard_text.length:
                    raise ProtocolError(f"{event}, more than was sent")
                self._open_retractions = max(0, self._open_retractions - 1)
                self._unheard_text.apply_retraction(to)
                self._on_arrival(Retracted(self.id, to))
            case Error():
                self._deliver_error(replace(event, context=self.id))
        self._note_progress()

    def _note_progress(self) -> None:
        self._progress.set()
        self._timeout.note_progress(monotonic())
        if not (self._end_requested or self._cancelled or self._open_retractions):
            self._timeout.expect_nothing()

    def connection_restored(self) -> None:
        """Restart the progress timeout after a reconnect."""
        self._timeout.note_progress(monotonic())

    def overdue_s(self, *, queued: bool) -> float:
        """Time that the server's reply is overdue; a tenth of it if the context may be queued.

        `queued`: other contexts of the session are being spoken.
        """
        if self.is_suspended:
            return 0.0
        may_queue = queued or self.parameters.get("mode") == "batch"
        return self._timeout.overdue_s(monotonic()) / (QUEUED_FACTOR if may_queue else 1)

    def fail_without_progress(self) -> None:
        """Fail with `no_progress`: the server does not reply."""
        message = f"the server sends nothing for {self.id}; speak it again, or wait longer"
        error = Error(self.id, NO_PROGRESS, f"{message}: Options(progress_timeout_s)")
        with suppress(ClientError):
            self.cancel_now()
        self.fail(SpeechFailed(f"{error.message} ({error.code})", [error]))

    def fail(self, error: ClientError) -> None:
        """End the context with an error; later commands raise it, too."""
        self._lost = error
        self._finish(error)

    def _deliver_audio(self, audio: Audio | None) -> None:
        if audio is not None:
            self._unheard_text.mark_heard(audio.text[1])
            self._on_arrival(audio)

    def _deliver_error(self, error: Error) -> None:
        self._incomplete = True
        if error.code in REFUSALS:
            self._finish(error)
        else:
            self._on_arrival(error)

    def _finish(self, last: Arrival) -> None:
        self.over = True
        self._progress.set()
        self._on_arrival(last)

    # --- for the application ----------------------------------------------------------------------

    def __aiter__(self) -> Context:
        return self

    async def __anext__(self) -> ContextEvent:
        if self._iteration_ended:
            raise StopAsyncIteration
        event = await self._events.get()
        if isinstance(event, ClientError):
            self._events.put_nowait(event)  # the next call raises it again
            raise event
        self._iteration_ended = _is_last(event)
        return event


def _audio_form(parameters: Parameters, defaults: AudioForm) -> AudioForm:
    name = parameters.get("format") or defaults.name
    default_hz = TELEPHONE_HZ if name in ("mulaw", "alaw") else defaults.sample_rate_hz
    return AudioForm(name, parameters.get("sample_rate") or default_hz)


def _is_last(event: ContextEvent) -> bool:
    if isinstance(event, Error):
        return event.code in REFUSALS
    return isinstance(event, Done | Cancelled)
