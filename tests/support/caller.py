"""A client in scripted time, over a line that breaks; it resumes as docs/protocol.md says."""

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
from backend.sessions.context import Services
from backend.sessions.session import Session
from backend.sessions.session_registry import Attachment, SessionRegistry
from tests.support.engines.fake_engine import heard
from tests.support.engines.inline_tts import InlineTTS

E = TypeVar("E", bound=Event)


class Line:
    """One connection; a message takes `delay_s` each way. Ends what it was breaking off."""

    def __init__(self, caller: Caller, attachment: Attachment, delay_s: float) -> None:
        self._caller = caller
        self._attachment = attachment
        self._delay_s = delay_s
        self._down: asyncio.Queue[tuple[float, Event]] = asyncio.Queue()
        self._up: asyncio.Queue[tuple[float, Command]] = asyncio.Queue()
        work = (self._write(), self._deliver(), self._handle(), self._watch())
        self._tasks = [asyncio.create_task(each) for each in work]

    def send(self, command: Command) -> None:
        self._up.put_nowait((self._now_s() + self._delay_s, command))

    def let_go(self, *, keep: bool) -> None:
        """The server's side hears that the line is broken (or closed)."""
        self.break_()
        self._caller.registry.detach(self._attachment, keep=keep)

    def break_(self) -> None:
        """What is on its way is lost; the server does not know yet."""
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
        except Exception as error:  # noqa: BLE001 - a bug too, which a connection would raise
            self._caller.dismissed.append(error)
            self.let_go(keep=isinstance(error, TakenOver))

    @staticmethod
    def _now_s() -> float:
        return asyncio.get_running_loop().time()


class Caller:
    """Remembers what it has said and heard; asserts that nothing comes twice and nothing lacks."""

    def __init__(self, registry: SessionRegistry, owner: str = "me", delay_s: float = 0.0) -> None:
        self.registry = registry
        self.owner = owner
        self.delay_s = delay_s
        self.line: Line | None = None
        self.ready: Ready | None = None
        self.said: list[Command] = []
        self.after: dict[str, int] = {}
        self.answers = 0
        self.events: list[Event] = []
        self.dismissed: list[Exception] = []
        self._greeted = False

    @property
    def session(self) -> Session:
        assert self.ready is not None
        return next(each for each in self.registry if each.id == self.ready.session)

    async def connect(self) -> None:
        """A new line: with a fresh session, or the one that there was. Raises `ResumeFailed`."""
        self._greeted = False
        if self.ready is None:
            attachment = await self.registry.open_session(self.owner, resumable=True)
            attachment.session.send_ready()
        else:
            attachment = await self.registry.resume_session(self.request(), self.owner)
        self.line = Line(self, attachment, self.delay_s)

    def request(self) -> Resume:
        assert self.ready is not None
        return Resume(self.ready.session, self.ready.token, dict(self.after), self.answers)

    def cut(self) -> None:
        """The line breaks, and both sides know."""
        if self.line is not None:
            self.line.let_go(keep=True)
            self.line = None

    def vanish(self) -> None:
        """The line breaks, and the server does not know."""
        if self.line is not None:
            self.line.break_()
            self.line = None

    def hang_up(self) -> None:
        assert self.line is not None
        self.line.let_go(keep=False)

    def say(self, *commands: Command) -> None:
        """What is lost on its way is said again."""
        for command in commands:
            self.said.append(command)
            if self.line is not None and self._greeted:
                self.line.send(command)

    def acknowledge(self) -> None:
        if self.line is not None and self._greeted:
            self.line.send(Ping(None, dict(self.after), self.answers))

    def receive(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, Ready):
            self.ready = event
            self._greeted = True
            for command in self.said[event.received :]:
                assert self.line is not None
                self.line.send(command)
        elif isinstance(event, Audio):
            assert event.seq == self.after.get(event.context, -1) + 1, "twice, or not at all"
            assert not self.of(Done, event.context), "audio after the end"
            self.after[event.context] = event.seq
        elif not isinstance(event, Flushed | Pong):  # the native protocol sends no `flushed`
            self.answers += 1

    # --- what came --------------------------------------------------------------------------------

    def of(self, kind: type[E], context: str = "a") -> list[E]:
        return [e for e in self.events if isinstance(e, kind) and e.context == context]  # type: ignore[union-attr]

    def one(self, kind: type[E], context: str = "a") -> E:
        (event,) = self.of(kind, context)
        return event

    def codes(self, context: str | None = "a") -> list[str]:
        return [e.code for e in self.events if isinstance(e, Failed) and e.context == context]

    def heard(self, context: str = "a") -> str:
        """The characters that were heard; needs the format pcm_f32le."""
        data = b"".join(audio.data for audio in self.of(Audio, context))
        return heard(np.frombuffer(data, "<f4"))

    def assert_sums(self, context: str = "a") -> None:
        """The spans tile, and the last word agrees with the sums."""
        messages = self.of(Audio, context)
        assert all(one.text[1] == two.text[0] for one, two in pairwise(messages))
        text_to = messages[-1].text[1] if messages else 0
        audio_ms = sum(message.duration_ms for message in messages)
        done, cancelled = self.of(Done, context), self.of(Cancelled, context)
        assert len(done) + len(cancelled) == 1
        assert [text_to] == [*(d.characters for d in done), *(c.text_to for c in cancelled)]
        ends_ms = [*[d.audio_ms for d in done], *[c.audio_ms for c in cancelled]]
        assert abs(audio_ms - ends_ms[0]) < 0.01


@asynccontextmanager
async def registry(
    config: Settings | None = None, tts: InlineTTS | None = None
) -> AsyncIterator[SessionRegistry]:
    """Nothing of a session is left when the block ends."""
    tts = tts or InlineTTS()
    now_s = asyncio.get_running_loop().time
    async with SessionRegistry(Services(config or Settings(), tts, tts.metrics, now_s)) as opened:
        yield opened
    await asyncio.sleep(0.001)  # who had a session hears that it is over
    assert tts.model.open_utterances == 0, "an utterance was left open"
    assert b"duplex_tts_contexts 0.0" in tts.metrics.render()
