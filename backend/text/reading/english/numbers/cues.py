"""Reads abbreviations that stand before numbers: "No. 5", "pp. 3-5", "ca. 1900". Pure."""

from __future__ import annotations

import re

from backend.text.reading.english.numbers.figure import parse_amount
from backend.text.reading.english.numbers.number_forms import say_number
from backend.text.reading.english.numbers.number_words import year
from backend.text.reading.english.numbers.times import BOOKS_IN_SHORT, VERSE
from backend.text.reading.language import Reading
from backend.text.reading.written_words import WordCursor

_CUES = {
    "no": "number",
    "nos": "numbers",
    "nr": "number",
    "p": "page",
    "pp": "pages",
    "pg": "page",
    "vol": "volume",
    "vols": "volumes",
    "ch": "chapter",
    "chap": "chapter",
    "sec": "section",
    "secs": "sections",
    "sect": "section",
    "fig": "figure",
    "figs": "figures",
    "eq": "equation",
    "eqs": "equations",
    "eqn": "equation",
    "art": "article",
    "arts": "articles",
    "par": "paragraph",
    "para": "paragraph",
    "paras": "paragraphs",
    "pt": "part",
    "tab": "table",
    "ex": "example",
    "app": "appendix",
    "apt": "apartment",
    "ste": "suite",
    "rm": "room",
    "bldg": "building",
    "ext": "extension",
    "tel": "telephone",
    "ph": "phone",
    "ver": "version",
    "v": "version",
    "lvl": "level",
    "lv": "level",
    "ep": "episode",
    "eps": "episodes",
    "ed": "edition",
    "col": "column",
    "ln": "line",
    "ll": "lines",
    "op": "opus",
    "q": "question",
    "rev": "revision",
    "hwy": "highway",
    "rte": "route",
    "rt": "route",
    "ca": "circa",
    "c": "circa",
    "approx": "approximately",
    "appr": "approximately",
    "max": "maximum",
    "min": "minimum",
    "avg": "average",
    "est": "estimated",
    "tx": "transaction",
}
_GLUED = re.compile(r"([A-Za-z]{1,6})\.(\d.*)")
_LONGEST = 6


def read_cue(cursor: WordCursor) -> Reading | None:
    """A cue with its dot before a number, in one word or two."""
    word = cursor.word
    core = word.core
    if word.trail == "." and len(core) <= _LONGEST:
        name = _CUES.get(core.lower())
        if (book := BOOKS_IN_SHORT.get(core.lower())) and VERSE.match(cursor.peek().core):
            return Reading(_match_case(book, core), trail="")
        if name and _is_number(cursor.peek().core) and not cursor.peek().lead:
            if name == "estimated" and re.fullmatch(r"[12]\d{3}", cursor.peek().core):
                name = "established"
            return Reading(_match_case(name, core), trail="")
        return None
    if "." not in core[1 : _LONGEST + 2]:
        return None
    match = _GLUED.fullmatch(core)
    name = _CUES.get(match[1].lower()) if match else None
    amount = parse_amount(match[2]) if match and name else None
    if not match or not name or not amount or amount.suffix or amount.low_suffix:
        return None
    said = amount.say_numbers()
    if re.fullmatch(r"[12]\d{3}", amount.low) and not amount.high and name == "circa":
        said = year(int(amount.low))
    return Reading(f"{_match_case(name, core)} {said or say_number(amount.low)}")


def _is_number(core: str) -> bool:
    return core[:1].isdigit() or (core[:1] in tuple("#$€£") and core[1:2].isdigit())


def _match_case(name: str, written: str) -> str:
    return name.capitalize() if written[0].isupper() else name
