"""When words are spoken, from the text token that each speech token attended to most. Pure.

Times are counted in speech tokens, 25 a second. Attention that does not move through the text in
order is not trusted; then nothing is known, and callers estimate by length.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import NamedTuple

from backend.engines.chatterbox.speech_tokens.attention_path import AttentionPath
from backend.text.words import word_ends

STANDARD_HEADS = ((9, 2), (12, 15), (13, 11))  # layer and head that attend to the text in order
TURBO_HEADS: tuple[tuple[int, int], ...] = ()  # none is known

TAIL_TOKENS = 25  # 1 s behind the last letter
REPEAT_TOKENS = 6  # more than outliers, fewer than a word
_FASTEST = 0.8  # characters per speech token: 20 a second
_LEADING_TOKENS = 12  # in these, attention to the start, stop and last mark says nothing
_MEMORY = 32  # speech tokens that the confidence covers
_PRIOR, _PRIOR_TOKENS = 0.7, 4  # confidence at the start, and how many speech tokens it weighs
_LOST, _REGAINED = 0.4, 0.75  # confidence: far apart, so that trust does not flip
_STUCK_TOKENS = 50  # in one text token: 2 s
_SPOKEN_SLOWLY = 2.0  # speech tokens per character: 12.5 characters a second


class WordEnd(NamedTuple):
    """A word that ends at this offset of the text, and at this time in speech tokens."""

    end: int
    token: float


@dataclass(frozen=True, slots=True)
class TokenSpans:
    """What text tokens `text[start:end]` stand for, the blanks behind each included.

    `first`: the index of the first; the model's start token comes before. Tokens behind the last
    (a stop, a mark that the model adds) stand for nothing. `tail`: how many of these tokens contain
    the last letter or something before it, so the first that is behind it.
    """

    first: int = 0
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    tail: int = 0

    @classmethod
    def create(cls, text: str, token_ends: Sequence[int]) -> TokenSpans:
        """`token_ends`: of each text token, its end in `text`; 0 for a start token."""
        ends: list[int] = []
        for end in token_ends:
            end = max(0, min(end, len(text)), *ends[-1:])
            while 0 < end < len(text) and text[end].isspace():
                end += 1
            ends.append(end)
        first = bisect_right(ends, 0)
        ends = ends[first : bisect_left(ends, len(text)) + 1]
        ends[-1:] = [len(text)] * bool(ends)
        leading = sum(1 for _ in takewhile(str.isspace, text))
        starts = [leading, *ends[:-1]][: len(ends)]
        letters = max((n for n, char in enumerate(text, 1) if char.isalnum()), default=0)
        return cls(first, starts, ends, bisect_left(ends, letters) + 1)

    def count_common(self, other: TokenSpans) -> int:
        """How many tokens at the beginning are the same in both."""
        if self.first != other.first:
            return 0
        pairs = zip(self.starts, self.ends, other.starts, other.ends, strict=False)
        return sum(1 for _ in takewhile(lambda p: p[:2] == p[2:], pairs))


class _Confidence:
    """How much of the latest attention agrees with the path: 1 for all of it, 0 or less for no more
    than by chance.
    """

    def __init__(self) -> None:
        self._count = 0
        self.value = _PRIOR
        self.trusted = True

    def add(self, agrees: bool, chance: float) -> None:
        """Count one speech token."""
        self._count += 1
        agreement = (agrees - chance) / (1 - chance)  # as Cohen's kappa
        self.value += (agreement - self.value) / min(_MEMORY, self._count + _PRIOR_TOKENS)

    def decide(self, *, stuck: bool, at_end: bool) -> None:
        """Update `trusted`: not while speech is stuck in a text token. Trust is not regained at the
        end: attention that stays on one token always draws the path there.
        """
        least = _LOST if self.trusted else _REGAINED
        self.trusted = self.value >= least and not stuck and (self.trusted or not at_end)


class WordAligner:
    """Follows the speech of one passage through its text."""

    def __init__(self) -> None:
        self._text = ""
        self._spans = TokenSpans()
        self._path = AttentionPath()
        self._confidence = _Confidence()
        self._state = 0
        self._since = 0  # the observation at which it was entered
        self._behind = 0  # latest speech tokens that attended only to the end
        self._back = 0  # of those since the end was reached, how many more went back than did not

    def extend_text(self, text: str, token_ends: Sequence[int]) -> None:
        """The text of the passage as the model reads it from now on. `token_ends`: of each of its
        tokens, the end in `text`, 0 for the start and `len(text)` for the stop; may be empty.
        """
        spans = TokenSpans.create(text, token_ends)
        if spans.ends:
            self._path.replace_text(spans.starts, spans.count_common(self._spans))
        self._text, self._spans = text, spans
        self._behind = self._back = 0

    def add_attended(self, attended: Sequence[int]) -> None:
        """The most attended text token of each further speech token, an index into `token_ends`.
        Bounded work for each (about 30 us).
        """
        for token in attended:
            if self._spans.ends:
                self._observe(token - self._spans.first)

    @property
    def confidence(self) -> float:
        """How much of the latest attention moves through the text in order, at most 1; 0 if there
        was none.
        """
        return self._confidence.value if self._path.count else 0.0

    @property
    def trusted(self) -> bool:
        """Whether there is attention, and it moves through the text in order."""
        return bool(self._spans.ends) and self._path.count > 0 and self._confidence.trusted

    def text_reached(self) -> int | None:
        """How far into the text the speech so far has got, at least; None if not known. Within a
        text token no faster than fast speech.
        """
        if not self.trusted:
            return None
        here = self._path.count - self._since
        start, end = self._spans.starts[self._state], self._spans.ends[self._state]
        return min(end, start + int(_FASTEST * here))

    def find_words(self, spoken: float, final_end: int | None = None) -> list[WordEnd] | None:
        """The words that end within the first `spoken` speech tokens, as far as it is settled; None
        if not known. With `final_end` those are all, and speak the text up to there: what attention
        did not reach shares the remaining time by length.
        """
        if not self.trusted:
            return None
        if final_end is None:
            return [word for word in self._list_settled() if word.token <= spoken]
        self._path.settle()
        words = [w for w in self._list_settled() if w.token <= spoken and w.end < final_end]
        return [*words, *self._share_rest(words, spoken, final_end)]

    def _list_settled(self) -> list[WordEnd]:
        words = ((end, self._find_time(end)) for end in word_ends(self._text)[:-1])
        return [WordEnd(end, time) for end, time in words if time is not None]

    def _find_time(self, offset: int) -> float | None:
        """When the speech has said `text[:offset]`; None if that is not settled."""
        token = bisect_right(self._spans.ends, offset)
        left = [0, *self._path.left[: token + 1]]
        start = self._spans.starts[token]
        if offset <= start:  # the text token behind begins here
            return left[token] if token < len(left) else None
        if token + 1 >= len(left):
            return None
        share = (offset - start) / (self._spans.ends[token] - start)
        return left[token] + share * (left[token + 1] - left[token])

    def _share_rest(self, words: Sequence[WordEnd], spoken: float, final_end: int) -> list[WordEnd]:
        """The words behind `words`, up to `final_end`, with times proportional to their length."""
        start, time = words[-1] if words else (0, 0.0)
        ends = [end for end in word_ends(self._text) if start < end < final_end]
        pace = (spoken - time) / max(1, final_end - start)
        return [WordEnd(end, time + (end - start) * pace) for end in (*ends, final_end)]

    @property
    def is_tail(self) -> bool:
        """Whether the text has been spoken and speech goes on without it: invented."""
        return self.trusted and self._is_over and self._beyond >= TAIL_TOKENS

    @property
    def is_repeating(self) -> bool:
        """Whether the text has been spoken and speech has gone back into it."""
        return self._is_over and self._back >= REPEAT_TOKENS

    @property
    def extra_tokens(self) -> int:
        """How many of the latest speech tokens are not of the text, if there is a tail or a
        repetition; else 0.
        """
        tail = self._beyond if self.is_tail else 0
        return max(tail, self._back if self.is_repeating else 0)

    @property
    def _is_over(self) -> bool:
        """Whether the text can have been spoken."""
        return self._path.count * _FASTEST >= len(self._text.strip())

    @property
    def _beyond(self) -> int:
        """The latest speech tokens that attended only to the end, less those that may speak it."""
        spans = self._spans
        has_letter = spans.tail >= len(spans.ends)
        slowly = has_letter * (spans.ends[-1] - spans.starts[-1]) * _SPOKEN_SLOWLY
        return max(0, self._behind - round(slowly))

    def _observe(self, token: int) -> None:
        size = len(self._spans.ends)
        is_early = self._path.count < _LEADING_TOKENS
        says = 0 <= token < (self._spans.tail if is_early else size)
        self._path.observe(token if says else None)
        if self._path.state != self._state:
            self._state, self._since = self._path.state, self._path.count - 1
        at_end = self._state == size - 1
        if says or not is_early:
            near = 1 if size > 5 else 0
            agrees = abs(token - self._state) <= near if says else token >= size and at_end
            self._confidence.add(agrees, min(0.75, (1 + 2 * near) / size))
        patience = _STUCK_TOKENS if self._confidence.trusted else _STUCK_TOKENS // 2
        stuck = self._path.count - self._since > patience and not at_end
        self._confidence.decide(stuck=stuck, at_end=at_end)
        self._watch_end(token)

    def _watch_end(self, token: int) -> None:
        """Count what the speech does once it has reached the last letter."""
        tail = min(self._spans.tail, len(self._spans.ends) - 1)
        is_there = self._state >= tail
        goes_back = 0 <= token < tail - min(3, tail // 2)
        self._behind = max(0, self._behind + (1 if token >= tail else -2)) * is_there
        # A long repetition costs the trust, or moves the path; what was found stays.
        if self._back < REPEAT_TOKENS and self.trusted:
            self._back = max(0, self._back + (1 if goes_back else -1)) * is_there
