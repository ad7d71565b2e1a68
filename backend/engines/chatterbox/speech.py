"""One utterance of the engine: its releases as passages, its sound as chunks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from backend.engines.base import Chunk, Pcm, Release, Utterance
from backend.engines.chatterbox.decoder import TokenSession
from backend.engines.chatterbox.passage import Passage, Sound
from backend.engines.chatterbox.sampling import Sampling
from backend.engines.chatterbox.text import passages, spoken
from backend.engines.chatterbox.vocoder import SAMPLE_RATE_HZ
from backend.engines.chatterbox.voice import Conditioning
from backend.events import Word

_SEED_LIMIT = 2**31
HURRY_S = 0.15  # before a listener runs dry: a render and what comes before it take less on a card


@dataclass(frozen=True, slots=True)
class Manner:
    """How an utterance is spoken: what its parameters leave open is the model's default."""

    exaggeration: float
    sampling: Sampling


Clock = Callable[[], float]


class Speech:
    """Passages wait their turn: one at a time is in the decoder."""

    def __init__(
        self, utterance: Utterance, voice: Conditioning, manner: Manner, clock: Clock
    ) -> None:
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

    def extend(self, release: Release, device: torch.device) -> None:
        """Queue what the release adds."""
        for span in passages(release.text, self._queued_to, release.speak_to):
            seed = (self._seed + self._count) % _SEED_LIMIT  # a later passage has noise of its own
            generator = torch.Generator(device).manual_seed(seed)
            session = TokenSession(self.manner.sampling, generator)
            self._passages.append(Passage(release.text, span, session, seed))
            self._count += 1
        self._queued_to = max(self._queued_to, release.speak_to)

    def silent(self) -> Chunk | None:
        """The passage at hand without sound, because there is nothing in it to say, or because
        there is none; None when there is something.
        """
        if self._passages and spoken(self._passages[0].text):
            return None
        end = self._passages.popleft().end if self._passages else self._spoken_to
        return self._chunk(np.zeros(0, np.float32), end, ())

    def chunk(self, sound: Sound, pcm: Pcm) -> Chunk:
        """The chunk for a sound of the passage at hand, `pcm` being its samples."""
        if self._passages[0].done:
            self._passages.popleft()
        words = tuple(
            replace(
                word,
                start_ms=word.start_ms + self._audio_ms,
                end_ms=word.end_ms + self._audio_ms,
            )
            for word in sound.words
        )
        return self._chunk(pcm, sound.end, words)

    def _chunk(self, pcm: Pcm, end: int, words: tuple[Word, ...]) -> Chunk:
        start, self._spoken_to = self._spoken_to, end
        self._audio_ms += len(pcm) * 1000 / SAMPLE_RATE_HZ
        self._dry_at_s = max(self._dry_at_s, self._clock()) + len(pcm) / SAMPLE_RATE_HZ
        return Chunk(self.id, pcm, start, end, words, caught_up=not self._passages)
