import random

import pytest

from duplex_tts.channel.sentences import LONGEST, SentenceSplitter


def test_a_sentence_is_complete_when_the_next_one_begins() -> None:
    splitter = SentenceSplitter()
    assert splitter.push_text("Hello the") == []
    assert splitter.push_text("re. Dr. Smith ") == ["Hello there. "]
    assert splitter.push_text("left. And") == ["Dr. Smith left. "]
    assert splitter.take_rest() == ["And"]
    assert splitter.take_rest() == []


@pytest.mark.parametrize("seed", range(5))
def test_the_sentences_concatenate_to_the_text(seed: int) -> None:
    chance = random.Random(seed)
    text = "".join(
        chance.choices(["word ", "Dr. ", "end. ", "\n\n", "A\u00a0.", "🙂", '"?" '], k=300)
    )
    splitter, given = SentenceSplitter(), ""
    for start in range(0, len(text), 7):
        given += "".join(splitter.push_text(text[start : start + 7]))
        assert splitter.taken == len(given)
    assert given + "".join(splitter.take_rest()) == text


def test_a_sentence_without_an_end_is_cut_at_a_space() -> None:
    splitter = SentenceSplitter()
    given = splitter.push_text("word " * 200)
    assert all(len(sentence) <= LONGEST and sentence.endswith(" ") for sentence in given)
    (given,) = [SentenceSplitter().push_text("x" * (LONGEST + 50))]
    assert given == ["x" * LONGEST]


def test_returned_sentences_cannot_be_retracted() -> None:
    splitter = SentenceSplitter()
    splitter.push_text("Hello there. And more")
    assert splitter.retract_to(17) == 17
    assert splitter.retract_to(3) == 13
    splitter.push_text("Or")
    assert splitter.take_rest() == ["Or"]
