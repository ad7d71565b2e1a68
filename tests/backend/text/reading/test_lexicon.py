"""A lexicon says names: whole words, in any case, with endings, however the text is typed."""

from __future__ import annotations

import time
from collections.abc import Iterable

import pytest

from backend.errors import BadLexicon
from backend.text.reading.language import Language
from backend.text.reading.lexicon import Lexicon, create_lexicon_rule
from backend.text.reading.lexicon_entry import LexiconEntry, create_entry
from backend.text.reading.sentence_reader import SentenceReader
from backend.text.reading.spoken_word import SpokenWord

NAMES = {
    "Nguyen": "win",
    "Siobhan": "/ʃɪˈvɔːn/",
    "Ross": "/rɒs/",
    "Pat": "/pæt/",
    "US": "you ess",
    "New York": "noo yawk",
    "New York City": "the big apple",
    "York": "yawk",
    "St. Malo": "san mah low",
    "Inc.": "incorporated",
    "Yahoo!": "yah who",
    "C++": "see plus plus",
    "McDonald's": "mick donalds",
    "東京": "toe kyo",
    "Côte d'Or": "coat door",
    "Saoirse": "SUR-sha",
    "FBI": "F B I",
}


def lexicon_of(entries: dict[str, str], **options: bool) -> Lexicon:
    return Lexicon(create_entry(written, said, **options) for written, said in entries.items())


def read(text: str, lexicon: Lexicon, pieces: Iterable[str] | None = None) -> list[SpokenWord]:
    reader = SentenceReader(Language("en", (create_lexicon_rule(lexicon),)))
    for piece in pieces or [text]:
        reader.push_text(piece)
    reader.end_text()
    return reader.words


def spoken(text: str, lexicon: Lexicon) -> str:
    words = read(text, lexicon)
    assert words == read(text, lexicon, text), "typed by the character it reads otherwise"
    return " ".join(word.spoken for word in words if word.spoken)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Ask Nguyen.", "Ask win."),
        ("ask nguyen, NGUYEN!", "ask win, win!"),
        ("(Nguyen)", "(win)"),
        ("“Nguyen”", "“win”"),
        ("Nguyens Anguyen", "Nguyens Anguyen"),
        ("Nguyen's car", "win's car"),
        ("Nguyen’s car", "win's car"),
        ("NGUYEN'S CAR", "win's CAR"),
        ("Nguyen'll come", "win'll come"),
        ("the Nguyens' car", "the Nguyens' car"),
        ("Mr Nguyen-Smith", "Mr win-Smith"),
        ("Smith-Nguyen's car", "Smith-win's car"),
        ("Nguyen-25", "Nguyen-25"),
        ("the US and us", "the you ess and us"),
        ("in New York today", "in noo yawk today"),
        ("in new york today", "in noo yawk today"),
        ("New York City's mayor", "the big apple's mayor"),
        ("New Jersey", "New Jersey"),
        ("New, York", "New, yawk"),
        ("New “York”", "New “yawk”"),
        ("New", "New"),
        ("to St. Malo.", "to san mah low."),
        ("St Malo", "St Malo"),
        ("Apple Inc. said", "Apple incorporated said"),
        ("by Apple Inc.", "by Apple incorporated."),
        ("by Apple Inc., they", "by Apple incorporated, they"),
        ("Yahoo! is here", "yah who is here"),
        ("yahoo", "yahoo"),
        ("in C++.", "in see plus plus."),
        ("McDonald's food", "mick donalds food"),
        ("McDonald", "McDonald"),
        ("東京", "toe kyo"),
        ("Côte d’Or", "coat door"),
        ("Saoirse and the FBI", "sur-sha and the F B I"),
    ],
)
def test_reads(text: str, said: str) -> None:
    assert spoken(text, lexicon_of(NAMES)) == said


@pytest.mark.parametrize(
    ("text", "phonemes"),
    [
        ("Siobhan", "ʃɪˈvɔːn"),
        ("Siobhan's", "ʃɪˈvɔːnz"),
        ("Pat's", "pæts"),
        ("Ross's", "rɒsɪz"),
        ("Ross'll", "rɒsəl"),
        ("Nguyen", None),
    ],
)
def test_says_phonemes(text: str, phonemes: str | None) -> None:
    assert [word.phonemes for word in read(text, lexicon_of(NAMES))] == [phonemes]


def test_engine_without_phonemes_reads_what_is_written() -> None:
    entry = create_entry("Siobhan O'Neill", "/ʃɪˈvɔːn oʊˈniːl/")
    assert spoken("Hello Siobhan O'Neill, hi", Lexicon([entry])) == "Hello Siobhan O'Neill, hi"


def test_spans_tile_the_text() -> None:
    words = read("in  New York City.", lexicon_of(NAMES))
    assert [(word.start, word.end) for word in words] == [(0, 3), (3, 18)]


@pytest.mark.parametrize(
    ("match_case", "text", "said"),
    [
        (None, "Polish polish POLISH", "poe lish poe lish poe lish"),
        (True, "Polish polish POLISH", "poe lish polish POLISH"),
        (False, "Polish polish POLISH", "poe lish poe lish poe lish"),
    ],
)
def test_case(match_case: bool | None, text: str, said: str) -> None:
    entry = create_entry("Polish", "poe lish", match_case=match_case)
    assert spoken(text, Lexicon([entry])) == said


def test_capitals_match_in_any_case_if_wanted() -> None:
    entry = create_entry("SQL", "sequel", match_case=False)
    assert spoken("sql SQL", Lexicon([entry])) == "sequel sequel"


def test_exact_entry_wins_over_one_in_any_case() -> None:
    entries = [create_entry("May", "my", match_case=True), create_entry("may", "mayhap")]
    assert spoken("May may", Lexicon(entries)) == "my mayhap"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kubectl", "cubectl"),
        ("Kubernetes", "cubernetes"),
        ("kube", "cube"),
        ("minikube kub", "minicube kub"),
        ("kube2", "kube2"),
        ("İkube", "İkube"),
    ],
)
def test_parts_of_words(text: str, said: str) -> None:
    assert spoken(text, lexicon_of({"kube": "cube"}, parts=True)) == said


def test_later_entry_replaces_earlier() -> None:
    entries = [create_entry("Nguyen", "new yen"), create_entry("nguyen", "win")]
    assert spoken("Nguyen", Lexicon(entries)) == "win"


def test_layers() -> None:
    context, server = lexicon_of({"New": "nu", "Anna": "ahna"}), lexicon_of(NAMES)
    lexicon = Lexicon.combine([context, Lexicon(), server, lexicon_of({"Anna": "anner"})])
    assert spoken("New York, Anna, Nguyen, New", lexicon) == "noo yawk, ahna, win, nu"
    assert {entry.written: entry.said for entry in lexicon.entries}["Anna"] == "ahna"


def test_waits_only_behind_the_beginning_of_an_entry() -> None:
    reader = SentenceReader(Language("en", (create_lexicon_rule(lexicon_of(NAMES)),)))
    reader.push_text("Nguyen ")
    assert [word.spoken for word in reader.words] == ["win"]
    reader.push_text("New ")
    assert len(reader.words) == 1
    reader.push_text("Jersey ")
    assert [word.spoken for word in reader.words] == ["win", "New", "Jersey"]


@pytest.mark.parametrize(
    ("written", "said", "options"),
    [
        ("", "win", {}),
        (" ", "win", {}),
        ("a=b", "win", {}),
        ("a\x07b", "win", {}),
        ("Nguyen", "", {}),
        ("Nguyen", "w1n", {}),
        ("Nguyen", "win & co", {}),
        ("Nguyen", "-", {}),
        ("Nguyen", "/win", {}),
        ("Nguyen", "//", {}),
        ("Nguyen", "/ /", {}),
        ("Nguyen", "/w<n/", {}),
        ("Nguyen", "x" * 201, {}),
        ("x" * 101, "win", {}),
        ("a b c d e f g h i", "win", {}),
        ("what?!?!", "win", {}),
        ('the "boss"', "win", {}),
        ("New York", "win", {"parts": True}),
        ("kube", "/kjuːb/", {"parts": True}),
    ],
)
def test_bad_entries_are_refused(written: str, said: str, options: dict[str, bool]) -> None:
    with pytest.raises(BadLexicon):
        create_entry(written, said, **options)


def test_entry_is_tidied() -> None:
    assert create_entry(" Nguye\u0302n  Van ", " win \n van") == LexiconEntry(
        "Nguyên Van", "win van"
    )


def test_a_large_lexicon_costs_little() -> None:
    entries = {f"name{'abcdefghij'[i % 10]} w{i}": "win" for i in range(10_000)}
    lexicon = Lexicon.combine(
        [lexicon_of(entries), lexicon_of({f"q{'x' * n}": "cue" for n in range(30)}, parts=True)]
    )
    text = "namea w10 nameb other " + "q" * 100 + " " + "plain words here " * 300
    began = time.process_time()
    words = read(text, lexicon)
    assert (time.process_time() - began) / len(words) < 0.2e-3
