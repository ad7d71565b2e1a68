"""The rules for everything that has to do with numbers, in the order in which they are asked."""

from __future__ import annotations

from collections.abc import Callable

from backend.text.reading.english.numbers.arithmetic import read_expression, read_operator
from backend.text.reading.english.numbers.cues import read_cue
from backend.text.reading.english.numbers.dates import read_day, read_month, read_numeric_date
from backend.text.reading.english.numbers.decades import (
    read_decade,
    read_ordinal,
    read_powers,
    read_prefixed,
)
from backend.text.reading.english.numbers.digit_strings import (
    read_identifier,
    read_phone_number,
    read_version,
)
from backend.text.reading.english.numbers.dimensions import read_dimension
from backend.text.reading.english.numbers.figure import Figure, find_figure
from backend.text.reading.english.numbers.latex import read_latex
from backend.text.reading.english.numbers.mixed_tokens import read_mixed
from backend.text.reading.english.numbers.money import read_leading_code, read_money
from backend.text.reading.english.numbers.number_forms import VULGAR
from backend.text.reading.english.numbers.plain_numbers import read_idiom, read_plain
from backend.text.reading.english.numbers.primes import read_primes
from backend.text.reading.english.numbers.quantities import read_quantity, read_unit_alone
from backend.text.reading.english.numbers.times import read_time
from backend.text.reading.language import Reading, Rule
from backend.text.reading.written_words import WordCursor

_WORD_RULES: tuple[Rule, ...] = (
    read_idiom,
    read_numeric_date,
    read_phone_number,
    read_version,
    read_identifier,
    read_day,
    read_time,
    read_dimension,
    read_expression,
    read_primes,
    read_ordinal,
    read_powers,
)
_FIGURE_RULES: tuple[Callable[[Figure], Reading | None], ...] = (
    read_money,
    read_quantity,
    read_plain,
)
_NUMBER_SIGNS = frozenset(["Nº", "nº", "N°", "n°"])
_MARKS_IN_WORDS = frozenset("<>=^*+×÷≠≤≥−₀₁₂₃₄₅₆₇₈₉⁰¹²³⁴⁵⁶⁷⁸⁹π√")


def read_figures(cursor: WordCursor) -> Reading | None:
    """A word with digits that does not begin with a letter."""
    core = cursor.word.core
    if core.isalpha() or not any(c.isdigit() or c in VULGAR for c in core):
        return None
    if core[0].isalpha():
        return _read_lettered_money(cursor)
    for rule in _WORD_RULES:
        if (reading := rule(cursor)) is not None:
            return reading
    if (figure := find_figure(cursor)) is not None:
        for read in _FIGURE_RULES:
            if (reading := read(figure)) is not None:
                return reading
    return read_decade(cursor) or Reading(read_mixed(core))


def _read_lettered_money(cursor: WordCursor) -> Reading | None:
    """Reads "US$5", "EUR100", "Rs.500"."""
    figure = find_figure(cursor)
    return read_money(figure) if figure and figure.amount.currency else None


def read_lettered(cursor: WordCursor) -> Reading | None:
    """Words that begin with a letter and have to do with numbers: months, cues, codes, "x²"."""
    core = cursor.word.core
    if not core[:1].isalpha():
        return None
    if core in _NUMBER_SIGNS:
        return Reading("number")
    if core.isalpha():
        if not core.isascii() and len(core) > 1 and (reading := read_expression(cursor)):
            return reading
        return (
            read_month(cursor)
            or (read_cue(cursor) if cursor.word.trail else None)
            or (read_leading_code(cursor) if len(core) <= 3 else None)
            or (read_operator(cursor) if len(core) == 1 else None)
        )
    if core[0] in "vV" and core[1:2].isdigit() and (reading := read_version(cursor)):
        return reading
    if not _MARKS_IN_WORDS.isdisjoint(core) and (reading := read_expression(cursor)):
        return reading
    return (
        read_unit_alone(cursor)
        or read_prefixed(cursor)
        or read_cue(cursor)
        or read_month(cursor)
        or read_leading_code(cursor)
    )


def read_marks(cursor: WordCursor) -> Reading | None:
    """Operators and signs without digits."""
    core = cursor.word.core
    if not core or core[0].isalnum():
        return None
    return read_leading_code(cursor) or read_operator(cursor) or read_expression(cursor)


NUMERIC_RULES: tuple[Rule, ...] = (read_latex, read_figures, read_lettered, read_marks)
"""Asked in this order; each returns at once for words that are not its own."""
