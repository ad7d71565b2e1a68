"""Reads the markup of a text that arrives in any pieces. Pure.

Each rule looks at the held text and decides about its first characters, or raises `Undecided`. No
answer may change with more text; so the masked text does not depend on the pieces.
"""

from __future__ import annotations

import re
from copy import copy
from dataclasses import dataclass

from backend.text.markup import markdown
from backend.text.markup.characters import read_character, read_superscript
from backend.text.markup.html import read_ampersand, read_less
from backend.text.markup.links import read_link_target
from backend.text.markup.marks import Mark
from backend.text.markup.silent import read_silent
from backend.text.markup.state import Ahead, ReaderState, Token, Undecided, blank, keep, remove

_PLAIN = re.compile(r"[A-Za-z0-9 \t\n.,;?\"'()%$/@{}^]+")  # nothing in it can be a mark


@dataclass(frozen=True, slots=True)
class MarkupOptions:
    """`ssml`: SSML and its relatives (Cartesia's and ElevenLabs' tags) are carried out, also if the
    text does not begin with `<speak>`.
    """

    ssml: bool = False


class MarkupReader:
    """The markup of one context. `marks`: decided ones, in order."""

    def __init__(self, options: MarkupOptions | None = None) -> None:
        self._state = ReaderState(ssml=(options or MarkupOptions()).ssml)
        self.marks: list[Mark] = []

    @property
    def held(self) -> int:
        """Characters not yet decided; at most about 700."""
        return len(self._state.held)

    def push_text(self, raw: str) -> str:
        """Add text. Returns the mask of what is decided now, of the held text first."""
        self._state.held += raw
        return self._read_held(final=False)

    def end_text(self) -> str:
        """Decide all of the held text as if no more followed; more may follow."""
        return self._read_held(final=True)

    def save_state(self) -> ReaderState:
        """The state, for `restore_state`. It does not change."""
        self._state.marks = len(self.marks)
        return copy(self._state)

    def restore_state(self, state: ReaderState) -> None:
        """Go back to a saved state, to read from there again."""
        self._state = copy(state)
        del self.marks[state.marks :]

    def _read_held(self, *, final: bool) -> str:
        state, at = self._state, 0
        text, masks = state.held, []
        while at < len(text):
            try:
                token = self._read_next(self._look_ahead(text, at, final=final))
            except Undecided:
                break
            self.marks += token.marks
            size = len(token.mask)
            masks.append(state.add_decided(text[at : at + size], token.mask))
            at += size
        state.held = text[at:]
        return "".join(masks)

    def _look_ahead(self, text: str, at: int, *, final: bool) -> Ahead:
        """In a region no further than to its end: it is decided as a whole."""
        left = self._state.region_end - self._state.offset
        return Ahead(text[at : at + left], 0, True) if left > 0 else Ahead(text, at, final)

    def _read_next(self, ahead: Ahead) -> Token:
        state = self._state
        character = ahead.text[ahead.at]
        if state.silent:
            return read_silent(ahead, state)
        if state.run:
            if character == state.run:
                return remove() if character == "`" else blank()
            state.run = ""
        if state.fence:
            if character != "\n":
                return blank()
            state.fence = False
        if state.target_depth and (token := read_link_target(ahead, state)):
            return token
        return self._read_text(ahead, character)

    def _read_text(self, ahead: Ahead, character: str) -> Token:
        state = self._state
        if state.superscript and character in "0123456789+-−":
            return Token(read_superscript(ahead))
        if plain := _PLAIN.match(ahead.text, ahead.at):
            return Token(plain[0][:1] if state.superscript else plain[0])
        if token := self._read_mark(ahead, character):
            return token
        is_symbol = " " <= character < "\x7f" and not character.isalpha()
        return keep(ahead) if is_symbol else read_character(ahead, state)

    def _read_mark(self, ahead: Ahead, character: str) -> Token | None:
        state = self._state
        if character == "<":
            return read_less(ahead, state)
        if character == "&":
            return read_ampersand(ahead, state)
        if state.is_in_region:
            return None
        if character in markdown.RUNS and (token := markdown.read_long_run(ahead, state)):
            return token
        rule = markdown.RULES.get(character)
        return rule(ahead, state) if rule else None
