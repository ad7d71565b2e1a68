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
from backend.engines.chatterbox.speech_length import TOKENS_PER_S
from backend.engines.chatterbox.speech_limits import SpeechLimits
from backend.engines.chatterbox.text import has_words
from backend.engines.chatterbox.vocoder import HiftVocoder, VocoderInput, VocoderStream
from backend.engines.chatterbox.word_times import WordAligner
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
    of the words spoken. `word_ends_s`: when each of them ends, from the first sample on (a word
    that is noticed late ends before it); empty if that is not known.
    """

    samples: Tensor
    end: int
    words: Sequence[int]
    word_ends_s: Sequence[float] = ()


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
        self._aligner = WordAligner()
        self._followed = 0  # tokens whose attention the aligner has
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

    def prepare(self, renderer: Renderer, token_ends: Sequence[int] = ()) -> None:
        """Note that the decoder has the current text; creates the sound's state the first time.
        Call before the first `create_job` and after the text was extended. `token_ends`: of each
        text token, the end in `text`; see `WordAligner`.
        """
        if self.prepared:
            self._follow_attention()  # to the tokens of the text before
        self._aligner.extend_text(self.text, token_ends)
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
        return self.session.ended or self._may_have_spoken_all()

    def _may_have_spoken_all(self) -> bool:
        """Whether the tokens so far may be enough for the released text."""
        reached = self._follow_attention().text_reached()
        if reached is None:
            return len(self.session.tokens) >= self._limits.enough
        return reached >= len(self._released_text)

    def _follow_attention(self) -> WordAligner:
        """The aligner, with the attention of all tokens that sound."""
        tokens, attended = self.session.tokens, self.session.attended
        known = min(len(tokens), len(attended))
        sounding = [n for n in range(self._followed, known) if tokens[n] < _SPEECH_TOKENS]
        self._aligner.add_attended([attended[n] for n in sounding])
        self._followed = max(self._followed, known)
        return self._aligner

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
        """Whether the model does not stop: too many tokens for the text, a loop, or attention that
        has left the text.
        """
        return self._limits.are_exceeded(self.session.tokens) or self._invented_tokens > 0

    @property
    def _invented_tokens(self) -> int:
        """Tokens at the end that attention says are not of the text."""
        return 0 if self.open else self._follow_attention().extra_tokens

    def cut_off(self, keep: int | None = None) -> None:
        """End the speech behind `keep` tokens, by default all but the repeats of a loop and what is
        invented; what is rendered stays.
        """
        if keep is None:
            keep = len(self.session.tokens) - self._invented_tokens
            keep = keep if self._limits.loop_from is None else min(keep, self._limits.loop_from)
        self.session.ended, self.open, self._is_cut = True, False, True
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
        """How many tokens to draw now, at most `most`: an open passage stops where it pauses."""
        if not self.open:
            return most
        if self._follow_attention().text_reached() is not None:
            return 1
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
        first_frame, self._frames, self._held = self._frames, new.settled, new.held
        if self._requested - self._taken >= self._chunk_tokens:  # a full chunk
            self._chunk_tokens *= _GROWTH
        self._taken = self._requested
        self.done = new.final
        return self._align_text(samples, first_frame)

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

    def _align_text(self, samples: Tensor, first_frame: int) -> RenderedSound:
        """The text of the samples, by attention if that is known, else by duration."""
        final_end = self.end - self.start if self.done else None
        spoken = self._frames / FRAMES_PER_TOKEN
        words = self._follow_attention().find_words(spoken, final_end)
        if words is None:
            return self._share_text(samples)
        start, last = self._spoken_to - self.start, self.end - self.start
        words = [word for word in words if start < word.end < last + self.done]
        self._spoken_to = self.start + max([start, *(word.end for word in words)])
        first = first_frame / FRAMES_PER_TOKEN
        times_s = [(word.token - first) / TOKENS_PER_S for word in words]
        ends = [self.start + word.end for word in words]
        return RenderedSound(samples, self._spoken_to, ends, times_s)

    def _share_text(self, samples: Tensor) -> RenderedSound:
        """Estimate the text of the samples by duration."""
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
