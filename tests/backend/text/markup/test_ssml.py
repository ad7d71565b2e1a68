"""What tags of SSML, Cartesia and ElevenLabs ask for."""

from __future__ import annotations

import pytest

from backend.text.markup.marks import Change, LanguageChange, Mark, Pause, Phoneme, SayAs, Sub
from backend.text.markup.reader import MarkupOptions, MarkupReader
from backend.text.reading.written_words import FILLER
from tests.backend.text.markup.texts import read_pieces, said


def read(text: str) -> tuple[str, list[Mark]]:
    """The words and marks of a text that is typed."""
    mask, marks = read_pieces(list(text), ssml=True)
    return " ".join(mask.replace(FILLER, "").split()), marks


@pytest.mark.parametrize(
    ("tag", "ms"),
    [
        ('<break time="1s"/>', 1000),
        ('<break time="1.5s" />', 1500),
        ("<break time='250ms'/>", 250),
        ('<break time="+.5s"/>', 500),
        ('<break time="99s"/>', 10_000),
        ("<break/>", 750),
        ('<break strength="x-strong"/>', 1250),
        ('<break strength="weak" />', 500),
        ('<break time="soon"/>', 750),
        ('<BREAK TIME="1s"></BREAK>', 1000),
    ],
)
def test_a_break(tag: str, ms: int) -> None:
    size = tag.index(">") + 1
    assert read(f"a{tag}b") == ("a b", [Pause(1, 1 + size, ms)])


@pytest.mark.parametrize("tag", ['<break strength="none"/>', '<break time="0ms"/>', "</break>"])
def test_no_break(tag: str) -> None:
    assert read(f"a {tag} b") == ("a b", [])


@pytest.mark.parametrize(
    ("text", "words", "create"),
    [
        ("<sub alias='World Wide Web'>WWW</sub>", "WWW", lambda a, b: Sub(a, b, "World Wide Web")),
        ("<sub alias='A &amp; B'>AB</sub >", "AB", lambda a, b: Sub(a, b, "A & B")),
        (
            "<say-as interpret-as='Digits'>123</say-as>",
            "123",
            lambda a, b: SayAs(a, b, "digits"),
        ),
        (
            "<say-as interpret-as='date' format='dmy'>1/2/2026</say-as>",
            "1/2/2026",
            lambda a, b: SayAs(a, b, "date", "dmy"),
        ),
        ("<spell>AB_1*2*</spell>", "AB_1*2*", lambda a, b: SayAs(a, b, "characters")),
        (
            "<phoneme alphabet='ipa' ph='təˈmeɪtoʊ'>x</phoneme>",
            "x",
            lambda a, b: Phoneme(a, b, "təˈmeɪtoʊ"),
        ),
        ("<phoneme ph='a'>x</phoneme>", "x", lambda a, b: Phoneme(a, b, "a")),
        (
            "<phoneme alphabet='cmu-arpabet' ph='M AE1 D IH0 S AH0 N'>x</phoneme>",
            "x",
            lambda a, b: Phoneme(a, b, "mˈædɪsən"),
        ),
        (
            "<phoneme alphabet='x-sampa' ph='&quot;hE.l@U'>x</phoneme>",
            "x",
            lambda a, b: Phoneme(a, b, "ˈhɛ.ləʊ"),
        ),
    ],
)
def test_a_region(text: str, words: str, create: object) -> None:
    assert callable(create)
    start = 4 + text.index(">") + 1
    end = 4 + text.index("</")
    assert read(f"say {text}, so") == (f"say {words}, so", [create(start, end)])


@pytest.mark.parametrize(
    "text",
    [
        "<phoneme alphabet='unknown' ph='a'>word</phoneme>",
        "<phoneme alphabet='cmu-arpabet' ph='XX'>word</phoneme>",
        "<say-as>word</say-as>",
        "<sub>word</sub>",
        "<phoneme ph='a'/>word",
        "<sub alias='x'>word and no end",
    ],
)
def test_a_region_without_a_meaning_is_its_text(text: str) -> None:
    words, marks = read(text)
    assert marks == []
    assert words.startswith("word")


def test_a_region_is_released_as_a_whole() -> None:
    reader = MarkupReader(MarkupOptions(ssml=True))
    assert reader.push_text("so ") == "so "
    assert reader.push_text("<sub alias='World Wide Web'>W3 C</su") == ""
    mask = reader.push_text("b>")
    assert mask.strip(f" {FILLER}") == "W3 C"


def test_a_region_without_an_end_is_read_after_300_characters() -> None:
    reader = MarkupReader(MarkupOptions(ssml=True))
    mask = reader.push_text("<sub alias='x'>" + "word " * 80)
    assert reader.marks == []
    assert len(mask) > 300


def test_what_is_inside_a_region_is_literal() -> None:
    text = "<say-as interpret-as='characters'>a*b* <b>&amp;</b> <!-- x [laugh]</say-as> *z*"
    words, marks = read(text)
    assert words == "a*b* & <!-- x [laugh] z"
    assert marks == [SayAs(34, text.index("</say-as>"), "characters")]


@pytest.mark.parametrize(
    ("attributes", "rate", "volume"),
    [
        ("rate='slow'", 0.64, 1.0),
        ("rate='x-fast'", 2.0, 1.0),
        ("rate='80%'", 0.8, 1.0),
        ("rate='+20%'", 1.2, 1.0),
        ("rate='-10%'", 0.9, 1.0),
        ("rate='1.5'", 1.5, 1.0),
        ("rate='900%'", 2.0, 1.0),
        ("volume='+6dB'", 1.0, 1.9953),
        ("volume='-6.02db'", 1.0, 0.5),
        ("volume='silent'", 1.0, 0.0),
        ("volume='50'", 1.0, 0.5),
        ("rate='fast' volume='soft'", 1.55, 0.65),
    ],
)
def test_prosody_holds_up_to_its_end(attributes: str, rate: float, volume: float) -> None:
    opening = f"<prosody {attributes}>"
    size = len(opening)
    words, marks = read(f"{opening}a</prosody>b")
    assert words == "a b"
    assert marks == [Change(0, size, rate, volume), Change(size + 1, size + 11, 1.0, 1.0)]


@pytest.mark.parametrize("attributes", ["pitch='high'", "rate='quick'", "rate='5dB'", ""])
def test_prosody_that_changes_nothing_has_no_mark(attributes: str) -> None:
    assert read(f"<prosody {attributes}>a</prosody>")[1] == []


def test_prosody_is_nested() -> None:
    text = "<prosody rate='80%'>a <prosody rate='50%' volume='50'>b</prosody> c</prosody> d"
    assert [(mark.rate, mark.volume) for mark in read(text)[1] if isinstance(mark, Change)] == [
        (0.8, 1.0),
        (0.5, 0.5),
        (0.8, 1.0),
        (1.0, 1.0),
    ]


def test_cartesias_ratios_hold_from_there_on() -> None:
    words, marks = read('<speed ratio="0.8"/>a <volume ratio="0.5"/> b <speed ratio="9"/>c')
    assert words == "a b c"
    changes = [(mark.rate, mark.volume) for mark in marks if isinstance(mark, Change)]
    assert changes == [(0.8, 1.0), (0.8, 0.5), (2.0, 0.5)]


@pytest.mark.parametrize(
    "tag",
    [
        '<emotion value="sad"/>',
        "<voice name='x'>",
        "<mark name='m'/>",
        "<audio src='a'>",
        "<speed ratio='x'/>",
        "<volume/>",
        "</prosody>",
        "</lang>",
        "<emphasis>",
    ],
)
def test_other_tags_are_silent(tag: str) -> None:
    assert read(f"a {tag}b") == ("a b", [])


def test_languages_are_nested() -> None:
    text = "a <lang xml:lang='de-DE'>b <lang xml:lang='fr'>c</lang> d</lang> e"
    words, marks = read(text)
    assert words == "a b c d e"
    languages = [mark.language for mark in marks if isinstance(mark, LanguageChange)]
    assert languages == ["de-DE", "fr", "de-DE", ""]


@pytest.mark.parametrize("name", ["p", "s"])
def test_a_sentence_ends_where_it_is_marked(name: str) -> None:
    mask = read_pieces([f"<{name}>one</{name}><{name}>two</{name}>"], ssml=True)[0]
    assert mask.replace(FILLER, "").replace(" ", "") == "\none\n\ntwo\n"


def test_a_text_that_begins_with_speak_is_ssml() -> None:
    text = "\ufeff <?xml version='1.0'?>\n<speak version='1.1'>a<break time='1s'/>b</speak>"
    mask, marks = read_pieces(list(text))
    assert mask.replace(FILLER, "").split() == ["a", "b"]
    assert [mark.ms for mark in marks if isinstance(mark, Pause)] == [1000]


@pytest.mark.parametrize("text", ["a <speak><break/>b", "<break/> b", "<sub alias='x'>b</sub>"])
def test_without_ssml_its_tags_are_only_silent(text: str) -> None:
    assert read_pieces(list(text))[1] == []
    assert said(text).endswith("b")
