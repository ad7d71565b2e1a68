"""One client's contexts: which there are, which command goes to which, and how they end."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from dataclasses import dataclass
from typing import Never, assert_never

import structlog

from backend.audio import DEFAULT_FORMAT, parse_format
from backend.context import Context, Services
from backend.errors import (
    BadMessage,
    ContextEnded,
    ContextStarted,
    DuplexError,
    ResumeFailed,
    ResumeGap,
    SessionEnded,
    SlowClient,
    TooManyContexts,
    UnknownContext,
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
from backend.outbox import Outbox
from backend.retention import Retention

log = structlog.get_logger(__name__)

_REMEMBERED_IDS = 10_000  # of contexts that have ended, to refuse their reuse


@dataclass(frozen=True, slots=True)
class SessionStatus:
    """A session in figures; nothing of what it says.

    `characters`: received since it began, of which `characters_waiting` are not spoken yet.
    `messages_waiting`: not written to the client yet. `buffered_s`: what the listener still has to
    hear of the audio that was sent. `detached_s`: how long it has had no connection; None while it
    has one.
    """

    id: str
    age_s: float
    contexts: int
    characters: int
    characters_waiting: int
    messages_waiting: int
    buffered_s: float
    detached_s: float | None = None


class Session:
    """What a client has open. Lives in a task group, in which its contexts run side by side."""

    def __init__(
        self,
        services: Services,
        tasks: asyncio.TaskGroup,
        owner: str = "",
        retention: Retention | None = None,
    ) -> None:
        """`owner`: whose API key it is of. `retention`: without one it cannot be resumed."""
        self._services = services
        self._tasks = tasks
        self.owner = owner
        self._running: dict[str, tuple[Context, asyncio.Task[None]]] = {}
        self._ended: dict[str, None] = {}  # insertion order: the oldest is forgotten first
        self.id = secrets.token_urlsafe(9)
        self.token = secrets.token_urlsafe(24)
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._end = asyncio.Event()
        self._opened_at_s = services.clock()
        self._characters = 0
        self._audible_until_s = 0.0  # what is left to hear of contexts that are done
        self._received = 0  # messages of the client, but for those of the connection itself
        self.resumable = retention is not None
        self.outbox = Outbox(services.settings.bidirectional_streaming.queue_size, retention)

    async def finished(self) -> None:
        """Wait until no context runs and nothing waits to be written. Cancel-safe."""
        await self._quiet.wait()
        await self.outbox.emptied()

    def end(self) -> None:
        """End it from outside: whoever waits for `ended` hears of it."""
        self._end.set()

    async def ended(self) -> Never:
        """Wait until the session is ended from outside. Cancel-safe. Raises `SessionEnded`."""
        await self._end.wait()
        raise SessionEnded("whoever runs the server has ended the session")

    def status(self) -> SessionStatus:
        """The session in figures, now."""
        contexts = [context for context, _ in self._running.values()]
        now_s = self._services.clock()
        left_s = max(0.0, self._audible_until_s - now_s)
        return SessionStatus(
            id=self.id,
            age_s=now_s - self._opened_at_s,
            contexts=len(contexts),
            characters=self._characters,
            characters_waiting=sum(context.waiting for context in contexts),
            messages_waiting=len(self.outbox),
            buffered_s=max([left_s, *(context.buffered_s for context in contexts)]),
        )

    def greet(self) -> None:
        """Say, before all else, what the client gets when it asks for nothing."""
        audio = parse_format(DEFAULT_FORMAT, None)
        voice = self._services.tts.default_voice
        self.outbox.greet(
            Ready(self.id, self.token, voice, audio.sample_rate_hz, audio.name, self._received)
        )

    def opens_to(self, token: str, owner: str) -> bool:
        """Whether whoever has this token and key may resume the session."""
        has_token = hmac.compare_digest(token.encode(), self.token.encode())
        return self.resumable and has_token and owner == self.owner

    def resume(self, request: Resume) -> bool:
        """The client is back: greet it, say again what it has not received, end with `resume_gap`
        the contexts of which that is no longer kept. Returns whether there were none.
        """
        lost = self.outbox.rewind(request.after, request.answers)
        if request.answers is None:  # a context it waits for, and the end of it is not kept
            ended = {name for name in request.after if name in self._ended}
            lost |= ended - self.outbox.endings()
        for name in lost:
            if name in self._running:
                self._stop(name)
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
        if error.ends_context and error.context and error.context not in self._running:
            self._use_up(error.context)
        self._services.metrics.error(error.code)
        log.info("refused", session=self.id, code=error.code)
        self.outbox.post(Failed(error.context, error.code, error.message))

    def handle(self, command: Command) -> None:
        """Carry out a client's command; never waits. Raises `DuplexError` when it is refused:
        nothing has changed then.
        """
        if isinstance(command, Ping):
            self._answer(command)
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
                self._open(command)
            case Text():
                self._push(command)
                self._characters += len(command.text)
            case Flush():
                self._context(command.context).flush()
            case End():
                self._context(command.context).end()
            case Retract():
                self._retract(command)
            case Played():
                self._played(command)
            case Cancel():
                self._cancel(command)
            case _:
                assert_never(command)

    def _answer(self, ping: Ping) -> None:
        if ping.after is not None:
            self.outbox.acknowledge(ping.after, ping.answers)
        self.outbox.post(Pong(ping.id, self._received))

    # --- contexts ---------------------------------------------------------------------------------

    def _context(self, context_id: str) -> Context:
        """The context that text goes to; made with the defaults when it is new."""
        if context_id not in self._running:
            self._open(Start(context=context_id))
        return self._running[context_id][0]

    def _existing(self, context_id: str) -> Context:
        self._refuse_ended(context_id)
        if context_id not in self._running:
            raise UnknownContext("no such context; it begins with its `start` or first `text`")
        return self._running[context_id][0]

    def _refuse_ended(self, context_id: str) -> None:
        if context_id in self._ended:
            raise ContextEnded("the context has ended; use a new context id")

    def _open(self, start: Start) -> None:
        self._refuse_ended(start.context)
        if start.context in self._running:
            raise ContextStarted("`start` comes once, before the context's first text")
        try:
            context = self._admitted(start)
        except DuplexError as error:
            error.ends_context = True
            raise
        task = self._tasks.create_task(self._run(context), name=f"context {start.context}")
        self._running[start.context] = context, task
        self._quiet.clear()
        self._services.metrics.context_opened()

    def _admitted(self, start: Start) -> Context:
        limit = self._services.settings.bidirectional_streaming.max_concurrent_tasks
        if len(self._running) >= limit:
            raise TooManyContexts(
                f"{limit} contexts are open; end or cancel one (the limit is max_concurrent_tasks)"
            )
        if start.mode == "live":  # batch has no deadline that could be broken
            self._services.tts.admit()
        return Context(start, self._services, self.outbox)

    async def _run(self, context: Context) -> None:
        try:
            await context.run()
            until_s = self._services.clock() + context.buffered_s
            self._audible_until_s = max(self._audible_until_s, until_s)
        except DuplexError as error:
            error.context = context.id
            self.refuse(error)
        finally:
            self._close(context.id)

    def _stop(self, context_id: str) -> Context:
        context, task = self._running[context_id]
        task.cancel()
        self._close(context_id)
        return context

    def _close(self, context_id: str) -> None:
        if self._running.pop(context_id, None) is None:
            return
        self._use_up(context_id)
        if not self._running:
            self._quiet.set()
        self._services.metrics.context_closed()

    def _push(self, command: Text) -> None:
        new = command.context not in self._running
        try:
            self._context(command.context).push(command.text)
        except DuplexError as error:
            error.ends_context = new
            if new and command.context in self._running:
                self._stop(command.context)
            raise

    def _use_up(self, context_id: str) -> None:
        self._ended[context_id] = None
        if len(self._ended) > _REMEMBERED_IDS:
            del self._ended[next(iter(self._ended))]

    def _retract(self, command: Retract) -> None:
        if command.to < 0:
            raise BadMessage(f"retract: to: expected 0 or more, got {command.to}")
        to = self._existing(command.context).retract(command.to)
        self.outbox.post(Retracted(command.context, to))

    def _played(self, command: Played) -> None:
        if command.ms < 0:
            raise BadMessage(f"played: ms: expected 0 or more, got {command.ms:g}")
        if command.context not in self._ended:  # the listener hears on after the last is sent
            self._existing(command.context).played(command.ms)

    def _cancel(self, command: Cancel) -> None:
        self._existing(command.context)
        context = self._stop(command.context)
        dropped = self.outbox.purge(command.context)
        self.outbox.post(context.cancelled(dropped))
        self._services.metrics.cancelled()
