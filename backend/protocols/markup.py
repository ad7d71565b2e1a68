"""Takes the marks that a vendor's voices obey out of a text, in whatever pieces it comes.

They are not obeyed here, and not read aloud either. Plain and synchronous.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_ATTRIBUTES = r"(?:[\s/][^<>]{0,400})?"  # a longer tag is text
_STRING = r'[^"\\]{0,200}'
_GAP = r"\s{0,9}"

Markup = re.Pattern[str]
"""Finds a mark, of which the group `kept` stays, or at the end of the text the group `begun`: what
may become a mark when more text comes.
"""


def tags(*names: str) -> Markup:
    """Opening, closing and empty tags of these names, in upper or lower case; what is between two
    of them stays.
    """
    whole = f"/?(?:{'|'.join(names)}){_ATTRIBUTES}>"
    begun = "|".join(_first_of(["/?", *name, _ATTRIBUTES]) for name in names)
    return _markup("<", whole, f"(?=[^<]*\\Z)(?:{begun})?")


def _markup(opening: str, whole: str, begun: str) -> Markup:
    return re.compile(f"{opening}(?:{whole}|(?P<begun>{begun})\\Z)", re.IGNORECASE)


def _first_of(patterns: Sequence[str]) -> str:
    """One or more of the patterns, from the first on."""
    first = ""
    for pattern in reversed(patterns):
        pattern = pattern.replace("?P<kept>", "?:")
        first = f"{pattern}(?:{first})?" if first else pattern
    return first


# Deepgram's \{"word": "dupilumab", "pronounce": "..."\}, of which the word stays.
_PRONUNCIATION = (
    *(r"\{", _GAP, *'"word":', _GAP, '"', f"(?P<kept>{_STRING})", '"', ",", _GAP),
    *(*'"pronounce":', _GAP, '"', _STRING, '"', _GAP, r"\\", r"\}"),
)
PRONUNCIATIONS = _markup(r"\\", "".join(_PRONUNCIATION), f"(?:{_first_of(_PRONUNCIATION[:-1])})?")


class MarkupFilter:
    """One text on its way, in pieces. What comes out does not depend on the pieces.

    The end of a piece is kept back while it may become a mark; no other character is.
    """

    def __init__(self, markup: Markup) -> None:
        self._markup = markup
        self._held = ""

    def push(self, text: str) -> str:
        """More of the text: what of it, and of what was kept back, is plain text."""
        text, self._held = self._held + text, ""
        return self._markup.sub(self._take, text)

    def flush(self) -> str:
        """No more comes: what was kept back is text."""
        held, self._held = self._held, ""
        return held

    def _take(self, mark: re.Match[str]) -> str:
        if mark["begun"] is not None:
            self._held = mark[0]
            return ""
        return mark.groupdict().get("kept") or ""


def plain(text: str, markup: Markup) -> str:
    """A whole text without its marks."""
    whole = MarkupFilter(markup)
    return whole.push(text) + whole.flush()
