"""Decides how much of a growing sentence to speak, and when.

Playback should not run dry, and each word should be spoken knowing what follows it. These conflict:
a word spoken at once has no lookahead. The pacer decides by how much audio is still unplayed.
Pure: the caller passes the time (seconds, any origin).
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from backend.events import Typing
from backend.text.phrases import (
    CLOSING,
    FULL_STOPS,
    PAUSE_MARKS,
    ends_with_mark,
    pause_end,
    phrase_end,
)

# Clause ends, for engines that cannot speak single words of a growing sentence.
_CLAUSE_END = re.compile(
    rf"[,;:\u2014{PAUSE_MARKS}{FULL_STOPS}][{CLOSING}]*\s*$|[\u0e01-\u0e4e\u0e81-\u0ece]\s+$"
)
# A word finished by a mark although no space follows yet: not the dot of "3.", "e.g.", "www.".
_MARKED_WORD = re.compile(
    r"(?i)(?<![\w.])(?!www|https?|mailto|ftp)[^\W\d_]{2,}[.,;:!?…]+[\"'”’)\]]*$"
    rf"|[^\s\d{PAUSE_MARKS}{FULL_STOPS}]{{1,20}}[{PAUSE_MARKS}{FULL_STOPS}]+[{CLOSING}]*$"
)
_WIDE_LETTER = 3  # letters that a Chinese, Japanese or Korean one takes the time of
_LAST_WORD = re.compile(r"(?:^|\s)([^\W\d_]+)$")

_KEEPS_UP = 20.0  # characters per second: a writer this fast stays ahead of speech
_SOUND_S = 0.04  # of audio per character of a first word
_NEXT_WORD = 14  # characters of a long word
_RENDER_S = 0.05
_LOOK_EVERY_S = 0.25  # at new text, while the listener has enough to hear
# Gaps longer than these multiples of the usual gap count as:
_IDLE_GAPS = 1.5  # a pause of a model
_PAUSE_GAPS = 3.5  # a pause of a person
_LONG_PAUSE_GAPS = 8.0  # a long pause
_PATIENCE = 2.5  # a slow writer's long pause is this much longer behind "the" or "5",
_LONGEST_PAUSE_S = 10.0  # up to this


@dataclass(frozen=True, slots=True)
class Pacing:
    """The rules' parameters, times in seconds; described in `backend.config`.

    `live`: there is a listener; without one (batch) only whole sentences are spoken.
    `duplex`: speech may begin before the context is flushed or ended.
    `incremental`: the engine speaks word by word; otherwise it is given clauses, none of fewer than
    `min_clause_length` characters unless the rest is flushed, ended or long in coming.
    `is_whole_word`: whether a string is a word that no longer word begins with.
    """

    min_text_length: int = 5
    lookahead_start: int = 0
    lookahead: int = 2
    idle_s: float = 0.1
    phrase_pause_s: float = 0.6
    word_timeout_s: float = 2.0
    low_water_s: float = 0.3
    high_water_s: float = 4.0
    ttfa_goal_s: float = 0.15
    typing: Typing = "auto"
    live: bool = True
    duplex: bool = True
    preemptive: bool = True
    incremental: bool = True
    min_clause_length: int = 25
    is_whole_word: Callable[[str], bool] = lambda word: False


@dataclass(frozen=True, slots=True)
class PendingSentence:
    """A sentence and its progress; offsets from its start.

    `finished`: the ends of the words whose reading no further text can change, trailing spaces
    included. `stops`: ends of words behind which silence was asked for, and its ms. `released`:
    given to the engine up to here. `spoken`: rendered up to here. `flush_to`: flush or end require
    it at once up to here. `speed`: of its writer, in characters per second. `usual_gap_s`: median
    time between two arrivals of text.
    """

    text: str
    finished: Sequence[int]
    released: int
    spoken: int
    complete: bool
    flush_to: int
    last_input_s: float
    first: bool
    speed: float = math.inf
    usual_gap_s: float = 0.0
    stops: Sequence[tuple[int, int]] = ()


@dataclass(frozen=True, slots=True)
class Speak:
    """Speak up to `to`, knowing the text up to `known`. `pause`: more text is unlikely to arrive
    before this is played. `silence_ms`: behind it.
    """

    to: int
    known: int
    final: bool = False
    must_reach: bool = False
    pause: bool = False
    silence_ms: int = 0


@dataclass(frozen=True, slots=True)
class Wait:
    """Release nothing before `until_s` (None: before more text arrives)."""

    until_s: float | None = None


class Pacer:
    """One context's pacer: the playback clock and the rules."""

    def __init__(self, pacing: Pacing) -> None:
        self.pacing = pacing
        self._sent_s = 0.0
        self._dry_at_s = float("-inf")
        self.lead_s = 0.0  # that audio takes on its way, more than on a free line

    # --- playback clock ---------------------------------------------------------------------------

    def count_sent(self, audio_s: float, now_s: float) -> None:
        """Count audio sent to the listener."""
        self._sent_s += audio_s
        self._dry_at_s = max(self._dry_at_s, now_s) + audio_s

    def set_position(self, heard_s: float, now_s: float) -> None:
        """Take the client's reported position instead of the estimate."""
        self._dry_at_s = now_s + max(0.0, self._sent_s - heard_s)

    def ahead_s(self, now_s: float) -> float:
        """Seconds of audio sent and not yet played."""
        return max(0.0, self._dry_at_s - now_s)

    def dry_s(self, now_s: float) -> float:
        """Seconds since playback ran dry; infinite before the first audio."""
        return max(0.0, now_s - self._dry_at_s)

    @property
    def dry_at_s(self) -> float:
        """When playback runs dry; -inf before the first audio."""
        return self._dry_at_s

    def deadline_s(self, now_s: float) -> float:
        """When the next audio is due: when playback runs dry; if it has, the goal for a first
        sound from now; never in batch mode.
        """
        if not self.pacing.live:
            return float("inf")
        return max(self._dry_at_s, now_s + self.pacing.ttfa_goal_s)

    def calm_until_s(self, now_s: float) -> float:
        """Until when more text can wait to be looked at, unless it is flushed or ended: so long the
        listener has enough to hear. Not later than `now_s`: look at once.
        """
        if not self.pacing.live:
            return now_s
        due_s = self._dry_at_s - self.lead_s
        soon_s = max(now_s + _LOOK_EVERY_S, due_s - self.pacing.high_water_s)
        return min(soon_s, due_s - self.pacing.low_water_s - _RENDER_S)

    # --- the rules --------------------------------------------------------------------------------

    def decide(self, sentence: PendingSentence, now_s: float) -> Speak | Wait:
        """What to speak now, or how long to wait unless text arrives."""
        choice = self._decide_freely(sentence, now_s)
        if isinstance(choice, Wait):
            return choice
        for end, silence_ms in sentence.stops:
            if sentence.released < end <= choice.to:
                return Speak(end, choice.known, must_reach=True, pause=True, silence_ms=silence_ms)
        return choice

    def _decide_freely(self, sentence: PendingSentence, now_s: float) -> Speak | Wait:
        """The choice, without regard to `stops`."""
        pacing, size = self.pacing, len(sentence.text)
        if sentence.complete and sentence.flush_to >= size:
            return Speak(size, size, final=True, must_reach=True)
        if sentence.flush_to > sentence.spoken:
            return Speak(sentence.flush_to, sentence.flush_to, must_reach=True)
        if not pacing.duplex:
            return Wait()
        if sentence.complete:
            return self._wait_while_ahead(Speak(size, size, final=True), pacing.high_water_s, now_s)
        if not (pacing.preemptive and pacing.live):
            return Wait()
        return self._grow(sentence, now_s)

    def _wait_while_ahead(self, choice: Speak, mark_s: float, now_s: float) -> Speak | Wait:
        """Wait while more than `mark_s` is unplayed: the sentence may grow or change meanwhile."""
        low_at_s = self._dry_at_s - mark_s - self.lead_s
        return Wait(low_at_s) if self.pacing.live and now_s < low_at_s else choice

    def _grow(self, sentence: PendingSentence, now_s: float) -> Speak | Wait:
        typing = self.pacing.typing
        if typing == "auto":
            typing = "word" if sentence.speed >= _KEEPS_UP else "phrase"
        if typing == "sentence":
            return Wait()
        if typing == "phrase" and self.pacing.incremental:
            return self._grow_by_phrases(sentence, now_s)
        return self._grow_by_words(sentence, now_s)

    # --- writers faster than speech ---------------------------------------------------------------

    def _grow_by_words(self, sentence: PendingSentence, now_s: float) -> Speak | Wait:
        pacing, finished = self.pacing, sentence.finished
        known = finished[-1] if finished else 0
        due_at_s = (
            self._dry_at_s - pacing.ttfa_goal_s - self.lead_s
        )  # any later, and playback would run dry
        at_length = self._end_with_lookahead(sentence, finished, pacing.lookahead)
        at_once = self._end_with_lookahead(sentence, finished, pacing.lookahead_start)
        to = at_length if now_s < due_at_s else at_once
        long_enough = at_once >= self._min_first_length(sentence)
        if to > sentence.released and long_enough:
            return self._wait_while_ahead(_speak_to(sentence, to), pacing.low_water_s, now_s)
        choice = self._speak_after_pause(sentence, known, now_s)
        if isinstance(choice, Speak):  # without lookahead: just before playback runs dry
            return self._wait_while_ahead(choice, pacing.ttfa_goal_s, now_s)
        if choice.until_s is not None and at_once > sentence.released and long_enough:
            return Wait(min(due_at_s, choice.until_s))
        return choice

    def _end_with_lookahead(
        self, sentence: PendingSentence, finished: Sequence[int], lookahead: int
    ) -> int:
        if not self.pacing.incremental:
            clauses = [end for end in finished if _CLAUSE_END.search(sentence.text, 0, end)]
            return clauses[-1] if clauses and self._is_clause(sentence, clauses[-1]) else 0
        if not lookahead and not _has_partial_word(sentence):
            lookahead = 1  # the next word has not begun
        return finished[-1 - lookahead] if len(finished) > lookahead else 0

    def _is_clause(self, sentence: PendingSentence, end: int) -> bool:
        """Whether an engine can speak the text up to `end` by itself."""
        if self.pacing.incremental:
            return True
        text = sentence.text[sentence.released : end].strip()
        wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
        return len(text) + (_WIDE_LETTER - 1) * wide >= self.pacing.min_clause_length

    def _min_first_length(self, sentence: PendingSentence) -> int:
        """Minimum characters of a context's first release: they last until the next word's."""
        if not sentence.first:
            return 0
        if sentence.speed < _KEEPS_UP:  # there is a gap before the next word anyway
            return self.pacing.min_text_length
        awaited_s = _RENDER_S + _NEXT_WORD / sentence.speed
        return max(self.pacing.min_text_length, math.ceil(awaited_s / _SOUND_S))

    def _speak_after_pause(
        self, sentence: PendingSentence, known: int, now_s: float
    ) -> Speak | Wait:
        """Once the input pauses, speak the words held back for lookahead; later also what the
        engine held back, and a complete last word.
        """
        pause_s = max(self.pacing.idle_s, _IDLE_GAPS * sentence.usual_gap_s)
        pause_at_s = sentence.last_input_s + pause_s
        if known > sentence.released and self._is_clause(sentence, known):
            return _speak_to(sentence, known) if now_s >= pause_at_s else Wait(pause_at_s)
        return self._speak_after_long_pause(sentence, known, now_s)

    def _speak_after_long_pause(
        self, sentence: PendingSentence, known: int, now_s: float, patience: float = 1.0
    ) -> Speak | Wait:
        """After a long pause speak a complete last word or, `patience` times later, all words that
        a space follows, also if the next word could change their reading.
        """
        if not self.pacing.word_timeout_s:
            return Wait()
        to = max(known, sentence.released, _whole_words_end(sentence.text))
        if self._last_word_is_whole(sentence):
            to, patience = len(sentence.text), 1.0
        if to <= sentence.spoken:
            return Wait()
        long_s = max(self.pacing.word_timeout_s, _LONG_PAUSE_GAPS * sentence.usual_gap_s)
        at_s = sentence.last_input_s + min(long_s * patience, _LONGEST_PAUSE_S)
        return Speak(to, len(sentence.text), must_reach=True) if now_s >= at_s else Wait(at_s)

    def _last_word_is_whole(self, sentence: PendingSentence) -> bool:
        """Whether the last word is complete although no space follows."""
        if self._ends_with_mark(sentence.text):
            return True
        last = _LAST_WORD.search(sentence.text)
        return last is not None and self.pacing.is_whole_word(last[1])

    @staticmethod
    def _ends_with_mark(text: str) -> bool:
        marked = _MARKED_WORD.search(text)
        return marked is not None and ends_with_mark(marked[0])

    # --- writers slower than speech ---------------------------------------------------------------

    def _grow_by_phrases(self, sentence: PendingSentence, now_s: float) -> Speak | Wait:
        finished = sentence.finished
        to = phrase_end(sentence.text, sentence.released, finished, first=sentence.first)
        if to > sentence.released:
            return self._wait_while_ahead(
                replace(_speak_to(sentence, to), pause=True), self.pacing.ttfa_goal_s, now_s
            )
        pause_s = max(self.pacing.phrase_pause_s, _PAUSE_GAPS * sentence.usual_gap_s)
        pause_at_s = sentence.last_input_s + pause_s
        if self._ends_with_mark(sentence.text):
            finished = [*finished, len(sentence.text)]
        to = pause_end(sentence.text, sentence.released, finished)
        if to > sentence.released:
            return (
                replace(_speak_to(sentence, to), pause=True)
                if now_s >= pause_at_s
                else Wait(pause_at_s)
            )
        known = finished[-1] if finished else 0
        return self._speak_after_long_pause(sentence, known, now_s, _PATIENCE)


def _speak_to(sentence: PendingSentence, to: int) -> Speak:
    """Speak up to `to`, with all words behind it as lookahead: a partial word, once it has a
    letter, is better than none.
    """
    finished = sentence.finished
    last = finished[-1] if finished else 0
    return Speak(to, len(sentence.text) if _has_partial_word(sentence) else max(to, last))


def _whole_words_end(text: str) -> int:
    """The end of the last word that a space follows, the space included."""
    size = len(text)
    while size and not text[size - 1].isspace():
        size -= 1
    return size


def _has_partial_word(sentence: PendingSentence) -> bool:
    """Whether the next word has begun behind the finished ones."""
    finished = sentence.finished
    return any(map(str.isalnum, sentence.text[finished[-1] if finished else 0 :]))
