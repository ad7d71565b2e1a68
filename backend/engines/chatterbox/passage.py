"""A passage, the text of one generation: from tokens to mel to sound, chunk by chunk."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from backend.engines.chatterbox.decoder import TokenSession
from backend.engines.chatterbox.flow import (
    FRAMES_PER_TOKEN,
    LOOKAHEAD_TOKENS,
    Flow,
    Noise,
    RenderJob,
    SoundPrompt,
    pad_length,
)
from backend.engines.chatterbox.render_times import RenderTimes
from backend.engines.chatterbox.sampling import Sampling
from backend.engines.chatterbox.silence import SpeechEnd
from backend.engines.chatterbox.speech_limits import SpeechLimits
from backend.engines.chatterbox.text import has_words
from backend.engines.chatterbox.vocoder import HiftVocoder, VocoderInput, VocoderStream
from backend.text.words import word_ends

FIRST_TOKENS = 9  # 0.36 s of sound; with the lookahead 12 tokens: three bursts
_GROWTH = 2  # length of a chunk relative to the previous one, while the client is ahead
_HELD_FRAMES = 8  # plan A: last frames of a render, which the next one may still change
_SPEECH_TOKENS = 6561  # ids from here on are not sound
_SILENCE = 4299  # the token that upstream's Turbo appends three times
_WARM_CHUNKS = 2
_NOISY_TOKENS = 1  # at the end of speech: upstream's newer versions cut their noise too


@dataclass(frozen=True, slots=True)
class RenderedSound:
    """Samples (n,) of a render, which speak the utterance's text up to `end`; `words`: end offsets
    of the words spoken.
    """

    samples: Tensor
    end: int
    words: Sequence[int]


@dataclass(frozen=True, slots=True)
class _NewFrames:
    """New frames of a render, and the state of the passage after it."""

    frames: VocoderInput
    settled: int
    held: Tensor | None
    final: bool


@dataclass(frozen=True, slots=True)
class Renderer:
    """Renders tokens to sound with upstream's flow and vocoder."""

    flow: Flow
    vocoder: HiftVocoder
    turbo: bool

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
        length = pad_length(len(prompt.tokens) + FIRST_TOKENS)
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
        session.tokens = [_SILENCE] * (FIRST_TOKENS * _GROWTH**_WARM_CHUNKS + LOOKAHEAD_TOKENS)
        passage = Passage(0, session, 0, SpeechLimits())
        passage.prepare(self)
        return passage


class Passage:
    """`text[start:end]` of an utterance, spoken in one generation.

    An open passage may be extended: it pauses before the releasable text runs out and ends only
    once closed. `text`: what the model reads, including text not yet released.
    """

    def __init__(self, start: int, session: TokenSession, seed: int, limits: SpeechLimits) -> None:
        self.start = self.end = start
        self.text = ""
        self.open = False
        self._limits = limits
        self._is_cut = False
        self._seed = seed
        self.session = session
        self.done = False
        self._read: str | None = None  # the decoder's text
        self._spoken_to = start
        self._chunk_tokens = FIRST_TOKENS
        self._taken = 0  # tokens already rendered to chunks
        self._requested = 0  # the same after the current job
        self._frames = 0
        self._held: Tensor | None = None
        self._noise: Noise | None = None
        self._vocoder: VocoderStream | None = None

    def extend_text(self, text: str, end: int, *, open_: bool) -> None:
        """Allow speech up to `end` of the utterance's text; `open_`: more text may follow."""
        self.end, self.open = end, open_
        self.text = text[self.start : self._limits.longest_end(text, self.start) if open_ else end]
        self._limits.set_text(self.text, self._released_text)
        self.session.min_tokens = self._limits.fewest

    def prepare(self, renderer: Renderer) -> None:
        """Note that the decoder has the current text; creates the sound's state the first time.
        Call before the first `create_job` and after the text was extended.
        """
        self._read = self.text
        if self.prepared:
            return
        device = renderer.flow.device
        self._noise = Noise(torch.Generator(device).manual_seed(self._seed))
        generator = torch.Generator(device).manual_seed(self._seed)
        self._vocoder = VocoderStream(renderer.vocoder, generator)

    @property
    def prepared(self) -> bool:
        """Whether `prepare` has been called."""
        return self._vocoder is not None

    @property
    def unread(self) -> bool:
        """Whether the decoder does not have the current text."""
        return self._read != self.text

    @property
    def speakable(self) -> bool:
        """Whether the released text has anything to speak."""
        return has_words(self._released_text)

    @property
    def _released_text(self) -> str:
        return self.text[: self.end - self.start]

    @property
    def paused(self) -> bool:
        """Whether it is open and has no tokens to draw before its text is extended."""
        if not self.open or self.unread:
            return False
        return self.session.ended or len(self.session.tokens) >= self._limits.enough

    @property
    def waiting(self) -> bool:
        """Whether it is paused and all its sound has been rendered."""
        return self.paused and not self.is_ready(hurry=False)

    @property
    def has_all_tokens(self) -> bool:
        """Whether no more tokens follow."""
        return self.session.ended and not (self.open or self.unread)

    @property
    def is_runaway(self) -> bool:
        """Whether the model does not stop: too many tokens for the text, or a loop."""
        return self._limits.are_exceeded(self.session.tokens)

    def cut_off(self, keep: int | None = None) -> None:
        """End the speech behind `keep` tokens, by default all but the repeats of a loop; what is
        rendered stays.
        """
        self.session.ended, self.open, self._is_cut = True, False, True
        keep = self._limits.loop_from if keep is None else keep
        if keep is not None:
            del self.session.tokens[max(keep, self._taken, self._requested) :]

    @property
    def speech_end(self) -> SpeechEnd | None:
        """The silence that ends it; None while more text may follow."""
        return None if self.open or self.unread else self._limits.speech_end

    def count_pace(self) -> None:
        """Add its pace to the utterance's, if it ended by itself."""
        if not self._is_cut:
            self._limits.count_pace(len(self.session.tokens))

    def keep_chunk_short(self) -> None:
        """Make the next chunk as short as a first one: nothing of the last was to be heard."""
        self._chunk_tokens = FIRST_TOKENS

    def draw_limit(self, most: int) -> int:
        """How many tokens to draw now, at most `most`."""
        if not self.open:
            return most
        return max(0, min(most, self._limits.enough - len(self.session.tokens)))

    def is_ready(self, *, hurry: bool) -> bool:
        """Whether there are enough tokens for the next chunk: a short one if `hurry` or paused."""
        available, needed = len(self.session.tokens) - LOOKAHEAD_TOKENS, FIRST_TOKENS
        if not (hurry or self.paused):
            needed, doubted = self._chunk_tokens, self._limits.suspected_from
            available = available if doubted is None else min(available, doubted)
        return self.has_all_tokens or available >= self._taken + needed

    def next_length(self, prompt: SoundPrompt) -> int:
        """The length of the next render, with the prompt, in tokens, as it is padded."""
        wanted = self._taken + self._chunk_tokens + LOOKAHEAD_TOKENS
        return pad_length(len(prompt.tokens) + min(wanted, len(self.session.tokens)))

    def create_job(self, renderer: Renderer, prompt: SoundPrompt) -> RenderJob:
        """The render of the next chunk. Except in a hurry its length does not depend on how many
        tokens are available: an utterance sounds the same on an idle and on a busy card.
        """
        assert self._noise is not None, "prepare() comes first"
        wanted = self._taken + self._chunk_tokens + LOOKAHEAD_TOKENS
        tokens = self.session.tokens[:wanted]
        self._requested = len(tokens) - LOOKAHEAD_TOKENS
        final = self.has_all_tokens and len(tokens) < wanted
        if final:
            spoken = len(tokens) - (0 if self._is_cut else _NOISY_TOKENS)
            tokens = [*tokens[: max(0, spoken)], *[_SILENCE] * renderer.silence]
        sounding = [token for token in tokens if token < _SPEECH_TOKENS]
        ids = torch.tensor(sounding, dtype=torch.long)
        return RenderJob(prompt, ids, self._noise, final)

    def new_frames(self, renderer: Renderer, job: RenderJob, mel: Tensor) -> _NewFrames:
        """The frames of a job's mel, (80, frames), that were not spoken yet."""
        assert self._vocoder is not None, "prepare() comes first"
        settled, exact = renderer.flow.settled_frames(job), renderer.flow.block_causal
        if not (job.final or exact):
            settled = max(self._frames, settled - _HELD_FRAMES)
        mel = self._crossfade(mel)
        held = None if exact else mel[:, settled : settled + _HELD_FRAMES]
        frames = VocoderInput(self._vocoder, mel[:, self._frames : settled], mel[:, settled:])
        return _NewFrames(frames, settled, held, job.final)

    def commit(self, new: _NewFrames, samples: Tensor) -> RenderedSound:
        """Advance past `new`; `samples`: its frames, synthesized."""
        self._held, self._frames = new.held, new.settled
        if self._requested - self._taken >= self._chunk_tokens:  # a full chunk
            self._chunk_tokens *= _GROWTH
        self._taken = self._requested
        self.done = new.final
        return self._align_text(samples)

    def _crossfade(self, mel: Tensor) -> Tensor:
        """Cross-fade from the last render's held-back frames to the same frames of this one."""
        if self._held is None or not self._held.numel():
            return mel
        count = min(self._held.size(1), mel.size(1) - self._frames)
        weight = torch.arange(1, count + 1, device=mel.device) / (count + 1)
        mel = mel.clone()
        span = slice(self._frames, self._frames + count)
        mel[:, span] = (1 - weight) * self._held[:, :count] + weight * mel[:, span]
        return mel

    def _align_text(self, samples: Tensor) -> RenderedSound:
        """Estimate the text of the samples by duration: the model reports no word times."""
        total = max(self._limits.expected, self._taken)
        share = 1.0 if self.done else self._frames / (FRAMES_PER_TOKEN * total)
        reached = self.start + min(1.0, share) * len(self.text)
        start = self._spoken_to
        ends = [self.start + end for end in word_ends(self.text)]
        end = max([start, *(each for each in ends if each <= reached and each < self.end)])
        self._spoken_to = self.end if self.done else end
        return RenderedSound(
            samples, self._spoken_to, [e for e in ends if start < e <= self._spoken_to]
        )
