"""Groups words into subtitles: at most two lines, 1 to 7 s, broken where the sense is.

The breaks are those of the least total cost, found by dynamic programming over all words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rich.cells import cell_len

from duplex_tts.subtitles.shown_words import LINE_CELLS, ShownWord

SHORTEST_MS = 1_000
LONGEST_MS = 7_000
LINGER_MS = 200
"""A cue stays this long after its last word, if there is room."""

FLICKER_MS = 125
"""A shorter pause between two cues is closed."""

_SENTENCE_END = re.compile(r"[.!?…。！？؟۔।]+[\"'”’»)\]」』]*$")
_CLAUSE_END = re.compile(r"[,;:，、；：،؛—–-][\"'”’»)\]」』]*$|[)\]」』]$")
_SENTENCE_PAUSE_MS = 150  # after "Dr." there is less
_CLAUSE_PAUSE_MS = 250
_LONG_PAUSE_MS = 1_500

_CLAUSE_SHIFT = 15  # cells by which a line may be longer to end with a clause

# Costs of a cue and of its breaks.
_CUE = 2.0
_AT_CLAUSE = 4.0
_AT_WORD = 10.0
_SENTENCE_INSIDE = 6.0
_PARAGRAPH_INSIDE = 14.0
_TOO_SHORT = 12.0


@dataclass(frozen=True, slots=True)
class Cue:
    """Lines shown from `start_ms` to `end_ms`."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]


def group_cues(words: Sequence[ShownWord], audio_ms: float) -> list[Cue]:
    """Group words into cues in order, which never overlap and never end after the audio.

    A cue is longer than `LONGEST_MS` only if one word is, and shorter than `SHORTEST_MS` only if
    there is no more time. Takes about 50 ms for 1,000 words.
    """
    first_of = _find_breaks(words, _break_costs(words), round(audio_ms))
    bounds = [len(words)]
    while bounds[-1]:
        bounds.append(first_of[bounds[-1]])
    bounds.reverse()
    cues: list[Cue] = []
    for first, end in pairwise(bounds):
        room_to_ms = words[end].start_ms if end < len(words) else round(audio_ms)
        cues.append(_create_cue(words[first:end], room_to_ms, cues[-1].end_ms if cues else 0))
    return cues


def _break_costs(words: Sequence[ShownWord]) -> list[float]:
    """The cost of a break after each word; 0 at the end of a sentence."""
    costs = []
    for index, word in enumerate(words):
        following = words[index + 1] if index + 1 < len(words) else None
        pause_ms = following.start_ms - word.end_ms if following else _LONG_PAUSE_MS
        ends_sentence = _SENTENCE_END.search(word.text) and pause_ms >= _SENTENCE_PAUSE_MS
        if following is None or following.begins_paragraph or ends_sentence:
            costs.append(0.0)
        elif _ends_clause(word) or pause_ms >= _CLAUSE_PAUSE_MS:
            costs.append(_AT_CLAUSE)
        else:
            costs.append(_AT_WORD)
    return costs


def _find_breaks(
    words: Sequence[ShownWord], break_costs: Sequence[float], audio_ms: int
) -> list[int]:
    """For each end (exclusive) of a cue, the index of its first word on the cheapest way there."""
    totals = [0.0] + [float("inf")] * len(words)
    first_of = [0] * (len(words) + 1)
    widths = [cell_len(word.text) for word in words]
    for first, word in enumerate(words):
        inside = 0.0
        for end in _possible_ends(words, widths, first):
            if end - first > 1:
                inside += _cost_inside(words, break_costs, end - 2)
            room_to_ms = words[end].start_ms if end < len(words) else audio_ms
            short = room_to_ms - word.start_ms < SHORTEST_MS
            total = totals[first] + _CUE + inside + break_costs[end - 1] + _TOO_SHORT * short
            if total < totals[end]:
                totals[end], first_of[end] = total, first
    return first_of


def _possible_ends(words: Sequence[ShownWord], widths: Sequence[int], first: int) -> Iterator[int]:
    """The ends of cues from this word on that fit in two lines and in `LONGEST_MS`."""
    line, lines = widths[first], 1
    yield first + 1
    for index in range(first + 1, len(words)):
        line += widths[index] + words[index].spaced
        if line > LINE_CELLS:
            line, lines = widths[index], lines + 1
        if lines > 2 or words[index].end_ms - words[first].start_ms > LONGEST_MS:
            return
        yield index + 1


def _cost_inside(words: Sequence[ShownWord], break_costs: Sequence[float], index: int) -> float:
    """The cost of not breaking after this word."""
    following = words[index + 1]
    cost = _SENTENCE_INSIDE if break_costs[index] == 0 else 0.0
    if following.begins_paragraph:
        cost = _PARAGRAPH_INSIDE
    if following.start_ms - words[index].end_ms >= _LONG_PAUSE_MS:
        cost += _PARAGRAPH_INSIDE
    return cost


def _ends_clause(word: ShownWord) -> bool:
    return bool(_CLAUSE_END.search(word.text) or _SENTENCE_END.search(word.text))


def _create_cue(words: Sequence[ShownWord], room_to_ms: int, from_ms: int) -> Cue:
    """Show the words from the first on (not before `from_ms`), until `room_to_ms` at most."""
    start_ms = max(words[0].start_ms, from_ms)
    spoken_to_ms = words[-1].end_ms
    end_ms = max(spoken_to_ms + LINGER_MS, start_ms + SHORTEST_MS)
    end_ms = max(spoken_to_ms, min(end_ms, start_ms + LONGEST_MS))
    if end_ms > room_to_ms - FLICKER_MS and room_to_ms <= start_ms + LONGEST_MS:
        end_ms = room_to_ms
    return Cue(start_ms, max(min(end_ms, room_to_ms), start_ms + 1), _wrap(words))


def _wrap(words: Sequence[ShownWord]) -> tuple[str, ...]:
    """One line, or two of about the same width, broken behind a clause near the middle."""
    widths = [cell_len(word.text) + (word.spaced and index > 0) for index, word in enumerate(words)]
    if sum(widths) <= LINE_CELLS:
        return (_join(words),)
    costs = {}
    for index in range(1, len(words)):
        lines = sum(widths[:index]), sum(widths[index:]) - words[index].spaced
        if max(lines) <= LINE_CELLS:
            costs[index] = abs(lines[0] - lines[1]) - _CLAUSE_SHIFT * _ends_clause(words[index - 1])
    index = min(costs, key=costs.__getitem__)
    return _join(words[:index]), _join(words[index:])


def _join(words: Sequence[ShownWord]) -> str:
    return "".join(
        (" " if word.spaced and index else "") + word.text for index, word in enumerate(words)
    )
