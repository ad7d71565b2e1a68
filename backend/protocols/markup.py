"""Find vendor markup in a text that arrives in pieces.

The core carries out tags; a protocol passes them on in one piece, translates what the core does not
know, and hides them in what it reports as spoken. Plain and synchronous.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from html import escape

_ATTRIBUTES = r"(?:[\s/][^<>]{0,400})?"  # a longer tag counts as text
_STRING = r'[^"\\]{0,200}'
_GAP = r"\s{0,9}"

Markup = re.Pattern[str]
"""Matches a mark, or at the end of the text the group `partial`: a prefix that more text may
complete to a mark.
"""

HIDDEN = "\uffff"
"""Stands for a character of a mark in the text that is reported as spoken. No text has it."""


def tag_markup(*names: str) -> Markup:
    """Match opening, closing and empty tags of these names, case-insensitively; the content
    between tags remains.
    """
    whole = f"/?(?:{'|'.join(names)}){_ATTRIBUTES}>"
    partial = "|".join(_any_prefix(["/?", *name, _ATTRIBUTES]) for name in names)
    return _compile_markup("<", whole, f"(?=[^<]*\\Z)(?:{partial})?")


def _compile_markup(opening: str, whole: str, partial: str) -> Markup:
    return re.compile(f"{opening}(?:{whole}|(?P<partial>{partial})\\Z)", re.IGNORECASE)


def _any_prefix(patterns: Sequence[str]) -> str:
    """Match any non-empty prefix of this sequence of patterns."""
    first = ""
    for pattern in reversed(patterns):
        pattern = re.sub(r"\?P<\w+>", "?:", pattern)
        first = f"{pattern}(?:{first})?" if first else pattern
    return first


# Deepgram's \{"word": "dupilumab", "pronounce": "..."\} ("TTS Voice Controls" of its docs).
_PRONUNCIATION = (
    *(r"\{", _GAP, *'"word":', _GAP, '"', f"(?P<kept>{_STRING})", '"', ",", _GAP),
    *(*'"pronounce":', _GAP, '"', f"(?P<phonemes>{_STRING})", '"', _GAP, r"\\", r"\}"),
)
PRONUNCIATIONS = _compile_markup(
    r"\\", "".join(_PRONUNCIATION), f"(?:{_any_prefix(_PRONUNCIATION[:-1])})?"
)


def keep_mark(mark: re.Match[str]) -> str:
    """The mark itself."""
    return mark[0]


def keep_word(pronunciation: re.Match[str]) -> str:
    """The word of a pronunciation."""
    return pronunciation["kept"]


def to_phoneme_tag(pronunciation: re.Match[str]) -> str:
    """A pronunciation as SSML."""
    word, phonemes = escape(pronunciation["kept"]), escape(pronunciation["phonemes"])
    return f'<phoneme alphabet="ipa" ph="{phonemes}">{word}</phoneme>'


class MarkupFilter:
    """Filters one text in pieces; the output does not depend on where it is split.

    Holds back only the end of a piece that may become a mark.
    """

    def __init__(self, markup: Markup, replace: Callable[[re.Match[str]], str] = keep_mark) -> None:
        """`replace`: what becomes of a mark."""
        self._markup = markup
        self._replace = replace
        self._held = ""

    def filter_text(self, text: str) -> str:
        """Add text; returns the held and new text, with whole marks."""
        text, self._held = self._held + text, ""
        return self._markup.sub(self._replace_mark, text)

    def flush_held(self) -> str:
        """Return the held text, as no more follows."""
        held, self._held = self._held, ""
        return held

    def hide_marks(self, text: str) -> str:
        """See `hide_marks`."""
        return hide_marks(text, self._markup)

    def _replace_mark(self, mark: re.Match[str]) -> str:
        if mark["partial"] is not None:
            self._held = mark[0]
            return ""
        return self._replace(mark)


def replace_markup(text: str, markup: Markup, replace: Callable[[re.Match[str]], str]) -> str:
    """Replace the marks of a whole text."""
    whole = MarkupFilter(markup, replace)
    return whole.filter_text(text) + whole.flush_held()


def hide_marks(text: str, markup: Markup) -> str:
    """Replace the characters of whole marks by `HIDDEN`, one for one; the first of a pause by a
    space.
    """
    return markup.sub(_hide_mark, text)


def _hide_mark(mark: re.Match[str]) -> str:
    if mark["partial"] is not None:
        return mark[0]
    is_pause = mark[0][:6].lower() == "<break"
    return (" " if is_pause else HIDDEN) + HIDDEN * (len(mark[0]) - 1)
