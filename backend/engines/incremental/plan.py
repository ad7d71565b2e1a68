"""Chooses the next units of a release to speak, and their lookahead."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from backend.engines.base import Release
from backend.engines.incremental.units import Unit, UnitReader

_LEFT_CHARACTERS = 80  # of spoken text read again as context,
_LEFT_EFFORT = 300  # if that costs at most this, in ordinary characters
_RIGHT_EFFORT = 400  # of text read at once, in ordinary characters
_LOOKAHEAD = 100  # characters of it used as lookahead only, or a quarter if it is shorter
_MARKS_BEHIND = re.compile(r"\W*$")


@dataclass(slots=True)
class SpeechPlan:
    """The `units` to speak, which end at `reach` in the text, and the known `rest` behind them.
    `more`: the release continues behind `reach`, in another plan. `effort`: the cost of reading
    it, in ordinary characters.
    """

    units: list[Unit] = field(default_factory=list)
    rest: list[Unit] = field(default_factory=list)
    reach: int = 0
    has_more: bool = False
    effort: int = 0

    @property
    def is_voiced(self) -> bool:
        """Whether it has sound."""
        return any(unit.is_voiced for unit in self.units)

    @property
    def is_followed(self) -> bool:
        """Whether a word, not only marks, is known behind the units."""
        return any(unit.is_voiced for unit in self.rest)


def make_plan(
    release: Release, spoken_to: int, reader: UnitReader, most_phonemes: int
) -> SpeechPlan:
    """The next plan for `release`, whose text is spoken up to `spoken_to`. `reader`
    gets a bounded part, however long the sentence. `most_phonemes`: planned at once, spaces
    included.
    """
    must = release.final or release.must_reach
    text, end = release.text, release.speak_to
    known = reader.window_end(text, spoken_to, _RIGHT_EFFORT)
    given = release.pronunciations
    units = pronounce(_read_behind(text[:known], spoken_to, reader), given)
    if must and any(u.start < end < u.end for u in units):
        text, known = text[:end], min(known, end)  # the text behind will be read separately
        units = pronounce(_read_behind(text[:known], spoken_to, reader), given)
    lookahead = min(_LOOKAHEAD, (known - spoken_to) // 4)
    trusted = known if known == len(text) else known - lookahead
    ready = _take_fitting([u for u in units if u.end <= end], trusted, most_phonemes)
    more = len(ready) < len(units) and units[len(ready)].end <= end
    more = more or (known < len(text) and known < end)
    if not (must or more):
        while ready and not _may_end(units, len(ready)):
            ready.pop()
    rest = units[len(ready) :]
    reach = min(rest[0].start if rest else known, end)
    return SpeechPlan(
        ready, rest, max(reach, spoken_to), more, reader.effort(text[spoken_to:known])
    )


def pronounce(units: list[Unit], pronunciations: Mapping[int, str]) -> list[Unit]:
    """`units`, with the phonemes that are given for some of them, by where they start; the marks
    behind a word stay.
    """
    if not pronunciations:
        return units
    return [
        replace(unit, phonemes=given + _MARKS_BEHIND.findall(unit.phonemes)[0])
        if (given := pronunciations.get(unit.start))
        else unit
        for unit in units
    ]


def _may_end(units: list[Unit], count: int) -> bool:
    """Whether speech may stop behind the first `count` units: not before a mark ("word - and"),
    whose pause depends on the word behind it, and not where the next word may change the reading.
    """
    rest, last = units[count:], units[count - 1]
    if last.is_doubtful and not any(u.is_voiced for u in rest):
        return False
    return any(u.is_voiced for u in rest or units)


def _read_behind(text: str, spoken_to: int, reader: UnitReader) -> list[Unit]:
    """The units behind `spoken_to`. If one crosses it (a word that had to be spoken has grown), the
    text behind `spoken_to` is read again by itself.
    """
    start = _left_start(text, spoken_to, reader)
    units = _shift(reader.read_units(text[start:]), start)
    behind = [u for u in units if u.end > spoken_to]
    if behind and behind[0].start < spoken_to:
        behind = _shift(reader.read_units(text[spoken_to:]), spoken_to)
    return behind


def _left_start(text: str, spoken_to: int, reader: UnitReader) -> int:
    """Where to start reading, so that the text behind `spoken_to` has left context: at a word,
    unless that is too far away or too expensive to read.
    """
    nearest = max(0, spoken_to - _LEFT_CHARACTERS)
    furthest = max(0, nearest - reader.longest)
    start = text.rfind(" ", furthest, nearest) + 1 or furthest
    far = start > 0 and not text[start - 1].isspace()
    costly = far or reader.effort(text[start:spoken_to]) > _LEFT_EFFORT
    return spoken_to if costly else start


def _shift(units: list[Unit], by: int) -> list[Unit]:
    return [replace(u, start=u.start + by, end=u.end + by) for u in units]


def _take_fitting(units: list[Unit], trusted: int, most_phonemes: int) -> list[Unit]:
    """The first of `units`, as many as can be encoded at once; at least one."""
    phonemes = 0
    for n, unit in enumerate(units):
        phonemes += len(unit.phonemes) + 1
        if n and (phonemes > most_phonemes or unit.end > trusted):
            return units[:n]
    return units
