"""A session's contexts: how each begins, runs beside the others, and ends."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from backend.errors import (
    ContextEnded,
    ContextStarted,
    DuplexError,
    TooManyContexts,
    UnknownContext,
)
from backend.events import Start, Typing
from backend.sessions.context import Context, Services
from backend.sessions.context_record import SessionRecord
from backend.sessions.send_queue import SendQueue

_REMEMBERED_IDS = 10_000  # of contexts that have ended, to refuse their reuse
_TURN_S = 5.0  # of silence, after which who speaks again takes a place anew


class ContextTable:
    """Those that run, by id, and the ids that are used up."""

    def __init__(
        self,
        services: Services,
        tasks: asyncio.TaskGroup,
        send_queue: SendQueue,
        failed: Callable[[DuplexError], None],
        record: SessionRecord,
    ) -> None:
        """`tasks`: where they run. `failed`: hears of an error that ended one."""
        self._services = services
        self._tasks = tasks
        self._send_queue = send_queue
        self._failed = failed
        self._record = record
        self._running: dict[str, tuple[Context, asyncio.Task[None]]] = {}
        self._used: dict[str, None] = {}  # insertion order: the oldest is forgotten first
        self._audible_until_s = -math.inf  # when those that are done were heard to their end
        self._quiet = asyncio.Event()
        self._quiet.set()

    def __contains__(self, context_id: str) -> bool:
        """Whether it runs."""
        return context_id in self._running

    def __len__(self) -> int:
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Characters that are not spoken yet."""
        return sum(context.waiting for context, _ in self._running.values())

    @property
    def typing(self) -> list[Typing]:
        """In which pieces texts are spoken that are still being written; each way once."""
        return sorted({context.typing for context, _ in self._running.values()})

    @property
    def buffered_s(self) -> float:
        """What is left to hear of the audio that was sent."""
        left_s = max(0.0, self._audible_until_s - self._services.clock())
        return max([left_s, *(context.buffered_s for context, _ in self._running.values())])

    async def finished(self) -> None:
        """Wait until none runs. Cancel-safe."""
        await self._quiet.wait()

    def get(self, context_id: str) -> Context:
        """Raises `ContextEnded`, `UnknownContext`."""
        self._refuse_used(context_id)
        if context_id not in self._running:
            raise UnknownContext("no such context; it begins with its `start` or first `text`")
        return self._running[context_id][0]

    def get_or_open(self, context_id: str) -> Context:
        """The context that text goes to; made with the defaults when it is new."""
        if context_id not in self._running:
            self.open(Start(context=context_id))
        return self._running[context_id][0]

    def open(self, start: Start) -> None:
        """Begin one. Raises `ContextStarted`, `ContextEnded`, and what ends it before it begins:
        `TooManyContexts`, `Overloaded`, and what `Context` raises.
        """
        self._refuse_used(start.context)
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
        context.opened()

    def stop(self, context_id: str, outcome: str) -> Context:
        """End one that runs, in the middle of what it does. `outcome`: why, for the log."""
        context, task = self._running[context_id]
        task.cancel()
        context.closed(outcome)
        self._close(context_id)
        return context

    def used(self, context_id: str) -> bool:
        """Whether one with this id has ended."""
        return context_id in self._used

    def use_up(self, context_id: str) -> None:
        """None with this id begins any more."""
        self._used[context_id] = None
        if len(self._used) > _REMEMBERED_IDS:
            del self._used[next(iter(self._used))]

    def _refuse_used(self, context_id: str) -> None:
        if context_id in self._used:
            raise ContextEnded("the context has ended; use a new context id")

    def _admitted(self, start: Start) -> Context:
        limit = self._services.settings.bidirectional_streaming.max_concurrent_tasks
        if len(self._running) >= limit:
            raise TooManyContexts(
                f"{limit} contexts are open; end or cancel one (the limit is max_concurrent_tasks)"
            )
        if start.mode != "batch" and not self._continues:  # batch has no deadline to break
            self._services.tts.admit()
        return Context(start, self._services, self._send_queue, self._record)

    @property
    def _continues(self) -> bool:
        """Whether one more is the next thing that the session's listener hears: he has his place on
        the machine, and an utterance in the middle of a call is not refused.
        """
        if self._running:
            return len(self._running) == 1
        return self._services.clock() - self._audible_until_s < _TURN_S

    async def _run(self, context: Context) -> None:
        try:
            await context.run()
            until_s = self._services.clock() + context.buffered_s
            self._audible_until_s = max(self._audible_until_s, until_s)
        except DuplexError as error:
            error.context = context.id
            context.closed(error.code)
            self._failed(error)
        finally:
            self._close(context.id)

    def _close(self, context_id: str) -> None:
        if self._running.pop(context_id, None) is None:
            return
        self.use_up(context_id)
        self._audible_until_s = max(self._audible_until_s, self._services.clock())
        if not self._running:
            self._quiet.set()
        self._services.metrics.context_closed()
