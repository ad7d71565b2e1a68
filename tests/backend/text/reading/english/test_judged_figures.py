"""Texts with numbers, and what a good reader says for them, decided before they were run.

The file has one text a line, then what may be said for it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.reading import mask_text, read_aloud, read_text

LINES = Path(__file__).with_name("judged_figures.txt").read_text(encoding="utf-8").splitlines()
CASES = [(text, said.split(" / ")) for text, _, said in (line.partition(" ==> ") for line in LINES)]


def simplify(said: str) -> str:
    """`said` as it is compared: without marks, "minus" for "negative", no "and" in numbers."""
    said = re.sub(r"[^\w\s]", " ", said.lower())
    said = re.sub(r"\bnegative\b", "minus", said)
    said = re.sub(r"\bhundred and\b", "hundred", said)
    return " ".join(re.sub(r"\b([ap]) m\b", r"\1m", said).split())


@pytest.mark.parametrize(("text", "allowed"), CASES)
def test_a_judged_text_is_read(text: str, allowed: list[str]) -> None:
    assert simplify(read_aloud(mask_text(text))) in [simplify(said) for said in allowed]


@pytest.mark.parametrize(("text", "allowed"), CASES)
def test_a_judged_text_reads_the_same_typed(text: str, allowed: list[str]) -> None:
    masked = mask_text(text)
    assert read_text(masked, 1) == read_text(masked)
