"""Which words of a clause the words that espeak-ng said belong to. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

_MOST_JOINED = 4  # words that are said as one
_MOST_SAID = 24  # words said for one: a number
_STRESS = str.maketrans("", "", "ˈˌː -")

Group = tuple[int, int, int, int]
"""Words [from, to) are said by the sounds [from, to)."""


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
    best: dict[tuple[int, int], tuple[float, Group | None]] = {(0, 0): (0.0, None)}
    for i in range(len(alone) + 1):
        for j in range(len(sounds) + 1):
            if (i, j) in best:
                _extend_from(i, j, best, alone, sounds)
    groups: list[Group] = []
    at = (len(alone), len(sounds))
    if at not in best:
        return [(0, len(alone), 0, len(sounds))]
    while (group := best[at][1]) is not None:
        groups.append(group)
        at = (group[0], group[2])
    return groups[::-1]


def _extend_from(
    i: int,
    j: int,
    best: dict[tuple[int, int], tuple[float, Group | None]],
    alone: list[Counter[str]],
    sounds: list[Counter[str]],
) -> None:
    cost = best[i, j][0]
    expected: Counter[str] = Counter()
    for behind in range(i + 1, min(i + _MOST_JOINED, len(alone)) + 1):
        expected = expected + alone[behind - 1]
        heard: Counter[str] = Counter()
        most = _MOST_SAID if behind == i + 1 else 1
        for end in range(j, min(j + most, len(sounds)) + 1):
            heard = heard + sounds[end - 1] if end > j else heard
            if end == j and behind > i + 1:
                continue
            differs = (expected - heard).total() + (heard - expected).total()
            total = cost + differs + 0.1 * (behind - i - 1)
            if total < best.get((behind, end), (float("inf"), None))[0]:
                best[behind, end] = (total, (i, behind, j, end))
