"""Elements whose content is silent: reasoning, scripts, comments. Pure.

However long they are, no more is held back than may be the closing tag.
"""

from __future__ import annotations

import re
from functools import lru_cache

from backend.text.markup.state import Ahead, ReaderState, Token, Undecided, blank

COMMENT = "!"
_LONGEST_GAP = 9  # spaces in a closing tag


def read_silent(ahead: Ahead, state: ReaderState) -> Token:
    """The next characters of the silent element `state.silent`, or its end."""
    first = "-" if state.silent == COMMENT else "<"
    next_mark = ahead.text.find(first, ahead.at)
    if next_mark != ahead.at:
        return blank((len(ahead.text) if next_mark < 0 else next_mark) - ahead.at)
    closing, open_closing = _compile_closing(state.silent)
    if closed := closing.match(ahead.text, ahead.at):
        state.silent = ""
        return blank(len(closed[0]))
    if not ahead.final and open_closing.match(ahead.text, ahead.at):
        raise Undecided
    return blank()


@lru_cache(32)
def _compile_closing(name: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """The closing tag, and a part of it at the end of the text."""
    if name == COMMENT:
        return re.compile("-->"), re.compile(r"--?\Z")
    gap = rf"\s{{0,{_LONGEST_GAP}}}"
    part = gap
    for character in reversed("/" + name):
        part = f"(?:{character}{part})?"
    return re.compile(f"</{name}{gap}>", re.IGNORECASE), re.compile(rf"<{part}\Z", re.IGNORECASE)
