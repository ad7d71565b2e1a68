"""Character and word timings, computed from a context's text and its audio events.

Vendors report characters or words with times; the core reports text spans and word times. Plain
and synchronous.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from backend.events import Audio, Word
from backend.protocols.markup import HIDDEN

_MAX_MERGED_BYTES = 180_000  # base64 and the alignment then stay under 256 KiB


class Character(NamedTuple):
    """One code point, heard from `start_ms` to `end_ms` of the context's audio."""

    text: str
    start_ms: float
    end_ms: float


class Alignment:
    """The text sent to the core for one context and not yet spoken."""

    def __init__(self, text: str = "") -> None:
        self.start = 0
        """Context offset of the first unspoken character."""
        self._characters = deque(text)

    def __len__(self) -> int:
        """Number of unspoken characters."""
        return len(self._characters)

    def append_text(self, text: str) -> None:
        """Add text that was sent to the core, with markup hidden."""
        self._characters.extend(text)

    def pop_spoken(self, audio: Audio) -> list[Character]:
        """Remove and return the characters that `audio` speaks."""
        first, end = audio.text
        assert first == self.start, "the spans of a context tile its text"
        text = "".join(self._characters.popleft() for _ in range(end - first))
        self.start = end
        return _drop_hidden(_time_characters(text, audio), audio)


class TailMerger:
    """Merges an encoder's final flush, which has no text, into the audio before it, so that every
    message with audio has its characters.

    Holds only the audio of the end of a text, until `Done`.
    """

    def __init__(self) -> None:
        self._held: Audio | None = None

    def add_audio(self, audio: Audio, *, last: bool) -> list[Audio]:
        """Add `audio` and return what can be sent; `last`: no unspoken text follows it."""
        held = self._held
        if held is not None and _can_merge(held, audio):
            self._held = replace(
                held, duration_ms=held.duration_ms + audio.duration_ms, data=held.data + audio.data
            )
            return []
        self._held = audio if last else None
        return [ready for ready in (held, None if last else audio) if ready is not None]

    def flush(self) -> list[Audio]:
        """Return the held audio, once the text is done."""
        held, self._held = self._held, None
        return [] if held is None else [held]


def _can_merge(held: Audio, audio: Audio) -> bool:
    has_no_text = audio.text[0] == audio.text[1]
    return has_no_text and len(held.data) + len(audio.data) <= _MAX_MERGED_BYTES


def _time_characters(text: str, audio: Audio) -> list[Character]:
    """Time the characters of `text`, which is all the text of `audio`.

    The characters of a word share its time evenly; those between two words (spaces, characters
    without sound) share the time between them. The times tile: each character starts where the
    previous one ends, and the last one ends with the audio.
    """
    end_ms = audio.start_ms + audio.duration_ms
    starts: list[float] = []
    at_ms = audio.start_ms
    for first, last, word in _word_spans(text, audio):
        assert first >= len(starts), "words do not overlap"
        begin_ms = min(max(word.start_ms, at_ms), end_ms)
        starts += _spread_evenly(first - len(starts), at_ms, begin_ms)
        at_ms = min(max(word.end_ms, begin_ms), end_ms)
        starts += _spread_evenly(last - first, begin_ms, at_ms)
    starts += _spread_evenly(len(text) - len(starts), at_ms, end_ms)
    spans = pairwise([*starts, end_ms])
    return [Character(c, start, end) for c, (start, end) in zip(text, spans, strict=True)]


def join_words(characters: Sequence[Character]) -> list[Character]:
    """Join characters into words, split at white space."""
    joined: list[Character] = []
    in_word = False
    for character in characters:
        if character.text.isspace():
            in_word = False
        elif in_word:
            word = joined[-1]
            joined[-1] = Character(word.text + character.text, word.start_ms, character.end_ms)
        else:
            joined.append(character)
            in_word = True
    return joined


def _drop_hidden(characters: list[Character], audio: Audio) -> list[Character]:
    """Drop what is hidden; its time goes to the character before it, at the beginning to the next
    one. Sound without any character has a space.
    """
    shown: list[Character] = []
    for character in characters:
        if character.text != HIDDEN:
            shown.append(character)
        elif shown:
            shown[-1] = shown[-1]._replace(end_ms=character.end_ms)
    if shown and characters[0].text == HIDDEN:
        shown[0] = shown[0]._replace(start_ms=characters[0].start_ms)
    if not shown and characters and audio.duration_ms:
        return [Character(" ", audio.start_ms, audio.start_ms + audio.duration_ms)]
    return shown


def _word_spans(text: str, audio: Audio) -> Iterable[tuple[int, int, Word]]:
    """Yield each word with its span in `text`, without surrounding white space."""
    offset, size = audio.text[0], len(text)
    for word in audio.words or (Word(offset, offset + size, audio.start_ms, float("inf")),):
        first, last = max(0, word.start - offset), min(size, word.end - offset)
        while first < last and _is_silent(text[first]):
            first += 1
        while first < last and _is_silent(text[last - 1]):
            last -= 1
        if first < last:
            yield first, last, word


def _is_silent(character: str) -> bool:
    return character.isspace() or character == HIDDEN


def _spread_evenly(count: int, start_ms: float, end_ms: float) -> list[float]:
    """Start times of `count` characters that share the time evenly."""
    return [start_ms + (end_ms - start_ms) * n / count for n in range(count)]
