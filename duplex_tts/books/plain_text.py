"""Reads books that are text or Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median

from babel import Locale
from markdown_it import MarkdownIt

from duplex_tts.books.book import Book, Chapter
from duplex_tts.books.left_out import cut_gutenberg, mark_left_out

_BEGINNING = "Beginning"
_LONGEST_HEADING = 100
_LONGEST_TITLE = 60
_WRAPPED = 45  # lines of this length are wrapped, shorter ones are verses
_NUMBER_WORDS = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|"
    "sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|"
    "hundred|first|second|third|last|eins|zwei|drei|vier|fünf|sechs|sieben|acht|neun|zehn|elf|zwölf|"
    "un|deux|trois|quatre|cinq|sept|huit|neuf|dix|premier|première|uno|dos|tres|cuatro|cinco|"
    "seis|siete|ocho|nueve|diez|primero|primera"
)
_NUMBER = rf"(?:\d{{1,4}}|[ivxlcdm]{{1,8}}|(?:{_NUMBER_WORDS})(?:[- ](?:{_NUMBER_WORDS}))*)\b"
# A title behind the number begins with a capital and is no sentence, or is set off.
_TITLE = r"(?:\s*[.:—–-].{0,80}|\s+(?-i:[^a-z\s]).{0,80}(?<![.,;!?]))?"
_HEADING = re.compile(
    rf"(?:(?:chapter|part|book|volume|section|act|letter|kapitel|teil|buch|chapitre|partie|livre|"
    rf"cap[íi]tulo|capitolo|parte|libro|hoofdstuk|rozdział|глава|часть)\s+{_NUMBER}{_TITLE}"
    rf"|(?:{_NUMBER}\.?|\w{{3,12}}tes)\s+(?:kapitel|buch|chapter){_TITLE}"
    r"|第[\d一二三四五六七八九十百零〇]{1,6}[章回部卷节].{0,40}"
    r"|(?:prologue|epilogue|preface|foreword|introduction|afterword|prolog|epilog|vorwort|"
    r"nachwort|prólogo|epílogo|préface|épilogue|appendix)(?:\s*[.:—–-].{0,60})?)",
    re.IGNORECASE,
)
_BARE_NUMBER = re.compile(r"(?P<roman>[IVXLC]{1,7})\.?|(?P<digits>\d{1,3})\.?")
_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|$)", re.S)
_GUTENBERG_FIELD = re.compile(r"^(Title|Author|Language): +(\S.*)$", re.M)
_GUTENBERG_FIELDS = 3_000
_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}


def read_markdown(path: Path, text: str) -> Book:
    """Read Markdown: chapters are its headings of the highest level that occurs more than once.

    The title is that of a heading above them, or of the front matter. Markup stays in the text,
    for the server reads Markdown.
    """
    text = _unify_lines(text)
    front = _FRONT_MATTER.match(text)
    fields = _read_fields(front[1]) if front else {}
    text = text[front.end() :] if front else text
    lines = text.split("\n")
    headings = _find_headings(text)
    levels = [level for _, level, _ in headings]
    repeated = [level for level in sorted(set(levels)) if levels.count(level) > 1]
    level = repeated[0] if repeated else min(levels, default=1)
    above = [title for _, each, title in headings if each < level]
    title = fields.get("title") or (above[0] if above else "") or path.stem
    starts = [(line, heading) for line, each, heading in headings if each <= level]
    chapters = _cut_lines(lines, starts, "\n".join, title)
    return Book(
        title,
        tuple(map(mark_left_out, chapters)),
        author=fields.get("author", ""),
        language=fields.get("lang") or fields.get("language", ""),
        year=fields.get("date", "")[:4],
        description=fields.get("description", ""),
    )


def read_text(path: Path, text: str) -> Book:
    """Read plain text: chapters are lines such as "Chapter 3" or "IV." between blank lines; or
    parts that three blank lines, or a form feed, separate.
    """
    text = _unify_lines(text)
    head = text[:_GUTENBERG_FIELDS]
    fields = {name.lower(): value.strip() for name, value in _GUTENBERG_FIELD.findall(head)}
    body = cut_gutenberg(text)
    if body == text:
        fields = {}
    title = fields.get("title") or path.stem
    paragraphs = [part.strip("\n") for part in re.split(r"\n\s*\n", body) if part.strip()]
    starts = _find_chapter_lines(paragraphs)
    if starts:
        chapters = _cut_lines(paragraphs, starts, _join_paragraphs, _BEGINNING)
    else:
        chapters = _cut_parts(body, title)
    return Book(
        title,
        tuple(map(mark_left_out, chapters)),
        author=fields.get("author", ""),
        language=_language_code(fields.get("language", "")),
    )


def _language_code(name: str) -> str:
    """The code of a language by its English name; empty if it is unknown."""
    names = Locale("en").languages.items()
    return next((code for code, known in names if known.lower() == name.lower()), "")


def _unify_lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read_fields(front_matter: str) -> dict[str, str]:
    """The simple `name: value` lines of YAML."""
    fields = {}
    for line in front_matter.split("\n"):
        name, colon, value = line.partition(":")
        if colon and name == name.strip():
            fields[name.lower()] = value.strip().strip("\"'")
    return fields


def _find_headings(text: str) -> list[tuple[int, int, str]]:
    """The headings of Markdown: line, level, title; not those in code or quotations."""
    headings = []
    tokens = MarkdownIt("commonmark").parse(text)
    for token, inline in pairwise(tokens):
        if token.type == "heading_open" and token.level == 0 and token.map:
            children = inline.children or []
            title = "".join(child.content or " " for child in children if child.type != "image")
            headings.append((token.map[0], int(token.tag[1:]), " ".join(title.split())))
    return headings


def _cut_lines(
    pieces: Sequence[str],
    starts: Sequence[tuple[int, str]],
    join: Callable[[Sequence[str]], str],
    before: str,
) -> list[Chapter]:
    """Cut lines or paragraphs into chapters; `before`: the title of what comes before the first."""
    if not starts or starts[0][0] > 0:
        starts = [(0, before), *starts]
    ends = [start for start, _ in starts[1:]] + [len(pieces)]
    chapters = [
        Chapter(title or before, join(pieces[start:end]).strip())
        for (start, title), end in zip(starts, ends, strict=True)
    ]
    return [chapter for chapter in chapters if chapter.text]


def _find_chapter_lines(paragraphs: Sequence[str]) -> list[tuple[int, str]]:
    """The paragraphs that are headings, and their titles."""
    found = [
        (number, " ".join(paragraph.split()))
        for number, paragraph in enumerate(paragraphs)
        if len(paragraph) < _LONGEST_HEADING
        and paragraph.count("\n") < 3
        and _HEADING.fullmatch(paragraph.split("\n")[0].strip())
    ]
    return found or _find_bare_numbers(paragraphs)


def _find_bare_numbers(paragraphs: Sequence[str]) -> list[tuple[int, str]]:
    """Paragraphs that are just the next number, in digits or Roman numerals."""
    found: list[tuple[int, str]] = []
    for index, paragraph in enumerate(paragraphs):
        match = _BARE_NUMBER.fullmatch(paragraph.strip())
        if match:
            number = int(match["digits"]) if match["digits"] else _roman_value(match["roman"])
            if number == len(found) + 1:
                found.append((index, f"Chapter {number}"))
    return found if len(found) > 1 else []


def _roman_value(numeral: str) -> int:
    values = [_ROMAN[letter] for letter in numeral]
    pairs = zip(values, [*values[1:], 0], strict=True)
    return sum(-value if value < following else value for value, following in pairs)


def _cut_parts(text: str, title: str) -> list[Chapter]:
    parts = [part for part in re.split(r"\n(?:[ \t]*\n){3,}|\f", text) if part.strip()]
    chapters = []
    for number, part in enumerate(parts, 1):
        paragraphs = [each.strip("\n") for each in re.split(r"\n\s*\n", part) if each.strip()]
        first = " ".join(paragraphs[0].split())
        is_heading = len(first) < _LONGEST_TITLE and first[-1] not in ".,;:!?"
        heading = first if is_heading and len(paragraphs) > 1 else ""
        name = heading or (f"Part {number}" if len(parts) > 1 else title)
        chapters.append(Chapter(name, _join_paragraphs(paragraphs)))
    return chapters


def _join_paragraphs(paragraphs: Sequence[str]) -> str:
    return "\n\n".join(_unwrap(paragraph) for paragraph in paragraphs)


def _unwrap(paragraph: str) -> str:
    """Join the lines of prose that was wrapped; verses keep their lines."""
    lines = [line.strip() for line in paragraph.split("\n")]
    if len(lines) > 1 and median(map(len, lines[:-1])) >= _WRAPPED:
        return " ".join(lines)
    return "\n".join(lines)
