import random

import pytest

from duplex_tts.books.text_parts import split_parts


@pytest.mark.parametrize("seed", range(20))
def test_no_text_is_lost_and_no_part_is_too_long(seed: int) -> None:
    rng = random.Random(seed)
    choices = ["word", "Stop.", "x" * 150, "\n\n", "\n", "看。", "end!”", "…"]
    text = " ".join(rng.choice(choices) for _ in range(500))
    parts = split_parts(text, 100)
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert all(0 < len(part) <= 100 for part in parts)


def test_paragraphs_and_sentences_stay_whole_if_they_fit() -> None:
    assert split_parts("One two.\n\nThree.\n\nFour five.", 18) == [
        "One two.\n\nThree.",
        "Four five.",
    ]
    assert split_parts("One two. Three. Four five.", 16) == ["One two. Three.", "Four five."]


def test_code_is_not_cut() -> None:
    text = "Text.\n\n```\na\n\nb\n```\n\nMore text follows here."
    assert split_parts(text, 14) == ["Text.\n\n```\na\n\nb\n```", "More text", "follows here."]
