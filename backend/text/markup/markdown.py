"""Markdown: marks are silent, their text is spoken. Pure.

The rules look one character behind a mark, and at most three further. Each answers None for a
character that is plain text here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from backend.text.markup.links import read_close_bracket, read_open_bracket
from backend.text.markup.state import Ahead, ReaderState, Token, Undecided, blank, keep, remove
from backend.text.reading.written_words import FILLER

LONG_RUN = 4
"""So many of the same mark are a rule or a drawing."""

_INFO_STRING = re.compile(r"[^`\n]{0,60}")  # a language behind a code fence
_ESCAPED = frozenset("*_`#~[]|<>\\.!-+(){}$%&\"'")

Rule = Callable[[Ahead, ReaderState], Token | None]


def read_long_run(ahead: Ahead, state: ReaderState) -> Token | None:
    """A run of a mark; the reader silences what follows of it."""
    if ahead.peek() != ahead.text[ahead.at] or ahead.count_run(LONG_RUN) < LONG_RUN:
        return None
    state.run = ahead.text[ahead.at]
    return blank(LONG_RUN)


def _read_star(ahead: Ahead, state: ReaderState) -> Token | None:
    """Emphasis and bullets; not `2*3`, `2 * 3`, `2**10`."""
    count = ahead.count_run(LONG_RUN)
    before, after = state.last, ahead.peek(count)
    is_spaced = before == after == " " and not state.before_last.isspace()
    if count == 1 and is_spaced and not state.line_is_blank:
        return None
    if count == 1 and before.isdigit() and after.isdigit() and not state.star_is_open:
        return keep(ahead)
    if count == 2 and before.isalnum() and after.isdigit() and not state.star_is_open:
        return Token("^" + FILLER)  # `x**2`
    if count == 1 and not state.star_is_open and _is_product(ahead, state):
        return None
    if count == 1 and before.isalnum() and after.isalnum() and not state.star_is_open:
        return blank()
    opens = after != "" and not after.isspace()
    state.star_is_open = not state.star_is_open and opens
    return remove(count)


def _is_product(ahead: Ahead, state: ReaderState) -> bool:
    """`a*b`, `2*x`, `x*2`: operands of one letter or digits."""
    left = state.last.isdigit() or (state.last.isalpha() and not state.before_last.isalnum())
    after = ahead.peek()
    if not left or not after.isalnum():
        return False
    return after.isdigit() or not ahead.peek(2).isalnum()


def _read_underscore(ahead: Ahead, state: ReaderState) -> Token | None:
    """Emphasis; not `snake_case`."""
    if not state.last.isalnum() and ahead.peek() != "_":
        return remove()
    count = ahead.count_run(LONG_RUN)
    if state.last.isalnum() and ahead.peek(count).isalnum():
        return keep(ahead) if count == 1 else blank(count)
    return remove(count)


def _read_tilde(ahead: Ahead, state: ReaderState) -> Token | None:
    """Struck out, a code fence; not `~5`."""
    count = ahead.count_run(LONG_RUN)
    if count == 3 and state.line_is_blank:
        return _read_fence(ahead, state, count)
    return remove(count) if count > 1 else None


def _read_hash(ahead: Ahead, state: ReaderState) -> Token | None:
    """A heading; not `#1`, `C#`."""
    if not state.line_is_blank:
        return None
    count = ahead.count_run(LONG_RUN)
    after = ahead.peek(count)
    return blank(count) if after.isspace() or (after == "" and count > 1) else None


def _read_dash(ahead: Ahead, state: ReaderState) -> Token | None:
    """A bullet, a rule, the line below a table's head; not `-5`, `--option`."""
    if not state.line_is_blank:
        return None
    count = ahead.count_run(LONG_RUN)
    after = ahead.peek(count)
    if after.isspace() or (after and after in "|:" and (count > 1 or state.last == "|")):
        return blank(count)
    return blank(count) if after == "" and count > 1 else keep(ahead, count)


def _read_colon(ahead: Ahead, state: ReaderState) -> Token | None:
    """The alignment of a table's column."""
    if not state.line_is_blank:
        return None
    if state.last == "-":
        after = ahead.peek()
        return blank() if after == "|" or after == "" or after.isspace() else None
    return blank() if ahead.peek() == "-" and ahead.peek(2) == "-" else None


def _read_plus(ahead: Ahead, state: ReaderState) -> Token | None:
    """A bullet."""
    return blank() if state.line_is_blank and ahead.peek().isspace() else None


def _read_greater(ahead: Ahead, state: ReaderState) -> Token | None:
    """A quotation, the end of an address."""
    if state.address_is_open:
        state.address_is_open = False
        return remove()
    if not state.line_is_blank:
        return None
    after = ahead.peek()
    return blank() if after.isspace() or after.isalpha() or after == ">" else None


def _read_equals(ahead: Ahead, state: ReaderState) -> Token | None:
    """The line below a heading, a heading of a wiki, `==marked==`; not `a == b`, `a==b`."""
    if not state.line_is_blank:
        return _read_highlight(ahead, state)
    count = ahead.count_run(LONG_RUN)
    after = ahead.peek(count)
    if count == 2 and after.isalpha():
        return remove(2)
    return blank(count) if count > 1 and (after == "" or after.isspace()) else keep(ahead, count)


def _read_highlight(ahead: Ahead, state: ReaderState) -> Token | None:
    if ahead.peek() != "=" or ahead.count_run(LONG_RUN) != 2:
        return None
    after = ahead.peek(2)
    opens = state.last.isspace() and after.isalpha()
    closes = not state.last.isspace() and not after.isalnum() and not state.last.isdigit()
    return remove(2) if opens or closes else None


def _read_pipe(ahead: Ahead, state: ReaderState) -> Token | None:
    """A table's column; not `a || b`."""
    if state.last == " " and not state.line_is_blank and ahead.peek() == "|":
        return keep(ahead, 2) if ahead.peek(2) == " " else blank()
    return blank()


def _read_exclamation(ahead: Ahead, state: ReaderState) -> Token | None:
    """A picture."""
    may_begin = state.last.isspace() or state.last in "[("
    return remove() if may_begin and ahead.peek() == "[" else None


def _read_backtick(ahead: Ahead, state: ReaderState) -> Token | None:
    """Code; an apostrophe inside a word."""
    count = ahead.count_run(LONG_RUN)
    if count >= 3 and state.line_is_blank:
        return _read_fence(ahead, state, count)
    if count == LONG_RUN:
        state.run = "`"
        return remove(count)
    before, after = state.last, ahead.peek(count)
    if count == 1 and not state.code_is_open and before.isalpha() and after.isalpha():
        return Token("'")
    may_open = not before.isalnum() and after != "" and not after.isspace()
    state.code_is_open = not state.code_is_open and may_open
    return remove(count)


def _read_fence(ahead: Ahead, state: ReaderState, count: int) -> Token:
    """A fence and the rest of its line; or code of one line, as the rest has backticks."""
    info = _INFO_STRING.match(ahead.text, ahead.at + count)
    assert info is not None
    after = ahead.text[info.end() : info.end() + 1]
    if after == "" and not ahead.final:
        raise Undecided
    if count == LONG_RUN:
        state.run = ahead.text[ahead.at]
    state.fence = after in ("", "\n") or after == state.run
    return blank(count)


def _read_backslash(ahead: Ahead, state: ReaderState) -> Token | None:
    r"""An escaped mark is text: `\*`."""
    after = ahead.peek()
    if after == "*" and (state.last.isalpha() or ahead.peek(2).isalpha()):
        return remove(2)  # it would be read as "times"
    return Token(FILLER + after) if after and after in _ESCAPED else None


RULES: Mapping[str, Rule] = {
    "*": _read_star,
    "_": _read_underscore,
    "~": _read_tilde,
    "#": _read_hash,
    "-": _read_dash,
    ":": _read_colon,
    "+": _read_plus,
    "·": _read_plus,
    ">": _read_greater,
    "=": _read_equals,
    "|": _read_pipe,
    "!": _read_exclamation,
    "`": _read_backtick,
    "[": read_open_bracket,
    "]": read_close_bracket,
    "\\": _read_backslash,
}
RUNS = frozenset("*_~#-=+")
"""Marks of which a long run is silent."""
