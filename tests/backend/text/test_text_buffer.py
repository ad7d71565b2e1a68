"""A context's text from received to spoken."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from backend.errors import ContextEnded, TextLimit
from backend.text.pacer import Speak
from backend.text.reading.written_words import FILLER
from backend.text.text_buffer import TextBuffer


def create_buffer(*pushed: str, limit: int = 1000) -> TextBuffer:
    buffer = TextBuffer(limit)
    for text in pushed:
        buffer.push_text(text, 0.0)
    return buffer


def read_all(buffer: TextBuffer) -> None:
    """Read all text, as the context's task does before `pending_sentence`."""
    while buffer.is_behind:
        buffer.read_slice()


def speak(buffer: TextBuffer, to: int, *, final: bool = False) -> tuple[int, int]:
    """Release and render the current sentence up to `to`; close it after the final release."""
    sentence = buffer.pending_sentence()
    buffer.mark_released(sentence, Speak(to, len(sentence.text), final=final))
    span = buffer.mark_spoken(to)
    if final:
        buffer.close_utterance()
    return span


# --- limits and the end ---------------------------------------------------------------------------


def test_text_over_the_limit_is_refused_entirely() -> None:
    buffer = create_buffer("Hello. ", limit=10)
    with pytest.raises(TextLimit):
        buffer.push_text("world", 1.0)
    assert (buffer.length, buffer.pending_sentence().text) == (7, "Hello. ")
    buffer.push_text("you", 1.0)
    assert buffer.length == 10


def test_spoken_text_makes_room() -> None:
    buffer = create_buffer("Hello there", limit=12)
    speak(buffer, 6)
    buffer.push_text("7  more", 0.0)
    with pytest.raises(TextLimit):
        buffer.push_text("x", 0.0)


@pytest.mark.parametrize(
    "late", [lambda b: b.push_text("x", 0.0), TextBuffer.flush_text, TextBuffer.end_text]
)
def test_input_after_the_end_is_refused(late: object) -> None:
    buffer = create_buffer("Hello")
    buffer.end_text()
    with pytest.raises(ContextEnded):
        late(buffer)  # type: ignore[operator]
    assert buffer.length == 5


def test_finished_once_ended_and_all_is_spoken() -> None:
    buffer = create_buffer("Hello")
    assert not buffer.is_finished
    buffer.end_text()
    assert not buffer.is_finished
    speak(buffer, 5, final=True)
    assert buffer.is_finished


def test_an_empty_text_is_finished_by_its_end() -> None:
    buffer = create_buffer()
    assert not buffer.is_finished
    buffer.end_text()
    assert buffer.is_finished


# --- sentences ------------------------------------------------------------------------------------


def test_sentences_follow_each_other_with_context_offsets() -> None:
    buffer = create_buffer("One two. Three four. Five")
    assert (buffer.pending_sentence().text, buffer.pending_sentence().complete) == (
        "One two. ",
        True,
    )
    assert speak(buffer, 9, final=True) == (0, 9)
    assert buffer.utterance_start == 9
    sentence = buffer.pending_sentence()
    assert (sentence.text, sentence.complete) == ("Three four. ", True)
    assert speak(buffer, 12, final=True) == (9, 21)
    assert (buffer.pending_sentence().text, buffer.pending_sentence().complete) == ("Five", False)


def test_a_sentence_end_inside_released_text_is_ignored() -> None:
    buffer = create_buffer("at 5 p.m. Sh")
    speak(buffer, 12)
    buffer.push_text("e came. He ", 0.0)
    sentence = buffer.pending_sentence()
    assert sentence.text == "at 5 p.m. She came. "
    assert (sentence.released, sentence.complete) == (12, True)
    assert speak(buffer, 20, final=True) == (12, 20)
    assert buffer.pending_sentence().text == "He "


def test_a_flush_reads_the_beginning_of_a_mark_as_text() -> None:
    buffer = create_buffer("#")
    assert buffer.pending_sentence().text == ""
    buffer.flush_text()
    assert buffer.pending_sentence().text == "#"
    buffer.push_text(" one", 0.0)  # as "# one" it would be a heading, whose mark is not spoken
    assert buffer.pending_sentence().text == "# one"
    assert create_buffer("# one").pending_sentence().text == "  one"


def test_flush_covers_the_known_text_and_leaves_the_sentence_open() -> None:
    buffer = create_buffer("Hello th")
    buffer.flush_text()
    buffer.push_text("ere", 0.0)
    sentence = buffer.pending_sentence()
    assert (sentence.flush_to, sentence.complete, sentence.text) == (8, False, "Hello there")


def test_a_flush_reaches_across_sentences() -> None:
    buffer = create_buffer("One two. Three four")
    buffer.flush_text()
    buffer.push_text("teen", 0.0)
    assert buffer.pending_sentence().flush_to == 9
    speak(buffer, 9, final=True)
    assert buffer.pending_sentence().flush_to == 10


# --- retract --------------------------------------------------------------------------------------


def test_retract_removes_text_from_the_offset_on() -> None:
    buffer = create_buffer("Hello there")
    assert buffer.retract_to(6, 0.0) == 6
    assert buffer.pending_sentence().text == "Hello "


def test_retract_stops_at_released_text_even_if_it_is_not_spoken() -> None:
    buffer = create_buffer("Hello there")
    buffer.mark_released(buffer.pending_sentence(), Speak(6, 11))
    assert buffer.retract_to(2, 0.0) == 6
    assert (buffer.spoken, buffer.released) == (0, 6)


def test_retract_beyond_the_text_changes_nothing() -> None:
    buffer = create_buffer("Hello")
    assert buffer.retract_to(99, 0.0) == 5


def test_retract_reopens_a_complete_sentence() -> None:
    buffer = create_buffer("Hello there. Good day. And")
    assert buffer.retract_to(10, 0.0) == 10
    assert (buffer.pending_sentence().text, buffer.pending_sentence().complete) == (
        "Hello ther",
        False,
    )


def test_retract_shortens_a_pending_flush() -> None:
    buffer = create_buffer("Hello there")
    buffer.flush_text()
    buffer.retract_to(5, 0.0)
    buffer.push_text(" world", 0.0)
    assert buffer.pending_sentence().flush_to == 5


def test_retract_after_the_end_keeps_the_text_ended() -> None:
    buffer = create_buffer("Hello there")
    buffer.end_text()
    assert buffer.retract_to(5, 0.0) == 5
    assert (buffer.pending_sentence().text, buffer.pending_sentence().complete) == ("Hello", True)
    speak(buffer, 5, final=True)
    assert buffer.is_finished


def test_retracting_everything_after_the_end_finishes() -> None:
    buffer = create_buffer("Hello. There")
    buffer.end_text()
    assert buffer.retract_to(0, 0.0) == 0
    assert buffer.is_finished


# --- restart --------------------------------------------------------------------------------------


def test_after_a_failure_the_rest_of_the_sentence_is_a_new_utterance() -> None:
    buffer = create_buffer("Hello there my friend")
    buffer.mark_released(buffer.pending_sentence(), Speak(12, 15))
    buffer.mark_spoken(6)
    assert buffer.restart_utterance() == (6, 12)
    sentence = buffer.pending_sentence()
    assert (sentence.text, sentence.released, sentence.spoken) == ("my friend", 0, 0)
    assert buffer.utterance_start == 12


def test_after_a_failure_at_a_sentence_end_the_next_sentence_follows() -> None:
    buffer = create_buffer("Hello there. Good day")
    sentence = buffer.pending_sentence()
    buffer.mark_released(sentence, Speak(13, 13, final=True))
    assert buffer.restart_utterance() == (0, 13)
    assert buffer.pending_sentence().text == "Good day"


def test_a_failure_in_the_last_sentence_finishes() -> None:
    buffer = create_buffer("Hello")
    buffer.end_text()
    buffer.mark_released(buffer.pending_sentence(), Speak(5, 5, final=True))
    buffer.restart_utterance()
    assert buffer.is_finished


# --- any order of events --------------------------------------------------------------------------


class TextBufferMachine(RuleBasedStateMachine):
    """Valid operations of a client, a pacer and an engine, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = TextBuffer(10_000)
        self.text = ""
        self.released = 0
        self.spoken_text = ""  # the utterance's text, as far as it was spoken
        self.spoken_to = 0  # the next character to be spoken

    @rule(text=st.text("ab1 .!?,\n#*_-你。🙂", max_size=30) | st.just("Yes. " * 40))
    @precondition(lambda self: not self.buffer.ended)
    def push(self, text: str) -> None:
        self.buffer.push_text(text, 0.0)
        self.text += text

    @rule()
    def read_all(self) -> None:
        self.buffer.read_slice()

    @rule(back=st.integers(0, 60))
    def retract(self, back: int) -> None:
        asked = max(0, len(self.text) - back)
        to = self.buffer.retract_to(asked, 0.0)
        assert to == max(asked, self.released)
        self.text = self.text[:to]

    @rule()
    @precondition(lambda self: not self.buffer.ended)
    def flush(self) -> None:
        self.buffer.flush_text()

    @rule()
    @precondition(lambda self: not self.buffer.ended and len(self.text) > 40)
    def end(self) -> None:
        self.buffer.end_text()

    @rule(share=st.floats(0, 1), short=st.integers(0, 3), fails=st.integers(0, 5))
    def speak(self, share: float, short: int, fails: int) -> None:
        """Release a part of the sentence; the engine may stop earlier, or fail."""
        read_all(self.buffer)
        sentence = self.buffer.pending_sentence()
        size = len(sentence.text)
        if not (size or sentence.complete):
            return
        to = max(sentence.released, round(size * share))
        final = sentence.complete and to == size
        self.buffer.mark_released(sentence, Speak(to, size, final=final))
        assert sentence.text[: len(self.spoken_text)] == self.spoken_text, "changed what is spoken"
        self.released = self.buffer.utterance_start + to
        reached = to if final else max(sentence.spoken, to - short)
        self._count_spoken(self.buffer.mark_spoken(reached))
        self.spoken_text = sentence.text[:reached]
        if fails == 0:
            self._count_spoken(self.buffer.restart_utterance())
            self.spoken_text = ""
        elif final:
            self.buffer.close_utterance()
            self.spoken_text = ""

    def _count_spoken(self, span: tuple[int, int]) -> None:
        assert span[0] == self.spoken_to <= span[1]
        self.spoken_to = span[1]

    @invariant()
    def offsets_are_in_order(self) -> None:
        buffer = self.buffer
        assert buffer.length == len(self.text)
        assert buffer.utterance_start <= buffer.spoken <= buffer.released <= buffer.length
        assert (buffer.spoken, buffer.released) == (self.spoken_to, self.released)

    @invariant()
    def the_current_sentence_is_the_text_that_follows(self) -> None:
        if self.buffer.is_behind:
            return
        sentence, start = self.buffer.pending_sentence(), self.buffer.utterance_start
        assert 0 <= sentence.spoken <= sentence.released <= len(sentence.text)
        assert 0 <= sentence.flush_to <= len(sentence.text)
        held = 0 if sentence.complete else len(self.text) - start - len(sentence.text)
        assert 0 <= held <= 3  # the longest beginning of a mark among these texts
        for mine, given in zip(sentence.text, self.text[start:], strict=False):
            assert mine in (given, " ", FILLER)

    @invariant()
    def finished_means_all_is_spoken(self) -> None:
        if self.buffer.ended and self.spoken_to == len(self.text) and not self.buffer.is_behind:
            sentence = self.buffer.pending_sentence()
            assert self.buffer.is_finished or sentence.complete
        assert not self.buffer.is_finished or self.spoken_to == len(self.text)


TestTextBufferMachine = TextBufferMachine.TestCase
TestTextBufferMachine.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
