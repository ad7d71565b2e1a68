"""What of a text is spoken, and where its words end.

Pictures, Markdown marks and control characters are not read aloud, but every one of them stays
accounted for: they become spaces, one for one, so that offsets hold. Whether a character is spoken
depends on the text before it and on the one character behind it, never on more: while a text grows,
only its last character can still change its mind.
"""

from __future__ import annotations

import re

# Blocks rather than lists of today's emoji, so that next year's are masked too; signs that are read
# aloud (degree, copyright, number, arrows of ASCII) lie outside of them.
_PICTURE = (
    "[\u2022\u2023\u2043\u2190-\u21ff\u2300-\u23ff\u2500-\u2775\u2794-\u27bf\u2900-\u297f\u2b00-\u2bff"
    "\U0001f000-\U0001fbff]"
)
_INVISIBLE = (
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    "\u20e3\ufe00-\ufe0f\ufeff\ufff0-\ufffc\U000e0000-\U000e0fff]"
)
_UNSPOKEN = re.compile(
    "|".join(
        (
            _PICTURE + "\u200d?",  # a joiner elsewhere belongs to the spelling of a word
            _INVISIBLE,
            r"(?<=\])\([^\s)]*\)?",  # where a link leads
            r"^[ \t]*```[^\n]*",  # a code fence and its language
            r"^[ \t]*(?:-+(?=[-\s])|\#+(?=[#\s])|[+>](?=\s))",  # bullet, rule, heading, quotation
            r"(?<!\S)!(?=\[)|[\[\]`|]",  # picture, link, code, table
            r"(?!(?<=\S )\* |(?<=\d)\*\d)\*",  # emphasis, bullet; 2 * 3 and 2*3 keep theirs
            r"(?<![^\W_])_|_(?![^\W_])",  # emphasis; snake_case keeps its own
            r"~(?=~)|(?<=~)~",  # struck out; ~5 keeps its own
        )
    ),
    re.MULTILINE,
)
# What any of these begins with; most text has nothing of it and need not be looked at closely.
_MARK = re.compile(rf"{_PICTURE}|{_INVISIBLE}|[(`\-#+>!\[\]|*_~]")
_INK = re.compile(r"\S")

# Scripts that put no spaces between words: Thai to Lao, Myanmar, Khmer, kana, Han.
_SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff"
)
_LONGEST_WORD = 60
_WORD = re.compile(rf"\s*(?:[{_SPACELESS}][^\w\s]*|[^\s{_SPACELESS}]{{1,{_LONGEST_WORD}}})\s*|\s+")


def speakable(text: str) -> str:
    """`text` with everything that is not spoken replaced by spaces; as long as `text`.

    Growing text agrees: `speakable(text[:n])[: n - 1] == speakable(text)[: n - 1]`.
    """
    return _UNSPOKEN.sub(_blank, text) if _MARK.search(text) else text


def _blank(unspoken: re.Match[str]) -> str:
    mark = unspoken[0]
    return " " if len(mark) == 1 else _INK.sub(" ", mark)


def word_ends(text: str) -> list[int]:
    """Where the words of `text` end, each with the spaces around it; the last is `len(text)`.

    A character of a script without spaces is a word, and so is every 60 characters of a run
    without spaces. Whether the last word is finished, the caller sees from what ends it.
    """
    return [word.end() for word in _WORD.finditer(text)]
