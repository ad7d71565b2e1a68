"""The markup of a growing text, and going back in it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.text.markup.marks import Change, Pause
from backend.text.markup.reader import MarkupOptions
from backend.text.masked_text import MaskedText
from tests.backend.text.markup.texts import marked_texts

SSML = MarkupOptions(ssml=True)
EVERYTHING = 1_000_000


class Masked:
    """A masked text together with all that it has returned."""

    def __init__(self, *, ssml: bool = False) -> None:
        self.source = MaskedText(MarkupOptions(ssml=ssml))
        self.text = ""

    def push(self, raw: str) -> None:
        self.text += self.source.push_text(raw)
        assert len(self.text) == self.source.masked_to

    def retract(self, to: int) -> None:
        self.source.retract_to(to)
        assert self.source.length == to
        self.text = self.text[: self.source.masked_to]

    def finish(self) -> tuple[str, list[object]]:
        self.text += self.source.end_text()
        return self.text, list(self.source.find_marks(0, EVERYTHING))


def read_fresh(raw: str, *, ssml: bool = False) -> tuple[str, list[object]]:
    masked = Masked(ssml=ssml)
    masked.push(raw)
    return masked.finish()


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.lists(st.tuples(marked_texts, st.integers(0, 60)), max_size=5), st.booleans())
def test_pushes_and_retractions_are_as_if_only_the_rest_had_come(
    edits: list[tuple[str, int]], ssml: bool
) -> None:
    masked, raw = Masked(ssml=ssml), ""
    for added, removed in edits:
        masked.push(added)
        raw += added
        raw = raw[: max(0, len(raw) - removed)]
        masked.retract(len(raw))
    assert masked.finish() == read_fresh(raw, ssml=ssml)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.lists(marked_texts, min_size=2, max_size=5), st.data())
def test_settled_text_is_needed_for_no_later_retraction(
    pieces: list[str], data: st.DataObject
) -> None:
    masked, raw = Masked(), ""
    for piece in pieces:
        masked.push(piece)
        raw += piece
    settled = data.draw(st.integers(0, len(raw)))
    masked.source.settle(settled)
    to = data.draw(st.integers(settled, len(raw)))
    masked.retract(to)
    masked.push("a [pause 1s] b")
    assert masked.finish()[0] == read_fresh(raw[:to] + "a [pause 1s] b")[0]


def test_a_mark_waits_for_its_end() -> None:
    masked = Masked()
    masked.push("Wait [pau")
    assert (masked.text, masked.source.length) == ("Wait ", 9)
    assert masked.source.find_marks(0, EVERYTHING) == []
    masked.push("se 1s] now.")
    assert masked.text.split() == ["Wait", "now."]
    assert masked.source.find_marks(0, EVERYTHING) == [Pause(5, 15, 1000)]


def test_an_open_mark_is_text_at_the_end() -> None:
    masked = Masked()
    masked.push("Wait [pau")
    assert masked.finish() == ("Wait  pau", [])


def test_a_retracted_mark_is_gone_and_one_retracted_in_part_is_open_again() -> None:
    masked = Masked()
    masked.push("A [pause 1s] b [pause 2s] c")
    masked.retract(21)
    assert masked.source.find_marks(0, EVERYTHING) == [Pause(2, 12, 1000)]
    masked.push(" 3s] d")
    assert masked.source.find_marks(0, EVERYTHING)[1:] == [Pause(15, 25, 3000)]
    masked.retract(0)
    assert masked.finish() == ("", [])


def test_marks_are_found_by_where_they_begin() -> None:
    source = MaskedText(MarkupOptions())
    source.push_text("A [pause 1s] b [pause 2s] c")
    assert [mark.start for mark in source.find_marks(2, 15)] == [2]
    assert [mark.start for mark in source.find_marks(3, 16)] == [15]


def test_the_last_change_of_speed_or_volume_counts() -> None:
    source = MaskedText(SSML)
    source.push_text('a <speed ratio="0.5"/> b <volume ratio="2"/> c')
    assert source.find_change(21) is None
    slow, loud = source.find_marks(0, EVERYTHING)
    assert source.find_change(22) == slow == Change(2, 22, 0.5, 1.0)
    assert source.find_change(EVERYTHING) == loud == Change(25, 44, 0.5, 2.0)


def test_settled_marks_are_dropped_but_for_the_change_that_holds() -> None:
    source = MaskedText(SSML)
    for part in ("a [pause 1s] b ", '<speed ratio="0.5"/> c ', "[pause 2s] d", " and more"):
        source.push_text(part)
    source.settle(source.length - len(" and more"))
    assert source.find_marks(0, EVERYTHING) == [Change(15, 35, 0.5, 1.0)]
    assert source.find_change(EVERYTHING) == Change(15, 35, 0.5, 1.0)


@pytest.mark.parametrize("length", [1_000, 100_000])
def test_settled_text_takes_no_memory(length: int) -> None:
    source = MaskedText(SSML)
    source.push_text('<speed ratio="0.5"/>')
    for _ in range(length // 20):
        source.push_text("A word [pause 1s] .\n ")
        source.settle(source.length)
    assert len(source._raw) < 100
    assert len(source._saved) <= 2
    assert len(source._marks) <= 2
