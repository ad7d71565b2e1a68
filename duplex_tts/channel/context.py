"""One stream of text to speech within a session: the low level, below `Utterance`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
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
"""Characters sent ahead of speech: well under what a server keeps, enough that it never waits."""

PIECE_LENGTH = 1_000
TELEPHONE_HZ = 8_000  # of mu-law and A-law, where nothing else is asked for
HELD_UP_S = 10.0
"""After so long at the limit without a sound, speech is asked for: a server may be set to speak
only when it is told to.
"""

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
    volume: float | None
    seed: int | None
    language: str | None
    mode: Literal["live", "stream", "batch"] | None
    typing: Literal["auto", "word", "phrase", "sentence"] | None
    frames: Literal["binary", "json"] | None


Arrival = ContextEvent | ClientError
"""What comes to a context; an error is the last."""


class Channel(Protocol):
    """What carries contexts to the server: a WebSocket's `ResumingConnection`, or HTTP."""

    def post(self, wire_id: str, type_: str, **fields: object) -> None:
        """Say something to the server; returns at once. Raises `ClientError` when it never will."""

    async def room(self) -> None:
        """Wait while too much waits to be sent."""


class Context:
    """One ordered stream of text to speech; iterate it for its events.

    The events end after `Done`, `Cancelled`, or the `Error` of a refused start. Commands return
    when they wait to be sent; they and the iteration raise `ConnectionLost` when the session is
    over. A broken connection is nothing that is seen here, but for a `Restarted` when the server
    had forgotten the context. What arrives is checked against `Done`; iterating raises
    `ProtocolError` when it does not add up.
    """

    def __init__(
        self,
        id_: str,
        parameters: Parameters,
        defaults: AudioForm,
        take: Callable[[Arrival], None] | None = None,
    ) -> None:
        """`take` is called with what arrives, in place of the iteration; it must not raise."""
        self.id = id_
        self.parameters = parameters
        # Unbounded on purpose: it holds no more than the speech of the text pushed here, and a
        # bound would let a context that nobody iterates stop all others of the connection.
        self._events: asyncio.Queue[Arrival] = asyncio.Queue()
        self._take = take or self._events.put_nowait
        self._reassembly = AudioReassembly(id_, _form(parameters, defaults))
        self._timeout = ProgressTimeout()
        self._retractions = 0  # that are not answered
        self._ending = False
        self._unheard_text = UnheardText()
        self._channel: Channel | None = None
        self._wire_id = id_
        self._progress = asyncio.Event()
        self._cancelled = False
        self._incomplete = False  # an error says so: a sum that differs is no news
        self._ended = False
        self._lost: ClientError | None = None
        self.over = False  # nothing more will come

    # --- commands ---------------------------------------------------------------------------------

    async def push(self, text: str) -> None:
        """Send more text: a character, a word, a token, a book.

        Waits while `UNSPOKEN_LIMIT` characters are not spoken yet. Raises `ValueError` for what is
        no Unicode text (a lone surrogate).
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"not text: a lone surrogate at {error.start}") from error
        for start in range(0, len(text), PIECE_LENGTH):
            await self._below_limit()
            self._command(Command("text", text[start : start + PIECE_LENGTH]))
        if self._channel is not None:
            await self._channel.room()

    async def flush(self) -> None:
        """Ask to speak all that is known now; more text may follow."""
        self._command(Command("flush"))

    async def end(self) -> None:
        """Say that no more text comes; `Done` is the last event."""
        self._command(Command("end"))

    async def retract(self, to: int) -> None:
        """Take back the text from offset `to` on; `Retracted` says from where that was possible.

        Raises `ValueError` for a negative offset.
        """
        if to < 0:
            raise ValueError(f"retract to {to}: an offset is 0 or more")
        self._command(Command("retract", to=to))

    async def cancel(self) -> None:
        """Ask for silence; `Cancelled` is the last event."""
        self.cancel_now()

    async def played(self, ms: float) -> None:
        """Report how much of the audio has really been heard: the server paces itself by it."""
        self.played_now(ms)

    def cancel_now(self) -> None:
        """Do what `cancel` does, also from where nothing can be awaited."""
        if not self._cancelled:
            self._post("cancel")
            self._cancelled = True
            self._timeout.owe(monotonic())

    def flush_now(self) -> None:
        """Do what `flush` does, also from where nothing can be awaited."""
        self._command(Command("flush"))

    def played_now(self, ms: float) -> None:
        """Do what `played` does, also from where nothing can be awaited."""
        self._post("played", ms=self._reassembly.leg_ms(ms))
        self._timeout.played(self._reassembly.arrived_ms - ms, monotonic())

    def _command(self, command: Command) -> None:
        on_leg = replace(command, to=self._reassembly.leg_offset(command.to))
        self._post(command.type, **on_leg.fields)
        self._unheard_text.add(command)
        self._retractions += command.type == "retract"
        self._ending = self._ending or command.type == "end"
        if command.type in ("end", "retract"):
            self._timeout.owe(monotonic())

    def _post(self, type_: str, **fields: object) -> None:
        if self._lost is not None:
            raise self._lost
        if self.over or self._cancelled:  # nobody is interested in what is said from now on
            return
        assert self._channel is not None, "a context is attached before it is used"
        self._channel.post(self._wire_id, type_, **fields)

    async def _below_limit(self) -> None:
        while self._unheard_text.unheard > UNSPOKEN_LIMIT and not self.over:
            self._progress.clear()
            try:
                async with asyncio.timeout(HELD_UP_S):
                    await self._progress.wait()
            except TimeoutError:
                self._command(Command("flush"))
                self._timeout.owe(monotonic())

    # --- for the channel --------------------------------------------------------------------------

    @property
    def last_seq(self) -> int:
        """Number of the last audio message that was received; -1 before the first."""
        return self._reassembly.last_seq

    @property
    def heard_to(self) -> int:
        """How far the text was heard."""
        return self._reassembly.text_to

    def attach(self, channel: Channel, wire_id: str) -> None:
        """Open it with the server, under this id."""
        self._channel, self._wire_id = channel, wire_id
        self._post("start", **self.parameters)

    def restart(self, channel: Channel, wire_id: str) -> Restarted | None:
        """Open it again, for the rest of its speech: the server has forgotten it.

        Returns from where; None when it was cancelled and there is nothing to open.
        """
        restarted = self._reassembly.restart()
        if self._cancelled:
            self._end(Cancelled(self.id, restarted.text_to, restarted.audio_ms))
            return None
        self._take(restarted)
        self.attach(channel, wire_id)
        for command in self._unheard_text.again():
            self._post(command.type, **command.fields)
        return restarted

    def deliver(self, event: ContextReply) -> None:
        """Take what the server says of this context. Raises `ProtocolError`."""
        match event:
            case Audio():
                if event.text[1] > self._unheard_text.length - self._reassembly.leg_start:
                    raise ProtocolError(f"audio for text {event.text}, more than was sent")
                self._hear(self._reassembly.audio(event))
                self._timeout.audio(event.duration_ms, monotonic())
            case Done():
                held, done = self._reassembly.done(event)
                self._hear(held)
                if not self._incomplete and done.characters != self._unheard_text.length:
                    sent = self._unheard_text.length
                    raise ProtocolError(f"{done}, but {sent} characters were sent")
                self._end(done)
            case Cancelled():
                self._end(self._reassembly.cancelled(event))
            case Retracted():
                to = self._reassembly.offset(event.to)
                if to > self._unheard_text.length:
                    raise ProtocolError(f"{event}, more than was sent")
                self._retractions = max(0, self._retractions - 1)
                self._unheard_text.retracted(to)
                self._take(Retracted(self.id, to))
            case Error():
                self._fail(Error(self.id, event.code, event.message))
        self._progressed()

    def _progressed(self) -> None:
        self._progress.set()
        self._timeout.progress(monotonic())
        if not (self._ending or self._cancelled or self._retractions):
            self._timeout.settle()

    def back(self) -> None:
        """The connection was away, and is back."""
        self._timeout.progress(monotonic())

    def stuck_s(self, *, queued: bool) -> float:
        """For how long what the server owes has not come, as one that need not queue would wait:
        `queued` says that others are being spoken meanwhile.
        """
        may_queue = queued or self.parameters.get("mode") == "batch"
        return self._timeout.waiting_s(monotonic()) / (QUEUED_FACTOR if may_queue else 1)

    def give_up(self) -> None:
        """The server does not do what it owes: end without it."""
        message = f"the server says nothing of {self.id} any more; speak it again, or wait longer"
        error = Error(self.id, NO_PROGRESS, f"{message}: Options(progress_timeout_s)")
        with suppress(ClientError):
            self.cancel_now()
        self.lose(SpeechFailed(f"{error.message} ({error.code})", [error]))

    def lose(self, error: ClientError) -> None:
        """Nothing more will come, for this reason."""
        self._lost = error
        self._end(error)

    def _hear(self, audio: Audio | None) -> None:
        if audio is not None:
            self._unheard_text.heard(audio.text[1])
            self._take(audio)

    def _fail(self, error: Error) -> None:
        self._incomplete = True
        if error.code in REFUSALS:
            self._end(error)
        else:
            self._take(error)

    def _end(self, last: Arrival) -> None:
        self.over = True
        self._progress.set()
        self._take(last)

    # --- for the application ----------------------------------------------------------------------

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
        return event


def _form(parameters: Parameters, defaults: AudioForm) -> AudioForm:
    name = parameters.get("format") or defaults.name
    usual_hz = TELEPHONE_HZ if name in ("mulaw", "alaw") else defaults.sample_rate_hz
    return AudioForm(name, parameters.get("sample_rate") or usual_hz)


def _is_last(event: ContextEvent) -> bool:
    if isinstance(event, Error):
        return event.code in REFUSALS
    return isinstance(event, Done | Cancelled)
