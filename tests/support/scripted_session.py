"""A session on a virtual clock, and its client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

from backend.config import Settings
from backend.errors import DuplexError
from backend.events import Audio, Cancelled, Command, Done, Event, Failed, Start
from backend.sessions.services import Services
from backend.sessions.session import Session
from tests.support import clock
from tests.support.engines.fake_engine import decode_pcm
from tests.support.engines.inline_tts import InlineTTS

PCM = "pcm_f32le"

E = TypeVar("E", bound=Event)


def make_settings(**sections: dict[str, Any]) -> Settings:
    """The defaults with changes: `settings(server={"max_text_length": 100})`."""
    return Settings.model_validate(sections)


def start(context: str = "a", **fields: object) -> Start:
    """A context whose samples say the text."""
    return Start(context, format=PCM, **fields)  # type: ignore[arg-type]


class ScriptedClient:
    """Sends commands and reads every event at once, or each `read_pause_s`."""

    def __init__(self, session: Session, tts: InlineTTS) -> None:
        self.session = session
        self.tts = tts
        self.log: list[tuple[float, Event]] = []  # with the time it was read
        self.reading = asyncio.Event()
        self.reading.set()
        self.read_pause_s = 0.0

    def send(self, *commands: Command) -> None:
        """Handle commands as a connection does: errors are answered."""
        for command in commands:
            try:
                self.session.handle_command(command)
            except DuplexError as error:
                self.session.refuse(error)

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def wait_settled(self) -> None:
        """Wait until every context has ended and all events are read."""
        await self.session.wait_finished()
        await asyncio.sleep(self.read_pause_s)

    async def read_events(self) -> None:
        now_s = asyncio.get_running_loop().time
        while True:
            event = await self.session.send_queue.get()
            self.log.append((now_s(), event))
            if self.read_pause_s:
                await asyncio.sleep(self.read_pause_s)
            await self.reading.wait()

    # --- received events ------------------------------------------------------------------------

    @property
    def events(self) -> list[Event]:
        return [event for _, event in self.log]

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
        """Assert that the spans tile the text and the final message has their sums."""
        at, ms = 0, 0.0
        messages = self.events_of(Audio, context)
        for seq, audio in enumerate(messages):
            assert audio.seq == seq
            assert audio.text[0] == at, "the spans tile"
            assert audio.text[1] >= at
            assert abs(audio.start_ms - ms) < 0.01
            assert audio.data or audio.text[1] > at, "an empty message"
            at, ms = audio.text[1], audio.start_ms + audio.duration_ms
        words = [word for audio in messages for word in audio.words]
        for word, following in pairwise(words):
            assert word.start < word.end <= following.start
            assert word.start_ms < word.end_ms <= following.start_ms + 1e-6
        for done in self.events_of(Done, context):
            assert (done.characters, done.chunks) == (at, len(messages))
            assert abs(done.audio_ms - ms) < 0.01
        for cancelled in self.events_of(Cancelled, context):
            assert cancelled.text_to == at
            assert abs(cancelled.audio_ms - ms) < 0.01


@asynccontextmanager
async def connect_client(
    config: Settings | None = None, tts: InlineTTS | None = None
) -> AsyncIterator[ScriptedClient]:
    """Yields a client whose session ends with the block."""
    tts = tts or InlineTTS()
    now_s = asyncio.get_running_loop().time
    services = Services(config or Settings(), tts, tts.metrics, now_s)
    async with asyncio.TaskGroup() as tasks:
        client = ScriptedClient(Session(services, tasks), tts)
        reader = tasks.create_task(client.read_events())
        try:
            yield client
        finally:
            reader.cancel()
            for task in asyncio.all_tasks():
                if task.get_name().startswith("context "):
                    task.cancel()
    assert tts.model.open_utterances == 0, "an utterance is still open"


def run_script(
    script: Callable[[ScriptedClient], Awaitable[None]],
    config: Settings | None = None,
    tts: InlineTTS | None = None,
) -> ScriptedClient:
    """Run `script` on a virtual clock; returns the client with all events it read."""

    async def play() -> ScriptedClient:
        async with connect_client(config, tts) as client:
            await script(client)
        return client

    return clock.run(play())
