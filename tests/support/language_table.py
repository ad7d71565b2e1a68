"""What docs/languages.md says of each language, by the code."""

from __future__ import annotations

from collections.abc import Iterator

from babel import Locale

from backend.text.alphabets import _SCRIPTS, needs_dictionary, scripts_of
from backend.text.reading import grouped_numbers
from backend.text.reading.abbreviation_table import ABBREVIATIONS, ORDINAL_LANGUAGES, TITLES
from backend.text.reading.english import ENGLISH
from backend.text.reading.grouped_numbers import read_grouped_number
from backend.text.reading.languages import find_language
from tests.support.texts_of_languages import TEXTS

HEADER = "| language | script | words end | numbers, dates, symbols | known abbreviations |"
_EACH_CHARACTER = ("CJK", "HIRAGANA", "KATAKANA")


def list_rows() -> Iterator[str]:
    """The rows, a language each."""
    codes = {*_SCRIPTS, *TITLES, *ABBREVIATIONS, *(text.language for text in TEXTS)} - {"*"}
    names = Locale("en").languages
    for code in sorted(codes, key=lambda code: str(names.get(code, code))):
        yield _describe(code, str(names.get(code, code)))


def _describe(code: str, name: str) -> str:
    scripts = scripts_of(code)
    words = "at spaces"
    if needs_dictionary(code):
        words = "by ICU's dictionary"
    elif scripts[0] in _EACH_CHARACTER:
        words = "at each character"
    said_by = "this server" if code == ENGLISH.code else "the engine"
    if code in grouped_numbers.LANGUAGES:
        assert find_language(code).rules == (read_grouped_number,)
        said_by += "; `1 000` in one word"
    known = len(TITLES.get(code, "").split()) + len(ABBREVIATIONS.get(code, "").split())
    own = "all of its own" if said_by == "this server" else f"{known} more" if known else "-"
    ordinals = ", ordinals" if code in ORDINAL_LANGUAGES else ""
    script = ", ".join(script.lower() for script in scripts)
    return f"| {name} (`{code}`) | {script} | {words} | {said_by} | {own}{ordinals} |"
