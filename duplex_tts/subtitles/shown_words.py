"""What subtitles show for each spoken word: what was written, without markup.

A number or a name that the lexicon says otherwise is shown as it was written. Marks of Markdown,
HTML and SSML, and text that is not spoken, are not shown; punctuation and emoji between words are.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len, chop_cells

from duplex_tts.events import Word

LINE_CELLS = 42
"""The widest line in cells of a terminal: 42 Latin or 21 Chinese characters."""

_HIDDEN = "\0"
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_TAG = re.compile(r"<[/!?]?[A-Za-z\-][^<>]*>")
_LINK_END = re.compile(r"\]\([^()\s]*\)")
_MARKS_BEFORE = re.compile(r"(?<![\w*_`~])[*_`~]{1,3}(?=\w)")
_MARKS_BEHIND = re.compile(r"(?<=[\w.,;:!?])[*_`~]{1,3}(?![\w*_`~])")
_LIST_MARK = re.compile(r"(?m)^[ \t]*[-+•]+(?=\s|$)")
_MARKUP = frozenset("*_#`|~<>[]{}\\")
_PARAGRAPH = re.compile(r"\n\s*\n|\n\s*(?:[-*+#>|]|\d+[.)])")
_OPENING = frozenset({"Ps", "Pi"})


@dataclass(frozen=True, slots=True)
class ShownWord:
    """A word as shown, with the punctuation around it, and when it is heard.

    `spaced`: a space separates it from the word before. `begins_paragraph`: so does a blank line.
    """

    text: str
    start_ms: int
    end_ms: int
    spaced: bool
    begins_paragraph: bool = False


def split_shown_words(text: str, words: Sequence[Word]) -> list[ShownWord]:
    """Return what to show for each of the spoken `words` of `text`, each at most a line wide.

    Times never go backwards.
    """
    shown: list[ShownWord] = []
    visible = _hide_markup(text)
    read_to = clock_ms = 0
    for word in words:
        gap = visible[read_to : word.start]
        behind, before = _split_gap(gap, first=not shown)
        if shown:
            shown[-1] = replace(shown[-1], text=shown[-1].text + behind)
        elif behind:
            before = f"{behind} {before}".lstrip()
        start_ms = max(clock_ms, round(word.start_ms))
        clock_ms = max(start_ms, round(word.end_ms))
        spaced = any(character.isspace() or character == _HIDDEN for character in gap)
        paragraph = bool(_PARAGRAPH.search(text, read_to, word.start))
        written = before + _clean_word(visible, text, word)
        shown.append(ShownWord(written, start_ms, clock_ms, spaced, paragraph))
        read_to = max(read_to, word.end)
    if shown:
        last, _ = _split_gap(visible[read_to:] + " ")
        shown[-1] = replace(shown[-1], text=shown[-1].text + last)
    return [piece for word in shown if word.text for piece in _chop_word(word)]


def _hide_markup(text: str) -> str:
    """Replace tags by `_HIDDEN`, entities by what they mean; of the same length."""

    def decode(match: re.Match[str]) -> str:
        meaning = html.unescape(match[0])
        return meaning + _HIDDEN * (len(match[0]) - len(meaning)) if len(meaning) == 1 else match[0]

    def hide(match: re.Match[str]) -> str:
        return _HIDDEN * len(match[0])

    text = _LIST_MARK.sub(hide, _LINK_END.sub(hide, _TAG.sub(hide, text)))
    return _ENTITY.sub(decode, text)


def _clean_word(visible: str, text: str, word: Word) -> str:
    """The written word without marks; as it is if it has nothing else."""
    # Marks are looked for in the context of the word, which may begin behind them.
    written = visible[word.start : word.end]
    cleaned = _MARKS_BEHIND.sub("", _MARKS_BEFORE.sub("", written)).replace(_HIDDEN, "")
    return _printable(cleaned) or _printable(text[word.start : word.end])


def _split_gap(gap: str, *, first: bool = False) -> tuple[str, str]:
    """Split what is written between two words into what is shown behind the first of them and
    before the second. Text that is not spoken is left out. `first`: there is no word before it.
    """
    behind, before = "", ""
    for match in re.finditer(r"\S+", gap):
        chunk = match[0].replace(_HIDDEN, "")
        if any(character.isalnum() or character in _MARKUP for character in chunk):
            continue
        if match.end() == len(gap):  # directly before the next word
            length = 0 if first or match.start() else _closing_length(chunk)
            behind, before = behind + chunk[:length], chunk[length:]
        elif chunk:
            behind += (" " if match.start() else "") + chunk
    return _printable(behind, strip=False), _printable(before)


def _closing_length(chunk: str) -> int:
    """How much of punctuation between two words without a space belongs to the first."""
    for index, character in enumerate(chunk):
        if unicodedata.category(character) in _OPENING:
            return index
    return len(chunk)


def _printable(text: str, *, strip: bool = True) -> str:
    kept = "".join(
        " " if character.isspace() else character
        for character in text
        if character.isspace() or unicodedata.category(character) not in {"Cc", "Cs"}
    )
    return " ".join(kept.split()) if strip else re.sub(" +", " ", kept).rstrip()


def _chop_word(word: ShownWord) -> Iterator[ShownWord]:
    """Split what is wider than a line, and its time in proportion."""
    pieces = chop_cells(word.text, LINE_CELLS) if cell_len(word.text) > LINE_CELLS else [word.text]
    total, done = len(word.text), 0
    for number, piece in enumerate(pieces):
        duration_ms = word.end_ms - word.start_ms
        start_ms = word.start_ms + duration_ms * done // total
        done += len(piece)
        end_ms = word.start_ms + duration_ms * done // total
        if number:
            yield ShownWord(piece, start_ms, end_ms, spaced=False)
        else:
            yield replace(word, text=piece, end_ms=end_ms)
