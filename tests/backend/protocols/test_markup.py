"""Marks are taken out of a text whatever the pieces that it comes in; nothing else is, or waits."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.protocols.markup import PRONUNCIATIONS, Markup, MarkupFilter, strip_markup, tag_markup

TAGS = tag_markup("break", "speed", "say-as", "p", "phoneme")
TAG = re.compile(r"</?(?:break|speed|say-as|p|phoneme)(?:[\s/][^<>]{0,400})?>", re.IGNORECASE)


def pushed(pieces: list[str], markup: Markup = TAGS) -> list[str]:
    text = MarkupFilter(markup)
    return [*(text.filter_text(piece) for piece in pieces), text.flush_held()]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('One <break time="1.0s" />two.', "One two."),
        ('<speed ratio="1.05"/>Hello.', "Hello."),
        ('a <phoneme alphabet="ipa" ph="x">word</phoneme> b', "a word b"),
        ("<SAY-AS x='1'>5</say-as><p>six</p>", "5six"),
        (
            "1 < 2, a<b, <3, </b> <pre> <speedy> <break",
            "1 < 2, a<b, <3, </b> <pre> <speedy> <break",
        ),
        ("<<break/>>", "<>"),
    ],
)
def test_only_marks_are_taken_out_also_a_character_at_a_time(text: str, left: str) -> None:
    assert strip_markup(text, TAGS) == left
    assert "".join(pushed(list(text))) == left


def test_a_prescribed_pronunciation_leaves_its_word_also_a_character_at_a_time() -> None:
    text = 'Take \\{"word": "dupilumab", "pronounce":"duːpˈɪ"\\} \\{ "word": "twice'
    assert strip_markup(text, PRONUNCIATIONS) == 'Take dupilumab \\{ "word": "twice'
    assert "".join(pushed(list(text), PRONUNCIATIONS)) == strip_markup(text, PRONUNCIATIONS)


def test_what_cannot_become_a_mark_is_not_kept_back() -> None:
    pieces = ["a <", " b <3", " <br", "x> <spe", "ed", " r>!"]
    assert pushed(pieces) == ["a ", "< b <3", " ", "<brx> ", "", "!", ""]


def test_what_is_kept_back_is_bounded_and_never_lost() -> None:
    text = "<break " + "x" * 1000
    told = pushed(list(text))
    assert "".join(told) == text
    assert told[450], "a tag as long as this is text"
    assert pushed(["Hello <brea"]) == ["Hello ", "<brea"]


PARTS = st.sampled_from(
    [
        "<",
        "</",
        "/>",
        ">",
        "break",
        "BREAK ",
        "speed",
        "p",
        "say-",
        "as",
        ' time="1s"',
        "a",
        " ",
        "3",
    ]
)


@given(st.lists(PARTS, max_size=30).map("".join), st.data())
def test_pieces_make_no_difference(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=10)))
    pieces = [text[low:high] for low, high in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert "".join(pushed(pieces)) == strip_markup(text, TAGS) == TAG.sub("", text)


SPOKEN = st.sampled_from(
    ["\\", "\\{", "\\}", '"', '"word"', ":", ' "a"', ",", '"pronounce"', '"b"', " ", "x"]
)


@given(st.lists(SPOKEN, max_size=30).map("".join), st.data())
def test_pieces_make_no_difference_to_pronunciations(text: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(text)))
    whole = strip_markup(text, PRONUNCIATIONS)
    assert "".join(pushed([text[:cut], text[cut:]], PRONUNCIATIONS)) == whole
    assert "".join(pushed(list(text), PRONUNCIATIONS)) == whole


def test_time_grows_with_the_text_only() -> None:
    for unit in ("<", "</", "<s", "<break ", '\\{"word":', "<break" + " " * 390):
        short, long = (unit * (size // len(unit)) for size in (5_000, 80_000))
        assert cpu_s(long) < 64 * cpu_s(short) + 0.01, unit


def cpu_s(text: str) -> float:
    start_s = time.thread_time()
    strip_markup(text, TAGS)
    strip_markup(text, PRONUNCIATIONS)
    return time.thread_time() - start_s
