"""Texts as people write them, read through the whole path: markup, sentences, rules."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from backend.text.markup.reader import MarkupOptions
from backend.text.reading.english import ENGLISH
from backend.text.text_reading import read_sentences

TEXTS = [
    json.loads(line)
    for line in Path(__file__).with_name("written_texts.jsonl").read_text("utf-8").splitlines()
]


def read(text: str) -> str:
    sentences = read_sentences(text, lambda: ENGLISH, MarkupOptions())
    return " ".join(sentence.spoken.plain for sentence in sentences)


def strip_marks(text: str) -> list[str]:
    return re.sub(r"[^\w\s]", " ", text.lower()).split()


@pytest.mark.parametrize("case", TEXTS, ids=lambda case: case["text"][:40])
def test_a_text_is_read_as_a_reader_would(case: dict[str, Any]) -> None:
    assert strip_marks(read(case["text"])) in [strip_marks(said) for said in case["readings"]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A cat came.", "a cat came."),
        ("A is first.", "A is first."),
        ("Option A is best.", "Option A is best."),
        ("a, b and c.", "A, B and C."),
        ("a < b here.", "A less than B here."),
        ("I have a dog.", "I have a dog."),
        ("It is a... dog.", "It is a... dog."),
        ("WE HAVE A DOG.", "we have a dog."),
    ],
)
def test_a_capital_a_is_the_letter(text: str, said: str) -> None:
    assert read(text) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("STRENGTH", "strength"),
        ("MONTHS", "months"),
        ("EARTHQUAKES", "earthquakes"),
        ("FRIENDSHIP", "friendship"),
        ("ENDS", "ends"),
        ("CHLORINE", "chlorine"),
        ("LGBTQIA", "L G B T Q I A"),
        ("UNHCR", "U N H C R"),
        ("HTTPS", "H T T P S"),
    ],
)
def test_long_words_in_capitals_are_words(text: str, said: str) -> None:
    assert read(text) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Say <spell>hi</spell> now.", "say h i now"),
        ("x<y and y>z", "x less than y and y greater than z"),
        ("I <3 you", "i love you"),
        ("It is <3 kg.", "it is less than three kilograms"),
        ("x**2 here", "x squared here"),
        ("Elm Ave is here.", "elm avenue is here"),
        ("Ave Maria", "ave maria"),
        ("The co. is old.", "the company is old"),
        ("The no. is 5.", "the number is five"),
        ("I said no. He left.", "i said no he left"),
        ("AT&T's plan", "a t and t s plan"),
    ],
)
def test_look_alikes_are_told_apart(text: str, said: str) -> None:
    assert strip_marks(read(text)) == said.split()
