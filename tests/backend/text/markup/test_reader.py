"""The mask of a text is as long as the text, and does not depend on the pieces it arrives in."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.text.markup.reader import MarkupReader
from backend.text.reading.written_words import FILLER
from tests.backend.text.markup.texts import marked_texts, read_pieces
from tests.support.reading import mask_text

exactly = settings(derandomize=True, deadline=None, max_examples=500)


@exactly
@given(marked_texts, st.booleans())
def test_the_mask_is_as_long_as_the_text(text: str, ssml: bool) -> None:
    assert len(mask_text(text, ssml=ssml)) == len(text)


@exactly
@given(marked_texts, st.data(), st.booleans())
def test_the_pieces_of_a_text_do_not_change_its_mask_and_marks(
    text: str, data: st.DataObject, ssml: bool
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    whole = read_pieces([text], ssml=ssml)
    assert read_pieces(pieces, ssml=ssml) == whole
    assert read_pieces(list(text), ssml=ssml) == whole


@pytest.mark.slow
@exactly
@given(marked_texts, marked_texts, marked_texts, st.booleans())
def test_a_restored_reader_reads_as_if_the_retracted_text_had_never_come(
    kept: str, retracted: str, added: str, ends: bool
) -> None:
    reader = MarkupReader()
    mask = reader.push_text(kept)
    saved = reader.save_state()
    reader.push_text(retracted)
    if ends:
        reader.end_text()
    reader.restore_state(saved)
    mask += reader.push_text(added) + reader.end_text()
    assert (mask, reader.marks) == read_pieces([kept + added])


@exactly
@given(marked_texts)
def test_a_filler_is_inside_or_behind_a_word(text: str) -> None:
    mask = mask_text(text)
    for before, character in zip("\n" + mask, mask, strict=False):
        assert character != FILLER or not before.isspace()


@exactly
@given(marked_texts, marked_texts)
def test_held_text_is_decided_once(first: str, second: str) -> None:
    reader = MarkupReader()
    mask = reader.push_text(first)
    assert len(mask) + reader.held == len(first)
    mask += reader.end_text()
    assert reader.held == 0
    mask += reader.push_text(second) + reader.end_text()
    assert len(mask) == len(first) + len(second)


@pytest.mark.parametrize(
    ("text", "decided"),
    [
        ("hello wor", "hello wor"),
        ("hello world. ", "hello world. "),
        ("It is 5", "It is 5"),
        ("Wait, what?", "Wait, what?"),
        ('"Yes!" (he said)', '"Yes!" (he said)'),
        ("well-", "well"),
        ("x=5", "x=5"),
    ],
)
def test_of_plain_text_at_most_the_last_character_is_held(text: str, decided: str) -> None:
    assert MarkupReader().push_text(text) == decided


GARBAGE = (
    *("<", "&", "[", "(", "`", "*", "_", "#", "-", "~", "=", "|", ">", "!", "\\", " ", "\u0301"),
    *("<a ", "&a", "[a ", "](", "<!", "<!--", '<a"', "<a='", "&#1", "[^", "[pause", "```", "</"),
    *("<sub alias=''>", "<think>", "<script>", "e\u0301", "\u00ad", "🙂", "5\u00a0", "<speak>"),
    *("<https:", '](a "', "[x](", "- ", "<phoneme ph='a'>", "<prosody rate='fast'>"),
)


@pytest.mark.parametrize("unit", GARBAGE)
@pytest.mark.parametrize("ssml", [False, True])
def test_garbage_costs_little_time_and_little_memory(unit: str, ssml: bool) -> None:
    text = ((unit or " ") * 4000)[:4000]
    started = time.process_time()
    reader = read_pieces([text], ssml=ssml)
    whole_s = time.process_time() - started
    one = MarkupReader()
    most, started = 0, time.process_time()
    mask = ""
    for character in text:
        mask += one.push_text(character)
        most = max(most, one.held)
    typed_s = time.process_time() - started
    assert len(reader[0]) == 4000
    assert most <= 800
    assert whole_s < 0.5
    assert typed_s < 2
