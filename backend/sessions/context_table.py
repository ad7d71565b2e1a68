"""A session's contexts: opens, runs and ends them."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from backend.errors import (
    ContextEnded,
    ContextStarted,
    DuplexError,
    TooManyContexts,
    UnknownContext,
)
from backend.events import Start, Typing
from backend.sessions.context import Context
from backend.sessions.context_record import SessionRecord
from backend.sessions.send_queue import SendQueue
from backend.sessions.services import Services

_REMEMBERED_IDS = 10_000  # of ended contexts, to refuse reuse; oldest forgotten beyond this
_REMEMBERED_ADVISABLE = 100  # the latest contexts
_MAX_TURN_PAUSE_S = 5.0  # of silence; after more, a new context needs admission again


class _Running(NamedTuple):
    """A context and its task. `follows`: the tasks that it waits for."""

    context: Context
    task: asyncio.Task[None]
    follows: frozenset[asyncio.Task[None]]


class ContextTable:
    """Running contexts by id, and the ids of ended ones."""

    def __init__(
        self,
        services: Services,
        tasks: asyncio.TaskGroup,
        send_queue: SendQueue,
        on_failed: Callable[[DuplexError], None],
        record: SessionRecord,
    ) -> None:
        """`tasks`: runs the contexts. `on_failed`: called with an error that ended one."""
        self._services = services
        self._tasks = tasks
        self._send_queue = send_queue
        self._on_failed = on_failed
        self._record = record
        self._running: dict[str, _Running] = {}
        self._advisable: deque[str] = deque(maxlen=_REMEMBERED_ADVISABLE)
        self._used: dict[str, None] = {}  # insertion order: oldest first
        self._audible_until_s = -math.inf  # when finished contexts are heard to their end
        self._idle = asyncio.Event()
        self._idle.set()

    def __contains__(self, context_id: str) -> bool:
        """Whether the context is running."""
        return context_id in self._running

    def __len__(self) -> int:
        return len(self._running)

    @property
    def waiting_characters(self) -> int:
        """Characters not spoken yet."""
        return sum(each.context.waiting_characters for each in self._running.values())

    @property
    def typing(self) -> list[Typing]:
        """In which pieces texts are spoken that are still being written; each way once."""
        return sorted({each.context.typing for each in self._running.values()})

    @property
    def buffered_s(self) -> float:
        """Audio sent but not heard yet."""
        left_s = max(0.0, self._audible_until_s - self._services.clock())
        return max([left_s, *(each.context.buffered_s for each in self._running.values())])

    def is_advisable(self, context_id: str) -> bool:
        """Whether it has a live listener and a format of a fixed rate; its audio may still be on
        its way after it has ended.
        """
        return context_id in self._advisable

    async def wait_finished(self) -> None:
        """Wait until no context runs. Cancel-safe."""
        await self._idle.wait()

    def get(self, context_id: str) -> Context:
        """Return a running context. Raises `ContextEnded`, `UnknownContext`."""
        self._refuse_used(context_id)
        if context_id not in self._running:
            raise UnknownContext("no such context; it begins with its `start` or first `text`")
        return self._running[context_id].context

    def get_or_open(self, context_id: str) -> Context:
        """Return the context; opens it with the defaults if new."""
        if context_id not in self._running:
            self.open_context(Start(context=context_id))
        return self._running[context_id].context

    def open_context(self, start: Start) -> None:
        """Open a context. Raises `ContextStarted`, `ContextEnded`, and errors that use up its id:
        `TooManyContexts`, `Overloaded`, and what `Context` raises.
        """
        self._refuse_used(start.context)
        if start.context in self._running:
            raise ContextStarted("`start` comes once, before the context's first text")
        try:
            context = self._create_admitted(start)
        except DuplexError as error:
            error.ends_context = True
            raise
        follows = self._find_followed(start.follows)
        run = self._run_context(context, follows)
        task = self._tasks.create_task(run, name=f"context {start.context}")
        self._running[start.context] = _Running(context, task, follows)
        self._idle.clear()
        if context.is_advisable:
            self._advisable.append(context.id)
        self._services.metrics.context_opened()
        context.open_record()

    def stop_context(self, context_id: str, outcome: str) -> Context:
        """Cancel a running context. `outcome`: the reason, for the log."""
        context, task, _ = self._running[context_id]
        task.cancel()
        context.close_record(outcome)
        self._remove_context(context_id)
        return context

    def is_used(self, context_id: str) -> bool:
        """Whether a context with this id has ended."""
        return context_id in self._used

    def mark_used(self, context_id: str) -> None:
        """Refuse new contexts with this id."""
        self._used[context_id] = None
        if len(self._used) > _REMEMBERED_IDS:
            del self._used[next(iter(self._used))]

    def _refuse_used(self, context_id: str) -> None:
        if context_id in self._used:
            raise ContextEnded("the context has ended; use a new context id")

    def _create_admitted(self, start: Start) -> Context:
        limit = self._services.settings.bidirectional_streaming.max_concurrent_tasks
        if len(self._running) >= limit:
            raise TooManyContexts(
                f"{limit} contexts are open; end or cancel one (the limit is max_concurrent_tasks)"
            )
        if start.mode != "batch" and not self._is_continuing:  # batch has no deadline
            self._services.tts.check_capacity(start)
        return Context(start, self._services, self._send_queue, self._record)

    @property
    def _is_continuing(self) -> bool:
        """Whether the new context continues the listener's current turn: it is already admitted,
        and an utterance in the middle of a call is not refused.
        """
        if self._running:
            return len(self._running) == 1
        return self._services.clock() - self._audible_until_s < _MAX_TURN_PAUSE_S

    def _find_followed(self, context_id: str | None) -> frozenset[asyncio.Task[None]]:
        """The task of a running context, and those that it waits for: it may be cancelled first."""
        if context_id is None or context_id not in self._running:
            return frozenset()
        _, task, follows = self._running[context_id]
        return frozenset(each for each in (*follows, task) if not each.done())

    async def _run_context(self, context: Context, follows: frozenset[asyncio.Task[None]]) -> None:
        """Run a context, once the tasks `follows` have ended."""
        try:
            if follows:
                await asyncio.wait(follows)
            await context.run()
            until_s = self._services.clock() + context.buffered_s
            self._audible_until_s = max(self._audible_until_s, until_s)
        except DuplexError as error:
            error.context = context.id
            context.close_record(error.code)
            self._on_failed(error)
        finally:
            self._remove_context(context.id)

    def _remove_context(self, context_id: str) -> None:
        if self._running.pop(context_id, None) is None:
            return
        self.mark_used(context_id)
        self._audible_until_s = max(self._audible_until_s, self._services.clock())
        if not self._running:
            self._idle.set()
        self._services.metrics.context_closed()
