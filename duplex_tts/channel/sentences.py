"""Text that arrives, cut into whole sentences: for a server that can only be asked for all of one.

Plain and synchronous.
"""

from __future__ import annotations

import re

import sentencex

LONGEST = 400  # characters; a sentence without an end is cut at a space before that

_SPACE = re.compile(r"\s")  # sentencex 1.0.32 panics at "A", a no-break space, "."


class Sentences:
    """Takes text, gives sentences; their sum is the text."""

    def __init__(self, language: str | None = None) -> None:
        self._language = (language or "en").partition("-")[0]
        self._open = ""
        self.taken = 0  # characters that were given away

    @property
    def length(self) -> int:
        """Of the whole text."""
        return self.taken + len(self._open)

    def push(self, text: str) -> list[str]:
        """More text. Returns the sentences that are surely finished by it."""
        self._open += text
        sizes = [len(each) for each in self._segments()]
        finished = [self._take(size) for size in sizes[:-1]]
        while len(self._open) > LONGEST:
            finished.append(self._take(self._open.rfind(" ", 1, LONGEST) + 1 or LONGEST))
        return finished

    def rest(self) -> list[str]:
        """What there is, finished or not."""
        return [self._take(len(self._open))] if self._open else []

    def retract(self, to: int) -> int:
        """Drop the text from this offset on, where it was not given away. Returns from where."""
        to = min(max(to, self.taken), self.length)
        self._open = self._open[: to - self.taken]
        return to

    def _segments(self) -> list[str]:
        return list(sentencex.segment(self._language, _SPACE.sub(" ", self._open)))

    def _take(self, size: int) -> str:
        taken, self._open = self._open[:size], self._open[size:]
        self.taken += size
        return taken
