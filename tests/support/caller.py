"""A resuming client on a virtual clock, over connections that break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import TypeVar

import numpy as np

from backend.config import Settings
from backend.errors import TakenOver
from backend.events import (
    Audio,
    Cancelled,
    Command,
    Done,
    Event,
    Failed,
    Flushed,
    Ping,
    Pong,
    Ready,
    Resume,
)
from backend.sessions.services import Services
from backend.sessions.session import Session
from backend.sessions.session_registry import Attachment, SessionRegistry
from tests.support.engines.fake_engine import decode_pcm
from tests.support.engines.inline_tts import InlineTTS

E = TypeVar("E", bound=Event)


class CallerConnection:
    """One connection; a message takes `delay_s` each way."""

    def __init__(self, caller: Caller, attachment: Attachment, delay_s: float) -> None:
        self._caller = caller
        self._attachment = attachment
        self._delay_s = delay_s
        self._down: asyncio.Queue[tuple[float, Event]] = asyncio.Queue()
        self._up: asyncio.Queue[tuple[float, Command]] = asyncio.Queue()
        work = (self._write(), self._deliver(), self._handle(), self._watch())
        self._tasks = [asyncio.create_task(coroutine) for coroutine in work]

    def send(self, command: Command) -> None:
        self._up.put_nowait((self._now_s() + self._delay_s, command))

    def let_go(self, *, keep: bool) -> None:
        """Break the connection and detach the session on the server (or end it)."""
        self.break_()
        self._caller.registry.detach(self._attachment, keep=keep)

    def break_(self) -> None:
        """Drop all messages in flight; the server does not notice."""
        for task in self._tasks[:3]:
            task.cancel()

    async def _write(self) -> None:
        while True:
            event = await self._attachment.session.send_queue.get()
            self._down.put_nowait((self._now_s() + self._delay_s, event))

    async def _deliver(self) -> None:
        while True:
            at_s, event = await self._down.get()
            await asyncio.sleep(at_s - self._now_s())
            self._caller.receive(event)

    async def _handle(self) -> None:
        while True:
            at_s, command = await self._up.get()
            await asyncio.sleep(at_s - self._now_s())
            self._attachment.session.handle_or_refuse(command)

    async def _watch(self) -> None:
        try:
            await self._attachment.wait_revoked()
        except Exception as error:  # noqa: BLE001 - a connection would raise any
            self._caller.detach_errors.append(error)
            self.let_go(keep=isinstance(error, TakenOver))

    @staticmethod
    def _now_s() -> float:
        return asyncio.get_running_loop().time()


class Caller:
    """Records commands and events; asserts that none is repeated or missing."""

    def __init__(self, registry: SessionRegistry, owner: str = "me", delay_s: float = 0.0) -> None:
        self.registry = registry
        self.owner = owner
        self.delay_s = delay_s
        self.connection: CallerConnection | None = None
        self.ready: Ready | None = None
        self.sent_commands: list[Command] = []
        self.after: dict[str, int] = {}
        self.answers = 0
        self.events: list[Event] = []
        self.detach_errors: list[Exception] = []
        self._is_ready = False

    @property
    def session(self) -> Session:
        assert self.ready is not None
        return next(s for s in self.registry if s.id == self.ready.session)

    async def connect(self) -> None:
        """Connect with a new session, or resume. Raises `ResumeFailed`."""
        self._is_ready = False
        if self.ready is None:
            attachment = await self.registry.open_session(self.owner, resumable=True)
            attachment.session.send_ready()
        else:
            attachment = await self.registry.resume_session(self.resume_request(), self.owner)
        self.connection = CallerConnection(self, attachment, self.delay_s)

    def resume_request(self) -> Resume:
        assert self.ready is not None
        return Resume(self.ready.session, self.ready.token, dict(self.after), self.answers)

    def cut(self) -> None:
        """Break the connection; both sides notice."""
        if self.connection is not None:
            self.connection.let_go(keep=True)
            self.connection = None

    def vanish(self) -> None:
        """Break the connection; the server does not notice."""
        if self.connection is not None:
            self.connection.break_()
            self.connection = None

    def hang_up(self) -> None:
        assert self.connection is not None
        self.connection.let_go(keep=False)

    def send(self, *commands: Command) -> None:
        """Send commands; lost ones are sent again after resuming."""
        for command in commands:
            self.sent_commands.append(command)
            if self.connection is not None and self._is_ready:
                self.connection.send(command)

    def acknowledge(self) -> None:
        if self.connection is not None and self._is_ready:
            self.connection.send(Ping(None, dict(self.after), self.answers))

    def receive(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, Ready):
            self.ready = event
            self._is_ready = True
            for command in self.sent_commands[event.received :]:
                assert self.connection is not None
                self.connection.send(command)
        elif isinstance(event, Audio):
            assert event.seq == self.after.get(event.context, -1) + 1, "repeated or missing"
            assert not self.events_of(Done, event.context), "audio after the end"
            self.after[event.context] = event.seq
        elif not isinstance(event, Flushed | Pong):  # the native protocol sends no `flushed`
            self.answers += 1

    # --- received events ------------------------------------------------------------------------

    def events_of(self, kind: type[E], context: str = "a") -> list[E]:
        return [e for e in self.events if isinstance(e, kind) and e.context == context]  # type: ignore[union-attr]

    def single_event(self, kind: type[E], context: str = "a") -> E:
        (event,) = self.events_of(kind, context)
        return event

    def codes(self, context: str | None = "a") -> list[str]:
        return [e.code for e in self.events if isinstance(e, Failed) and e.context == context]

    def heard_text(self, context: str = "a") -> str:
        """The characters that were heard; needs the format pcm_f32le."""
        data = b"".join(audio.data for audio in self.events_of(Audio, context))
        return decode_pcm(np.frombuffer(data, "<f4"))

    def assert_sums(self, context: str = "a") -> None:
        """Assert that the spans tile and the final message has the sums."""
        messages = self.events_of(Audio, context)
        assert all(first.text[1] == second.text[0] for first, second in pairwise(messages))
        text_to = messages[-1].text[1] if messages else 0
        audio_ms = sum(message.duration_ms for message in messages)
        done, cancelled = self.events_of(Done, context), self.events_of(Cancelled, context)
        assert len(done) + len(cancelled) == 1
        assert [text_to] == [*(d.characters for d in done), *(c.text_to for c in cancelled)]
        ends_ms = [*[d.audio_ms for d in done], *[c.audio_ms for c in cancelled]]
        assert abs(audio_ms - ends_ms[0]) < 0.01


@asynccontextmanager
async def open_registry(
    config: Settings | None = None, tts: InlineTTS | None = None
) -> AsyncIterator[SessionRegistry]:
    """Yields a registry; asserts that no session is left when the block ends."""
    tts = tts or InlineTTS()
    now_s = asyncio.get_running_loop().time
    async with SessionRegistry(Services(config or Settings(), tts, tts.metrics, now_s)) as opened:
        yield opened
    await asyncio.sleep(0.001)  # lets the callers notice the end
    assert tts.model.open_utterances == 0, "an utterance is still open"
    assert b"duplex_tts_contexts 0.0" in tts.metrics.render()
