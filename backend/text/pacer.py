"""When to speak how much of a sentence that may still grow.

The listener must not wait, and each word should be spoken knowing what follows it. These pull
apart: a word spoken at once has no lookahead. The pacer weighs them by what the listener still has
to hear.
Plain and synchronous: the caller brings the clock (seconds, any origin).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from backend.events import Typing
from backend.text.phrases import ends_with_mark, pause_end, phrase_end

# A clause may end here for an engine that cannot speak words in the context of a growing sentence.
_CLAUSE_END = re.compile(r"[,;:\u2014\u3001\uff0c\u060c]\s*$")
# A word that is finished although no space follows yet: not the dot of "3.", "e.g.", "www.".
_MARKED_WORD = re.compile(
    r"(?i)(?<![\w.])(?!www|https?|mailto|ftp)[^\W\d_]{2,}[.,;:!?…]+[\"'”’)\]]*$"
)
_LAST_WORD = re.compile(r"(?:^|\s)([^\W\d_]+)$")

_KEEPS_UP = 20.0  # characters a second: a writer as fast as this stays ahead of speech
_SOUND_S = 0.04  # of a first word, by character: what is heard while the next word is awaited
_NEXT_WORD = 14  # characters of a long word
_RENDER_S = 0.05
_IDLE_GAPS = 1.5  # a model that pauses is later than usual,
_PAUSE_GAPS = 3.5  # a pause is longer than what is usual between two keys,
_LONG_PAUSE_GAPS = 8.0  # and a long one much longer
_PATIENCE = 2.5  # times as long does a slow writer get to go on behind "the" or "5",
_LONGEST_PAUSE_S = 10.0  # up to this


@dataclass(frozen=True, slots=True)
class Pacing:
    """The rules' parameters, times in seconds. See `backend.config` for what each one means.

    `live`: there is a listener; without one (batch) only whole sentences are spoken.
    `duplex`: speech may begin before the context is flushed or ended.
    `incremental`: the engine speaks word by word; otherwise it is given clauses.
    `is_whole_word`: knows words of the language that no other word begins with.
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
    is_whole_word: Callable[[str], bool] = lambda word: False


@dataclass(frozen=True, slots=True)
class PendingSentence:
    """A sentence and how far it is; offsets from its start.

    `words`: the end of every word (its trailing spaces included). `released`: what may already be
    spoken. `spoken`: what was rendered of that. `flush_to`: how far flush or end want it at once.
    `speed`: of its writer, in characters a second. `usual_gap_s`: between two of its keys, or
    words where these come at once.
    """

    text: str
    words: Sequence[int]
    released: int
    spoken: int
    complete: bool
    flush_to: int
    last_input_s: float
    first: bool
    speed: float = math.inf
    usual_gap_s: float = 0.0

    @property
    def finished(self) -> list[int]:
        """The ends of the words that cannot change any more: a space follows."""
        text, size = self.text, len(self.text)
        return [end for end in self.words if text[end - 1].isspace() or end < size]


@dataclass(frozen=True, slots=True)
class Speak:
    """Speak up to `to`, knowing the text up to `known`. `pause`: more is not likely to be there
    before the listener has heard it.
    """

    to: int
    known: int
    final: bool = False
    must_reach: bool = False
    pause: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to release before the clock says `until_s` (None: before more text comes)."""

    until_s: float | None = None


class Pacer:
    """One context's pacer: the listener's clock and the rules."""

    def __init__(self, pacing: Pacing) -> None:
        self.pacing = pacing
        self._sent_s = 0.0
        self._dry_at_s = float("-inf")
        self._backlog_s = 0.0

    # --- the listener's clock ---------------------------------------------------------------------

    def sent(self, audio_s: float, now_s: float) -> None:
        """Audio went out."""
        self._sent_s += audio_s
        self._dry_at_s = max(self._dry_at_s, now_s) + audio_s

    def played(self, heard_s: float, now_s: float) -> None:
        """The client reports its position, which beats the estimate."""
        self._dry_at_s = now_s + max(0.0, self._sent_s - heard_s)

    def ahead_s(self, now_s: float) -> float:
        """Audio that the listener still has to hear."""
        return max(0.0, self._dry_at_s - now_s)

    def dry_s(self, now_s: float) -> float:
        """How long the listener has had nothing to hear; infinite before its first audio."""
        return max(0.0, now_s - self._dry_at_s)

    @property
    def dry_at_s(self) -> float:
        """When the listener will have heard all that was sent; -inf before its first audio."""
        return self._dry_at_s

    def deadline_s(self, now_s: float) -> float:
        """When the next audio is due: when the listener runs dry; for a listener who waits already,
        the goal for a first sound; never in batch mode.
        """
        if not self.pacing.live:
            return float("inf")
        return max(self._dry_at_s, now_s + self.pacing.ttfa_goal_s)

    # --- the rules --------------------------------------------------------------------------------

    def decide(
        self, sentence: PendingSentence, now_s: float, backlog_s: float = 0.0
    ) -> Speak | Wait:
        """What may be spoken now, or how long to wait when nothing else happens. `backlog_s`: how
        long a render has to wait for an engine.
        """
        self._backlog_s = backlog_s
        pacing, size = self.pacing, len(sentence.text)
        if sentence.complete and sentence.flush_to >= size:
            return Speak(size, size, final=True, must_reach=True)
        if sentence.flush_to > sentence.spoken:
            return Speak(sentence.flush_to, sentence.flush_to, must_reach=True)
        if not pacing.duplex:
            return Wait()
        if sentence.complete:
            return self._unless_ahead(Speak(size, size, final=True), pacing.high_water_s, now_s)
        if not (pacing.preemptive and pacing.live):
            return Wait()
        return self._grow(sentence, now_s)

    def _unless_ahead(self, choice: Speak, mark_s: float, now_s: float) -> Speak | Wait:
        """A listener who has enough to hear gives the sentence time to grow, and its writer time to
        change it.
        """
        low_at_s = self._dry_at_s - mark_s
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

    # --- a writer who keeps ahead of speech -------------------------------------------------------

    def _grow_by_words(self, sentence: PendingSentence, now_s: float) -> Speak | Wait:
        pacing, finished = self.pacing, sentence.finished
        known = finished[-1] if finished else 0
        due_at_s = self._dry_at_s - pacing.ttfa_goal_s  # later, and the listener would run dry
        at_length = self._with_lookahead(sentence, finished, pacing.lookahead)
        at_once = self._with_lookahead(sentence, finished, pacing.lookahead_start)
        to = at_length if now_s < due_at_s else at_once
        long_enough = at_once >= self._shortest(sentence)
        if to > sentence.released and long_enough:
            return self._unless_ahead(_speak(sentence, to), pacing.low_water_s, now_s)
        choice = self._pause(sentence, known, now_s)
        if isinstance(choice, Speak):  # without lookahead: as late as the listener can bear
            return self._unless_ahead(choice, pacing.ttfa_goal_s, now_s)
        if choice.until_s is not None and at_once > sentence.released and long_enough:
            return Wait(min(due_at_s, choice.until_s))
        return choice

    def _with_lookahead(
        self, sentence: PendingSentence, finished: Sequence[int], lookahead: int
    ) -> int:
        if not self.pacing.incremental:
            clauses = [end for end in finished if _CLAUSE_END.search(sentence.text, 0, end)]
            return clauses[-1] if clauses else 0
        if not lookahead and not _begun(sentence):
            lookahead = 1  # nothing of the next word is there yet
        return finished[-1 - lookahead] if len(finished) > lookahead else 0

    def _shortest(self, sentence: PendingSentence) -> int:
        """Characters that a context first speaks: enough to be heard until the next word is."""
        if not sentence.first:
            return 0
        if sentence.speed < _KEEPS_UP:  # it will wait for the next word anyhow
            return self.pacing.min_text_length
        awaited_s = _RENDER_S + _NEXT_WORD / sentence.speed
        return max(self.pacing.min_text_length, math.ceil(awaited_s / _SOUND_S))

    def _pause(self, sentence: PendingSentence, known: int, now_s: float) -> Speak | Wait:
        """The input pauses: speak the words that were held back for their lookahead; later also
        what the engine held back itself, and a last word that is whole.
        """
        pause_s = max(self.pacing.idle_s, _IDLE_GAPS * sentence.usual_gap_s)
        pause_at_s = sentence.last_input_s + pause_s
        if known > sentence.released:
            return _speak(sentence, known) if now_s >= pause_at_s else Wait(pause_at_s)
        return self._long_pause(sentence, known, now_s)

    def _long_pause(
        self, sentence: PendingSentence, known: int, now_s: float, patience: float = 1.0
    ) -> Speak | Wait:
        """Speak a last word that is whole, and, with `patience`, whatever else is finished."""
        if not self.pacing.word_timeout_s:
            return Wait()
        to = max(known, sentence.released)
        if self._last_word_is_whole(sentence):
            to, patience = len(sentence.text), 1.0
        if to <= sentence.spoken:
            return Wait()
        long_s = max(self.pacing.word_timeout_s, _LONG_PAUSE_GAPS * sentence.usual_gap_s)
        at_s = sentence.last_input_s + min(long_s * patience, _LONGEST_PAUSE_S)
        return Speak(to, len(sentence.text), must_reach=True) if now_s >= at_s else Wait(at_s)

    def _last_word_is_whole(self, sentence: PendingSentence) -> bool:
        """Whether the text ends with a word that is finished although no space follows."""
        if self._ends_with_mark(sentence.text):
            return True
        last = _LAST_WORD.search(sentence.text)
        return last is not None and self.pacing.is_whole_word(last[1])

    @staticmethod
    def _ends_with_mark(text: str) -> bool:
        marked = _MARKED_WORD.search(text)
        return marked is not None and ends_with_mark(marked[0])

    # --- a writer slower than speech --------------------------------------------------------------

    def _grow_by_phrases(self, sentence: PendingSentence, now_s: float) -> Speak | Wait:
        finished = sentence.finished
        to = phrase_end(sentence.text, sentence.released, finished, first=sentence.first)
        if to > sentence.released:
            return self._unless_ahead(
                replace(_speak(sentence, to), pause=True), self.pacing.ttfa_goal_s, now_s
            )
        pause_s = max(self.pacing.phrase_pause_s, _PAUSE_GAPS * sentence.usual_gap_s)
        pause_at_s = sentence.last_input_s + pause_s
        if self._ends_with_mark(sentence.text):
            finished = [*finished, len(sentence.text)]
        to = pause_end(sentence.text, sentence.released, finished)
        if to > sentence.released:
            return (
                replace(_speak(sentence, to), pause=True)
                if now_s >= pause_at_s
                else Wait(pause_at_s)
            )
        known = finished[-1] if finished else 0
        return self._long_pause(sentence, known, now_s, _PATIENCE)


def _speak(sentence: PendingSentence, to: int) -> Speak:
    """Speak up to `to`, knowing also a word behind it that is still being written: read as far as
    it is there it tells more than nothing (its letters, once there are any).
    """
    finished = sentence.finished
    last = finished[-1] if finished else 0
    return Speak(to, len(sentence.text) if _begun(sentence) else max(to, last))


def _begun(sentence: PendingSentence) -> bool:
    """Whether something of a word is there behind the finished ones."""
    finished = sentence.finished
    return any(map(str.isalnum, sentence.text[finished[-1] if finished else 0 :]))
