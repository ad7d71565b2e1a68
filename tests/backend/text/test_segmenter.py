"""Sentences are complete, early, and independent of how the text arrives."""

from __future__ import annotations

from itertools import pairwise

import pytest
import sentencex
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.text.segmenter import Segmenter, Sentence

FRAGMENTS = (
    *".?!…。！।؟,'\"“”()[]«»「」*_`#-:@~|1aAé好مक \n\t\xa0\u2028\x00\u202e\u0301\u200d",
    *("Dr.", "e.g.", "p.m.", "She ", "U.S.", "No.", "I ", "The ", "J. ", "a) ", "1. ", "[1]"),
    *("x.org", "www.", "http://", "](", "**", "...", ". ", "? ", "  ", "\r\n", "हैं", "🙂", "👍🏽"),
)
texts = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3), max_size=40).map("".join)
exactly = settings(derandomize=True, deadline=None, max_examples=300)


def split(*pieces: str) -> list[str]:
    segmenter = Segmenter()
    sentences = [sentence for piece in pieces for sentence in segmenter.push_text(piece)]
    return [sentence.text for sentence in sentences + segmenter.end_text()]


def text_needed(sentence: str, what_follows: str) -> str:
    """How much of `what_follows` is read before `sentence` is known to be complete."""
    segmenter = Segmenter()
    assert segmenter.push_text(sentence) == []
    for size, character in enumerate(what_follows, 1):
        if complete := segmenter.push_text(character):
            assert [found.text for found in complete] == [sentence]
            return what_follows[:size]
    raise AssertionError("never complete")


@pytest.mark.parametrize(
    "sentences",
    [
        ["Hello there. ", "How are you?"],
        ["Stop! ", "The bridge is closed. ", "Turn around and take the second road."],
        ["Dr. Jones and Mrs. Lee live on Elm St. near the mill, e.g. next to it. ", "Good."],
        ["Our train leaves at 10:45 a.m. from platform 12. ", "Hurry."],
        ["He left at 5 p.m. ", "She stayed."],
        ["Version 3.14 costs $15.50. ", "Cheap."],
        ["The U.S. team beat the U.K. team. ", "Both played well."],
        ["J. K. Rowling wrote it. ", "George R. R. Martin did not."],
        ["Write to John.Smith@Example.com or see https://Example.org/A.Bc?d=E.F now. ", "Then go."],
        ["Well... I am not sure about that. ", "Let me think."],
        ["It uses ASP.NET and Node.js now. ", "Fine."],
        ['"Stop!" he said. ', '"Why?" she asked.'],
        ['He said, "I am done." ', "Then he left."],
        ["It was plan A\xa0. ", "Then we left."],
        ["Really?! ", "Yes!!"],
        ["It works.", "But only if you add a space."],
        ["Really?", "Yes!", "Good."],
        ["क्या है। ", "यह दूसरा है। ", "क्या?"],
        ["هل أنت بخير؟ ", "نعم أنا بخير. ", "شكرا"],
        ["今天天气很好。", "我们去公园吧！", "好吗？", "好。"],
        ["“好。", "他走了。”", "然后呢？"],
        ["(It works.", "It does.)", "But only now."],
        ["Good morning.\n", "Your order has been shipped\n", "in two parts"],
        ["One.\r\n", "\r\nTwo."],
        ["Steps:\n", "1. Open it.\n", "2. Close it."],
        ["1. First thing. ", "2. Second thing."],
        ["- one\n", "- two\n", "Done."],
        ["**Note.** ", "Use it. ", "*Really.* ", "Yes."],
        ["Great! 🎉 ", "See you. 🙂 ", "Bye."],
        ["..."],
        ["🙂🙂"],
        ["... Hello. ", "You"],
    ],
)
def test_text_is_split_where_a_reader_would_pause(sentences: list[str]) -> None:
    assert split("".join(sentences)) == sentences


@pytest.mark.parametrize(
    ("sentence", "what_follows", "enough"),
    [
        ("Hello there. ", "How are", "H"),
        ("Hello there. ", "how are", "h"),
        ("Is it? ", "“Yes", "“Y"),
        ("今天天气很好。", "我们", "我"),
        ("They won in the U.S. ", "The team", "The "),
        ("It works.", "But only", "But "),
        ("It costs $5. ", "Then go", "Then "),
    ],
)
def test_a_sentence_is_complete_once_later_text_cannot_change_it(
    sentence: str, what_follows: str, enough: str
) -> None:
    assert text_needed(sentence, what_follows) == enough


def test_a_newline_completes_a_sentence_at_once() -> None:
    assert Segmenter().push_text("see you soon\n") == [Sentence(0, "see you soon\n")]


def test_blank_lines_are_not_sentences() -> None:
    assert split("\n\nOne\n\n\nTwo") == ["\n\nOne\n", "\n\nTwo"]


@exactly
@given(texts, st.lists(st.integers(0, 200), max_size=8))
def test_sentences_do_not_depend_on_the_pieces_that_arrive(text: str, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    assert split(*text) == split(text)
    assert split(*(text[a:b] for a, b in pairwise(edges))) == split(text)


@pytest.mark.slow
@exactly
@given(st.data())
def test_sentences_tile_the_text_after_any_operations(data: st.DataObject) -> None:
    segmenter, text, settled = Segmenter(), "", 0
    sentences: list[Sentence] = []
    for _ in range(data.draw(st.integers(1, 15))):
        match data.draw(st.sampled_from(["push", "push", "flush", "end", "retract", "settle"])):
            case "push":
                more = data.draw(texts)
                sentences += segmenter.push_text(more)
                text += more
            case "flush":
                sentences += segmenter.flush_text()
            case "end":
                sentences += segmenter.end_text()
                assert segmenter.open_sentence.text == ""
            case "retract":
                to = data.draw(st.integers(settled, len(text)))
                again = segmenter.retract_to(to)
                sentences = [sentence for sentence in sentences if sentence.end <= to]
                sentences += segmenter.push_text(again)
                text = text[:to]
            case "settle":
                settled = data.draw(st.integers(settled, len(text)))
                segmenter.settle(settled)
        tiles = [*sentences, segmenter.open_sentence]
        assert "".join(tile.text for tile in tiles) == text
        assert all(before.end == after.start for before, after in pairwise(tiles))
        assert all(sentence.text for sentence in sentences)


@exactly
@given(texts, st.integers(0, 200))
def test_retracting_and_resending_text_gives_the_same_sentences(text: str, to: int) -> None:
    segmenter, to = Segmenter(), min(to, len(text))
    kept = segmenter.push_text(text)
    begun = segmenter.retract_to(to)
    kept = [sentence for sentence in kept if sentence.end <= to]
    assert segmenter.push_text(begun) == []
    again = kept + segmenter.push_text(text[to:]) + segmenter.end_text()
    assert [sentence.text for sentence in again] == split(text)


def test_retract_reopens_the_sentence_it_reaches_into() -> None:
    segmenter = Segmenter()
    segmenter.push_text("One. Two. Three")
    assert segmenter.retract_to(8) == "Two"
    assert segmenter.push_text("Two") == []
    assert segmenter.open_sentence == Sentence(5, "Two")
    assert segmenter.push_text("fold. And") == [Sentence(5, "Twofold. ")]


def test_retract_to_the_end_of_a_sentence_leaves_it_closed() -> None:
    segmenter = Segmenter()
    assert segmenter.push_text("One. Two") == [Sentence(0, "One. ")]
    assert segmenter.retract_to(5) == ""
    assert segmenter.open_sentence == Sentence(5, "")


def test_settled_text_cannot_be_retracted() -> None:
    segmenter = Segmenter()
    segmenter.push_text("One. Two. Three")
    segmenter.settle(6)
    assert segmenter.retract_to(6) == "T"
    with pytest.raises(ValueError, match="settled"):
        segmenter.retract_to(5)


@pytest.mark.parametrize("text", ["Hello there.", "Yes! 🎉 ", "**Note.**", "He said “go.”", "好。"])
def test_flush_closes_what_ends_like_a_sentence(text: str) -> None:
    segmenter = Segmenter()
    assert segmenter.push_text(text) == []
    assert segmenter.flush_text() == [Sentence(0, text)]


@pytest.mark.parametrize("text", ["Hello", "Hello, ", "Dr.", "the U.S.", "5.", "...", "🙂", ""])
def test_flush_leaves_other_text_open(text: str) -> None:
    segmenter = Segmenter()
    segmenter.push_text(text)
    assert segmenter.flush_text() == []
    assert segmenter.open_sentence == Sentence(0, text)


def test_flush_and_end_do_not_wait_for_the_end_of_a_word() -> None:
    for close in (Segmenter.flush_text, Segmenter.end_text):
        segmenter = Segmenter()
        segmenter.push_text("It works.But")
        assert close(segmenter)[0] == Sentence(0, "It works.")


def test_abbreviations_of_the_language_are_known() -> None:
    segmenter = Segmenter("de")
    assert segmenter.push_text("Am 3. Mai ist es. Und") == [Sentence(0, "Am 3. Mai ist es. ")]


def test_a_very_long_sentence_is_cut_between_words() -> None:
    sentences = split("and so on " * 2000)
    assert all(3900 < len(sentence) <= 4000 for sentence in sentences[:-1])
    assert all(sentence.endswith(" ") for sentence in sentences)
    assert split("a" * 9000) == ["a" * 4000, "a" * 4000, "a" * 1000]


@pytest.mark.parametrize("text", ["word " * 4000, "x.Y" * 6666, "A. B. " * 3333, "x” " * 6666])
def test_the_library_is_not_called_for_every_character(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[int] = []
    boundaries = sentencex.get_sentence_boundaries

    def counted(language: str, heard: str) -> object:
        shown.append(len(heard))
        return boundaries(language, heard)

    monkeypatch.setattr(sentencex, "get_sentence_boundaries", counted)
    split(*text)
    assert max(shown, default=0) < 300
    assert len(shown) < len(text)


def test_settled_sentences_are_dropped() -> None:
    segmenter = Segmenter()
    for _ in range(100):
        for sentence in segmenter.push_text("Hello there. "):
            segmenter.settle(sentence.end)
    with pytest.raises(ValueError, match="settled"):
        segmenter.retract_to(0)
    assert len(segmenter._closed) == 0
