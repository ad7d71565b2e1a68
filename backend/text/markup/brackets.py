"""Marks in brackets: pauses, sounds, tasks, footnotes. Pure.

`[pause]`, `[pause 500ms]`, `[pause 1.5s]`; `[short pause]` and `[long pause]` as in ElevenLabs' v3
(its help centre, "Do pauses and SSML phoneme tags work with the API?"); the nine sounds among the
added tokens of Chatterbox Turbo.
"""

from __future__ import annotations

import re

from backend.text.markup.marks import LONGEST_PAUSE_MS, Pause, Sound
from backend.text.markup.state import Ahead, ReaderState, Token, Undecided, blank, remove

SOUNDS = frozenset(
    ("laugh", "chuckle", "gasp", "cough", "sigh", "groan", "sniff", "shush", "clear throat")
)
_PAUSES_MS = {"pause": 500, "short pause": 300, "long pause": 1000}
_NAMES = (*SOUNDS, *_PAUSES_MS)
_LONGEST = 24  # characters between the brackets
_TIMED = re.compile(r"pause[\s:=]{1,3}(\d{1,6}(?:\.\d{0,3})?)\s?(ms|s|sec|seconds?)")
_OPEN_TIMED = re.compile(r"pause[\s:=]{1,3}(?:\d{1,6}(?:\.\d{0,3})?(?:\s?[a-z]{0,12})?)?")


def read_bracket_mark(ahead: Ahead, state: ReaderState) -> Token | None:
    """The mark that begins with this bracket; None for another bracket. Raises `Undecided`."""
    body = ahead.text[ahead.at + 1 : ahead.at + 2 + _LONGEST]
    end = re.search(r"[\[\]\n]", body)
    inside = body[: end.start()] if end else body
    is_closed = end is not None and end[0] == "]"
    is_complete = end is not None or len(body) > _LONGEST or ahead.final
    if inside.startswith("^"):
        if not is_complete:
            raise Undecided
        return _read_footnote(ahead, state, len(inside) + 2) if is_closed else None
    if is_closed:
        if state.line_is_blank and _is_task(ahead, inside):
            return blank(3)
        return _read_named(state, inside)
    if not is_complete and _may_become_mark(inside, state):
        raise Undecided
    return None


def _is_task(ahead: Ahead, inside: str) -> bool:
    if inside not in (" ", "x", "X"):
        return False
    after = ahead.peek(3)
    return after == "" or after.isspace()


def _read_named(state: ReaderState, inside: str) -> Token | None:
    size = len(inside) + 2
    span = (state.offset, state.offset + size)
    name = " ".join(inside.lower().split())
    if name in SOUNDS:
        return Token(" " * size, (Sound(*span, name),))
    if name in _PAUSES_MS:
        return Token(" " * size, (Pause(*span, _PAUSES_MS[name]),))
    if timed := _TIMED.fullmatch(name):
        ms = float(timed[1]) * (1 if timed[2] == "ms" else 1000)
        return Token(" " * size, (Pause(*span, round(min(ms, LONGEST_PAUSE_MS))),))
    return None


def _read_footnote(ahead: Ahead, state: ReaderState, size: int) -> Token:
    """`[^1]`: silent, as is the colon behind it at the start of a line."""
    if state.line_is_blank and ahead.peek(size) == ":":
        return blank(size + 1)
    return remove(size)


def _may_become_mark(inside: str, state: ReaderState) -> bool:
    name = re.sub(r"\s+", " ", inside.lower()).lstrip()
    if _OPEN_TIMED.fullmatch(name) or (name == "x" and state.line_is_blank):
        return True
    return any(known.startswith(name.rstrip()) for known in _NAMES)
