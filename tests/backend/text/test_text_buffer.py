"""A context's text on its way from taken in to spoken."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from backend.errors import ContextEnded, TextLimit
from backend.text.pacer import Speak
from backend.text.text_buffer import TextBuffer


def script(*pushed: str, limit: int = 1000) -> TextBuffer:
    made = TextBuffer(limit)
    for text in pushed:
        made.push(text, 0.0)
    return made


def read(made: TextBuffer) -> None:
    """Do what whoever speaks does before asking for `growth`."""
    while made.behind:
        made.read()


def speak(made: TextBuffer, to: int, *, final: bool = False) -> tuple[int, int]:
    """Release and render the sentence at hand up to `to`; close it after the final release."""
    growth = made.pending_sentence()
    made.release(growth, Speak(to, len(growth.text), final=final))
    span = made.speak_to(to)
    if final:
        made.close()
    return span


# --- limits and the end ---------------------------------------------------------------------------


def test_text_over_the_limit_is_refused_whole_and_what_was_there_stays() -> None:
    made = script("Hello. ", limit=10)
    with pytest.raises(TextLimit):
        made.push("world", 1.0)
    assert (made.length, made.pending_sentence().text) == (7, "Hello. ")
    made.push("you", 1.0)
    assert made.length == 10


def test_what_is_spoken_makes_room() -> None:
    made = script("Hello there", limit=12)
    speak(made, 6)
    made.push("7  more", 0.0)
    with pytest.raises(TextLimit):
        made.push("x", 0.0)


@pytest.mark.parametrize("late", [lambda s: s.push("x", 0.0), TextBuffer.flush, TextBuffer.end])
def test_nothing_comes_after_the_end(late: object) -> None:
    made = script("Hello")
    made.end()
    with pytest.raises(ContextEnded):
        late(made)  # type: ignore[operator]
    assert made.length == 5


def test_finished_when_ended_and_all_is_spoken() -> None:
    made = script("Hello")
    assert not made.finished
    made.end()
    assert not made.finished
    speak(made, 5, final=True)
    assert made.finished


def test_no_text_is_finished_by_its_end() -> None:
    made = script()
    assert not made.finished
    made.end()
    assert made.finished


# --- sentences ------------------------------------------------------------------------------------


def test_sentences_follow_each_other_in_offsets_of_the_context() -> None:
    made = script("One two. Three four. Five")
    assert (made.pending_sentence().text, made.pending_sentence().complete) == ("One two. ", True)
    assert speak(made, 9, final=True) == (0, 9)
    assert made.utterance_start == 9
    sentence = made.pending_sentence()
    assert (sentence.text, sentence.complete) == ("Three four. ", True)
    assert speak(made, 12, final=True) == (9, 21)
    assert (made.pending_sentence().text, made.pending_sentence().complete) == ("Five", False)


def test_an_end_found_within_what_is_released_comes_too_late() -> None:
    made = script("at 5 p.m. Sh")
    speak(made, 12)
    made.push("e came. He ", 0.0)
    growth = made.pending_sentence()
    assert growth.text == "at 5 p.m. She came. "
    assert (growth.released, growth.complete) == (12, True)
    assert speak(made, 20, final=True) == (12, 20)
    assert made.pending_sentence().text == "He "


def test_what_is_released_keeps_the_reading_it_had() -> None:
    made = script("#")
    assert made.pending_sentence().text == "#"
    speak(made, 1)
    made.push(" one", 0.0)  # now it would be the mark of a heading, which is not spoken
    assert made.pending_sentence().text == "# one"
    assert script("# one").pending_sentence().text == "  one"


def test_flush_presses_what_is_known_and_leaves_the_sentence_open() -> None:
    made = script("Hello th")
    made.flush()
    made.push("ere", 0.0)
    growth = made.pending_sentence()
    assert (growth.flush_to, growth.complete, growth.text) == (8, False, "Hello there")


def test_a_press_reaches_over_sentences() -> None:
    made = script("One two. Three four")
    made.flush()
    made.push("teen", 0.0)
    assert made.pending_sentence().flush_to == 9
    speak(made, 9, final=True)
    assert made.pending_sentence().flush_to == 10


# --- retract --------------------------------------------------------------------------------------


def test_retract_takes_back_to_the_offset() -> None:
    made = script("Hello there")
    assert made.retract(6, 0.0) == 6
    assert made.pending_sentence().text == "Hello "


def test_retract_stops_at_what_is_released_also_if_it_is_not_spoken_yet() -> None:
    made = script("Hello there")
    made.release(made.pending_sentence(), Speak(6, 11))
    assert made.retract(2, 0.0) == 6
    assert (made.spoken, made.released) == (0, 6)


def test_retract_beyond_the_text_changes_nothing() -> None:
    made = script("Hello")
    assert made.retract(99, 0.0) == 5


def test_retract_reopens_a_complete_sentence() -> None:
    made = script("Hello there. Good day. And")
    assert made.retract(10, 0.0) == 10
    assert (made.pending_sentence().text, made.pending_sentence().complete) == ("Hello ther", False)


def test_retract_takes_the_press_back_too() -> None:
    made = script("Hello there")
    made.flush()
    made.retract(5, 0.0)
    made.push(" world", 0.0)
    assert made.pending_sentence().flush_to == 5


def test_retract_after_the_end_leaves_the_rest_ended() -> None:
    made = script("Hello there")
    made.end()
    assert made.retract(5, 0.0) == 5
    assert (made.pending_sentence().text, made.pending_sentence().complete) == ("Hello", True)
    speak(made, 5, final=True)
    assert made.finished


def test_retract_of_all_after_the_end_finishes() -> None:
    made = script("Hello. There")
    made.end()
    assert made.retract(0, 0.0) == 0
    assert made.finished


# --- restart --------------------------------------------------------------------------------------


def test_after_a_failure_the_rest_of_the_sentence_is_an_utterance_of_its_own() -> None:
    made = script("Hello there my friend")
    made.release(made.pending_sentence(), Speak(12, 15))
    made.speak_to(6)
    assert made.restart() == (6, 12)
    growth = made.pending_sentence()
    assert (growth.text, growth.released, growth.spoken) == ("my friend", 0, 0)
    assert made.utterance_start == 12


def test_a_failure_at_the_end_of_a_sentence_goes_on_with_the_next() -> None:
    made = script("Hello there. Good day")
    growth = made.pending_sentence()
    made.release(growth, Speak(13, 13, final=True))
    assert made.restart() == (0, 13)
    assert made.pending_sentence().text == "Good day"


def test_a_failure_of_the_last_sentence_finishes() -> None:
    made = script("Hello")
    made.end()
    made.release(made.pending_sentence(), Speak(5, 5, final=True))
    made.restart()
    assert made.finished


# --- any order of events --------------------------------------------------------------------------


class AnyOrder(RuleBasedStateMachine):
    """A client, a pacer and an engine that do what they may, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.made = TextBuffer(10_000)
        self.text = ""
        self.released = 0
        self.open = False  # an utterance that has had a release, not the final one
        self.said = ""  # the utterance's text, as far as it was spoken
        self.at = 0  # the next character to be spoken

    @rule(text=st.text("ab1 .!?,\n#*_-你。🙂", max_size=30) | st.just("Yes. " * 40))
    @precondition(lambda self: not self.made.ended)
    def push(self, text: str) -> None:
        self.made.push(text, 0.0)
        self.text += text

    @rule()
    def read(self) -> None:
        self.made.read()

    @rule(back=st.integers(0, 60))
    def retract(self, back: int) -> None:
        asked = max(0, len(self.text) - back)
        to = self.made.retract(asked, 0.0)
        assert to == max(asked, self.released)
        self.text = self.text[:to]

    @rule()
    @precondition(lambda self: not self.made.ended)
    def flush(self) -> None:
        self.made.flush()

    @rule()
    @precondition(lambda self: not self.made.ended and len(self.text) > 40)
    def end(self) -> None:
        self.made.end()

    @rule(share=st.floats(0, 1), short=st.integers(0, 3), fails=st.integers(0, 5))
    def speak(self, share: float, short: int, fails: int) -> None:
        """Release some of what there is; the engine may stop short of it, or fail."""
        read(self.made)
        growth = self.made.pending_sentence()
        size = len(growth.text)
        if not (size or growth.complete):
            return
        to = max(growth.released, round(size * share))
        final = growth.complete and to == size
        self.made.release(growth, Speak(to, size, final=final))
        assert growth.text[: len(self.said)] == self.said, "changed what is spoken"
        self.released = self.made.utterance_start + to
        reached = to if final else max(growth.spoken, to - short)
        self._spoken(self.made.speak_to(reached))
        self.said = growth.text[:reached]
        if fails == 0:
            self._spoken(self.made.restart())
            self.said = ""
        elif final:
            self.made.close()
            self.said = ""

    def _spoken(self, span: tuple[int, int]) -> None:
        assert span[0] == self.at <= span[1]
        self.at = span[1]

    @invariant()
    def offsets_are_in_order(self) -> None:
        made = self.made
        assert made.length == len(self.text)
        assert made.utterance_start <= made.spoken <= made.released <= made.length
        assert (made.spoken, made.released) == (self.at, self.released)

    @invariant()
    def the_sentence_at_hand_is_the_text_that_follows(self) -> None:
        if self.made.behind:
            return
        growth, start = self.made.pending_sentence(), self.made.utterance_start
        assert 0 <= growth.spoken <= growth.released <= len(growth.text)
        assert 0 <= growth.flush_to <= len(growth.text)
        assert growth.complete or start + len(growth.text) == len(self.text)
        for mine, given in zip(growth.text, self.text[start:], strict=False):
            assert mine in (given, " ")

    @invariant()
    def finished_means_all_is_spoken(self) -> None:
        if self.made.ended and self.at == len(self.text) and not self.made.behind:
            growth = self.made.pending_sentence()
            assert self.made.finished or growth.complete
        assert not self.made.finished or self.at == len(self.text)


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
