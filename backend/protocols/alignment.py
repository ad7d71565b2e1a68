"""The text that a client sent for one context, and when each character of it is heard.

Vendors tell characters or words with their times; the core tells spans of offsets and the times of
words. What lies between is kept here. Plain and synchronous.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from backend.events import Audio, Word

_LONGEST_BYTES = 180_000  # in base64, with its characters, under 256 KiB


class Character(NamedTuple):
    """One code point, heard from `start_ms` to `end_ms` of the context's audio."""

    text: str
    start_ms: float
    end_ms: float


class Alignment:
    """What went to the core for one context and is not spoken yet."""

    def __init__(self, text: str = "") -> None:
        self.start = 0
        """Where what is kept begins, in the context's offsets."""
        self._characters = deque(text)

    def __len__(self) -> int:
        """Characters that are not spoken yet."""
        return len(self._characters)

    def push(self, text: str) -> None:
        """More text went to the core."""
        self._characters.extend(text)

    def spoken(self, audio: Audio) -> list[Character]:
        """The characters that `audio` speaks, which leave the transcript."""
        first, end = audio.text
        assert first == self.start, "the spans of a context tile its text"
        text = "".join(self._characters.popleft() for _ in range(end - first))
        self.start = end
        return timed(text, audio)


class LastAudio:
    """Joins what an encoder keeps back to the end, which speaks no text of its own, to the audio
    before it, so that no audio is told without the characters that are heard in it.

    Only the audio that speaks the end of a text is kept back, until that text is done: moments.
    """

    def __init__(self) -> None:
        self._held: Audio | None = None

    def push(self, audio: Audio, *, last: bool) -> list[Audio]:
        """What can be told, now that there is `audio`; `last`: no text is left behind it."""
        held = self._held
        if held is not None and _joinable(held, audio):
            self._held = replace(
                held, duration_ms=held.duration_ms + audio.duration_ms, data=held.data + audio.data
            )
            return []
        self._held = audio if last else None
        return [each for each in (held, None if last else audio) if each is not None]

    def end(self) -> list[Audio]:
        """What is left to be told: the text is done."""
        held, self._held = self._held, None
        return [] if held is None else [held]


def _joinable(held: Audio, audio: Audio) -> bool:
    silent = audio.text[0] == audio.text[1]
    return silent and len(held.data) + len(audio.data) <= _LONGEST_BYTES


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
