"""The sessions there are: opened, left by a connection that broke, taken up by another, ended.

A session belongs to no connection. It lives in a block of its own until it is ended, in a task
group that lasts as long as the application.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Never, Self

import structlog

from backend.errors import ResumeFailed, SessionEnded, SlowClient, TakenOver
from backend.events import Resume
from backend.sessions.context import Services
from backend.sessions.replay_buffer import ReplayBuffer
from backend.sessions.session import Session, SessionStatus

log = structlog.get_logger(__name__)

_SWEEPS = 4  # in the time that a session keeps what it has sent


class Attachment:
    """A connection's hold on a session; one at a time has it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._lost = asyncio.Event()
        self._left = asyncio.Event()
        self._reason: Exception | None = None

    def lose(self, reason: Exception) -> None:
        """The session is no longer for this connection."""
        self._reason = self._reason or reason
        self._lost.set()

    async def lost(self) -> Never:
        """Wait until the session is no longer for this connection. Cancel-safe. Raises why:
        `SessionEnded`, `TakenOver`, `SlowClient`, or a bug in the session.
        """
        await self._lost.wait()
        assert self._reason is not None, "lost for a reason"
        raise self._reason

    def leave(self) -> None:
        """The connection does nothing with the session any more."""
        self._left.set()

    async def left(self) -> None:
        """Wait until the connection has left. Cancel-safe."""
        await self._left.wait()


@dataclass(frozen=True, slots=True)
class _DetachedSince:
    """Of a session's client."""

    since_s: float
    expiry: asyncio.TimerHandle


class SessionRegistry:
    """All sessions: `async with` it for as long as there may be any."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._settings = services.settings.server
        self._tasks = asyncio.TaskGroup()
        self._sessions: dict[str, Session] = {}
        self._attached: dict[Session, Attachment] = {}
        self._detached: dict[Session, _DetachedSince] = {}  # the longest absence first

    def __iter__(self) -> Iterator[Session]:
        return iter(self._sessions.values())

    @property
    def attached(self) -> list[Session]:
        """Those that a connection holds."""
        return list(self._attached)

    @property
    def detached(self) -> list[Session]:
        """Those whose client may come back, the longest absence first."""
        return list(self._detached)

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._sweeper = self._tasks.create_task(self._sweep(), name="sweep")
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._sweeper.cancel()
        for session in list(self):
            session.end("shutdown")
        await self._tasks.__aexit__(None, None, None)

    def statuses(self) -> list[SessionStatus]:
        """The sessions in figures, the oldest first."""
        now_s = self._services.clock()
        return [
            replace(session.status(), detached_s=now_s - self._detached[session].since_s)
            if session in self._detached
            else session.status()
            for session in self
        ]

    async def open(self, owner: str, *, resumable: bool, endpoint: str = "") -> Attachment:
        """A fresh session. `owner`: whose key it was opened with."""
        opened: asyncio.Future[Session] = asyncio.get_running_loop().create_future()
        replay_buffer = self._replay_buffer() if resumable and self._settings.resume_ttl else None
        self._tasks.create_task(self._live(owner, replay_buffer, endpoint, opened), name="session")
        return self._attach(await opened)

    async def resume(self, request: Resume, owner: str) -> Attachment:
        """Take up a session where the client lost it; a connection that still holds it loses it.

        Raises `ResumeFailed`.
        """
        session = self._sessions.get(request.session)
        if session is None or not session.can_resume(request.token, owner):
            self._services.metrics.count_resume("failed")
            raise ResumeFailed(
                "no such session: it has ended, or was resumed too late, or with another token or "
                "key; this connection has a fresh one"
            )
        while (holder := self._attached.get(session)) is not None:
            holder.lose(TakenOver("the session goes on over another connection"))
            await holder.left()
        if session.id not in self._sessions:
            raise ResumeFailed("the session has just ended; this connection has a fresh one")
        try:
            whole = session.resume(request)
        except SlowClient as error:
            self._end(session, error.code)
            raise ResumeFailed("too much of the session is no longer kept") from error
        self._services.metrics.count_resume("ok" if whole else "gap")
        log.info("session.resumed", session=session.id, whole=whole)
        return self._attach(session)

    def let_go(self, attachment: Attachment, *, keep: bool, why: str = "left") -> None:
        """The connection is over. `keep`: its client may come back. `why`: for the log."""
        session = attachment.session
        attachment.leave()
        self._attached.pop(session, None)
        if session.id not in self._sessions:
            return
        if not keep or not session.resumable:
            self._end(session, why)
            return
        log.info("session.detached", session=session.id)
        session.send_queue.leave()
        loop = asyncio.get_running_loop()
        expiry = loop.call_later(self._settings.resume_ttl, self._end, session, "not_resumed")
        self._detached[session] = _DetachedSince(self._services.clock(), expiry)

    def make_room(self) -> None:
        """End sessions whose clients are away, the longest absence first, while there are more
        sessions than `max_connections`.
        """
        for session in self.detached:
            if len(self._sessions) > self._settings.max_connections:
                self._end(session, "made_room")

    def end(self, session_id: str, outcome: str = SessionEnded.code) -> bool:
        """End a session; does not wait for it. False: there is none such. `outcome`: of its log."""
        session = self._sessions.get(session_id)
        if session is not None:
            self._end(session, outcome)
        return session is not None

    # --- a session's life -------------------------------------------------------------------------

    async def _live(
        self,
        owner: str,
        replay_buffer: ReplayBuffer | None,
        endpoint: str,
        opened: asyncio.Future[Session],
    ) -> None:
        reason: Exception
        outcome: str | None = None
        try:
            async with asyncio.TaskGroup() as contexts:
                session = Session(self._services, contexts, owner, replay_buffer, endpoint)
                self._sessions[session.id] = session
                session.opened()
                opened.set_result(session)
                await session.ended()
        except* (SessionEnded, SlowClient) as group:
            reason = group.exceptions[0]
            outcome = SlowClient.code if isinstance(reason, SlowClient) else None
        except* Exception as group:  # one session's bug must not end the others
            reason, outcome = group, "internal"
            log.error("session.failed", session=session.id, exc_info=group)
        self._forget(session, reason)
        session.closed(outcome)

    def _replay_buffer(self) -> ReplayBuffer:
        settings = self._settings
        return ReplayBuffer(settings.resume_bytes, settings.resume_ttl, self._services.clock)

    def _attach(self, session: Session) -> Attachment:
        if (absence := self._detached.pop(session, None)) is not None:
            absence.expiry.cancel()
        self._attached[session] = attachment = Attachment(session)
        return attachment

    def _end(self, session: Session, outcome: str) -> None:
        self._forget(session, SessionEnded("whoever runs the server has ended the session"))
        session.end(outcome)

    def _forget(self, session: Session, reason: Exception) -> None:
        """It is over, or about to be: whoever holds it hears of it."""
        self._sessions.pop(session.id, None)
        if (absence := self._detached.pop(session, None)) is not None:
            absence.expiry.cancel()
        if (attachment := self._attached.get(session)) is not None:
            attachment.lose(reason)

    async def _sweep(self) -> None:
        """One timer for all that sessions keep: they are too many for one each."""
        while True:
            await asyncio.sleep(max(0.01, self._settings.resume_ttl / _SWEEPS))
            self._expire()

    def _expire(self) -> None:
        # Not in `_sweep`: asleep, it would hold on to the last session.
        for session in self._attached:
            session.send_queue.expire()
