import random

import pytest

from duplex_tts.cli.type.edit_buffer import AHEAD, EditBuffer, EndText, PushText, RetractText


def buffer_with_sent_text(text: str, *, spoken_to: int = 0) -> EditBuffer:
    """A buffer whose text was sent and spoken up to `spoken_to`."""
    buffer = EditBuffer()
    buffer.insert_text(text)
    assert buffer.next_command() == PushText(text)
    buffer.mark_spoken(spoken_to)
    return buffer


def test_typed_text_is_sent_at_once() -> None:
    buffer = EditBuffer()
    assert buffer.next_command() is None
    buffer.insert_text("H")
    assert buffer.next_command() == PushText("H")
    buffer.insert_text("e")
    buffer.insert_text("y")
    assert buffer.next_command() == PushText("ey")
    assert buffer.next_command() is None


def test_erasing_unsent_text_needs_no_retraction() -> None:
    buffer = EditBuffer()
    buffer.insert_text("Hex")
    assert buffer.erase_characters() == 1
    buffer.insert_text("y")
    assert buffer.next_command() == PushText("Hey")


def test_erasing_sent_text_retracts_it() -> None:
    buffer = buffer_with_sent_text("Hello thrre")
    buffer.erase_characters(3)
    assert buffer.next_command() == RetractText(8)
    buffer.apply_retraction(8)
    buffer.insert_text("ere")
    assert (buffer.text, buffer.next_command()) == ("Hello there", PushText("ere"))


def test_spoken_text_cannot_be_erased() -> None:
    buffer = buffer_with_sent_text("Hello there", spoken_to=6)
    assert buffer.erase_characters(100) == 5
    assert buffer.text == "Hello "
    assert buffer.erase_characters() == 0


def test_nothing_is_sent_before_a_retraction_is_answered() -> None:
    buffer = buffer_with_sent_text("Hello thrre")
    buffer.erase_characters(3)
    assert buffer.next_command() == RetractText(8)
    buffer.insert_text("ere, ")
    buffer.erase_characters(2)
    assert buffer.next_command() is None
    buffer.apply_retraction(8)
    assert buffer.next_command() == PushText("ere")


def test_text_spoken_meanwhile_is_restored_before_later_text() -> None:
    buffer = buffer_with_sent_text("Hello there")
    buffer.erase_characters(11)
    assert buffer.next_command() == RetractText(0)
    buffer.insert_text("Bye")
    buffer.mark_spoken(6)  # sent before the server received the retraction
    buffer.apply_retraction(6)
    assert buffer.text == "Hello Bye"
    assert buffer.next_command() == PushText("Bye")
    assert buffer.spoken_to == 6


def test_text_erased_before_the_answer_is_retracted_next() -> None:
    buffer = buffer_with_sent_text("Hello there")
    buffer.erase_characters(1)
    assert buffer.next_command() == RetractText(10)
    buffer.erase_characters(4)
    buffer.apply_retraction(10)
    assert buffer.text == "Hello "
    assert buffer.next_command() == RetractText(6)


@pytest.mark.parametrize(
    ("text", "left"),
    [("one two", "one "), ("one two  ", "one "), ("one", ""), ("  ", ""), ("", "")],
)
def test_a_word_is_erased_with_the_spaces_after_it(text: str, left: str) -> None:
    buffer = EditBuffer()
    buffer.insert_text(text)
    buffer.erase_word()
    assert buffer.text == left


def test_only_the_unspoken_part_of_a_word_is_erased() -> None:
    buffer = buffer_with_sent_text("incredible", spoken_to=4)
    assert buffer.erase_word() == 6
    assert buffer.text == "incr"


def test_the_end_is_sent_once_after_all_text() -> None:
    buffer = buffer_with_sent_text("Hello thrre")
    buffer.erase_characters(3)
    buffer.insert_text("ere")
    buffer.ended = True
    assert buffer.next_command() == RetractText(8)
    assert buffer.next_command() is None
    buffer.apply_retraction(8)
    assert buffer.next_command() == PushText("ere")
    assert buffer.next_command() == EndText()
    assert buffer.next_command() is None


def test_a_long_paste_is_sent_as_it_is_spoken() -> None:
    buffer = EditBuffer()
    buffer.insert_text("x" * 3 * AHEAD)
    assert buffer.next_command() == PushText("x" * AHEAD)
    assert buffer.next_command() is None
    buffer.mark_spoken(100)
    assert buffer.next_command() == PushText("x" * 100)


def test_an_unexpected_retraction_answer_changes_nothing() -> None:
    buffer = buffer_with_sent_text("Hello")
    buffer.apply_retraction(2)
    assert buffer.text == "Hello"


class SimulatedServer:
    """Speaks text at random, and answers retractions late."""

    def __init__(self, buffer: EditBuffer, rng: random.Random) -> None:
        self.buffer, self.rng = buffer, rng
        self.text, self.released = "", 0
        self.answers: list[int] = []

    def process_command(self) -> object:
        command = self.buffer.next_command()
        if isinstance(command, PushText):
            self.text += command.text
        elif isinstance(command, RetractText):
            self.text = self.text[: max(command.to, self.released)]
            self.answers.append(len(self.text))
        return command

    def speak(self) -> None:
        self.released = self.rng.randint(self.released, len(self.text))
        if not self.answers:  # otherwise the audio follows the answer, as on the wire
            self.buffer.mark_spoken(self.released)

    def answer(self) -> None:
        if self.answers:
            self.buffer.apply_retraction(self.answers.pop())
            self.buffer.mark_spoken(self.released)


@pytest.mark.parametrize("seed", range(50))
def test_random_edits_end_with_the_same_text_on_both_sides(seed: int) -> None:
    rng, buffer = random.Random(seed), EditBuffer()
    server = SimulatedServer(buffer, rng)
    acts = [
        lambda: buffer.insert_text(
            rng.choice(["a", "b ", "cde ", "\N{LATIN SMALL LETTER E WITH ACUTE}"])
        ),
        lambda: buffer.erase_characters(rng.randint(1, 4)),
        buffer.erase_word,
        server.process_command,
        server.process_command,
        server.speak,
        server.answer,
    ]
    for _ in range(300):
        rng.choice(acts)()
    buffer.ended = True
    while not isinstance(server.process_command(), EndText):
        server.answer()
        buffer.mark_spoken(server.released)
    assert server.text == buffer.text
    assert buffer.next_command() is None


def test_retyped_text_does_not_count_as_kept() -> None:
    buffer = EditBuffer()
    buffer.insert_text("One two four ")
    assert buffer.next_command() == PushText("One two four ")
    buffer.mark_spoken(8)
    assert buffer.erase_characters(5) == 5
    buffer.insert_text("five")
    assert buffer.next_command() == RetractText(8)
    buffer.apply_retraction(13)  # it was being spoken
    assert buffer.text == "One two four five"
