"""A sequence of a screen reader - text, indexes, letters, pauses - as one text for the server, and
the server's audio cut at the indexes. Synchronous, no I/O, the standard library alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape

from .speech_client import SAMPLE_RATE_HZ, Audio


@dataclass(frozen=True)
class Index:
    """Reached when everything before it was heard."""

    number: int


@dataclass(frozen=True)
class Letters:
    """From here on text is read letter by letter, or no longer."""

    on: bool


@dataclass(frozen=True)
class Pause:
    """Silence."""

    ms: int


Item = str | Index | Letters | Pause


def build_text(items: list[Item]) -> tuple[str, list[tuple[int, int]]]:
    """Return the SSML, and the indexes as (offset in it, number), in order."""
    parts: list[str] = []
    indexes: list[tuple[int, int]] = []
    length, letters = 0, False
    for item in items:
        if isinstance(item, str):
            item = _join_surrogates(item)
        part = ""
        if isinstance(item, Index):
            indexes.append((length, item.number))
        elif isinstance(item, Letters):
            letters = item.on
        elif isinstance(item, Pause):
            part = f'<break time="{item.ms}ms"/>'
        elif letters and item.strip():
            part = f'<say-as interpret-as="characters">{escape(item)}</say-as> '
        else:
            part = escape(item) + " "
        parts.append(part)
        length += len(part)
    return "".join(parts), indexes


def _join_surrogates(text: str) -> str:
    """Windows' text may have halves of characters, which the server refuses."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def has_speech(items: list[Item]) -> bool:
    """Whether there is text to speak."""
    return any(isinstance(item, str) and item.strip() for item in items)


def cut_at_indexes(
    audio: Iterator[Audio], indexes: list[tuple[int, int]]
) -> Iterator[bytes | Index]:
    """Yield samples and the indexes between them: each before the word that it stands before."""
    waiting = deque(indexes)
    for each in audio:
        done = 0
        for start, start_ms in each.words:
            while waiting and waiting[0][0] <= start:
                at = min(len(each.pcm), 2 * round(start_ms * SAMPLE_RATE_HZ / 1000))
                if at > done:
                    yield each.pcm[done:at]
                    done = at
                yield Index(waiting.popleft()[1])
        if each.pcm[done:]:
            yield each.pcm[done:]
    for _, number in waiting:
        yield Index(number)
