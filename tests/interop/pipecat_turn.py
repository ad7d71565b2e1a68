"""Runs a conversation turn in pipecat: an LLM's frames in, audio frames out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from pipecat.frames.frames import (
    EndWorkerFrame,
    ErrorFrame,
    Frame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSAudioRawFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.tests.utils import SleepFrame, run_test

from tests.interop.listening import AudioClip, TimedRecording

SILENCE_S = 1.0
"""How long to wait for more audio after an interruption."""


class SimulatedUser(FrameProcessor):
    """Takes the place of the microphone and the LLM; forwards all frames."""

    def __init__(self) -> None:
        super().__init__()
        self.last_text_s = 0.0
        """When the last piece of text was sent."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Forward the frame."""
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMTextFrame):
            self.last_text_s = time.perf_counter()
        await self.push_frame(frame, direction)

    async def interrupt(self) -> None:
        """Interrupt the speech, wait `SILENCE_S`, end the pipeline."""
        await self.broadcast_interruption()
        await asyncio.sleep(SILENCE_S)
        await self.push_frame(EndWorkerFrame(), FrameDirection.UPSTREAM)


class AudioListener(FrameProcessor):
    """Takes the place of the speakers; may interrupt the speech."""

    def __init__(self, user: SimulatedUser, interrupt_after_s: float | None = None) -> None:
        """`interrupt_after_s`: seconds of audio before the interruption; None: no interruption."""
        super().__init__()
        self._user = user
        self.recording = TimedRecording()
        self.sample_rate_hz = 0
        self.turns = 0  # completed
        self.words: list[tuple[str, float]] = []  # with start times by the pipeline's clock
        self.interrupted_at_s: float | None = None
        self._interrupt_after_s = interrupt_after_s

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Record audio; forward the frame."""
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSAudioRawFrame):
            self.sample_rate_hz = frame.sample_rate
            self.recording.add_piece(frame.audio)
            self._maybe_interrupt()
        elif isinstance(frame, TTSTextFrame) and frame.pts:
            self.words.append((frame.text, frame.pts / 1e9))
        elif isinstance(frame, TTSStoppedFrame):
            self.turns += 1
        elif isinstance(frame, InterruptionFrame) and self.interrupted_at_s is None:
            self.interrupted_at_s = time.perf_counter()
        await self.push_frame(frame, direction)

    def _maybe_interrupt(self) -> None:
        if self._interrupt_after_s is None or self.interrupted_at_s is not None:
            return
        if self.clip.duration_s >= self._interrupt_after_s:
            self.interrupted_at_s = time.perf_counter()
            # In its own task: it ends the tasks that process frames.
            self._user.create_task(self._user.interrupt())

    @property
    def spoke_while_written(self) -> bool:
        """Whether audio arrived before the last piece of text was sent."""
        return self.recording.first_s < self._user.last_text_s

    @property
    def clip(self) -> AudioClip:
        """All received audio."""
        return self.recording.clip("s16le", self.sample_rate_hz)


def llm_response(pieces: Sequence[str], period_s: float = 0.0) -> list[Frame]:
    """An LLM's response, one piece every `period_s`."""
    frames: list[Frame] = [LLMFullResponseStartFrame()]
    for piece in pieces:
        frames.append(LLMTextFrame(piece))
        if period_s:
            frames.append(SleepFrame(period_s))
    return [*frames, LLMFullResponseEndFrame()]


async def run_turn(
    service: FrameProcessor,
    frames: Sequence[Frame],
    *,
    sample_rate_hz: int = 24000,
    interrupt_after_s: float | None = None,
) -> AudioListener:
    """Run the service with these frames until it is done. Fails if it reports an error."""
    user = SimulatedUser()
    listener = AudioListener(user, interrupt_after_s)
    _down, up = await run_test(
        Pipeline([user, service, listener]),
        frames_to_send=frames,
        send_end_frame=interrupt_after_s is None,
        pipeline_params=PipelineParams(audio_out_sample_rate=sample_rate_hz),
        start_timeout=10,
    )
    errors = [frame for frame in up if isinstance(frame, ErrorFrame)]
    assert not errors, errors
    return listener
