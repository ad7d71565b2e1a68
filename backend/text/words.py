"""Masks unspoken characters, and finds the ends of words.

Pictures, Markdown marks and control characters are not read aloud: they become spaces, one for one,
so that offsets hold. Whether a character is spoken depends on the text before it and on the one
character behind it, never on more: while a text grows, only its last character can still change.
"""

from __future__ import annotations

import re

# Unicode blocks rather than today's emoji, so that future ones are masked too; signs that are read
# aloud (degree, copyright, number, arrows of ASCII) are outside of them.
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
            _PICTURE + "\u200d?",  # elsewhere a joiner is part of a word's spelling
            _INVISIBLE,
            r"(?<=\])\([^\s)]*\)?",  # target of a link
            r"^[ \t]*```[^\n]*",  # a code fence and its language
            r"^[ \t]*(?:-+(?=[-\s])|\#+(?=[#\s])|[+>](?=\s))",  # bullet, rule, heading, quotation
            r"(?<!\S)!(?=\[)|[\[\]`|]",  # picture, link, code, table
            r"(?!(?<=\S )\* |(?<=\d)\*\d)\*",  # emphasis, bullet; not 2 * 3 and 2*3
            r"(?<![^\W_])_|_(?![^\W_])",  # emphasis; not snake_case
            r"~(?=~)|(?<=~)~",  # struck out; not ~5
        )
    ),
    re.MULTILINE,
)
# First characters of all of these: text without them skips the full pattern.
_MARK = re.compile(rf"{_PICTURE}|{_INVISIBLE}|[(`\-#+>!\[\]|*_~]")
_INK = re.compile(r"\S")

# Scripts without spaces between words: Thai to Lao, Myanmar, Khmer, kana, Han.
_SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff"
)
_LONGEST_WORD = 60
_WORD = re.compile(rf"\s*(?:[{_SPACELESS}][^\w\s]*|[^\s{_SPACELESS}]{{1,{_LONGEST_WORD}}})\s*|\s+")


def speakable(text: str) -> str:
    """`text` with unspoken characters replaced by spaces, at the same length.

    Stable while text grows: `speakable(text[:n])[: n - 1] == speakable(text)[: n - 1]`.
    """
    return _UNSPOKEN.sub(_blank, text) if _MARK.search(text) else text


def _blank(unspoken: re.Match[str]) -> str:
    mark = unspoken[0]
    return " " if len(mark) == 1 else _INK.sub(" ", mark)


def word_ends(text: str) -> list[int]:
    """The ends of the words of `text`, spaces included; the last is `len(text)`.

    A character of a script without spaces is a word, and so is every 60 characters of a run
    without spaces. The last word may be unfinished.
    """
    return [word.end() for word in _WORD.finditer(text)]
