"""Markdown's brackets and links: the text is read, the target is silent. Pure."""

from __future__ import annotations

import re

from backend.text.markup.brackets import read_bracket_mark
from backend.text.markup.state import Ahead, ReaderState, Token, Undecided, blank, remove

_TITLE = re.compile(r"[ \t]{1,9}(?:\"[^\"\n]{0,200}\"|'[^'\n]{0,200}')[ \t]{0,9}\)")
_OPEN_TITLE = re.compile(r"[ \t]{1,9}(?:\"[^\"\n]{0,200}|'[^'\n]{0,200})?\Z")
_CLOSED_TITLE = re.compile(r"[ \t]{1,9}(?:\"[^\"\n]{0,200}\"|'[^'\n]{0,200}')[ \t]{0,9}\Z")
_TARGET = re.compile(r"[^\s()]+")


def read_open_bracket(ahead: Ahead, state: ReaderState) -> Token | None:
    """A link's text, a task, a footnote, or a mark of ours; other brackets are silent."""
    if (mark := read_bracket_mark(ahead, state)) is not None:
        return mark
    state.brackets += 1
    return blank() if state.last.isalnum() else remove()


def read_close_bracket(ahead: Ahead, state: ReaderState) -> Token | None:
    """The end of a link's text, or another bracket, which is silent."""
    after = ahead.peek()
    is_link = after == "(" and state.brackets > 0
    state.brackets = max(0, state.brackets - 1)
    if is_link:
        state.target_depth = 1
        return remove(2)
    return blank() if after.isalnum() else remove()


def read_link_target(ahead: Ahead, state: ReaderState) -> Token | None:
    """The next characters of a link's target; None: it has ended."""
    character = ahead.text[ahead.at]
    if character == "(":
        state.target_depth += 1
        return remove()
    if character == ")":
        state.target_depth -= 1
        return remove()
    if not character.isspace():
        address = _TARGET.match(ahead.text, ahead.at)
        assert address is not None
        return remove(len(address[0]))
    title = _read_title(ahead)
    state.target_depth = 0
    return title


def _read_title(ahead: Ahead) -> Token | None:
    if title := _TITLE.match(ahead.text, ahead.at):
        return remove(len(title[0]))
    may_end = _OPEN_TITLE.match(ahead.text, ahead.at) or _CLOSED_TITLE.match(ahead.text, ahead.at)
    if may_end and not ahead.final:
        raise Undecided
    return None
