"""When to speak how much of a sentence that may still grow.

The listener must not wait, and each word should be spoken knowing what follows it. These pull
apart: a word spoken at once has no lookahead. The pacer weighs them by what the listener still has
to hear.
Plain and synchronous: the caller brings the clock (seconds, any origin).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

# A clause may end here for an engine that cannot speak words in the context of a growing sentence.
_CLAUSE_END = re.compile(r"[,;:\u2014\u3001\uff0c\u060c]\s*$")


@dataclass(frozen=True, slots=True)
class Pacing:
    """The rules' parameters, times in seconds. See `backend.config` for what each one means.

    `live`: there is a listener; without one (batch) only whole sentences are spoken.
    `duplex`: speech may begin before the context is flushed or ended.
    `incremental`: the engine speaks word by word; otherwise it is given clauses.
    """

    min_text_length: int = 5
    lookahead_start: int = 1
    lookahead: int = 2
    idle_s: float = 0.1
    word_timeout_s: float = 0.6
    low_water_s: float = 0.6
    high_water_s: float = 4.0
    ttfa_goal_s: float = 0.15
    live: bool = True
    duplex: bool = True
    preemptive: bool = True
    incremental: bool = True


@dataclass(frozen=True, slots=True)
class Growth:
    """A sentence and how far it is; offsets from its start.

    `words`: the end of every word (its trailing spaces included). `released`: what may already be
    spoken. `spoken`: what was rendered of that. `pressed`: how far flush or end want it at once.
    """

    text: str
    words: Sequence[int]
    released: int
    spoken: int
    complete: bool
    pressed: int
    last_input_s: float
    first: bool


@dataclass(frozen=True, slots=True)
class Speak:
    """Speak up to `to`, knowing the text up to `known`."""

    to: int
    known: int
    final: bool = False
    must_reach: bool = False


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

    def deadline_s(self, now_s: float) -> float:
        """When the next audio is due: when the listener runs dry; for a listener who waits already,
        the goal for a first sound; never in batch mode.
        """
        if not self.pacing.live:
            return float("inf")
        return max(self._dry_at_s, now_s + self.pacing.ttfa_goal_s)

    # --- the rules --------------------------------------------------------------------------------

    def decide(self, sentence: Growth, now_s: float) -> Speak | Wait:
        """What may be spoken now, or how long to wait when nothing else happens."""
        pacing, size = self.pacing, len(sentence.text)
        if sentence.complete and sentence.pressed >= size:
            return Speak(size, size, final=True, must_reach=True)
        if sentence.pressed > sentence.spoken:
            return Speak(sentence.pressed, sentence.pressed, must_reach=True)
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

    def _grow(self, sentence: Growth, now_s: float) -> Speak | Wait:
        pacing, text, size = self.pacing, sentence.text, len(sentence.text)
        finished = [end for end in sentence.words if text[end - 1].isspace() or end < size]
        known = finished[-1] if finished else 0
        due_at_s = self._dry_at_s - pacing.ttfa_goal_s  # later, and the listener would run dry
        at_length = self._with_lookahead(sentence, finished, pacing.lookahead)
        at_once = self._with_lookahead(sentence, finished, pacing.lookahead_start)
        to = at_length if now_s < due_at_s else at_once
        long_enough = not sentence.first or known >= pacing.min_text_length
        if to > sentence.released and long_enough:
            return self._unless_ahead(Speak(to, known), pacing.low_water_s, now_s)
        choice = self._idle(sentence, known, now_s)
        if isinstance(choice, Speak):  # without lookahead: as late as the listener can bear
            return self._unless_ahead(choice, pacing.ttfa_goal_s, now_s)
        if choice.until_s is not None and at_once > sentence.released and long_enough:
            return Wait(min(due_at_s, choice.until_s))
        return choice

    def _with_lookahead(self, sentence: Growth, finished: Sequence[int], lookahead: int) -> int:
        if not self.pacing.incremental:
            clauses = [end for end in finished if _CLAUSE_END.search(sentence.text, 0, end)]
            return clauses[-1] if clauses else 0
        return finished[-1 - lookahead] if len(finished) > lookahead else 0

    def _idle(self, sentence: Growth, known: int, now_s: float) -> Speak | Wait:
        """The input pauses: speak the words that were held back for their lookahead (half a word is
        better than none); later also the half-typed word, and what the engine itself held back.
        """
        size, since_s = len(sentence.text), sentence.last_input_s
        pause_at_s = since_s + self.pacing.idle_s
        if known > sentence.released:
            return Speak(known, size) if now_s >= pause_at_s else Wait(pause_at_s)
        held_back = sentence.spoken < sentence.released  # by the engine, be it only a space
        rest = sentence.text[sentence.spoken :]
        if held_back or (rest and not rest.isspace()):
            timeout_at_s = since_s + max(self.pacing.word_timeout_s, self.pacing.idle_s)
            if now_s >= timeout_at_s:
                return Speak(size, size, must_reach=True)
            return Wait(timeout_at_s)
        return Wait()
