"""Cues of texts whose words are heard at an even pace."""

import random
import re
from itertools import pairwise

import pytest
from rich.cells import cell_len

from duplex_tts.events import Word
from duplex_tts.subtitles import Cue, group_cues, split_shown_words

PROSE = (
    "Dr. Smith went to Washington, where the people of that place had waited for her since the "
    "early morning; and nobody, not even the mayor, knew why. She said nothing at all. Then, after "
    "a while, the bells began to ring in every street of the town, and the crowd went home."
)


def say_evenly(text: str, ms: int = 300, pause_ms: int = 400) -> list[Word]:
    """Words without spaces, each for `ms`; `pause_ms` after punctuation."""
    words, clock_ms = [], 0.0
    for match in re.finditer(r"\S+", text):
        words.append(Word(match.start(), match.end(), clock_ms, clock_ms + ms))
        clock_ms += ms + (pause_ms if match[0][-1] in ".,;!?" and match[0] != "Dr." else 20)
    return words


def cues_of(text: str, words: list[Word] | None = None, tail_ms: float = 2_000) -> list[Cue]:
    words = say_evenly(text) if words is None else words
    return group_cues(split_shown_words(text, words), words[-1].end_ms + tail_ms if words else 0)


def lines_of(text: str, words: list[Word] | None = None) -> list[str]:
    return [" ".join(cue.lines) for cue in cues_of(text, words)]


def joined(cues: list[Cue]) -> str:
    return " ".join(line for cue in cues for line in cue.lines)


# --- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_cues_keep_the_limits_for_any_pace_and_text(seed: int) -> None:
    rng = random.Random(seed)
    text = " ".join(
        rng.choice(["a", "word", "rhinoceros", "stop.", "well,", "x" * 50, "看看", "no;"])
        for _ in range(300)
    )
    words, clock_ms = [], 0.0
    for match in re.finditer(r"\S+", text):
        start_ms = clock_ms + rng.choice([0, 20, 300, 2_500])
        clock_ms = start_ms + rng.choice([0, 80, 300, 900])
        words.append(Word(match.start(), match.end(), start_ms, clock_ms))
    cues = cues_of(text, words)
    assert joined(cues).replace(" ", "") == text.replace(" ", "")
    for cue in cues:
        assert 0 < cue.end_ms - cue.start_ms <= 7_000
        assert 1 <= len(cue.lines) <= 2
        assert all(0 < cell_len(line) <= 42 for line in cue.lines)
    assert all(first.end_ms <= second.start_ms for first, second in pairwise(cues))


def test_a_cue_lasts_a_second_where_there_is_time() -> None:
    cues = cues_of("Yes. No. Maybe.", say_evenly("Yes. No. Maybe.", ms=200, pause_ms=100))
    assert all(cue.end_ms - cue.start_ms >= 1_000 for cue in cues)
    assert joined(cues) == "Yes. No. Maybe."


def test_no_cue_is_shown_after_the_audio() -> None:
    words = [Word(0, 3, 0, 400)]
    assert group_cues(split_shown_words("Hi.", words), 450) == [Cue(0, 450, ("Hi.",))]


def test_no_cue_stays_through_a_long_silence() -> None:
    words = [Word(0, 4, 0, 500), Word(5, 9, 6_000, 6_500)]
    first, second = cues_of("Wait now.", words)
    assert first.end_ms <= 1_000
    assert second.start_ms == 6_000


def test_words_without_duration_give_cues_that_are_not_empty() -> None:
    words = [Word(start, start + 1, 0, 0) for start in range(0, 400, 2)]
    cues = cues_of("a " * 200, words, tail_ms=0)
    assert all(cue.end_ms > cue.start_ms for cue in cues)
    assert all(first.end_ms <= second.start_ms for first, second in pairwise(cues))


def test_no_words_give_no_cues() -> None:
    assert cues_of("🙂", []) == []


# --- breaks ---------------------------------------------------------------------------------------


def test_cues_end_with_sentences_and_clauses() -> None:
    cues = lines_of(PROSE)
    assert len(cues) < 9
    assert sum(cue[-1] in ".,;" for cue in cues) >= len(cues) - 1
    assert not any(cue.endswith("Dr.") for cue in cues)


def test_a_title_does_not_share_a_cue_with_the_text() -> None:
    text = "The Bells\n\nThey rang."
    assert lines_of(text, say_evenly(text, ms=600)) == ["The Bells", "They rang."]


def test_two_lines_are_of_similar_width() -> None:
    (cue,) = cues_of("one two three four five six seven eight nine ten")
    assert len(cue.lines) == 2
    assert abs(len(cue.lines[0]) - len(cue.lines[1])) < 10


# --- what is shown --------------------------------------------------------------------------------


def words_at(text: str, *written: str) -> list[Word]:
    """The given words of the text, each for 300 ms."""
    words, read_to = [], 0
    for number, word in enumerate(written):
        start = text.index(word, read_to)
        read_to = start + len(word)
        words.append(Word(start, read_to, number * 300, number * 300 + 300))
    return words


@pytest.mark.parametrize(
    ("text", "written", "shown"),
    [
        ("It costs $3.50/hr now.", ["It", "costs", "$3.50/hr", "now."], None),
        ("a < b --> c & d", ["a", "<", "b", "-->", "c", "&", "d"], None),
        ("I said -- well 🙂 yes.", ["I", "said", "well", "yes."], None),
        ("**Bold** and _thin_.", ["Bold", "and", "thin_."], "Bold and thin."),
        ("[the page](http://a.b), x", ["the", "page](http://a.b),", "x"], "the page, x"),
        ("# Title\n- one\n- two", ["Title", "one", "two"], "Title one two"),
        ("<b>no</b> <br/>yes</i>.", ["no", "yes</i>."], "no yes."),
        ("Tom &amp; Jerry", ["Tom", "&", "Jerry"], "Tom & Jerry"),
        ("<think>Is it?</think>It is.", ["It", "is."], "It is."),
        ("Wait. [pause 3s] Now", ["Wait.", "Now"], "Wait. Now"),
        ("他说「你好」。再见", ["他", "说", "你好", "再见"], None),
        ("مرحبا، 123 שלום", ["مرحبا،", "123", "שלום"], None),
        ("a\x00b\u2028c\x1b[0m", ["a\x00b", "c\x1b[0m"], "ab c[0m"),
        ('"¿Qué?" — «no»', ["¿Qué?", "no"], None),
        ("🙂 <i>so</i> 🙂", ["so"], "🙂 so 🙂"),
        ("— Dialogue now", ["Dialogue", "now"], None),
        ("code: <y> ok", ["code:", "<y>", "ok"], None),
    ],
)
def test_the_written_text_is_shown_without_markup(
    text: str, written: list[str], shown: str | None
) -> None:
    assert joined(cues_of(text, words_at(text, *written))) == (shown or text)


def test_a_word_wider_than_a_line_is_split_with_its_time() -> None:
    text = "x" * 100
    cues = cues_of(text, [Word(0, 100, 0, 10_000)])
    assert "".join(line for cue in cues for line in cue.lines) == text
    assert all(cue.end_ms - cue.start_ms <= 7_000 for cue in cues)


def test_wide_characters_count_twice() -> None:
    text = "看" * 60
    words = [Word(i, i + 1, i * 200, i * 200 + 200) for i in range(60)]
    assert all(len(line) <= 21 for cue in cues_of(text, words) for line in cue.lines)
