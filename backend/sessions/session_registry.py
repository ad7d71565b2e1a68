"""All sessions: opens, detaches, resumes and ends them.

A session outlives its connection: it runs in its own task until ended, in a task group that lasts
as long as the application.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Never, Self

import structlog

from backend.errors import ResumeFailed, SessionEnded, SlowClient, TakenOver
from backend.events import Resume
from backend.sessions.replay_buffer import ReplayBuffer
from backend.sessions.services import Services
from backend.sessions.session import Session, SessionStatus

log = structlog.get_logger(__name__)

_SWEEPS_PER_TTL = 4  # of expired events


class Attachment:
    """Exclusive hold of a connection on a session."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._revoked = asyncio.Event()
        self._released = asyncio.Event()
        self._reason: Exception | None = None

    def revoke(self, reason: Exception) -> None:
        """Take the session away from this connection."""
        self._reason = self._reason or reason
        self._revoked.set()

    async def wait_revoked(self) -> Never:
        """Wait for `revoke`. Cancel-safe. Raises its reason: `SessionEnded`, `TakenOver`,
        `SlowClient`, or a bug in the session.
        """
        await self._revoked.wait()
        assert self._reason is not None, "revoked with a reason"
        raise self._reason

    def release(self) -> None:
        """Mark the connection as done with the session."""
        self._released.set()

    async def wait_released(self) -> None:
        """Wait for `release`. Cancel-safe."""
        await self._released.wait()


@dataclass(frozen=True, slots=True)
class _DetachedSince:
    """When a session lost its connection, and the timer that ends it."""

    since_s: float
    expiry: asyncio.TimerHandle


class SessionRegistry:
    """Owns all sessions: `async with` it while any may exist."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._settings = services.settings.server
        self._tasks = asyncio.TaskGroup()
        self._sessions: dict[str, Session] = {}
        self._attached: dict[Session, Attachment] = {}
        self._detached: dict[Session, _DetachedSince] = {}  # longest detached first

    def __iter__(self) -> Iterator[Session]:
        return iter(self._sessions.values())

    @property
    def attached(self) -> list[Session]:
        """Sessions with a connection."""
        return list(self._attached)

    @property
    def detached(self) -> list[Session]:
        """Sessions without a connection, longest detached first."""
        return list(self._detached)

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._sweeper = self._tasks.create_task(self._sweep_expired(), name="sweep")
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._sweeper.cancel()
        for session in list(self):
            session.request_end("shutdown")
        await self._tasks.__aexit__(None, None, None)

    def statuses(self) -> list[SessionStatus]:
        """Figures of all sessions, oldest first."""
        now_s = self._services.clock()
        return [
            replace(session.status(), detached_s=now_s - self._detached[session].since_s)
            if session in self._detached
            else session.status()
            for session in self
        ]

    async def open_session(self, owner: str, *, resumable: bool, endpoint: str = "") -> Attachment:
        """Open a session. `owner`: the owner of its API key."""
        opened: asyncio.Future[Session] = asyncio.get_running_loop().create_future()
        replay_buffer = (
            self._create_replay_buffer() if resumable and self._settings.resume_ttl else None
        )
        self._tasks.create_task(
            self._run_session(owner, replay_buffer, endpoint, opened), name="session"
        )
        return self._attach_session(await opened)

    async def resume_session(self, request: Resume, owner: str) -> Attachment:
        """Resume a session; a connection that still holds it loses it.

        Raises `ResumeFailed`.
        """
        session = self._sessions.get(request.session)
        if session is None or not session.can_resume(request.token, owner):
            self._services.metrics.count_resume("failed")
            raise ResumeFailed(
                "no such session: it has ended or expired, or the token or key differs; "
                "this connection has a new session"
            )
        while (holder := self._attached.get(session)) is not None:
            holder.revoke(TakenOver("the session was resumed on another connection"))
            await holder.wait_released()
        if session.id not in self._sessions:
            raise ResumeFailed("the session has just ended; this connection has a new session")
        try:
            whole = session.resume(request)
        except SlowClient as error:
            self._remove_and_end(session, error.code)
            raise ResumeFailed("too much of the session is lost; use a new session") from error
        self._services.metrics.count_resume("ok" if whole else "gap")
        log.info("session.resumed", session=session.id, whole=whole)
        return self._attach_session(session)

    def detach(self, attachment: Attachment, *, keep: bool, why: str = "left") -> None:
        """Release a session. `keep`: the client may resume it. `why`: for the log."""
        session = attachment.session
        attachment.release()
        self._attached.pop(session, None)
        if session.id not in self._sessions:
            return
        if not keep or not session.is_resumable:
            self._remove_and_end(session, why)
            return
        log.info("session.detached", session=session.id)
        session.send_queue.mark_client_away()
        loop = asyncio.get_running_loop()
        expiry = loop.call_later(
            self._settings.resume_ttl, self._remove_and_end, session, "not_resumed"
        )
        self._detached[session] = _DetachedSince(self._services.clock(), expiry)

    def evict_detached(self) -> None:
        """End detached sessions, longest detached first, while there are more sessions than
        `max_connections`.
        """
        for session in self.detached:
            if len(self._sessions) > self._settings.max_connections:
                self._remove_and_end(session, "made_room")

    def end_session(self, session_id: str, outcome: str = SessionEnded.code) -> bool:
        """End a session without waiting. Returns False if unknown. `outcome`: for the log."""
        session = self._sessions.get(session_id)
        if session is not None:
            self._remove_and_end(session, outcome)
        return session is not None

    # --- internals --------------------------------------------------------------------------------

    async def _run_session(
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
                session.open_record()
                opened.set_result(session)
                await session.wait_ended()
        except* (SessionEnded, SlowClient) as group:
            reason = group.exceptions[0]
            outcome = SlowClient.code if isinstance(reason, SlowClient) else None
        except* Exception as group:  # a bug in one session must not end others
            reason, outcome = group, "internal"
            log.error("session.failed", session=session.id, exc_info=group)
        self._remove_session(session, reason)
        session.close_record(outcome)

    def _create_replay_buffer(self) -> ReplayBuffer:
        settings = self._settings
        return ReplayBuffer(settings.resume_bytes, settings.resume_ttl, self._services.clock)

    def _attach_session(self, session: Session) -> Attachment:
        if (detached_since := self._detached.pop(session, None)) is not None:
            detached_since.expiry.cancel()
        self._attached[session] = attachment = Attachment(session)
        return attachment

    def _remove_and_end(self, session: Session, outcome: str) -> None:
        self._remove_session(session, SessionEnded("the operator has ended the session"))
        session.request_end(outcome)

    def _remove_session(self, session: Session, reason: Exception) -> None:
        """Remove an ending session and revoke its attachment."""
        self._sessions.pop(session.id, None)
        if (detached_since := self._detached.pop(session, None)) is not None:
            detached_since.expiry.cancel()
        if (attachment := self._attached.get(session)) is not None:
            attachment.revoke(reason)

    async def _sweep_expired(self) -> None:
        """Drop expired events periodically; one timer for all sessions."""
        while True:
            await asyncio.sleep(max(0.01, self._settings.resume_ttl / _SWEEPS_PER_TTL))
            self._drop_expired()

    def _drop_expired(self) -> None:
        # A method of its own: `_sweep_expired` would keep the loop variable while it sleeps.
        for session in self._attached:
            session.send_queue.drop_expired()
