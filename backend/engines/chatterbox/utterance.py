"""An utterance of the engine: turns releases into passages, and their sound into chunks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from backend.audio.loudness import first_audible
from backend.engines.base import Chunk, Pcm, Release, Utterance
from backend.engines.chatterbox.passage import Passage, RenderedSound
from backend.engines.chatterbox.sound.silence import PauseShortener
from backend.engines.chatterbox.sound.vocoder import SAMPLE_RATE_HZ
from backend.engines.chatterbox.speech_tokens.decoder import TokenSession
from backend.engines.chatterbox.speech_tokens.sampling import Sampling
from backend.engines.chatterbox.speech_tokens.speech_limits import SpeechLimits
from backend.engines.chatterbox.text.speech_length import Pace
from backend.engines.chatterbox.text.splitter import ends_long_clause, split_passages
from backend.engines.chatterbox.voices.voice import Conditioning
from backend.events import Word

_SEED_LIMIT = 2**31
HURRY_S = 0.15  # before the client runs dry: enough for a render on CUDA


@dataclass(frozen=True, slots=True)
class ChatterboxParams:
    """An utterance's parameters, defaults filled in."""

    exaggeration: float
    sampling: Sampling


Clock = Callable[[], float]


class ChatterboxUtterance:
    """A queue of passages; only the first is in the decoder.

    `grows`: the last passage stays open for more text, until a release must be reached.
    """

    def __init__(
        self,
        utterance: Utterance,
        voice: Conditioning,
        params: ChatterboxParams,
        clock: Clock,
        *,
        grows: bool,
    ) -> None:
        self._grows = grows
        self._clock = clock
        self._dry_at_s = float("-inf")  # when the client has played the audio so far
        self.id = utterance.id
        self.voice = voice
        self.language = utterance.language
        self.params = params
        self._seed = utterance.seed
        self._language = utterance.language or "en"
        self._pace = Pace()
        self._pauses = PauseShortener(SAMPLE_RATE_HZ)
        self._final = False
        self._passages: deque[Passage] = deque()
        self._queued_to = 0
        self._spoken_to = 0
        self._silent_words: list[int] = []  # ends of words whose sound was all silence
        self._audio_ms = 0.0
        self._word_end_ms = 0.0  # of the last word
        self._count = 0

    @property
    def passage(self) -> Passage | None:
        """The current passage."""
        return self._passages[0] if self._passages else None

    @property
    def running_dry(self) -> bool:
        """Whether the client is about to run dry. False once it has: short chunks cost more and
        would not help.
        """
        return 0 < self._dry_at_s - self._clock() < HURRY_S

    @property
    def awaits_first_sound(self) -> bool:
        """Whether the client has been given nothing to play."""
        return self._dry_at_s == float("-inf")

    @property
    def in_hand_s(self) -> float:
        """How long the client plays what it has been given."""
        return max(0.0, self._dry_at_s - self._clock())

    @property
    def waiting(self) -> bool:
        """Whether there is nothing to do until more text arrives."""
        return self.passage is None or self.passage.waiting

    def extend(self, release: Release, device: torch.device) -> None:
        """Queue the text that the release adds, first in the last passage if that is open."""
        end, language = max(self._queued_to, release.speak_to), self._language
        self._final = release.final
        closed = not self._grows or release.final or release.must_reach
        last = self._passages[-1] if self._passages and self._passages[-1].open else None
        start = last.start if last else self._queued_to
        for low, high in split_passages(release.text, start, end, self._queued_to, language):
            passage = last or self._append_passage(low, device)
            ends = closed or ends_long_clause(release.text[low:high], language)
            open_ = high == end and not ends
            passage.extend_text(release.text, high, open_=open_)
            last = None
        self._queued_to = end

    def _append_passage(self, start: int, device: torch.device) -> Passage:
        seed = (self._seed + self._count) % _SEED_LIMIT  # different noise per passage
        generator = torch.Generator(device).manual_seed(seed)
        session = TokenSession(self.params.sampling, generator)
        limits = SpeechLimits(self._language, self._pace)
        self._passages.append(Passage(start, session, seed, limits))
        self._count += 1
        return self._passages[-1]

    def take_silent_chunk(self) -> Chunk | None:
        """An empty chunk if the current passage has nothing to speak (then removed) or more text is
        needed; else None.
        """
        end = self._spoken_to
        if self.passage is not None and not self.passage.waiting:
            if self.passage.speakable:
                return None
            end = self._passages.popleft().end
        return self._emit_chunk(self._finish_pause(np.zeros(0, np.float32)), end)

    def create_chunk(self, sound: RenderedSound, pcm: Pcm) -> Chunk:
        """The chunk for a sound of the current passage, its silences shortened; `pcm`: its samples.
        Its words wait for the next chunk if it is silent.
        """
        passage, pauses = self._passages[0], self._pauses
        pcm, silent = pauses.shorten(pcm, passage.speech_end), self._silent_words
        ends, self._silent_words = [*silent, *sound.words], []
        ends_s = [pauses.place_s(each) for each in sound.word_ends_s]
        ends_s = [0.0] * len(silent) + ends_s if ends_s else []
        if passage.done:
            self._pop_passage()
            pcm = self._finish_pause(pcm)
            return self._emit_chunk(pcm, sound.end, self._time_words(ends, ends_s, pcm))
        if pauses.ended:
            passage.cut_off(keep=0)
        if not len(pcm):
            passage.keep_chunk_short()
            self._silent_words = ends
            return self._emit_chunk(pcm, self._spoken_to)
        return self._emit_chunk(pcm, sound.end, self._time_words(ends, ends_s, pcm))

    def _pop_passage(self) -> None:
        passage = self._passages.popleft()
        if not self._pauses.ended:
            passage.count_pace()
        self._pauses.begin_passage()

    def _finish_pause(self, pcm: Pcm) -> Pcm:
        """`pcm` with the silence behind the utterance, if it ends here."""
        ends = self._final and not self._passages
        return np.concatenate([pcm, self._pauses.finish()]) if ends else pcm

    def _emit_chunk(self, pcm: Pcm, end: int, words: tuple[Word, ...] = ()) -> Chunk:
        start, self._spoken_to = self._spoken_to, end
        self._audio_ms += _duration_ms(pcm)
        self._count_unplayed(pcm)
        return Chunk(self.id, pcm, start, end, words, caught_up=self.waiting)

    def _count_unplayed(self, pcm: Pcm) -> None:
        """Silence that reaches a client that has run dry may be cut on its way."""
        now_s, samples = self._clock(), len(pcm)
        if self._dry_at_s <= now_s:
            audible = first_audible(pcm, SAMPLE_RATE_HZ)
            samples -= samples if audible is None else audible
        self._dry_at_s = max(self._dry_at_s, now_s) + samples / SAMPLE_RATE_HZ

    def _time_words(
        self, ends: Sequence[int], ends_s: Sequence[float], pcm: Pcm
    ) -> tuple[Word, ...]:
        """The words that end at `ends` in a sound, after so many seconds each, or sharing it by
        length if fewer times are known. One begins where the one before ends, also in the chunk
        before; with unknown times, where the sound begins.
        """
        if not ends:
            return ()
        ends_ms = [self._audio_ms + 1000 * each for each in ends_s]
        if len(ends_ms) < len(ends):
            self._word_end_ms = self._audio_ms
            scale = _duration_ms(pcm) / (ends[-1] - self._spoken_to)
            ends_ms = [self._audio_ms + (end - self._spoken_to) * scale for end in ends]
        words = []
        for (low, high), end_ms in zip(pairwise([self._spoken_to, *ends]), ends_ms, strict=True):
            start_ms, self._word_end_ms = self._word_end_ms, max(self._word_end_ms, end_ms)
            words.append(Word(low, high, start_ms, self._word_end_ms))
        return tuple(words)


def _duration_ms(pcm: Pcm) -> float:
    return len(pcm) * 1000 / SAMPLE_RATE_HZ
