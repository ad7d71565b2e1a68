"""Which words of a clause the words that espeak-ng said belong to. Pure."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

_MOST_JOINED = 4  # words that are said as one
_MOST_SAID = 24  # words said for one: a number
_STRANGE = 8  # phonemes too many for a word, besides those of the word itself
_MOST_WAYS = 12  # pursued at a word: the cost of a clause grows with its words, not their square
_STRESS = str.maketrans("", "", "ˈˌː -")

Group = tuple[int, int, int, int]
"""Words [from, to) are said by the sounds [from, to)."""


class _Way(NamedTuple):
    """The cheapest tiling up to a word and a sound: its cost and its last group."""

    cost: float
    group: Group | None


def align_words(
    words: Sequence[str], said: Sequence[str], read_alone: Callable[[str], str]
) -> list[Group]:
    """Groups that tile the `words` and the sounds `said`, in order. `read_alone`: the sounds of a
    word by itself, asked for only if the numbers differ or a number is among the words.
    """
    voiced = [n for n, word in enumerate(words) if any(c.isalnum() for c in word)]
    plain = not any(c.isdigit() for word in words for c in word)
    if len(words) == 1:
        return [(0, 1, 0, len(said))]
    if len(voiced) == len(said) and plain:
        return _fill_silent(words, {n: (n + 1, at, at + 1) for at, n in enumerate(voiced)}, said)
    alone = [Counter(read_alone(word).translate(_STRESS)) for word in words]
    sounds = [Counter(sound.translate(_STRESS)) for sound in said]
    return _find_cheapest(alone, sounds)


def _fill_silent(
    words: Sequence[str], groups: dict[int, tuple[int, int, int]], said: Sequence[str]
) -> list[Group]:
    filled, at = [], 0
    for n in range(len(words)):
        behind, start, end = groups.get(n, (n + 1, at, at))
        filled.append((n, behind, start, end))
        at = end
    return filled


def _find_cheapest(alone: list[Counter[str]], sounds: list[Counter[str]]) -> list[Group]:
    """The tiling whose groups sound most like their words alone."""
    best: dict[int, dict[int, _Way]] = {0: {0: _Way(0.0, None)}}
    for i in range(len(alone)):
        ways = best.get(i, {})
        for j in heapq.nsmallest(_MOST_WAYS, ways, key=lambda at: ways[at].cost):
            _extend_from(i, j, best, alone, sounds)
    groups: list[Group] = []
    i, j = len(alone), len(sounds)
    if j not in best.get(i, {}):
        return [(0, i, 0, j)]
    while (group := best[i][j].group) is not None:
        groups.append(group)
        i, j = group[0], group[2]
    return groups[::-1]


def _extend_from(
    i: int,
    j: int,
    best: dict[int, dict[int, _Way]],
    alone: list[Counter[str]],
    sounds: list[Counter[str]],
) -> None:
    cost = best[i][j].cost
    expected: Counter[str] = Counter()
    for behind in range(i + 1, min(i + _MOST_JOINED, len(alone)) + 1):
        expected = expected + alone[behind - 1]
        ways = best.setdefault(behind, {})
        missing = expected.copy()  # what is expected more often than heard; below 0: heard more
        differs = expected.total()
        most = _MOST_SAID if behind == i + 1 else 1
        for end in range(j, min(j + most, len(sounds)) + 1):
            for sound, count in sounds[end - 1].items() if end > j else ():
                differs += abs(missing[sound] - count) - abs(missing[sound])
                missing[sound] -= count
            if differs > expected.total() + _STRANGE:
                break  # the sounds of later words, too
            if end == j and behind > i + 1:
                continue
            total = cost + differs + 0.1 * (behind - i - 1)
            if end not in ways or total < ways[end].cost:
                ways[end] = _Way(total, (i, behind, j, end))
