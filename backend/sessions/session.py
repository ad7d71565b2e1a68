"""One client's session: what its commands do, and what it is told when it comes back."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from dataclasses import dataclass
from typing import Never, assert_never

import structlog

from backend.audio.formats import DEFAULT_FORMAT, parse_format
from backend.errors import (
    BadMessage,
    ContextEnded,
    DuplexError,
    ResumeFailed,
    ResumeGap,
    SessionEnded,
    SlowClient,
)
from backend.events import (
    Cancel,
    Command,
    ContextCommand,
    End,
    Failed,
    Flush,
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
from backend.monitoring.gap_causes import Cause
from backend.sessions.context import Services
from backend.sessions.context_record import SessionRecord
from backend.sessions.context_table import ContextTable
from backend.sessions.replay_buffer import ReplayBuffer
from backend.sessions.send_queue import SendQueue

log = structlog.get_logger(__name__)

_LONGEST_MESSAGE = 2000  # characters; one that repeats what the client sent could be as long


@dataclass(frozen=True, slots=True)
class SessionStatus:
    """A session in figures; nothing of what it says.

    `characters`: received since it began, of which `characters_waiting` are not spoken yet.
    `messages_waiting`: not written to the client yet. `buffered_s`: what the listener still has to
    hear of the audio that was sent. `gaps`: how many it heard, by cause, without causes that did
    not occur. `detached_s`: how long it has had no connection; None while it has one.
    """

    id: str
    age_s: float
    contexts: int
    characters: int
    characters_waiting: int
    messages_waiting: int
    buffered_s: float
    gaps: dict[Cause, int]
    detached_s: float | None = None


class Session:
    """What a client has open, whatever connection it comes over."""

    def __init__(
        self,
        services: Services,
        tasks: asyncio.TaskGroup,
        owner: str = "",
        replay_buffer: ReplayBuffer | None = None,
        endpoint: str = "",
    ) -> None:
        """`tasks`: runs its contexts. `owner`: the owner of its API key. `replay_buffer`: None if
        the session cannot be resumed. `endpoint`: the path its client connected to, for the log.
        """
        self._services = services
        self._record = SessionRecord(endpoint, services.metrics, services.clock)
        self.id = self._record.session
        self.token = secrets.token_urlsafe(24)
        self.owner = owner
        self.resumable = replay_buffer is not None
        self.send_queue = SendQueue(
            services.settings.bidirectional_streaming.queue_size, replay_buffer
        )
        self._contexts = ContextTable(services, tasks, self.send_queue, self.refuse, self._record)
        self._received = 0  # messages of the client, but for those of the connection itself
        self._end = asyncio.Event()
        self._outcome = "left"

    async def finished(self) -> None:
        """Wait until no context runs and nothing waits to be written. Cancel-safe."""
        await self._contexts.finished()
        await self.send_queue.emptied()

    def end(self, outcome: str) -> None:
        """End it from outside: whoever waits for `ended` hears of it. `outcome`: why, for the log;
        the first one counts.
        """
        if not self._end.is_set():
            self._outcome = outcome
        self._end.set()

    def opened(self) -> None:
        """It has begun."""
        self._record.opened(resumable=self.resumable)

    def closed(self, outcome: str | None = None) -> None:
        """It is over, and nothing of it runs. `outcome`: why, when nobody had ended it."""
        outcome = outcome or self._outcome
        self.send_queue.abandon(outcome)
        self._record.closed(outcome)

    async def ended(self) -> Never:
        """Wait until the session is ended from outside. Cancel-safe. Raises `SessionEnded`."""
        await self._end.wait()
        raise SessionEnded("whoever runs the server has ended the session")

    def status(self) -> SessionStatus:
        """The session in figures, now."""
        return SessionStatus(
            id=self.id,
            age_s=self._services.clock() - self._record.opened_s,
            contexts=len(self._contexts),
            characters=self._record.characters,
            characters_waiting=self._contexts.waiting,
            messages_waiting=len(self.send_queue),
            buffered_s=self._contexts.buffered_s,
            gaps=self._record.gaps.counts,
        )

    def greet(self) -> None:
        """Say, before all else, what the client gets when it asks for nothing."""
        audio = parse_format(DEFAULT_FORMAT, None)
        voice = self._services.tts.default_voice
        self.send_queue.greet(
            Ready(self.id, self.token, voice, audio.sample_rate_hz, audio.name, self._received)
        )

    def can_resume(self, token: str, owner: str) -> bool:
        """Whether whoever has this token and key may resume the session."""
        has_token = hmac.compare_digest(token.encode(), self.token.encode())
        return self.resumable and has_token and owner == self.owner

    def resume(self, request: Resume) -> bool:
        """The client is back: greet it, say again what it has not received, end with `resume_gap`
        the contexts of which that is no longer kept. Returns whether there were none.
        """
        lost = self.send_queue.rewind(request.after, request.answers)
        if request.answers is None:  # a context it waits for, and the end of it is not kept
            lost |= set(filter(self._contexts.used, request.after)) - self.send_queue.endings()
        for name in lost:
            if name in self._contexts:
                self._contexts.stop(name, ResumeGap.code)
            self.refuse(ResumeGap("what was spoken meanwhile is no longer kept", name))
        self.greet()
        return not lost

    def take(self, command: Command) -> None:
        """`handle`, with mistakes answered. Raises `SlowClient`."""
        try:
            self.handle(command)
        except SlowClient:
            raise
        except DuplexError as error:
            self.refuse(error)

    def misread(self, error: DuplexError) -> None:
        """Answer a message that is no command. Raises `SlowClient`."""
        self._received += 1
        self.refuse(error)

    def refuse(self, error: DuplexError) -> None:
        """Answer a mistake with its code. Raises `SlowClient`."""
        if error.ends_context and error.context and error.context not in self._contexts:
            self._contexts.use_up(error.context)
        self._services.metrics.count_error(error.code)
        # What was on its way to a context whose start was refused is no news.
        tell = log.debug if error.code == ContextEnded.code else log.info
        tell("refused", session=self.id, context=error.context, code=error.code)
        self.send_queue.post(Failed(error.context, error.code, error.message[:_LONGEST_MESSAGE]))

    def handle(self, command: Command) -> None:
        """Carry out a client's command; never waits. Raises `DuplexError` when it is refused:
        nothing has changed then.
        """
        if isinstance(command, Ping):
            self._acknowledge(command)
            return
        if isinstance(command, Resume):
            raise ResumeFailed("`resume` is the first message of a connection or none")
        self._received += 1
        try:
            self._dispatch(command)
        except DuplexError as error:
            error.context = command.context
            raise

    def _dispatch(self, command: ContextCommand) -> None:
        match command:
            case Start():
                self._contexts.open(command)
            case Text():
                self._push(command)
            case Flush():
                self._contexts.get_or_open(command.context).flush()
            case End():
                self._contexts.get_or_open(command.context).end()
            case Retract():
                self._retract(command)
            case Played():
                self._played(command)
            case Cancel():
                self._cancel(command)
            case _:
                assert_never(command)

    # --- what a command does ----------------------------------------------------------------------

    def _push(self, command: Text) -> None:
        new = command.context not in self._contexts
        try:
            self._contexts.get_or_open(command.context).push(command.text)
        except DuplexError as error:
            error.ends_context = new
            if new and command.context in self._contexts:
                self._contexts.stop(command.context, error.code)
            raise

    def _retract(self, command: Retract) -> None:
        if command.to < 0:
            raise BadMessage(f"retract: to: expected 0 or more, got {command.to}")
        to = self._contexts.get(command.context).retract(command.to)
        self.send_queue.post(Retracted(command.context, to))

    def _played(self, command: Played) -> None:
        if command.ms < 0:
            raise BadMessage(f"played: ms: expected 0 or more, got {command.ms:g}")
        if not self._contexts.used(command.context):  # one hears on after the last is sent
            self._contexts.get(command.context).played(command.ms)

    def _cancel(self, command: Cancel) -> None:
        self._contexts.get(command.context)
        context = self._contexts.stop(command.context, "cancelled")
        dropped = self.send_queue.purge(command.context)
        self.send_queue.post(context.cancelled(dropped))
        self._services.metrics.count_cancel()

    def _acknowledge(self, ping: Ping) -> None:
        if ping.after is not None:
            self.send_queue.acknowledge(ping.after, ping.answers)
        self.send_queue.post(Pong(ping.id, self._received))
