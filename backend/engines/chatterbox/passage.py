"""A passage, the text of one generation: from tokens to mel to sound, chunk by chunk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from backend.engines.chatterbox.sound.flow import (
    BOUNDED_TOKENS,
    FRAMES_PER_TOKEN,
    LOOKAHEAD_TOKENS,
    SPOKEN_TOKENS,
    Noise,
    RenderJob,
    SoundPrompt,
    pad_length,
)
from backend.engines.chatterbox.sound.silence import SpeechEnd
from backend.engines.chatterbox.sound.vocoder import VocoderInput, VocoderStream
from backend.engines.chatterbox.speech_tokens.decoder import TokenSession
from backend.engines.chatterbox.speech_tokens.speech_limits import SpeechLimits
from backend.engines.chatterbox.speech_tokens.word_times import WordAligner
from backend.engines.chatterbox.text.speech_length import TOKENS_PER_S
from backend.engines.chatterbox.text.splitter import has_words
from backend.text.words import word_ends

if TYPE_CHECKING:
    from backend.engines.chatterbox.renderer import Renderer

FIRST_TOKENS = 9  # 0.36 s of sound; with the lookahead 12 tokens: three bursts
GROWTH = 2  # length of a chunk relative to the previous one, while the client is ahead
_HELD_FRAMES = 8  # plan A: last frames of a render, which the next one may still change
_SPEECH_TOKENS = 6561  # ids from here on are not sound
SILENCE = 4299  # the token that upstream's Turbo appends three times
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
class NewFrames:
    """New frames of a render, and the state of the passage after it."""

    frames: VocoderInput
    settled: int
    held: Tensor | None
    spoken_mel: Tensor | None
    final: bool


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
        self._spoken_mel: Tensor | None = None  # its end, with a bounded prompt, (frames, 80)
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

    def next_length(self, renderer: Renderer, prompt: SoundPrompt) -> int:
        """The length of the next render, with the prompt, in tokens, as it is padded."""
        wanted = self._taken + self._chunk_tokens + LOOKAHEAD_TOKENS
        wanted = min(wanted, len(self.session.tokens))
        if not renderer.bounded:
            return pad_length(len(prompt.tokens) + wanted)
        skipped = self._frames // FRAMES_PER_TOKEN
        own = min(BOUNDED_TOKENS, len(prompt.tokens)) + min(SPOKEN_TOKENS, skipped)
        return pad_length(own + wanted - skipped)

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
            tokens = [*tokens[: max(0, spoken)], *[SILENCE] * renderer.silence]
        ids = torch.tensor([each for each in tokens if each < _SPEECH_TOKENS], dtype=torch.long)
        skipped = 0
        if renderer.bounded:
            skipped = self._frames // FRAMES_PER_TOKEN
            mel = prompt.mel[:0] if self._spoken_mel is None else self._spoken_mel
            prompt, ids = prompt.continued(ids[:skipped], mel), ids[skipped:]
        return RenderJob(prompt, ids, self._noise, final, skipped)

    def new_frames(self, renderer: Renderer, job: RenderJob, mel: Tensor) -> NewFrames:
        """The frames of a job's mel, (80, frames), that were not spoken yet."""
        assert self._vocoder is not None, "prepare() comes first"
        before = FRAMES_PER_TOKEN * job.skipped  # frames that are not in the mel
        spoken, exact = self._frames - before, renderer.flow.block_causal
        settled = renderer.flow.settled_frames(job)
        if not (job.final or exact):
            settled = max(spoken, settled - _HELD_FRAMES)
        mel = self._crossfade(mel, spoken)
        held = None if exact else mel[:, settled : settled + _HELD_FRAMES]
        frames = VocoderInput(self._vocoder, mel[:, spoken:settled], mel[:, settled:])
        spoken_mel = self._spoken_mel_after(frames.mel) if renderer.bounded else None
        return NewFrames(frames, before + settled, held, spoken_mel, job.final)

    def _spoken_mel_after(self, mel: Tensor) -> Tensor:
        """The end of the speech after these frames, (80, n)."""
        before = [] if self._spoken_mel is None else [self._spoken_mel]
        return torch.cat([*before, mel.T])[-FRAMES_PER_TOKEN * SPOKEN_TOKENS :]

    def commit(self, new: NewFrames, samples: Tensor) -> RenderedSound:
        """Advance past `new`; `samples`: its frames, synthesized."""
        first_frame, self._frames, self._held = self._frames, new.settled, new.held
        self._spoken_mel = new.spoken_mel
        if self._requested - self._taken >= self._chunk_tokens:  # a full chunk
            self._chunk_tokens *= GROWTH
        self._taken = self._requested
        self.done = new.final
        return self._align_text(samples, first_frame)

    def _crossfade(self, mel: Tensor, spoken: int) -> Tensor:
        """Cross-fade from the last render's held-back frames to the same frames of this one, from
        frame `spoken` on.
        """
        if self._held is None or not self._held.numel():
            return mel
        count = min(self._held.size(1), mel.size(1) - spoken)
        weight = torch.arange(1, count + 1, device=mel.device) / (count + 1)
        mel = mel.clone()
        span = slice(spoken, spoken + count)
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
