"""What the rules of markup see and answer. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from backend.text.markup.marks import Mark
from backend.text.reading.written_words import FILLER


class Undecided(Exception):
    """Text that may follow decides what a character is."""


@dataclass(slots=True)
class ReaderState:
    """Where the reader is. Copied to save it, so that all values are immutable."""

    ssml: bool
    held: str = ""  # not yet decided
    offset: int = 0  # of the first held character
    marks: int = 0  # number of decided marks
    last: str = "\n"  # the last raw character
    before_last: str = "\n"
    last_mask: str = "\n"
    line_is_blank: bool = True  # the masked line so far
    run: str = ""  # the character of a long run, the rest of which is silent
    silent: str = ""  # name of the element whose content is silent; "!": a comment
    fence: bool = False  # the rest of the line is silent
    target_depth: int = 0  # open parentheses of a link's target
    star_is_open: bool = False
    code_is_open: bool = False
    brackets: int = 0  # open ones
    address_is_open: bool = False  # the next ">" closes it
    superscript: bool = False
    is_at_start: bool = True  # nothing but spaces and declarations so far
    region_end: int = 0  # the text up to this offset has a mark of its own: it is literal
    prosody: tuple[tuple[float, float], ...] = ((1.0, 1.0),)  # rate, volume of open elements
    languages: tuple[str, ...] = ("",)  # of open elements

    @property
    def is_in_region(self) -> bool:
        """Whether the next character is literal."""
        return self.offset < self.region_end

    def add_decided(self, raw: str, mask: str) -> str:
        """Count `raw` as decided; returns its mask, with `FILLER` only inside and behind words:
        elsewhere it would be a word of its own.
        """
        if FILLER in mask:
            mask = self._replace_outer_fillers(mask)
        self.offset += len(raw)
        self.is_at_start = self.is_at_start and mask.isspace()
        self.before_last = raw[-2] if len(raw) > 1 else self.last
        self.last, self.last_mask = raw[-1], mask[-1]
        if "\n" in mask:
            line = mask[mask.rindex("\n") + 1 :]
            self.line_is_blank = not line or line.isspace()
            self.star_is_open = self.code_is_open = False
            self.brackets = 0
        elif self.line_is_blank:
            self.line_is_blank = mask.isspace()
        if self.address_is_open and any(map(str.isspace, raw)):
            self.address_is_open = False
        return mask

    def _replace_outer_fillers(self, mask: str) -> str:
        fixed, before = [], self.last_mask
        for character in mask:
            if character == FILLER and before.isspace():
                character = " "
            fixed.append(character)
            before = character
        return "".join(fixed)


@dataclass(frozen=True, slots=True)
class Ahead:
    """The held text from `at` on."""

    text: str
    at: int
    final: bool

    def peek(self, ahead: int = 1) -> str:
        """The character `ahead` of it; "" behind the end of a final text. Raises `Undecided`."""
        at = self.at + ahead
        if at < len(self.text):
            return self.text[at]
        if not self.final:
            raise Undecided
        return ""

    def count_run(self, most: int) -> int:
        """How often the character at `at` is repeated, at most `most`. Raises `Undecided`."""
        character, count = self.text[self.at], 1
        while count < most and self.peek(count) == character:
            count += 1
        return count

    @property
    def room(self) -> int:
        """The number of characters from `at` on."""
        return len(self.text) - self.at


@dataclass(frozen=True, slots=True)
class Token:
    """The next characters, as many as `mask` has: `FILLER` for those that are not there."""

    mask: str
    marks: tuple[Mark, ...] = ()


def keep(ahead: Ahead, count: int = 1) -> Token:
    """The characters as they are."""
    return Token(ahead.text[ahead.at : ahead.at + count])


def blank(count: int = 1) -> Token:
    """Spaces: words before and behind are two."""
    return Token(" " * count)


def remove(count: int = 1) -> Token:
    """Nothing: the word goes on behind it."""
    return Token(FILLER * count)


def separate(ahead: Ahead, state: ReaderState, count: int) -> Token:
    """Spaces between two words, else nothing. Raises `Undecided`."""
    after = ahead.peek(count) if state.last.isalnum() else ""
    is_inside = after.isalnum() or after == "<"
    return blank(count) if is_inside else remove(count)
