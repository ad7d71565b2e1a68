import random

import pytest

from duplex_tts.channel.sentences import LONGEST, Sentences


def test_a_sentence_is_given_when_the_next_one_begins() -> None:
    sentences = Sentences()
    assert sentences.push("Hello the") == []
    assert sentences.push("re. Dr. Smith ") == ["Hello there. "]
    assert sentences.push("left. And") == ["Dr. Smith left. "]
    assert sentences.rest() == ["And"]
    assert sentences.rest() == []


@pytest.mark.parametrize("seed", range(5))
def test_the_sentences_are_the_text(seed: int) -> None:
    chance = random.Random(seed)
    text = "".join(
        chance.choices(["word ", "Dr. ", "end. ", "\n\n", "A\u00a0.", "🙂", '"?" '], k=300)
    )
    sentences, given = Sentences(), ""
    for start in range(0, len(text), 7):
        given += "".join(sentences.push(text[start : start + 7]))
        assert sentences.taken == len(given)
    assert given + "".join(sentences.rest()) == text


def test_a_sentence_without_an_end_is_cut_at_a_space() -> None:
    sentences = Sentences()
    given = sentences.push("word " * 200)
    assert all(len(each) <= LONGEST and each.endswith(" ") for each in given)
    (given,) = [Sentences().push("x" * (LONGEST + 50))]
    assert given == ["x" * LONGEST]


def test_only_what_was_not_given_away_can_be_taken_back() -> None:
    sentences = Sentences()
    sentences.push("Hello there. And more")
    assert sentences.retract(17) == 17
    assert sentences.retract(3) == 13
    sentences.push("Or")
    assert sentences.rest() == ["Or"]
