"""Strip vendor markup from a text that arrives in pieces.

The markup is not applied here, nor read aloud. Plain and synchronous.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_ATTRIBUTES = r"(?:[\s/][^<>]{0,400})?"  # a longer tag counts as text
_STRING = r'[^"\\]{0,200}'
_GAP = r"\s{0,9}"

Markup = re.Pattern[str]
"""Matches a mark, of which the group `kept` remains, or at the end of the text the group `partial`:
a prefix that more text may complete to a mark.
"""


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
        pattern = pattern.replace("?P<kept>", "?:")
        first = f"{pattern}(?:{first})?" if first else pattern
    return first


# Deepgram's \{"word": "dupilumab", "pronounce": "..."\}; the word remains.
_PRONUNCIATION = (
    *(r"\{", _GAP, *'"word":', _GAP, '"', f"(?P<kept>{_STRING})", '"', ",", _GAP),
    *(*'"pronounce":', _GAP, '"', _STRING, '"', _GAP, r"\\", r"\}"),
)
PRONUNCIATIONS = _compile_markup(
    r"\\", "".join(_PRONUNCIATION), f"(?:{_any_prefix(_PRONUNCIATION[:-1])})?"
)


class MarkupFilter:
    """Filters one text in pieces; the output does not depend on where it is split.

    Holds back only the end of a piece that may become a mark.
    """

    def __init__(self, markup: Markup) -> None:
        self._markup = markup
        self._held = ""

    def filter_text(self, text: str) -> str:
        """Add text; returns the held and new text that is free of markup."""
        text, self._held = self._held + text, ""
        return self._markup.sub(self._replace_mark, text)

    def flush_held(self) -> str:
        """Return the held text, as no more follows."""
        held, self._held = self._held, ""
        return held

    def _replace_mark(self, mark: re.Match[str]) -> str:
        if mark["partial"] is not None:
            self._held = mark[0]
            return ""
        return mark.groupdict().get("kept") or ""


def strip_markup(text: str, markup: Markup) -> str:
    """Return a whole text without its markup."""
    whole = MarkupFilter(markup)
    return whole.filter_text(text) + whole.flush_held()
