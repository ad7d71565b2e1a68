"""Punctuation as the models know it: upstream's `punc_norm`, made fit for every language.

Differences from upstream: a text that already ends in a mark of any script, or in a quote behind
one, gets no full stop; times and ratios keep their colon; a Greek question stays one.
"""

from __future__ import annotations

import regex

from backend.engines.chatterbox.text.traced_text import TracedText

_SPACES = r"\s+"
_GREEK_QUESTION = "\u037e"  # looks like a semicolon, and mostly is typed as one
_COLON = r"(?<!\d):|:(?!\d)"
# Beside a character that is written without spaces, and not between two words.
_LOOSE_SPACE = regex.compile(
    r"""(?V1)
    (?<=[[^\x00-\x7f]--\p{L}])\ + | \ +(?=[[^\x00-\x7f]--\p{L}])
    | (?<=[[\x21-\x7e]--\p{L}])\ +(?=[^\x00-\x7f])
    | (?<=[^\x00-\x7f])\ +(?=[[\x21-\x7e]--\p{L}])""",
    regex.VERBOSE,
)
_SPACELESS_LANGUAGES = ("ja", "zh")
_QUOTES = (("\u201c", '"'), ("\u201d", '"'), ("\u2018", "'"), ("\u2019", "'"))
_DASHES = (("\u2014", "-"), ("\u2013", "-"))
_ENDED = regex.compile(r"[\p{Terminal_Punctuation}\u2026-][\p{Pe}\p{Pf}\p{Quotation_Mark}\s]*$")


def normalize_punctuation(
    text: TracedText, *, turbo: bool, language: str = "en", capitalize: bool = True
) -> TracedText:
    """The text with the marks that the models were trained on. `turbo`: Turbo knows more marks than
    the standard model. `capitalize`: begin with a capital, as upstream does.
    """
    if capitalize and text.text[:1].islower():
        text = _capitalize(text)
    text = text.sub(_SPACES, " ").strip()
    if language in _SPACELESS_LANGUAGES:  # the reading parts marks and numbers from words
        text = text.sub(_LOOSE_SPACE, "")
    if language == "el":
        text = text.replace(";", "?").replace(_GREEK_QUESTION, "?")
    if not turbo:
        text = text.replace("...", ", ")
    text = text.replace("\u2026", ", ").sub(_COLON, ",")
    if not turbo:
        text = text.replace(" - ", ", ").replace(";", ", ")
    for old, new in (*_DASHES, (" ,", ","), *_QUOTES):
        text = text.replace(old, new)
    text = text.strip()
    return text if _ENDED.search(text.text) else text.append(".")


def _capitalize(text: TracedText) -> TracedText:
    capital = text.text[0].upper()  # of "\u00df" two letters
    return TracedText(capital + text.text[1:], (1,) * len(capital) + text.ends[1:])
