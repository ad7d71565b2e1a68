"""Roman numerals are numbers where a word asks for one."""

from __future__ import annotations

import pytest

from backend.text.reading.english.words.wording import WORD_RULES
from tests.support.rule_reading import read_text


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("Chapter IV ended.", "Chapter four ended."),
        ("Chapter V is here.", "Chapter five is here."),
        ("Part II and Part III.", "Part two and Part three."),
        ("World War I and World War II ended.", "World War one and World War two ended."),
        ("Louis XIV came.", "Louis the fourteenth came."),
        ("Louis XIV's palace", "Louis the fourteenth's palace"),
        ("Henry V and Henry VIII", "Henry the fifth and Henry the eighth"),
        ("Queen Elizabeth II died.", "Queen Elizabeth the second died."),
        ("King Charles I died.", "King Charles the first died."),
        ("Pope John Paul II came.", "Pope John Paul the second came."),
        ("Catherine I of Russia", "Catherine the first of Russia"),
        ("Super Bowl LVIII.", "Super Bowl fifty eight."),
        ("Act III, Scene II", "Act three, Scene two"),
        ("Final Fantasy VII", "Final Fantasy seven"),
        ("Rocky II and Rocky IV.", "Rocky two and Rocky four."),
        ("Type II diabetes", "Type two diabetes"),
        ("the XX century", "the twentieth century"),
        ("II. Results", "two. Results"),
        ("MMXXIV", "two thousand twenty four"),
        ("page iv and part ii", "page four and part two"),
        ("(ii) here", "(two) here"),
        ("An IV drip.", "An I V drip."),
        ("Use IV fluids.", "Use I V fluids."),
        ("the part I like", "the part I like"),
        ("Did I go?", "Did I go?"),
        ("George I know.", "George I know."),
        ("Malcolm X came.", "Malcolm X came."),
        ("Windows XP and Model X", "Windows X P and Model X"),
        ("Vitamin C, CD and DVD.", "Vitamin C, C D and D V D."),
        ("Class C and Level D", "Class C and Level D"),
        ("XL shirt", "X L shirt"),
        ("WWII ended.", "World War two ended."),
        ("Di came to MIX it.", "Di came to mix it."),
    ],
)
def test_roman_are_read(text: str, spoken: str) -> None:
    assert read_text(text, WORD_RULES) == spoken
