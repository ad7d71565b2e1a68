"""Texts that remember where their characters came from."""

from __future__ import annotations

from functools import partial
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.engines.chatterbox.text.traced_text import TracedText

WORDS = "Ça va, \u0130stanbul \ud55c\uad6d \u039f\u0394\u039f\u03a3 stra\u00dfe \ufb01n\u2026"


def origins(traced: TracedText, original: str) -> list[tuple[str, str]]:
    """Each character with the one of the original that it ends at."""
    return [
        (character, original[end - 1])
        for character, end in zip(traced.text, traced.ends, strict=True)
    ]


def test_replaced_characters_end_where_the_old_ones_ended() -> None:
    traced = TracedText.of("a...bc").replace("...", ", ").replace("c", "")
    assert (traced.text, traced.ends) == ("a, b", (1, 4, 4, 5))
    assert traced.end_at(0) == 0
    assert traced.end_at(3) == 4


def test_added_and_stripped_characters_keep_the_others_in_place() -> None:
    traced = TracedText.of("  ab ").strip().prepend("[en]").append(".")
    assert (traced.text, traced.ends) == ("[en]ab.", (0, 0, 0, 0, 3, 4, 4))


def test_every_character_of_another_case_or_form_ends_at_its_own() -> None:
    traced = TracedText.of(WORDS).map(str.lower).map(partial(normalize, "NFKD"))
    assert traced.text == normalize("NFKD", WORDS.lower())
    for character, origin in origins(traced, WORDS):
        forms = normalize("NFKD", origin.lower()) + "\u03c2"  # the sigma at the end of a word
        assert character in forms, (character, origin)


@pytest.mark.parametrize(
    ("old", "new"),
    [("ab cd", "a\u0301b cd"), ("\u6771\u4eac\u3067", "\u3068\u3046\u304d\u3087\u3046\u3067")],
)
def test_a_rewritten_text_is_aligned_where_it_is_the_same(old: str, new: str) -> None:
    traced = TracedText.of(old).rewrite(new)
    assert traced.ends[-1] == len(old)
    assert traced.ends[0] >= 1
    same = [new.index(character) for character in old if character in new]
    assert [traced.ends[n] for n in same] == [old.index(new[n]) + 1 for n in same]


@given(st.text(max_size=40), st.text(max_size=40))
def test_ends_never_decrease_and_stay_within_the_original(old: str, new: str) -> None:
    for traced in (
        TracedText.of(old).rewrite(new),
        TracedText.of(old).map(str.upper).sub(r"\s+", " ").strip().append("."),
    ):
        assert len(traced.ends) == len(traced.text)
        assert sorted(traced.ends) == list(traced.ends)
        assert all(0 <= end <= len(old) for end in traced.ends)
