"""Marks are found however the text is split; other text passes at once."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.protocols.markup import (
    HIDDEN,
    PRONUNCIATIONS,
    Markup,
    MarkupFilter,
    hide_marks,
    keep_word,
    replace_markup,
    tag_markup,
    to_phoneme_tag,
)

TAGS = tag_markup("break", "speed", "say-as", "p", "phoneme")
TAG = re.compile(r"</?(?:break|speed|say-as|p|phoneme)(?:[\s/][^<>]{0,400})?>", re.IGNORECASE)


def remove(mark: re.Match[str]) -> str:
    return ""


def filter_pieces(pieces: list[str], markup: Markup = TAGS) -> list[str]:
    text = MarkupFilter(markup, keep_word if markup is PRONUNCIATIONS else remove)
    return [*(text.filter_text(piece) for piece in pieces), text.flush_held()]


def strip_markup(text: str, markup: Markup) -> str:
    return replace_markup(text, markup, keep_word if markup is PRONUNCIATIONS else remove)


def test_a_mark_is_passed_on_in_one_piece() -> None:
    text = MarkupFilter(TAGS)
    pieces = [text.filter_text(piece) for piece in ("a <bre", "ak ti", 'me="1s"/> b')]
    assert pieces == ["a ", "", '<break time="1s"/> b']


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('<speed ratio="1"/>Hi <p>you</p>.', "Hi you."),
        ("One.<break/>Two", "One. Two"),
        ("a < b <brea", "a < b <brea"),
    ],
)
def test_a_hidden_mark_keeps_its_length(text: str, shown: str) -> None:
    hidden = hide_marks(text, TAGS)
    assert len(hidden) == len(text)
    assert hidden.replace(HIDDEN, "") == shown


def test_a_pronunciation_becomes_a_tag() -> None:
    text = 'Say \\{"word": "A&B", "pronounce": "eɪ<b"\\} now'
    assert (
        replace_markup(text, PRONUNCIATIONS, to_phoneme_tag)
        == 'Say <phoneme alphabet="ipa" ph="eɪ&lt;b">A&amp;B</phoneme> now'
    )


@pytest.mark.parametrize(
    ("text", "plain"),
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
def test_only_tags_are_removed_also_one_character_at_a_time(text: str, plain: str) -> None:
    assert strip_markup(text, TAGS) == plain
    assert "".join(filter_pieces(list(text))) == plain


def test_pronunciation_is_replaced_by_its_word_also_one_character_at_a_time() -> None:
    text = 'Take \\{"word": "dupilumab", "pronounce":"duːpˈɪ"\\} \\{ "word": "twice'
    assert strip_markup(text, PRONUNCIATIONS) == 'Take dupilumab \\{ "word": "twice'
    assert "".join(filter_pieces(list(text), PRONUNCIATIONS)) == strip_markup(text, PRONUNCIATIONS)


def test_text_that_cannot_become_a_tag_is_not_held() -> None:
    pieces = ["a <", " b <3", " <br", "x> <spe", "ed", " r>!"]
    assert filter_pieces(pieces) == ["a ", "< b <3", " ", "<brx> ", "", "!", ""]


def test_held_text_is_bounded_and_never_lost() -> None:
    text = "<break " + "x" * 1000
    pieces = filter_pieces(list(text))
    assert "".join(pieces) == text
    assert pieces[450], "a tag as long as this is text"
    assert filter_pieces(["Hello <brea"]) == ["Hello ", "<brea"]


TAG_PARTS = st.sampled_from(
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


@given(st.lists(TAG_PARTS, max_size=30).map("".join), st.data())
def test_splitting_does_not_change_the_output(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=10)))
    pieces = [text[low:high] for low, high in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert "".join(filter_pieces(pieces)) == strip_markup(text, TAGS) == TAG.sub("", text)


PRONUNCIATION_PARTS = st.sampled_from(
    ["\\", "\\{", "\\}", '"', '"word"', ":", ' "a"', ",", '"pronounce"', '"b"', " ", "x"]
)


@given(st.lists(PRONUNCIATION_PARTS, max_size=30).map("".join), st.data())
def test_splitting_does_not_change_pronunciations(text: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(text)))
    whole = strip_markup(text, PRONUNCIATIONS)
    assert "".join(filter_pieces([text[:cut], text[cut:]], PRONUNCIATIONS)) == whole
    assert "".join(filter_pieces(list(text), PRONUNCIATIONS)) == whole


def test_time_grows_linearly_with_the_text() -> None:
    for unit in ("<", "</", "<s", "<break ", '\\{"word":', "<break" + " " * 390):
        short, long = (unit * (size // len(unit)) for size in (5_000, 80_000))
        assert measure_cpu_s(long) < 64 * measure_cpu_s(short) + 0.01, unit


def measure_cpu_s(text: str) -> float:
    start_s = time.thread_time()
    strip_markup(text, TAGS)
    strip_markup(text, PRONUNCIATIONS)
    return time.thread_time() - start_s
