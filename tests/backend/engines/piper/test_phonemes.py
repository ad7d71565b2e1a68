from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.engines.piper.alignment import align_words
from backend.engines.piper.espeak import LONGEST, load_espeak
from backend.engines.piper.phonemes import MOST_PHONEMES, PhonemeReader
from backend.engines.piper.voice_config import VoiceConfig, _parse
from backend.errors import VoiceUnavailable
from backend.text.reading.spoken_text import TIE
from tests.support.piper.stand_in_voice import StandIn, describe_voice


@cache
def reader(language: str = "en_US", espeak: str = "en-us") -> PhonemeReader:
    config: VoiceConfig = _parse(describe_voice(StandIn(language, espeak)))
    return PhonemeReader(config, load_espeak() if espeak else None)


def read(text: str, language: str = "en_US", espeak: str = "en-us") -> list[tuple[str, str]]:
    units = reader(language, espeak).read_units(text)
    return [(text[unit.start : unit.end], unit.phonemes) for unit in units]


def test_words_have_the_phonemes_and_marks_that_piper_gives_them() -> None:
    assert read("Hello, world: it is here; go!") == [
        ("Hello,", "həlˈoʊ,"),
        ("world:", "wˈɜːld:"),
        ("it", "ɪɾ"),
        ("is", "ɪz"),
        ("here;", "hˈɪɹ;"),
        ("go!", "ɡˈoʊ!"),
    ]


def test_words_that_are_said_as_one_are_one_unit() -> None:
    assert read("one of the things") == [
        ("one", "wˈʌn"),
        ("of the", "ʌvðə"),
        ("things", "θˈɪŋz"),
    ]


def test_a_number_is_one_unit_beside_words_said_as_one() -> None:
    units = read("one of the 125 things")
    assert [word for word, _ in units] == ["one", "of the", "125", "things"]
    assert units[2][1].startswith("wˈʌnhˈʌndɹɪd")


def test_tied_words_are_one_unit() -> None:
    assert [w for w, _ in read(f"It costs three{TIE}dollars now.")][2] == f"three{TIE}dollars"


def test_a_capital_a_is_the_letter() -> None:
    assert read("A")[0][1] == "ˈeɪ"


def test_a_bare_mark_belongs_to_the_word_before_it() -> None:
    assert read("yes — no") == [("yes —", "jˈɛs;"), ("no", "nˈoʊ")]


def test_language_switches_are_not_spoken() -> None:
    said = dict(read("das Download", "de_DE", "de"))
    assert said["Download"] == "dˈaʊnləʊd"


def test_the_next_word_decides_how_a_word_is_said() -> None:
    assert read("les amis", "fr_FR", "fr")[0][1] == "le-z"
    assert read("les", "fr_FR", "fr")[0][1] != "le-z"


def test_ideographs_are_read_together_and_counted_one_by_one() -> None:
    units = read("你好,世界。", "zh_CN", "cmn")
    assert "".join(word for word, _ in units) == "你好,世界。"
    assert len(units) >= 3
    assert [phonemes[-1] for _, phonemes in units if phonemes[-1] in ",."] == [",", "."]


@pytest.mark.parametrize(
    ("text", "mark", "language"),
    [
        ("كيف حالك؟", "?", ("ar_JO", "ar")),
        ("أنا، بخير", ",", ("ar_JO", "ar")),
        ("नमस्ते।", ".", ("hi_IN", "hi")),
        ("τι κάνεις;", "?", ("el_GR", "el")),
    ],
)
def test_marks_of_other_scripts_are_those_of_the_voice(
    text: str, mark: str, language: tuple[str, str]
) -> None:
    assert any(phonemes.endswith(mark) for _, phonemes in read(text, *language))


def test_a_voice_of_letters_reads_letters() -> None:
    assert read("Привіт Ab, é", "en_US", "")[1:] == [("Ab,", "Ab,"), ("é", "e\u0301")]


def test_an_unknown_language_is_named() -> None:
    with pytest.raises(VoiceUnavailable, match="'xx-none'"):
        load_espeak().read("xx-none", "hello")


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=120) | st.text("ab 1.,—?!天\u00a0\n", max_size=80))
def test_every_word_is_in_exactly_one_unit(text: str) -> None:
    for language in (("en_US", "en-us"), ("de_DE", "de"), ("en_US", "")):
        units = reader(*language).read_units(text)
        joined = "".join(text[u.start : u.end] for u in units)
        assert "".join(joined.split()) == "".join(text.split())
        assert all(a.end <= b.start for a, b in itertools.pairwise(units))
        assert all(len(u.phonemes) <= MOST_PHONEMES for u in units)


def test_a_clause_is_asked_once() -> None:
    class Counting:
        def __init__(self) -> None:
            self.asked = 0

        def read(self, voice: str, text: str) -> str:
            self.asked += 1
            return text

    espeak = Counting()
    counted = PhonemeReader(_parse(describe_voice(StandIn())), espeak)  # type: ignore[arg-type]
    for _ in range(5):
        counted.read_units("one two, three")
    assert espeak.asked == 2


def test_threads_do_not_disturb_each_other() -> None:
    espeak = load_espeak()
    texts = {"en-us": "the old house", "de": "das alte Haus", "fr": "la vieille maison"}
    expected = {voice: espeak.read(voice, text) for voice, text in texts.items()}
    wrong: list[str] = []

    def work(voice: str) -> None:
        wrong.extend(
            voice for _ in range(100) if espeak.read(voice, texts[voice]) != expected[voice]
        )

    threads = [threading.Thread(target=work, args=(voice,)) for voice in texts for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


_FUZZ = """
import random
from backend.engines.piper.espeak import load_espeak
espeak, r = load_espeak(), random.Random(1)
pools = ["\\0\\x01<>&[]{}()_^$", "abc 123.,:;!?'\\"-", "天気\\u0e01\\u0628\\u0939\\u0301\\u200d",
         "".join(map(chr, (0x1F600, 0x10FFFF, 0xD800, 0xFFFF, 0xFEFF)))]
for n in range(1500):
    pool = r.choice(pools) + r.choice(pools)
    text = "".join(r.choice(pool) for _ in range(r.choice([1, 5, 40, 700])))
    espeak.read(r.choice(["en-us", "de", "ar", "cmn", "hi", "th", "fr"]), text)
print("alive")
"""


@pytest.mark.slow
def test_garbage_never_ends_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", _FUZZ], capture_output=True, text=True)
    assert done.stdout == "alive\n", done.stderr[-500:]


def test_a_long_text_is_bounded() -> None:
    assert load_espeak().read("en-us", "a " * LONGEST) == load_espeak().read(
        "en-us", ("a " * LONGEST)[:LONGEST]
    )


def test_words_are_aligned_with_what_is_said() -> None:
    alone = {"a": "ɐ", "12": "twˈɛlv θˈɪŋ", "b": "bˈiː", "c": "sˈiː"}
    assert align_words(["a", "-", "b"], ["ɐ", "bˈiː"], alone.__getitem__) == [
        (0, 1, 0, 1),
        (1, 2, 1, 1),
        (2, 3, 1, 2),
    ]
    assert align_words(["a", "12", "b"], ["ɐ", "twˈɛlv", "θˈɪŋ", "bˈiː"], alone.__getitem__) == [
        (0, 1, 0, 1),
        (1, 2, 1, 3),
        (2, 3, 3, 4),
    ]
    assert align_words(["b", "c"], ["bˈiːsˈiː"], alone.__getitem__) == [(0, 2, 0, 1)]


def test_a_clause_of_ideographs_and_numbers_is_aligned_soon() -> None:
    """Also where each word may be several sounds: 200 characters took seconds."""
    words = ["日", "本", "a1"] * 50
    said = ["ri", "ben", "eɪ", "wʌn"] * 50
    alone = {"日": "ri", "本": "ben", "a1": "eɪ wʌn"}
    begun = time.thread_time()
    groups = align_words(words, said, alone.__getitem__)
    assert time.thread_time() - begun < 1
    assert [end - start for _, _, start, end in groups] == [1, 1, 2] * 50
