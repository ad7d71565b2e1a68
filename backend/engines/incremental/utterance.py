"""Renders one sentence while it is still being written.

What was spoken never changes. Each release is encoded with all known text as context, and only the
new part is used; the networks' windows begin with what was spoken (`timeline`).

Unfinished text is encoded with a made-up continuation: the network speaks a short sentence faster
than a long one, and lengthens the last word. Encoded as if it ended at the last known word, a
sentence comes out 4 % short even with two words of lookahead, and a word without lookahead
twice too long. A few unspoken words behind the known ones remove both.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, replace
from math import inf

import numpy as np

from backend.engines.base import Chunk, Pcm, Release, Utterance
from backend.engines.incremental.plan import SpeechPlan, make_plan
from backend.engines.incremental.timeline import Timeline
from backend.engines.incremental.units import Unit, UnitReader, is_sound
from backend.events import Word

_CLAUSE_END = re.compile(r"[,;:.!?—…] ")
_LEAST_LEFT = 0.3  # of the left context, beside many new phonemes
_RIGHT_PHONEMES = 60  # of lookahead
_GROWTH = 2  # each chunk of a release is this much longer than the one before,
_LONGEST = 4  # up to this many times the first
_LITTLE_EFFORT = 200  # a plan that took more to read is encoded in the next step
_FEW_PHONEMES = 150  # a plan with more is rendered in the next step
_SLACK = 1.25  # a step renders this many times its rows if that is all there is
_SILENCE: Pcm = np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True)
class _PlacedUnit:
    """A unit and the positions of its first phoneme and of the one `behind` its last, counted from
    the beginning of the utterance.
    """

    unit: Unit
    first: int
    behind: int


@dataclass(frozen=True, slots=True)
class _Cut:
    """Where speech is to stop: at the quietest of the rows, or, `in_pause`, where the sound of the
    rows has decayed. Found when the rows before are rendered.
    """

    start: int
    end: int
    in_pause: bool


class GrowingUtterance:
    """The state of one utterance. Owned by one thread."""

    def __init__(
        self, utterance: Utterance, timeline: Timeline, reader: UnitReader, sample_rate_hz: int
    ) -> None:
        self._utterance = utterance
        self._timeline = timeline
        self._rules = timeline.rules
        self._reader = reader
        self._sample_rate_hz = sample_rate_hz
        self._release: Release | None = None
        self._plan: SpeechPlan | None = None
        self._encoded = False  # whether the plan's units are in the timeline
        self._placed: list[_PlacedUnit] = []  # the plan's units not yet spoken
        self._due_row = 0  # render up to this row, or where
        self._cut: _Cut | None = None  # is found, if that is not yet known
        self._is_paused = False  # whether the due part ends in a pause that is not in the text
        self._spoken_to = 0  # in the text
        self._committed = ""  # phonemes spoken or due, with the space behind them
        self._origin = 0  # where `_committed` would begin in the encoded phonemes
        self._seam = (0, 0)  # phoneme, from the end of `_committed`, and its rows that are spoken
        self._chunks = 0  # of this release
        self._steps = 0  # with sound
        self._samples = 0
        self._word_end_ms = 0.0
        self.is_finished = False

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do before the next release."""
        return self._release is None

    def extend(self, release: Release) -> None:
        """Replace the release."""
        phonemes = {at: self._reader.read_ipa(ipa) for at, ipa in release.pronunciations.items()}
        self._release = replace(release, pronunciations=phonemes) if phonemes else release
        self._plan = None
        self._chunks = 0

    def step(self) -> Chunk:
        """Render the next chunk of the release, or only a part of it, to keep the step short: then
        the chunk has no text, and no sound or more sound of the text before it. Raises `ValueError`
        if `is_idle`.
        """
        release = self._release
        if release is None:
            raise ValueError("no release to render")
        if self._is_due:
            return self._render_chunk(release, [])
        if self._plan is None:
            self._plan = make_plan(release, self._spoken_to, self._reader, self._rules.new_phonemes)
            self._encoded, self._placed = not self._plan.is_voiced, []
            if not self._encoded and self._plan.effort > _LITTLE_EFFORT:
                return self._render_chunk(release, [])
        if not self._encoded and self._encode_plan(self._plan, release) > _FEW_PHONEMES:
            return self._render_chunk(release, [])
        group = self._next_group()
        del self._placed[: len(group)]
        if group:
            self._commit_group(group, self._plan, release)
        return self._render_chunk(release, group)

    def _render_chunk(self, release: Release, group: list[_PlacedUnit]) -> Chunk:
        """Render the due rows, up to one step's worth, as a chunk with the text of `group`."""
        plan = self._plan
        pcm = [self._render_due()]
        start = self._spoken_to
        ended = False
        if plan is not None and self._encoded:
            self._spoken_to = self._placed[0].unit.start if self._placed else plan.reach
            ended = not self._placed and not self._is_due
        caught_up = ended and plan is not None and not plan.has_more
        if caught_up and release.final:
            pcm.append(self._timeline.finish())
            self.is_finished = True
        self._plan = None if ended else plan
        self._release = None if caught_up else release
        audio = np.clip(np.concatenate(pcm), -1.0, 1.0)
        self._samples += len(audio)
        words = self._time_words(group)
        return Chunk(self._utterance.id, audio, start, self._spoken_to, words, caught_up)

    def _encode_plan(self, plan: SpeechPlan, release: Release) -> int:
        """Write the plan into the timeline. Returns the number of phonemes encoded."""
        self._encoded = True
        new = sum(len(unit.phonemes) + 1 for unit in plan.units)
        rules = self._rules
        least = round(rules.left_phonemes * _LEAST_LEFT)
        length = max(least, min(rules.left_phonemes, rules.most_phonemes - new))
        left = _tail(self._committed, length)
        self._origin = 1 + len(left) - len(self._committed)
        committed = len(self._committed)
        phonemes = ""
        for unit in plan.units:
            first = committed + len(phonemes)
            phonemes += unit.phonemes + " " * bool(unit.phonemes)
            behind = committed + len(phonemes) - 1
            self._placed.append(_PlacedUnit(unit, min(first, behind), behind))
        if self._ends_in_pause(plan, release):
            phonemes = _with_pause(phonemes)
        if plan.is_followed:
            known = "".join(unit.phonemes + " " for unit in plan.rest if unit.phonemes)
            phonemes += known[:_RIGHT_PHONEMES]
        if not release.final or plan.has_more:
            phonemes += rules.continuation
        at, rows = self._seam
        seam = (max(0, self._origin + committed + at) if committed else 0, rows)
        until = self._origin + (self._placed[-1].behind if self._placed else committed) + 1
        return self._timeline.rewrite(left + phonemes, seam, self._origin, until)

    @staticmethod
    def _ends_in_pause(plan: SpeechPlan, release: Release) -> bool:
        """Whether silence follows the plan: no next word is known, or the release is a `pause`."""
        if release.final:
            return False
        return not plan.is_followed or (release.pause and plan.reach >= release.speak_to)

    def _next_group(self) -> list[_PlacedUnit]:
        """The units of the next chunk: each is longer, and the last is not short."""
        if not self._placed:
            return []
        wanted = self._utterance.chunk_characters * min(_GROWTH**self._chunks, _LONGEST)
        self._chunks += 1
        end, limit = self._placed[-1].unit.end, self._step_rows()
        lasts = self._rows_to_end(self._placed[-1]) > limit * _SLACK
        for n, (placed, following) in enumerate(itertools.pairwise(self._placed), 1):
            here = placed.unit.end
            if wanted and here - self._spoken_to >= wanted and end - here >= wanted // 2:
                return self._placed[:n]
            if lasts and self._rows_to_end(following) > limit:
                return self._placed[:n]
        return self._placed[:]

    def _rows_to_end(self, placed: _PlacedUnit) -> int:
        """Rows from the last spoken row to the end of a unit."""
        timeline = self._timeline
        return timeline.first_row(self._origin + placed.behind) - timeline.spoken

    def _step_rows(self) -> int:
        """Rows of the next step."""
        rules = self._rules
        return min(rules.first_step_rows << min(self._steps, 8), rules.step_rows)

    def _commit_group(self, group: list[_PlacedUnit], plan: SpeechPlan, release: Release) -> None:
        """Add `group` to the phonemes to speak, and set the row that is due."""
        last = not self._placed
        spoken = [placed for placed in group if placed.unit.phonemes]
        phonemes = "".join(placed.unit.phonemes + " " for placed in spoken)
        self._is_paused = last and self._ends_in_pause(plan, release)
        self._committed += _with_pause(phonemes) if self._is_paused else phonemes
        if last and release.final and not plan.has_more:
            self._due_row = self._timeline.end
        elif self._is_paused:
            self._cut_in_pause()
        elif spoken:
            self._cut_behind(spoken[-1])

    @property
    def _is_due(self) -> bool:
        return self._cut is not None or self._due_row > self._timeline.spoken

    def _render_due(self) -> Pcm:
        """Render the due rows, up to one step's worth."""
        timeline = self._timeline
        if not self._is_due:
            return _SILENCE
        limit = self._step_rows()
        self._steps += 1
        rows = self._due_row - timeline.spoken
        if rows <= limit * _SLACK:
            self._find_cut()
            rows = self._due_row - timeline.spoken
        row = self._due_row if rows <= limit * _SLACK else timeline.spoken + limit
        pcm = timeline.render_to(row) if row > timeline.spoken else _SILENCE
        if not self._is_paused:
            phoneme, rows = timeline.find_seam()
            self._seam = (phoneme - self._origin - len(self._committed), rows)
        return pcm

    def _cut_behind(self, placed: _PlacedUnit) -> None:
        """Cut behind a unit that is followed by another."""
        timeline, (early, late) = self._timeline, self._rules.cut_rows
        space = timeline.first_row(self._origin + placed.behind)
        first = timeline.first_row(self._origin + placed.first)
        self._due_row = max(first, space + early)
        self._cut = _Cut(self._due_row, space + late, in_pause=False)

    def _cut_in_pause(self) -> None:
        """Cut behind the last phonemes if no next word is known: where the sound has decayed. Sets
        the seam to the pause's phoneme, from which speech goes on.
        """
        pause = len(self._committed) - 1
        while not is_sound(self._committed[pause - 1]):
            pause -= 1
        self._seam = (pause - len(self._committed), 0)
        last, space = (
            self._timeline.first_row(self._origin + p)
            for p in (pause - 1, len(self._committed) - 1)
        )
        self._due_row = last
        self._cut = _Cut(last, max(last + 1, space), in_pause=True)

    def _find_cut(self) -> None:
        """Set the due row to where the cut is."""
        cut, timeline = self._cut, self._timeline
        if cut is None:
            return
        timeline.prepare(cut.end)
        if cut.in_pause:
            # The sound of the made-up continuation begins about where the space does.
            heard = timeline.audible_rows(cut.start, max(cut.start + 1, cut.end - 1))
            self._due_row = min(heard[1] + self._rules.pause_rows, cut.end)
        else:
            self._due_row = timeline.quietest_row(cut.start, cut.end) + 1
        self._cut = None

    def _time_words(self, group: list[_PlacedUnit]) -> tuple[Word, ...]:
        """The words of `group` with their times, clipped to the samples rendered so far."""
        words = []
        # A word whose sound goes on in the next step ends where its phonemes do.
        now_ms = inf if self._is_due else 1000 * self._samples / self._sample_rate_hz
        row_ms, early = self._rules.row_ms, self._rules.early_rows
        for placed in group:
            if placed.unit.is_voiced:
                span = (self._origin + placed.first, self._origin + placed.behind)
                rows = map(self._timeline.first_row, span)
                heard = self._timeline.audible_rows(*(max(0, row - early) for row in rows))
                start, end = (min(max(row * row_ms, self._word_end_ms), now_ms) for row in heard)
                words.append(Word(placed.unit.start, placed.unit.end, start, end))
                self._word_end_ms = end
        return tuple(words)


def _with_pause(phonemes: str) -> str:
    """`phonemes`, which end in a space, with a comma before it unless there is a mark."""
    return phonemes[:-1] + ", " if phonemes[-2:-1] and is_sound(phonemes[-2]) else phonemes


def _tail(committed: str, length: int) -> str:
    """The last `length` phonemes at most, from a clause on, else a word, else anywhere."""
    if len(committed) <= length:
        return committed
    tail = committed[-length:]
    clause = _CLAUSE_END.search(tail, 0, length // 2)
    return tail[clause.end() if clause else tail.find(" ", 0, length // 2) + 1 :]
