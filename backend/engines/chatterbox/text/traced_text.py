"""A text that remembers, through every rewriting, where its characters came from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import SequenceMatcher

import regex


@dataclass(frozen=True, slots=True)
class TracedText:
    """`ends`: for each character of `text`, the end offset in the original of what it was made
    from. Never decreases.
    """

    text: str
    ends: tuple[int, ...]

    @classmethod
    def of(cls, text: str) -> TracedText:
        """The original itself."""
        return cls(text, tuple(range(1, len(text) + 1)))

    def end_at(self, size: int) -> int:
        """The end offset in the original of the first `size` characters."""
        return self.ends[size - 1] if size else 0

    def replace(self, old: str, new: str) -> TracedText:
        """As `str.replace`."""
        return self.sub(regex.escape(old), new) if old in self.text else self

    def sub(self, pattern: str | regex.Pattern[str], new: str) -> TracedText:
        """As `re.sub` with a literal replacement; the pattern matches no empty text."""
        parts: list[str] = []
        ends: list[int] = []
        done = 0
        for match in regex.finditer(pattern, self.text):
            parts += self.text[done : match.start()], new
            ends += self.ends[done : match.start()]
            ends += [self.end_at(match.end())] * len(new)
            done = match.end()
        return TracedText("".join((*parts, self.text[done:])), (*ends, *self.ends[done:]))

    def strip(self) -> TracedText:
        """Without spaces at both ends."""
        first = len(self.text) - len(self.text.lstrip())
        last = len(self.text.rstrip())
        return TracedText(self.text[first:last], self.ends[first:last])

    def prepend(self, text: str) -> TracedText:
        """With characters before it that no character of the original made."""
        return TracedText(text + self.text, (0,) * len(text) + self.ends)

    def append(self, text: str) -> TracedText:
        """With characters behind it that belong to its last."""
        return TracedText(self.text + text, self.ends + (self.end_at(len(self.text)),) * len(text))

    def map(self, rewrite: Callable[[str], str]) -> TracedText:
        """Rewrite a text by a function that hardly looks beyond one character, such as
        `str.lower`.
        """
        result = rewrite(self.text)
        sizes = [len(rewrite(character)) for character in self.text]
        if sum(sizes) != len(result):
            return self.rewrite(result)
        ends = (end for end, size in zip(self.ends, sizes, strict=True) for _ in range(size))
        return TracedText(result, tuple(ends))

    def rewrite(self, text: str) -> TracedText:
        """Another text for the same words. What both have in common is aligned; between, shares by
        length.
        """
        ends: list[int] = []
        match = SequenceMatcher(None, self.text, text, autojunk=False)
        for _, low, high, new_low, new_high in match.get_opcodes():
            count = new_high - new_low
            ends += [self.end_at(low + -(-(n + 1) * (high - low) // count)) for n in range(count)]
        return TracedText(text, tuple(ends))
