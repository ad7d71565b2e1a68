"""Splits arriving text into whole sentences, for `http_channel`. Synchronous."""

from __future__ import annotations

import re

import sentencex

LONGEST = 400  # characters; a longer sentence is cut at a space before that

_SPACE = re.compile(r"\s")  # sentencex 1.0.32 panics at "A", a no-break space, "."


class SentenceSplitter:
    """Splits text into sentences, which concatenate to the text."""

    def __init__(self, language: str | None = None) -> None:
        self._language = (language or "en").partition("-")[0]
        self._open = ""
        self.taken = 0  # characters returned as sentences

    @property
    def length(self) -> int:
        """Length of the whole text."""
        return self.taken + len(self._open)

    def push_text(self, text: str) -> list[str]:
        """Append text. Returns the sentences that are complete now."""
        self._open += text
        sizes = [len(segment) for segment in self._segments()]
        finished = [self._take_text(size) for size in sizes[:-1]]
        while len(self._open) > LONGEST:
            finished.append(self._take_text(self._open.rfind(" ", 1, LONGEST) + 1 or LONGEST))
        return finished

    def take_rest(self) -> list[str]:
        """Return the unfinished sentence, if any."""
        return [self._take_text(len(self._open))] if self._open else []

    def retract_to(self, to: int) -> int:
        """Drop the text from offset `to` on, except sentences returned. Returns from where."""
        to = min(max(to, self.taken), self.length)
        self._open = self._open[: to - self.taken]
        return to

    def _segments(self) -> list[str]:
        return list(sentencex.segment(self._language, _SPACE.sub(" ", self._open)))

    def _take_text(self, size: int) -> str:
        taken, self._open = self._open[:size], self._open[size:]
        self.taken += size
        return taken
