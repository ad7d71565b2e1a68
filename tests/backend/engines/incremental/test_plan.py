from __future__ import annotations

import re

import pytest

from backend.engines.base import Release
from backend.engines.hibari.text_pieces import LONGEST, effort, window_end
from backend.engines.incremental.plan import make_plan
from backend.engines.incremental.units import Unit

WORD = re.compile(r"\S+")


class WordReader:
    """Each word is a unit; a word of marks only is not voiced."""

    longest = LONGEST
    effort = staticmethod(effort)
    window_end = staticmethod(window_end)

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def read_units(self, text: str) -> list[Unit]:
        self.lengths.append(len(text))
        return [
            Unit(m.start(), m.end(), "wɜɹd" if any(c.isalnum() for c in m.group()) else "—")
            for m in WORD.finditer(text)
        ]

    def read_ipa(self, ipa: str) -> str:
        return ipa


def plan_words(release: Release, spoken_to: int = 0) -> tuple[list[str], int, bool]:
    plan = make_plan(release, spoken_to, WordReader(), 260)
    return [release.text[u.start : u.end] for u in plan.units], plan.reach, plan.has_more


def test_words_up_to_the_release_are_planned_with_their_spaces() -> None:
    assert plan_words(Release("one two three ", 8)) == (["one", "two"], 8, False)


def test_spoken_text_is_not_planned_again() -> None:
    assert plan_words(Release("one two three", 13, final=True), 8) == (["three"], 13, False)


def test_a_word_before_a_bare_mark_waits_for_the_next_word() -> None:
    assert plan_words(Release("one two - ", 8)) == (["one"], 4, False)
    assert plan_words(Release("one two - three ", 10), 4) == (["two", "-"], 10, False)


def test_a_word_that_grew_after_it_was_spoken_is_continued() -> None:
    assert plan_words(Release("hello", 3, must_reach=True)) == (["hel"], 3, False)
    assert plan_words(Release("hello there", 11, final=True), 3) == (["lo", "there"], 11, False)


@pytest.mark.parametrize("text", ["", "   ", " \n "])
def test_without_words_only_the_spaces_are_accounted_for(text: str) -> None:
    assert plan_words(Release(text, len(text), final=True)) == ([], len(text), False)


def test_a_long_text_is_read_in_bounded_parts() -> None:
    text = "word " * 400
    reader = WordReader()
    spoken_to, words = 0, 0
    while True:
        plan = make_plan(Release(text, len(text), final=True), spoken_to, reader, 260)
        assert plan.reach > spoken_to
        spoken_to, words = plan.reach, words + len(plan.units)
        if not plan.has_more:
            break
    assert (spoken_to, words) == (len(text), 400)
    assert max(reader.lengths) < 600
