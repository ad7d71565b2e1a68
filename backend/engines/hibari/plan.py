"""What of a release is to be spoken next: which units, how far in the text, what is behind them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from backend.engines.base import Release
from backend.engines.hibari.phonemes import Unit, is_firm
from backend.engines.hibari.text_pieces import LONGEST, effort, window_end

_LEFT_CHARACTERS = 80  # of what was spoken, read again as context,
_LEFT_EFFORT = 300  # if that costs no more than so many characters
_RIGHT_EFFORT = 400  # read at once, in ordinary characters; of them
_LOOKAHEAD = 100  # are lookahead only, or a quarter of fewer
_NEW_PHONEMES = 260  # planned at once, with their spaces


@dataclass(slots=True)
class Plan:
    """Speak `units` and the text is spoken to `reach`. `rest` is known behind them. `more`: the
    release goes on behind `reach`, in another plan. `effort`: what reading it cost, in ordinary
    characters.
    """

    units: list[Unit] = field(default_factory=list)
    rest: list[Unit] = field(default_factory=list)
    reach: int = 0
    more: bool = False
    effort: int = 0

    @property
    def voiced(self) -> bool:
        """There is something to hear."""
        return any(unit.voiced for unit in self.units)

    @property
    def followed(self) -> bool:
        """A word is known behind the units, not only marks."""
        return any(unit.voiced for unit in self.rest)


def make_plan(release: Release, spoken_to: int, read: Callable[[str], list[Unit]]) -> Plan:
    """The next plan for `release` when its text was spoken up to `spoken_to`. `read` reads a text;
    it is given a bounded part of it, however long the sentence.
    """
    must = release.final or release.must_reach
    text, end = release.text, release.speak_to
    known = window_end(text, spoken_to, _RIGHT_EFFORT)
    units = _read_behind(text[:known], spoken_to, read)
    if must and any(u.start < end < u.end for u in units):
        text, known = text[:end], min(known, end)  # what comes behind will be read by itself
        units = _read_behind(text[:known], spoken_to, read)
    lookahead = min(_LOOKAHEAD, (known - spoken_to) // 4)
    trusted = known if known == len(text) else known - lookahead
    ready = _fitting([u for u in units if u.end <= end], trusted)
    more = len(ready) < len(units) and units[len(ready)].end <= end
    more = more or (known < len(text) and known < end)
    if not (must or more):
        while ready and not _may_end(text, units, len(ready)):
            ready.pop()
    rest = units[len(ready) :]
    reach = min(rest[0].start if rest else known, end)
    return Plan(ready, rest, max(reach, spoken_to), more, effort(text[spoken_to:known]))


def _may_end(text: str, units: list[Unit], count: int) -> bool:
    """Whether speech may stop behind the first `count` units: before another word, not before a
    mark ("word - and"), which makes a pause or none as the word behind it will tell, and not behind
    a word that this one reads.
    """
    rest, last = units[count:], units[count - 1]
    if last.doubtful and not any(u.voiced for u in rest):
        return False
    return any(u.voiced for u in rest or units) and is_firm(text, last.end)


def _read_behind(text: str, spoken_to: int, read: Callable[[str], list[Unit]]) -> list[Unit]:
    """The units behind `spoken_to`. One that reaches across it (the text grew on a word that had to
    be spoken) is read again without what was spoken.
    """
    start = _left_start(text, spoken_to)
    units = _shift(read(text[start:]), start)
    behind = [u for u in units if u.end > spoken_to]
    if behind and behind[0].start < spoken_to:
        behind = _shift(read(text[spoken_to:]), spoken_to)
    return behind


def _left_start(text: str, spoken_to: int) -> int:
    """Where to begin to read, so that what follows `spoken_to` knows what it follows: at a word,
    unless that is too far away or too hard to read.
    """
    nearest = max(0, spoken_to - _LEFT_CHARACTERS)
    furthest = max(0, nearest - LONGEST)
    start = text.rfind(" ", furthest, nearest) + 1 or furthest
    far = start > 0 and not text[start - 1].isspace()
    return spoken_to if far or effort(text[start:spoken_to]) > _LEFT_EFFORT else start


def _shift(units: list[Unit], by: int) -> list[Unit]:
    return [replace(u, start=u.start + by, end=u.end + by) for u in units]


def _fitting(units: list[Unit], trusted: int) -> list[Unit]:
    """The first of `units`, as many as are encoded at once; at least one."""
    phonemes = 0
    for n, unit in enumerate(units):
        phonemes += len(unit.phonemes) + 1
        if n and (phonemes > _NEW_PHONEMES or unit.end > trusted):
            return units[:n]
    return units
