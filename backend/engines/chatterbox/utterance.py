"""One utterance of the engine: its releases as passages, its sound as chunks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from backend.engines.base import Chunk, Pcm, Release, Utterance
from backend.engines.chatterbox.decoder import TokenSession
from backend.engines.chatterbox.passage import Passage, Sound
from backend.engines.chatterbox.sampling import Sampling
from backend.engines.chatterbox.text import passages, rounded
from backend.engines.chatterbox.vocoder import SAMPLE_RATE_HZ
from backend.engines.chatterbox.voice import Conditioning
from backend.events import Word

_SEED_LIMIT = 2**31
HURRY_S = 0.15  # before a listener runs dry: a render and what comes before it take less on a card


@dataclass(frozen=True, slots=True)
class ChatterboxParams:
    """How an utterance is spoken: what its parameters leave open is the model's default."""

    exaggeration: float
    sampling: Sampling


Clock = Callable[[], float]


class ChatterboxUtterance:
    """Passages wait their turn: one at a time is in the decoder.

    `grows`: the last of them is open, until a release must be reached: more text goes on in it.
    """

    def __init__(
        self,
        utterance: Utterance,
        voice: Conditioning,
        manner: ChatterboxParams,
        clock: Clock,
        *,
        grows: bool,
    ) -> None:
        self._grows = grows
        self._clock = clock
        self._dry_at_s = float("-inf")  # when its sound so far has been heard
        self.id = utterance.id
        self.voice = voice
        self.manner = manner
        self._seed = utterance.seed
        self._passages: deque[Passage] = deque()
        self._queued_to = 0
        self._spoken_to = 0
        self._audio_ms = 0.0
        self._count = 0

    @property
    def passage(self) -> Passage | None:
        """The one to be spoken now."""
        return self._passages[0] if self._passages else None

    @property
    def hurry(self) -> bool:
        """Whether who listens is about to run dry. Who has run dry is not helped by small chunks:
        they cost more than large ones.
        """
        return 0 < self._dry_at_s - self._clock() < HURRY_S

    @property
    def waiting(self) -> bool:
        """Whether there is nothing to do before more text comes."""
        return self.passage is None or self.passage.waiting

    def extend(self, release: Release, device: torch.device) -> None:
        """Queue what the release adds; where the last passage is open, it goes on there."""
        end = max(self._queued_to, release.speak_to)
        closed = not self._grows or release.final or release.must_reach
        last = self._passages[-1] if self._passages and self._passages[-1].open else None
        start = last.start if last else self._queued_to
        for low, high in passages(release.text, start, end, self._queued_to):
            passage = last or self._append(low, device)
            open_ = high == end and not (closed or rounded(release.text[low:high]))
            passage.grow(release.text, high, open_=open_)
            last = None
        self._queued_to = end

    def _append(self, start: int, device: torch.device) -> Passage:
        seed = (self._seed + self._count) % _SEED_LIMIT  # a later passage has noise of its own
        generator = torch.Generator(device).manual_seed(seed)
        session = TokenSession(self.manner.sampling, generator)
        self._passages.append(Passage(start, session, seed))
        self._count += 1
        return self._passages[-1]

    def silent(self) -> Chunk | None:
        """A chunk without sound, because there is nothing to say: in the passage at hand, or before
        more text comes. None when there is something.
        """
        end = self._spoken_to
        if self.passage is not None and not self.passage.waiting:
            if self.passage.speaks:
                return None
            end = self._passages.popleft().end
        return self._chunk(np.zeros(0, np.float32), end, ())

    def chunk(self, sound: Sound, pcm: Pcm) -> Chunk:
        """The chunk for a sound of the passage at hand, `pcm` being its samples."""
        if self._passages[0].done:
            self._passages.popleft()
        return self._chunk(pcm, sound.end, sound.words)

    def _chunk(self, pcm: Pcm, end: int, word_ends: Sequence[int]) -> Chunk:
        start, self._spoken_to = self._spoken_to, end
        words = _timed(start, word_ends, self._audio_ms, len(pcm) * 1000 / SAMPLE_RATE_HZ)
        self._audio_ms += len(pcm) * 1000 / SAMPLE_RATE_HZ
        self._dry_at_s = max(self._dry_at_s, self._clock()) + len(pcm) / SAMPLE_RATE_HZ
        return Chunk(self.id, pcm, start, end, words, caught_up=self.waiting)


def _timed(
    start: int, ends: Sequence[int], start_ms: float, duration_ms: float
) -> tuple[Word, ...]:
    """The words that end at `ends`, the time shared out by their length."""
    if not ends or not duration_ms:
        return ()
    scale = duration_ms / (ends[-1] - start)
    return tuple(
        Word(low, high, start_ms + (low - start) * scale, start_ms + (high - start) * scale)
        for low, high in pairwise([start, *ends])
    )
