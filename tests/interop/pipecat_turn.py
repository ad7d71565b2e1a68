"""How pipecat speaks a turn of a conversation: an LLM's frames go in, audio frames come out."""

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

from tests.interop.listening import Recording, Sound

SILENCE_S = 1.0
"""How long a listener waits for more behind an interruption."""


class User(FrameProcessor):
    """Stands where the microphone and the LLM are, and passes everything on."""

    def __init__(self) -> None:
        super().__init__()
        self.last_text_s = 0.0
        """When the last piece of text was written."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Pass on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMTextFrame):
            self.last_text_s = time.perf_counter()
        await self.push_frame(frame, direction)

    async def interrupt(self) -> None:
        """Fall in with the speaker's words; listen for a while; leave."""
        await self.broadcast_interruption()
        await asyncio.sleep(SILENCE_S)
        await self.push_frame(EndWorkerFrame(), FrameDirection.UPSTREAM)


class Listener(FrameProcessor):
    """Stands where the speakers are; the user may interrupt what is heard."""

    def __init__(self, user: User, interrupt_after_s: float | None = None) -> None:
        """`interrupt_after_s`: of audio that was heard; None: lets the speaker finish."""
        super().__init__()
        self._user = user
        self.recording = Recording()
        self.sample_rate_hz = 0
        self.turns = 0  # that were spoken to their end
        self.words: list[tuple[str, float]] = []  # with seconds of the pipeline's clock
        self.interrupted_at_s: float | None = None
        self._interrupt_after_s = interrupt_after_s

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Hear audio; pass everything on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSAudioRawFrame):
            self.sample_rate_hz = frame.sample_rate
            self.recording.add(frame.audio)
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
        if self.sound.duration_s >= self._interrupt_after_s:
            self.interrupted_at_s = time.perf_counter()
            # In a task of its own: it ends those that frames are processed in.
            self._user.create_task(self._user.interrupt())

    @property
    def spoke_while_written(self) -> bool:
        """Whether something was heard before the last piece of text was there."""
        return self.recording.first_s < self._user.last_text_s

    @property
    def sound(self) -> Sound:
        """All that was heard."""
        return self.recording.sound("s16le", self.sample_rate_hz)


def response(pieces: Sequence[str], period_s: float = 0.0) -> list[Frame]:
    """An LLM's answer, one piece each `period_s`."""
    frames: list[Frame] = [LLMFullResponseStartFrame()]
    for piece in pieces:
        frames.append(LLMTextFrame(piece))
        if period_s:
            frames.append(SleepFrame(period_s))
    return [*frames, LLMFullResponseEndFrame()]


async def hear(
    service: FrameProcessor,
    frames: Sequence[Frame],
    *,
    sample_rate_hz: int = 24000,
    interrupt_after_s: float | None = None,
) -> Listener:
    """Run the service with these frames until it is done. Fails when it reports an error."""
    user = User()
    listener = Listener(user, interrupt_after_s)
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
