"""One passage on its way through the model: text to tokens to mel to sound, chunk by chunk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from backend.engines.chatterbox.decoder import TokenSession
from backend.engines.chatterbox.flow import (
    FRAMES_PER_TOKEN,
    LOOKAHEAD_TOKENS,
    Flow,
    Job,
    Noise,
    SoundPrompt,
)
from backend.engines.chatterbox.sampling import Sampling
from backend.engines.chatterbox.text import (
    MAX_CHARACTERS,
    expected_tokens,
    fewest_tokens,
    most_tokens,
    spoken,
)
from backend.engines.chatterbox.vocoder import Frames, Vocoder, VocoderStream
from backend.text.words import word_ends

FIRST_TOKENS = 10  # 0.4 s of sound; with the lookahead 13 tokens must be there
_GROWTH = 2  # each chunk is so much longer than the one before, while the listener is ahead
_HELD_FRAMES = 8  # plan A: frames at the end of a render that the next one may still change
_SPEECH_TOKENS = 6561  # ids from here on are no sound
_SILENCE = 4299  # the token that upstream's Turbo appends three times
_WARM_CHUNKS = 2
_STUCK = 50  # times the same token in a row: 2 s


@dataclass(frozen=True, slots=True)
class Sound:
    """What came out of a render: samples (n,), and the text that they speak, up to `end` of the
    passage's utterance; `words`: where the words in it end, there.
    """

    samples: Tensor
    end: int
    words: Sequence[int]


@dataclass(frozen=True, slots=True)
class _Piece:
    """What a render adds: frames to be spoken, and where it leaves its passage."""

    frames: Frames
    settled: int
    held: Tensor | None
    final: bool


@dataclass(frozen=True, slots=True)
class Renderer:
    """What makes sound of tokens: upstream's flow and vocoder."""

    flow: Flow
    vocoder: Vocoder
    turbo: bool

    def sounds(self, work: Sequence[tuple[Passage, Job]]) -> list[Sound]:
        """The next sound of each passage, rendered together. All or none: when it raises (memory),
        the passages are where they were.
        """
        mels = self.flow.render([job for _, job in work])
        pieces = [
            passage.piece(self, job, mel) for (passage, job), mel in zip(work, mels, strict=True)
        ]
        samples = self.vocoder.speak([piece.frames for piece in pieces])
        return [
            passage.take(piece, each)
            for (passage, _), piece, each in zip(work, pieces, samples, strict=True)
        ]

    @property
    def silence(self) -> int:
        """Tokens of silence that end a passage."""
        return 3 if self.turbo else 0

    def warm_up(self, prompt: SoundPrompt, rows: int) -> bool:
        """Capture what so many passages need in their first seconds. Blocks (seconds) on a card."""
        self.flow.warm_up(prompt, rows)
        self.vocoder.warm_up(rows)
        # The vocoder's first two runs are of no usual length.
        for _ in range(self.flow.graphs.warm_ups):
            passages = [self._endless() for _ in range(rows)]
            for _ in range(_WARM_CHUNKS):
                self.sounds([(each, each.job(self, prompt)) for each in passages])
        return True

    def _endless(self) -> Passage:
        session = TokenSession(Sampling(), torch.Generator(self.flow.device))
        session.tokens = [_SILENCE] * most_tokens("")
        passage = Passage(0, session, seed=0)
        passage.prepare(self)
        return passage


class Passage:
    """`text[start:end]` of an utterance, spoken by one generation.

    While it is open its text grows: it pauses before what may be spoken of it runs out, knowing
    what stands behind, and ends when it is closed. `text`: what the model is to read.
    """

    def __init__(self, start: int, session: TokenSession, seed: int) -> None:
        self.start = self.end = start
        self.text = ""
        self.open = False
        self._seed = seed
        self.session = session
        self.done = False
        self._read: str | None = None  # the text that the decoder has
        self._spoken_to = start
        self._size = FIRST_TOKENS
        self._taken = self._asked = 0  # tokens that the listener has, as sound; with the next job
        self._frames = 0
        self._held: Tensor | None = None
        self._noise: Noise | None = None
        self._vocoder: VocoderStream | None = None

    def grow(self, text: str, end: int, *, open_: bool) -> None:
        """Let it speak up to `end` of its utterance's text; while it is open, no further."""
        self.end, self.open = end, open_
        self.text = text[self.start : self.start + MAX_CHARACTERS if open_ else end]

    def prepare(self, renderer: Renderer) -> None:
        """Go on with the text that the decoder has now; make what its sound needs, the first time.
        Called before the first `job`, and when the text has grown.
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
        """Whether it has been joined to the decoder and to its sound."""
        return self._vocoder is not None

    @property
    def unread(self) -> bool:
        """Whether its text is not the one that the decoder has."""
        return self._read != self.text

    @property
    def speaks(self) -> bool:
        """Whether there is anything to say in what may be spoken."""
        return spoken(self._released)

    @property
    def _released(self) -> str:
        return self.text[: self.end - self.start]

    @property
    def paused(self) -> bool:
        """Whether it is open and there is nothing to draw before its text grows."""
        if not self.open or self.unread:
            return False
        return self.session.ended or len(self.session.tokens) >= fewest_tokens(self._released)

    @property
    def waiting(self) -> bool:
        """Whether it is paused, and all that can be heard of it was heard."""
        return self.paused and not self.ready(hurry=False)

    @property
    def over(self) -> bool:
        """Whether no more tokens come."""
        return self.session.ended and not (self.open or self.unread)

    @property
    def runaway(self) -> bool:
        """Whether the model goes on without end: more tokens than the text can be, or the same one
        again and again.
        """
        tokens = self.session.tokens
        stuck = len(tokens) >= _STUCK and len(set(tokens[-_STUCK:])) == 1
        return stuck or len(tokens) >= most_tokens(self.text)

    def ready(self, *, hurry: bool) -> bool:
        """Whether there are tokens for the next chunk; in a hurry or a pause a small one does."""
        least = FIRST_TOKENS if hurry or self.paused else self._size
        there = len(self.session.tokens) - LOOKAHEAD_TOKENS
        return self.over or there >= self._taken + least

    def job(self, renderer: Renderer, prompt: SoundPrompt) -> Job:
        """The render of the next chunk. But for who was in a hurry, what is in it does not depend
        on how many tokens are there: an utterance sounds the same on an idle and on a busy card.
        """
        assert self._noise is not None, "prepare() comes first"
        wanted = self._taken + self._size + LOOKAHEAD_TOKENS
        tokens = self.session.tokens[:wanted]
        self._asked = len(tokens) - LOOKAHEAD_TOKENS
        final = self.over and len(tokens) < wanted
        if final:
            tokens = [*tokens, *[_SILENCE] * renderer.silence]
        sounding = [token for token in tokens if token < _SPEECH_TOKENS]
        ids = torch.tensor(sounding, dtype=torch.long, device=prompt.tokens.device)
        return Job(prompt, ids, self._noise, final)

    def piece(self, renderer: Renderer, job: Job, mel: Tensor) -> _Piece:
        """What the mel of a job, (80, frames), adds to what was spoken."""
        assert self._vocoder is not None, "prepare() comes first"
        settled, exact = renderer.flow.settled(job), renderer.flow.block_causal
        if not (job.final or exact):
            settled = max(self._frames, settled - _HELD_FRAMES)
        mel = self._joined(mel)
        held = None if exact else mel[:, settled : settled + _HELD_FRAMES]
        frames = Frames(self._vocoder, mel[:, self._frames : settled], mel[:, settled:])
        return _Piece(frames, settled, held, job.final)

    def take(self, piece: _Piece, samples: Tensor) -> Sound:
        """Go on behind a piece; `samples`: its frames, spoken."""
        self._held, self._frames = piece.held, piece.settled
        if self._asked - self._taken >= self._size:  # not in a hurry
            self._size *= _GROWTH
        self._taken = self._asked
        self.done = piece.final
        return self._told(samples)

    def _joined(self, mel: Tensor) -> Tensor:
        """Cross-fade from the frames held back of the last render to the same ones of this."""
        if self._held is None or not self._held.numel():
            return mel
        count = min(self._held.size(1), mel.size(1) - self._frames)
        weight = torch.arange(1, count + 1, device=mel.device) / (count + 1)
        mel = mel.clone()
        span = slice(self._frames, self._frames + count)
        mel[:, span] = (1 - weight) * self._held[:, :count] + weight * mel[:, span]
        return mel

    def _told(self, samples: Tensor) -> Sound:
        """Share the text out over the sound: the model does not say when it speaks which word."""
        total = max(expected_tokens(self.text), self._taken)
        share = 1.0 if self.done else self._frames / (FRAMES_PER_TOKEN * total)
        reached = self.start + min(1.0, share) * len(self.text)
        start = self._spoken_to
        ends = [self.start + end for end in word_ends(self.text)]
        end = max([start, *(each for each in ends if each <= reached and each < self.end)])
        self._spoken_to = self.end if self.done else end
        return Sound(samples, self._spoken_to, [e for e in ends if start < e <= self._spoken_to])
