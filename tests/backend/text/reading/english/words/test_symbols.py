"""Symbols have names, faces and unread scripts are silent."""

from __future__ import annotations

import pytest

from backend.text.reading.english.words.wording import WORD_RULES
from tests.support.rule_reading import read_text


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("α and β here.", "alpha and beta here."),
        ("Δx and λ-calculus", "delta X and lambda calculus"),
        ("Привет hello", "hello"),
        ("hello мир there", "hello there"),
        ("Здравствуйте, Bob!", "Bob!"),
        ("你好 hello", "hello"),
        ("Is it؟ Yes،ok.", "Is it? Yes, okay."),
        ("Ｈｅｌｌｏ there", "Hello there"),
        ("ﬁnd the ﬂow", "find the flow"),
        ("𝗕𝗼𝗹𝗱 text.", "Bold text."),
        ("Chapter Ⅳ", "Chapter four"),
        ("naïve résumé", "naïve résumé"),
        ("„Hello“ she said.", "„Hello“ she said."),
        ("Wait… what?", "Wait… what?"),
        ("Well ... no", "Well … no"),
        ("A → B", "A to B"),
        ("x -> y", "X to Y"),
        ("→ next", "next"),
        ("next →", "next"),
        ("Acme™ works®.", "Acme works."),
        ("© Acme", "copyright Acme"),
        ("∞ here.", "infinity here."),
        ("Done ✓ now.", "Done now."),
        ("Tom & Jerry", "Tom and Jerry"),
        ("Hello — world", "Hello — world"),
        ("it`s and it’s", "it's and it's"),
        ("‘hello’", "‘hello’"),
        ("Say :) now.", "Say now."),
        ("Yes!!! :D", "Yes!"),
        (";-) and :-( and :P", "and and"),
        ("Hello!!! What??", "Hello! What?"),
        ("What?!", "What?!"),
    ],
)
def test_symbols_are_read(text: str, spoken: str) -> None:
    assert read_text(text, WORD_RULES) == spoken
