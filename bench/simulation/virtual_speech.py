"""Run the server's contexts in virtual time, with the engine in the same thread.

A text that takes a minute to type is spoken in a second. Renders advance the clock by their CPU
time, so the result is that of an otherwise idle machine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Self

from backend.config import EngineSettings, Settings
from backend.engines.base import Chunk, Engine, Failure, Model, Release, Utterance
from backend.events import Command, End, Event, Failed, Start
from backend.monitoring.metrics import Metrics
from backend.sessions.services import Services
from backend.sessions.session import Session
from backend.synthesis.live_listeners import LiveListener
from backend.tts_manager import TTSManager, VoiceParams
from bench.harness.recording_client import ServerError
from bench.simulation import virtual_time

_HANDOVER_S = 0.001  # from the event loop to an engine's thread and back


class VirtualUtterance:
    """Replaces `engine_thread.UtteranceHandle`, without a thread."""

    def __init__(self, engine: Engine, utterance: Utterance) -> None:
        self.deadline_s = 0.0
        self.is_taken = True  # nothing is queued here
        self._engine = engine
        self._id = utterance.id
        self._busy_s = 0.0
        engine.begin(utterance)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._engine.abort(self._id)

    def extend(self, release: Release, deadline_s: float) -> None:
        """Extend the engine's utterance."""
        self.deadline_s = deadline_s
        self._engine.extend(self._id, release)

    async def next_chunk(self) -> Chunk:
        """Render the next chunk and wait for its CPU time. Raises the engine's error."""
        started_s = time.thread_time()
        (result,) = self._engine.step([self._id])
        busy_s = time.thread_time() - started_s
        self._busy_s += busy_s
        await asyncio.sleep(busy_s + _HANDOVER_S)
        if isinstance(result, Failure):
            raise result.error
        return result

    def take_busy_s(self) -> float:
        """CPU time of this utterance since the last call."""
        busy_s, self._busy_s = self._busy_s, 0.0
        return busy_s


class VirtualTTSManager(TTSManager):
    """A manager with one engine for one listener at a time."""

    def __init__(self, model: Model) -> None:
        self.metrics = Metrics()
        super().__init__(model, EngineSettings(), self.metrics, threads=1)
        self._engine = model.create_engine()
        self._count = 0

    def open_utterance(
        self, params: VoiceParams, chunk_characters: int, listener: LiveListener | None = None
    ) -> Any:
        """Begin an utterance."""
        self._count += 1
        utterance = Utterance(
            f"virtual-{self._count}",
            params.voice,
            speed=params.speed,
            seed=params.seed,
            language=params.language,
            chunk_characters=chunk_characters,
            parameters=params.parameters,
        )
        return VirtualUtterance(self._engine, utterance)


def run_context(
    tts: VirtualTTSManager, start: Start, commands: Sequence[tuple[float, Command]]
) -> list[tuple[float, Event]]:
    """Open a context, run the commands at their times (seconds from its start), and end it.

    Returns its events with their times. Blocks for its CPU time. Raises `ServerError`.
    """
    return virtual_time.run(_run_context(tts, start, commands))


async def _run_context(
    tts: VirtualTTSManager, start: Start, commands: Sequence[tuple[float, Command]]
) -> list[tuple[float, Event]]:
    loop = asyncio.get_running_loop()
    await tts.load_voice(start.voice or tts.default_voice)  # renders a passage the first time
    began_s, answers = loop.time(), list[tuple[float, Event]]()
    async with asyncio.TaskGroup() as tasks:
        session = Session(Services(Settings(), tts, tts.metrics, loop.time), tasks)

        async def listen() -> None:
            while True:
                event = await session.send_queue.get()
                answers.append((loop.time() - began_s, event))

        listener = tasks.create_task(listen())
        session.handle_command(start)
        for at_s, command in commands:
            await asyncio.sleep(began_s + at_s - loop.time())
            session.handle_command(command)
        session.handle_command(End(start.context))
        await session.wait_finished()
        await asyncio.sleep(_HANDOVER_S)  # let the listener record the last event
        listener.cancel()
    for _, event in answers:
        if isinstance(event, Failed):
            raise ServerError(event.code, event.message)
    return answers
