"""Renders the next sound of many passages in one batch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from backend.engines.chatterbox.device.render_times import RenderTimes
from backend.engines.chatterbox.passage import (
    FIRST_TOKENS,
    GROWTH,
    SILENCE,
    Passage,
    RenderedSound,
)
from backend.engines.chatterbox.sound.flow import LOOKAHEAD_TOKENS, Flow, RenderJob, SoundPrompt
from backend.engines.chatterbox.sound.vocoder import HiftVocoder
from backend.engines.chatterbox.speech_tokens.decoder import TokenSession
from backend.engines.chatterbox.speech_tokens.sampling import Sampling
from backend.engines.chatterbox.speech_tokens.speech_limits import SpeechLimits

_WARM_CHUNKS = 2


@dataclass(frozen=True, slots=True)
class Renderer:
    """Renders tokens to sound with upstream's flow and vocoder. `bounded`: with a bounded prompt
    (`flow`).
    """

    flow: Flow
    vocoder: HiftVocoder
    turbo: bool
    bounded: bool = False

    def render_next(self, work: Sequence[tuple[Passage, RenderJob]]) -> list[RenderedSound]:
        """Render the next sound of each passage in one batch. If it raises (out of memory), all
        passages are unchanged.
        """
        mels = self.flow.render([job for _, job in work])
        additions = [
            passage.new_frames(self, job, mel)
            for (passage, job), mel in zip(work, mels, strict=True)
        ]
        sounds = self.vocoder.synthesize([new.frames for new in additions])
        return [
            passage.commit(new, samples)
            for (passage, _), new, samples in zip(work, additions, sounds, strict=True)
        ]

    @property
    def silence(self) -> int:
        """Silent tokens at the end of a passage."""
        return 3 if self.turbo else 0

    def warm_up(self, prompt: SoundPrompt, rows: int) -> bool:
        """Capture the first seconds of `rows` passages. Blocks (seconds) on CUDA."""
        if self.bounded:  # all longer renders have few lengths
            prompt = prompt.continued(prompt.tokens[:0], prompt.mel[:0])
        self.flow.warm_up(prompt, rows)
        self.vocoder.warm_up(rows)
        # The vocoder's first two runs have lengths of their own.
        for _ in range(self.flow.graphs.warm_ups):
            passages = [self._create_long_passage() for _ in range(rows)]
            for _ in range(_WARM_CHUNKS):
                self.render_next([(each, each.create_job(self, prompt)) for each in passages])
        return True

    def measure_times(self, prompt: SoundPrompt, rows: int) -> RenderTimes:
        """How long renders of up to `rows` passages take. Blocks briefly on CUDA; without it
        nothing is measured, because nothing is captured.
        """
        if not self.flow.graphs.warm_ups:
            return RenderTimes()
        one_s, many_s = (self._time_render(prompt, count) for count in (1, rows))
        length = self._create_long_passage().next_length(self, prompt)
        return RenderTimes.fit(one_s, many_s, rows, length)

    def _time_render(self, prompt: SoundPrompt, rows: int) -> float:
        work = [self._create_long_passage() for _ in range(rows)]
        jobs = [(each, each.create_job(self, prompt)) for each in work]
        prompt.speaker.cpu()  # waits until the device is idle
        start_s = time.perf_counter()
        for sound in self.render_next(jobs):
            sound.samples.cpu()
        return time.perf_counter() - start_s

    def _create_long_passage(self) -> Passage:
        session = TokenSession(Sampling(), torch.Generator(self.flow.device))
        session.tokens = [SILENCE] * (FIRST_TOKENS * GROWTH**_WARM_CHUNKS + LOOKAHEAD_TOKENS)
        passage = Passage(0, session, 0, SpeechLimits())
        passage.prepare(self)
        return passage
