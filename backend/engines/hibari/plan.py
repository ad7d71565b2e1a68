"""Chooses the next units of a release to speak, and their lookahead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from backend.engines.base import Release
from backend.engines.hibari.firm_words import is_firm
from backend.engines.hibari.phonemes import Unit
from backend.engines.hibari.text_pieces import LONGEST, effort, window_end

_LEFT_CHARACTERS = 80  # of spoken text read again as context,
_LEFT_EFFORT = 300  # if that costs at most this, in ordinary characters
_RIGHT_EFFORT = 400  # of text read at once, in ordinary characters
_LOOKAHEAD = 100  # characters of it used as lookahead only, or a quarter if it is shorter
_NEW_PHONEMES = 260  # planned at once, spaces included


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


def make_plan(release: Release, spoken_to: int, read: Callable[[str], list[Unit]]) -> SpeechPlan:
    """The next plan for `release`, whose text is spoken up to `spoken_to`. `read` turns text into
    units; it gets a bounded part, however long the sentence.
    """
    must = release.final or release.must_reach
    text, end = release.text, release.speak_to
    known = window_end(text, spoken_to, _RIGHT_EFFORT)
    units = _read_behind(text[:known], spoken_to, read)
    if must and any(u.start < end < u.end for u in units):
        text, known = text[:end], min(known, end)  # the text behind will be read separately
        units = _read_behind(text[:known], spoken_to, read)
    lookahead = min(_LOOKAHEAD, (known - spoken_to) // 4)
    trusted = known if known == len(text) else known - lookahead
    ready = _take_fitting([u for u in units if u.end <= end], trusted)
    more = len(ready) < len(units) and units[len(ready)].end <= end
    more = more or (known < len(text) and known < end)
    if not (must or more):
        while ready and not _may_end(text, units, len(ready)):
            ready.pop()
    rest = units[len(ready) :]
    reach = min(rest[0].start if rest else known, end)
    return SpeechPlan(ready, rest, max(reach, spoken_to), more, effort(text[spoken_to:known]))


def _may_end(text: str, units: list[Unit], count: int) -> bool:
    """Whether speech may stop behind the first `count` units: not before a mark ("word - and"),
    whose pause depends on the word behind it, and not where the next word may change the reading.
    """
    rest, last = units[count:], units[count - 1]
    if last.is_doubtful and not any(u.is_voiced for u in rest):
        return False
    return any(u.is_voiced for u in rest or units) and is_firm(text, last.end)


def _read_behind(text: str, spoken_to: int, read: Callable[[str], list[Unit]]) -> list[Unit]:
    """The units behind `spoken_to`. If one crosses it (a word that had to be spoken has grown), the
    text behind `spoken_to` is read again by itself.
    """
    start = _left_start(text, spoken_to)
    units = _shift(read(text[start:]), start)
    behind = [u for u in units if u.end > spoken_to]
    if behind and behind[0].start < spoken_to:
        behind = _shift(read(text[spoken_to:]), spoken_to)
    return behind


def _left_start(text: str, spoken_to: int) -> int:
    """Where to start reading, so that the text behind `spoken_to` has left context: at a word,
    unless that is too far away or too expensive to read.
    """
    nearest = max(0, spoken_to - _LEFT_CHARACTERS)
    furthest = max(0, nearest - LONGEST)
    start = text.rfind(" ", furthest, nearest) + 1 or furthest
    far = start > 0 and not text[start - 1].isspace()
    return spoken_to if far or effort(text[start:spoken_to]) > _LEFT_EFFORT else start


def _shift(units: list[Unit], by: int) -> list[Unit]:
    return [replace(u, start=u.start + by, end=u.end + by) for u in units]


def _take_fitting(units: list[Unit], trusted: int) -> list[Unit]:
    """The first of `units`, as many as can be encoded at once; at least one."""
    phonemes = 0
    for n, unit in enumerate(units):
        phonemes += len(unit.phonemes) + 1
        if n and (phonemes > _NEW_PHONEMES or unit.end > trusted):
            return units[:n]
    return units
