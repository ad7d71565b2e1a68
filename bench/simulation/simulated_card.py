"""A simulated Chatterbox on a GPU: one step draws tokens for all utterances and renders some.

It follows `backend.engines.chatterbox.engine`: what joins, which renders go together, how chunks
grow. The times are given, the sound is a constant.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from backend.engines.base import Chunk, EngineInfo, Failure, Release, Utterance
from backend.text.words import word_ends
from bench.simulation.simulated_engine import Clock, SimulatedEngine, simulated_sound

TOKENS_PER_S = 25  # of speech
FIRST_TOKENS = 9  # of a first chunk
LOOKAHEAD_TOKENS = 3
_BURST = 4  # tokens drawn in one call
_PROMPT_TOKENS = 250  # ten seconds of the voice, part of every render
_FIRST_LENGTH = _PROMPT_TOKENS + FIRST_TOKENS + LOOKAHEAD_TOKENS
_LETTERS_PER_S, _PAUSE_S = 14.0, 0.3
_JOINS = 4  # at most, in a step
_HURRY_S = 0.15  # before it runs dry a listener gets a short chunk
_LEAST_SHARE = 0.7  # of the longest render's length
_LONGEST_RENDER_S = 0.040
_IDLE_STEP_S = 0.0005


@dataclass(frozen=True, slots=True)
class CardCosts:
    """Seconds. `token_s`: a token of all utterances, by their number (ascending). `render_s`: a
    render, whatever is in it; `row_s`: each row of the length of a first chunk, longer ones in
    proportion. `bursts`: of tokens in a step while a first sound waits for them. `enough_s`: a
    listener with more to play waits while a first sound is due.
    """

    token_s: tuple[tuple[int, float], ...]
    render_s: float
    row_s: float
    bursts: int = 1
    enough_s: float = 1.0
    jitter: float = 0.1
    incremental: bool = False

    def create_engine(self, info: EngineInfo, clock: Clock) -> SimulatedEngine:
        """A new engine."""
        return CardEngine(info, self, clock)

    def draw_s(self, count: int) -> float:
        """Time of one token of `count` utterances, between and beyond the measured numbers."""
        pairs = [*pairwise(self.token_s)]
        below, above = next((pair for pair in pairs if count <= pair[1][0]), pairs[-1])
        slope = (above[1] - below[1]) / (above[0] - below[0])
        return below[1] + slope * (count - below[0])

    def render_rows_s(self, lengths: Sequence[int]) -> float:
        """Time of a render of rows of these lengths in tokens: all are padded to the longest."""
        return self.render_s + self.row_s * len(lengths) * max(lengths) / _FIRST_LENGTH


@dataclass(slots=True)
class _Passage:
    """Part of an utterance that is spoken in one go. `taken`: tokens already heard."""

    start: int
    end: int
    needed: int
    tokens: int = 0
    taken: int = 0
    chunk_tokens: int = FIRST_TOKENS
    joined: bool = False

    @property
    def drawn(self) -> bool:
        return self.tokens >= self.needed

    def is_ready(self, *, hurry: bool) -> bool:
        wanted = FIRST_TOKENS if hurry else self.chunk_tokens
        return self.drawn or self.tokens - LOOKAHEAD_TOKENS >= self.taken + wanted

    @property
    def next_length(self) -> int:
        wanted = self.taken + self.chunk_tokens + LOOKAHEAD_TOKENS
        return _PROMPT_TOKENS + min(wanted, self.tokens)

    def take_chunk(self) -> tuple[float, bool]:
        """Its next chunk: the share of the passage spoken with it, and whether it is the last."""
        wanted = self.taken + self.chunk_tokens
        last = self.drawn and self.tokens <= wanted + LOOKAHEAD_TOKENS
        end = self.tokens if last else min(wanted, self.tokens - LOOKAHEAD_TOKENS)
        if end - self.taken >= self.chunk_tokens:
            self.chunk_tokens *= 2
        self.taken = end
        return end / self.needed, last


@dataclass(slots=True)
class _Speech:
    """An open utterance. `dry_s`: when the listener has played what it was given."""

    id: str
    text: str = ""
    spoken: int = 0
    queued: int = 0
    passages: deque[_Passage] = field(default_factory=deque)
    dry_s: float = float("-inf")

    @property
    def awaits_first_sound(self) -> bool:
        return self.dry_s == float("-inf")

    def lacks_tokens(self) -> bool:
        """Whether its first sound waits for tokens."""
        passage = self.passages[0] if self.passages else None
        waits = passage is not None and passage.joined and self.awaits_first_sound
        return waits and passage is not None and not passage.is_ready(hurry=False)

    def take_chunk(self, now_s: float) -> Chunk:
        passage = self.passages[0]
        before = passage.taken
        share, last = passage.take_chunk()
        audio_s = (passage.taken - before) / TOKENS_PER_S
        start, self.spoken = self.spoken, passage.end if last else self._reached(passage, share)
        if last:
            self.passages.popleft()
        self.dry_s = max(self.dry_s, now_s) + audio_s
        done = not self.passages
        return Chunk(self.id, simulated_sound(audio_s), start, self.spoken, caught_up=done)

    def _reached(self, passage: _Passage, share: float) -> int:
        reached = passage.start + share * (passage.end - passage.start)
        ends = (end for end in word_ends(self.text) if end <= reached and end < passage.end)
        return max([self.spoken, *ends])


class CardEngine:
    """See `base.Engine`."""

    def __init__(self, info: EngineInfo, costs: CardCosts, clock: Clock) -> None:
        self.info = info
        self.step_s = 0.0
        self._costs = costs
        self._clock = clock
        self._open: dict[str, _Speech] = {}

    def begin(self, utterance: Utterance) -> None:
        """See `base.Engine`."""
        self._open[utterance.id] = _Speech(utterance.id)

    def extend(self, utterance_id: str, release: Release) -> None:
        """See `base.Engine`."""
        speech = self._open[utterance_id]
        speech.text = release.text
        if release.speak_to > speech.queued:
            characters = release.speak_to - speech.queued
            needed = round(TOKENS_PER_S * (_PAUSE_S + characters / _LETTERS_PER_S))
            speech.passages.append(_Passage(speech.queued, release.speak_to, needed))
            speech.queued = release.speak_to

    def abort(self, utterance_id: str) -> None:
        """See `base.Engine`."""
        self._open.pop(utterance_id, None)

    def step(self, urgent: Sequence[str]) -> list[Chunk | Failure]:
        """See `base.Engine`."""
        named = [self._open[each] for each in urgent]
        silent = [each for each in named if not each.passages]
        results: list[Chunk | Failure] = [self._create_silent(each) for each in silent]
        speaking = [each for each in named if each.passages]
        self._join(speaking)
        self.step_s = _IDLE_STEP_S + self._draw_tokens()
        batch = self._choose_batch(speaking)
        if batch:
            lengths = [each.passages[0].next_length for each in batch]
            self.step_s += self._costs.render_rows_s(lengths)
        ended_s = self._clock() + self.step_s
        return [*results, *(each.take_chunk(ended_s) for each in batch)]

    @staticmethod
    def _create_silent(speech: _Speech) -> Chunk:
        return Chunk(speech.id, simulated_sound(0), speech.spoken, speech.spoken, caught_up=True)

    def _current(self) -> Iterator[_Passage]:
        return (each.passages[0] for each in self._open.values() if each.passages)

    def _join(self, speaking: Sequence[_Speech]) -> None:
        free = self.info.max_batch - sum(each.joined and not each.drawn for each in self._current())
        waiting = [each.passages[0] for each in speaking if not each.passages[0].joined]
        for passage in waiting[: min(_JOINS, free)]:
            passage.joined = True

    def _draw_tokens(self) -> float:
        """Draw tokens for all; returns the seconds."""
        needed_s = 0.0
        for _ in range(self._costs.bursts):
            active = [each for each in self._current() if each.joined and not each.drawn]
            if not active:
                break
            needed_s += _BURST * self._costs.draw_s(len(active))
            for passage in active:
                passage.tokens = min(passage.needed, passage.tokens + _BURST)
            if not any(each.lacks_tokens() for each in self._open.values()):
                break
        return needed_s

    def _choose_batch(self, speaking: Sequence[_Speech]) -> Sequence[_Speech]:
        """The most urgent that is ready, and others that make its render hardly longer."""
        now_s = self._clock()
        first_due = any(each.awaits_first_sound for each in speaking)
        ready = [
            each
            for each in speaking
            if not (first_due and each.dry_s - now_s > self._costs.enough_s)
            and each.passages[0].joined
            and each.passages[0].is_ready(hurry=0 < each.dry_s - now_s < _HURRY_S)
        ]
        if not ready:
            return []
        longest = ready[0].passages[0].next_length
        batch = [
            each
            for each in ready
            if _LEAST_SHARE * longest <= each.passages[0].next_length <= longest
        ]
        row_s = self._costs.row_s * longest / _FIRST_LENGTH
        most = int((_LONGEST_RENDER_S - self._costs.render_s) / row_s) if row_s else len(batch)
        return batch[: max(1, most)]
