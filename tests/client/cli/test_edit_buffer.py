import random

import pytest

from duplex_tts.cli.typed_line import AHEAD, End, Push, Retract, TypedText


def typed(text: str, *, spoken_to: int = 0) -> TypedText:
    """A line that the server has, spoken so far."""
    line = TypedText()
    line.insert(text)
    assert line.next_command() == Push(text)
    line.spoken(spoken_to)
    return line


def test_what_is_typed_is_sent_as_it_is_typed() -> None:
    line = TypedText()
    assert line.next_command() is None
    line.insert("H")
    assert line.next_command() == Push("H")
    line.insert("e")
    line.insert("y")
    assert line.next_command() == Push("ey")
    assert line.next_command() is None


def test_what_was_not_sent_yet_is_erased_without_a_word() -> None:
    line = TypedText()
    line.insert("Hex")
    assert line.erase() == 1
    line.insert("y")
    assert line.next_command() == Push("Hey")


def test_what_was_sent_is_taken_back() -> None:
    line = typed("Hello thrre")
    line.erase(3)
    assert line.next_command() == Retract(8)
    line.retracted(8)
    line.insert("ere")
    assert (line.text, line.next_command()) == ("Hello there", Push("ere"))


def test_what_is_spoken_cannot_be_erased() -> None:
    line = typed("Hello there", spoken_to=6)
    assert line.erase(100) == 5
    assert line.text == "Hello "
    assert line.erase() == 0


def test_nothing_is_sent_before_it_is_known_how_much_could_be_taken_back() -> None:
    line = typed("Hello thrre")
    line.erase(3)
    assert line.next_command() == Retract(8)
    line.insert("ere, ")
    line.erase(2)
    assert line.next_command() is None
    line.retracted(8)
    assert line.next_command() == Push("ere")


def test_what_was_spoken_meanwhile_returns_before_what_was_typed_since() -> None:
    line = typed("Hello there")
    line.erase(11)
    assert line.next_command() == Retract(0)
    line.insert("Bye")
    line.spoken(6)  # on its way before the server heard of it
    line.retracted(6)
    assert line.text == "Hello Bye"
    assert line.next_command() == Push("Bye")
    assert line.spoken_to == 6


def test_more_erased_while_the_answer_is_on_its_way_is_taken_back_too() -> None:
    line = typed("Hello there")
    line.erase(1)
    assert line.next_command() == Retract(10)
    line.erase(4)
    line.retracted(10)
    assert line.text == "Hello "
    assert line.next_command() == Retract(6)


@pytest.mark.parametrize(
    ("text", "left"),
    [("one two", "one "), ("one two  ", "one "), ("one", ""), ("  ", ""), ("", "")],
)
def test_a_word_is_erased_with_the_spaces_behind_it(text: str, left: str) -> None:
    line = TypedText()
    line.insert(text)
    line.erase_word()
    assert line.text == left


def test_a_word_is_erased_only_as_far_as_it_is_not_spoken() -> None:
    line = typed("incredible", spoken_to=4)
    assert line.erase_word() == 6
    assert line.text == "incr"


def test_the_end_is_said_once_and_after_all_of_the_text() -> None:
    line = typed("Hello thrre")
    line.erase(3)
    line.insert("ere")
    line.ended = True
    assert line.next_command() == Retract(8)
    assert line.next_command() is None
    line.retracted(8)
    assert line.next_command() == Push("ere")
    assert line.next_command() == End()
    assert line.next_command() is None


def test_a_book_that_is_pasted_is_sent_as_it_is_spoken() -> None:
    line = TypedText()
    line.insert("x" * 3 * AHEAD)
    assert line.next_command() == Push("x" * AHEAD)
    assert line.next_command() is None
    line.spoken(100)
    assert line.next_command() == Push("x" * 100)


def test_an_answer_that_nobody_asked_for_changes_nothing() -> None:
    line = typed("Hello")
    line.retracted(2)
    assert line.text == "Hello"


class Server:
    """Releases text at random, and answers late."""

    def __init__(self, line: TypedText, rng: random.Random) -> None:
        self.line, self.rng = line, rng
        self.text, self.released = "", 0
        self.answers: list[int] = []

    def pump(self) -> object:
        command = self.line.next_command()
        if isinstance(command, Push):
            self.text += command.text
        elif isinstance(command, Retract):
            self.text = self.text[: max(command.to, self.released)]
            self.answers.append(len(self.text))
        return command

    def speak(self) -> None:
        self.released = self.rng.randint(self.released, len(self.text))
        if not self.answers:  # else the audio comes behind the answer, as on the wire
            self.line.spoken(self.released)

    def answer(self) -> None:
        if self.answers:
            self.line.retracted(self.answers.pop())
            self.line.spoken(self.released)


@pytest.mark.parametrize("seed", range(50))
def test_whatever_happens_both_sides_end_with_the_same_text(seed: int) -> None:
    rng, line = random.Random(seed), TypedText()
    server = Server(line, rng)
    acts = [
        lambda: line.insert(rng.choice(["a", "b ", "cde ", "\N{LATIN SMALL LETTER E WITH ACUTE}"])),
        lambda: line.erase(rng.randint(1, 4)),
        line.erase_word,
        server.pump,
        server.pump,
        server.speak,
        server.answer,
    ]
    for _ in range(300):
        rng.choice(acts)()
    line.ended = True
    while not isinstance(server.pump(), End):
        server.answer()
        line.spoken(server.released)
    assert server.text == line.text
    assert line.next_command() is None


def test_a_letter_that_is_typed_anew_is_not_the_one_that_was_erased() -> None:
    typed = TypedText()
    typed.insert("One two four ")
    assert typed.next_command() == Push("One two four ")
    typed.spoken(8)
    assert typed.erase(5) == 5
    typed.insert("five")
    assert typed.next_command() == Retract(8)
    typed.retracted(13)  # it was being spoken
    assert typed.text == "One two four five"
