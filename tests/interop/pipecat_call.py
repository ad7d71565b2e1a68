"""Runs a Pipecat pipeline as in a call: a scripted model, a real-time transport, a chat context."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from pipecat.frames.frames import (
    EndFrame,
    Frame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    OutputAudioRawFrame,
    StartFrame,
    TTSTextFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.workers.runner import WorkerRunner

from tests.interop.listening import AudioClip, decode

RATE_HZ = 24000
LATE_S = 0.3
"""A chunk that is less late is made up for, as by the buffer of a sound card."""


class Loudspeaker(BaseOutputTransport):
    """Plays in real time and keeps what was played."""

    def __init__(self) -> None:
        params = TransportParams(
            audio_out_enabled=True, audio_out_sample_rate=RATE_HZ, audio_out_end_silence_secs=0
        )
        super().__init__(params)
        self.pcm = bytearray()
        self.first_audio_s: float | None = None
        self.last_audio_s = 0.0
        self._plays_until_s = 0.0

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        now_s = time.perf_counter()
        self.first_audio_s = self.first_audio_s or now_s
        self.last_audio_s = now_s
        self.pcm += frame.audio
        seconds = len(frame.audio) / 2 / frame.sample_rate
        if now_s > self._plays_until_s + LATE_S:
            self._plays_until_s = now_s
        self._plays_until_s += seconds
        await asyncio.sleep(max(0.0, self._plays_until_s - now_s))
        return True

    @property
    def played_ms(self) -> float:
        return len(self.pcm) / 2 / RATE_HZ * 1000

    @property
    def clip(self) -> AudioClip:
        return decode(bytes(self.pcm), "s16le", RATE_HZ)


class WordCounter(FrameProcessor):
    """Keeps the words of the text frames that have a time, as they leave the service."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSTextFrame) and frame.pts:
            self.words.append(frame.text)
        await self.push_frame(frame, direction)


class PipelineCall:
    """A running pipeline, its loudspeaker, and its chat context if it is given."""

    def __init__(
        self, worker: PipelineWorker, speaker: Loudspeaker, context: LLMContext | None = None
    ) -> None:
        self.worker = worker
        self.speaker = speaker
        self.context = context or LLMContext()
        self.words = WordCounter()
        self.first_token_s = 0.0
        self.interruptions = 0
        self.lag_ms = 0.0
        """How far the loudspeaker was behind real time at the interruption: the machine is busy."""
        self.errors: list[Any] = []
        self._started = asyncio.Event()

        async def note_start(*_: Any) -> None:
            self._started.set()

        async def note_error(_: Any, frame: Any) -> None:
            self.errors.append(frame)

        worker.add_event_handler("on_pipeline_started", note_start)
        worker.add_event_handler("on_pipeline_error", note_error)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[PipelineCall]:
        """Run the pipeline until the block ends and everything was played."""
        runner = WorkerRunner()
        await runner.add_workers(self.worker)
        running = asyncio.create_task(runner.run())
        try:
            async with asyncio.timeout(20):
                await self._started.wait()
            yield self
            await self.worker.queue_frame(EndFrame())
        except BaseException:
            await self.worker.cancel()
            raise
        finally:
            await running

    @property
    def answers(self) -> list[str]:
        """What the model will be told that it has said."""
        messages = self.context.get_messages()
        return [message["content"] for message in messages if message["role"] == "assistant"]

    async def write(
        self,
        tokens: Sequence[str],
        period_s: float = 0.0,
        pauses: Mapping[int, float] | None = None,
    ) -> None:
        """Write an answer, as an LLM service does. `pauses`: seconds before these tokens.

        Ends at an interruption.
        """
        interruptions = self.interruptions
        await self.worker.queue_frame(LLMFullResponseStartFrame())
        self.first_token_s = time.perf_counter()
        for number, token in enumerate(tokens):
            await asyncio.sleep((pauses or {}).get(number, 0.0))
            if self.interruptions > interruptions:
                return
            await self.worker.queue_frame(LLMTextFrame(token))
            await asyncio.sleep(period_s)
        await self.worker.queue_frame(LLMFullResponseEndFrame())

    async def wait_played(self, ms: float) -> None:
        """Wait until so much was played in all."""
        async with asyncio.timeout(30):
            while self.speaker.played_ms < ms:  # noqa: ASYNC110 - follows a real-time clock
                await asyncio.sleep(0.005)

    async def interrupt(self) -> float:
        """Interrupt, as turn detection does. Returns the seconds until the last audio."""
        interrupted_s = time.perf_counter()
        self.interruptions += 1
        self.clip_at_interruption = self.speaker.clip
        self.played_at_interruption_ms = self.speaker.played_ms
        if self.speaker.first_audio_s is not None:
            since_ms = (interrupted_s - self.speaker.first_audio_s) * 1000
            self.lag_ms = max(0.0, since_ms - self.speaker.played_ms)
        await self.worker.queue_frame(InterruptionFrame())
        await asyncio.sleep(0.5)
        return max(0.0, self.speaker.last_audio_s - interrupted_s)


@asynccontextmanager
async def pipeline_call(service: Any) -> AsyncIterator[PipelineCall]:
    """Run a pipeline with this service until the block ends."""
    speaker, words = Loudspeaker(), WordCounter()
    context = LLMContext([{"role": "user", "content": "Tell me."}])
    assistant = LLMContextAggregatorPair(context).assistant()
    worker = PipelineWorker(
        Pipeline([service, words, speaker, assistant]),
        params=PipelineParams(audio_out_sample_rate=RATE_HZ),
        cancel_on_idle_timeout=False,
        enable_rtvi=False,
    )
    call = PipelineCall(worker, speaker, context)
    call.words = words
    async with call.run():
        yield call
