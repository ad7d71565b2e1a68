"""The text that a client sent for one context, and when each character of it is heard.

Vendors tell characters or words with their times; the core tells spans of offsets and the times of
words. What lies between is kept here. Plain and synchronous.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from backend.events import Audio, Word


class Character(NamedTuple):
    """One code point, heard from `start_ms` to `end_ms` of the context's audio."""

    text: str
    start_ms: float
    end_ms: float


class Transcript:
    """What went to the core for one context and is not spoken yet."""

    def __init__(self, text: str = "") -> None:
        self._start = 0  # of what is kept, in the context's offsets
        self._characters = deque(text)

    def push(self, text: str) -> None:
        """More text went to the core."""
        self._characters.extend(text)

    def spoken(self, audio: Audio) -> list[Character]:
        """The characters that `audio` speaks, which leave the transcript."""
        first, end = audio.text
        assert first == self._start, "the spans of a context tile its text"
        text = "".join(self._characters.popleft() for _ in range(end - first))
        self._start = end
        return timed(text, audio)


def timed(text: str, audio: Audio) -> list[Character]:
    """The times of the characters in `text`, which is all that `audio` speaks.

    A word's characters share its time evenly, so do those between two words (spaces, what has no
    sound) the time between these. So the times tile: each character begins where the one before it
    ended, the last one ends with the audio.
    """
    end_ms = audio.start_ms + audio.duration_ms
    starts: list[float] = []
    at_ms = audio.start_ms
    for first, last, word in _inked(text, audio):
        assert first >= len(starts), "words do not overlap"
        begin_ms = min(max(word.start_ms, at_ms), end_ms)
        starts += _spread(first - len(starts), at_ms, begin_ms)
        at_ms = min(max(word.end_ms, begin_ms), end_ms)
        starts += _spread(last - first, begin_ms, at_ms)
    starts += _spread(len(text) - len(starts), at_ms, end_ms)
    spans = pairwise([*starts, end_ms])
    return [Character(c, start, end) for c, (start, end) in zip(text, spans, strict=True)]


def words(characters: Sequence[Character]) -> list[Character]:
    """The characters between white space, joined to words; all but the white space is in one."""
    found: list[Character] = []
    joined = False
    for character in characters:
        if character.text.isspace():
            joined = False
        elif joined:
            word = found[-1]
            found[-1] = Character(word.text + character.text, word.start_ms, character.end_ms)
        else:
            found.append(character)
            joined = True
    return found


def _inked(text: str, audio: Audio) -> Iterable[tuple[int, int, Word]]:
    """Each word with its place in `text`, the white space around it left out."""
    offset, size = audio.text[0], len(text)
    for word in audio.words or (Word(offset, offset + size, audio.start_ms, float("inf")),):
        first, last = max(0, word.start - offset), min(size, word.end - offset)
        while first < last and text[first].isspace():
            first += 1
        while first < last and text[last - 1].isspace():
            last -= 1
        if first < last:
            yield first, last, word


def _spread(count: int, start_ms: float, end_ms: float) -> list[float]:
    """Where `count` characters begin that share the time evenly."""
    return [start_ms + (end_ms - start_ms) * n / count for n in range(count)]
