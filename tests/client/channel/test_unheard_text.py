import random

import pytest

from duplex_tts.channel.unheard_text import Command, UnheardText


def text(text: str) -> Command:
    return Command("text", text)


def remainder_of(*commands: Command) -> UnheardText:
    remainder = UnheardText()
    for command in commands:
        remainder.add(command)
    return remainder


def test_all_is_said_again_when_nothing_was_heard() -> None:
    remainder = remainder_of(text("Hello "), text("there."), Command("end"))
    assert list(remainder.again()) == [text("Hello there."), Command("end")]
    assert remainder.unheard == remainder.length == 12


def test_what_was_heard_is_not_said_again() -> None:
    remainder = remainder_of(text("Hello "), text("there, "), text("friend."), Command("end"))
    remainder.heard(9)
    assert list(remainder.again()) == [text("re, friend."), Command("end")]
    remainder.heard(20)
    assert list(remainder.again()) == [Command("end")]
    assert (remainder.unheard, remainder.length) == (0, 20)


@pytest.mark.parametrize(
    ("heard", "again"),
    [
        (3, [text("lo "), Command("flush"), text("there")]),
        (6, [text("there")]),
        (8, [text("ere")]),
    ],
)
def test_a_flush_is_repeated_where_it_was(heard: int, again: list[Command]) -> None:
    remainder = remainder_of(text("Hello "), Command("flush"), text("there"))
    remainder.heard(heard)
    assert list(remainder.again()) == again


def test_a_retraction_that_is_not_answered_is_said_again_from_what_was_heard() -> None:
    remainder = remainder_of(text("Hello there"), Command("retract", to=8), text("y"))
    remainder.heard(6)
    assert list(remainder.again()) == [text("there"), Command("retract", to=2), text("y")]


@pytest.mark.parametrize(("answer", "left"), [(8, "They"), (11, "There you")])
def test_an_answered_retraction_leaves_what_the_server_could_not_take_back(
    answer: int, left: str
) -> None:
    sent = "Hello there"
    remainder = remainder_of(text(sent), Command("retract", to=8), text(left[answer - 6 :]))
    remainder.heard(6)
    remainder.retracted(answer)
    assert [each.text for each in remainder.again()] == [(sent[:answer] + left[answer - 6 :])[6:]]
    assert remainder.length == 6 + len(left)


def test_two_retractions_are_answered_in_their_order() -> None:
    remainder = remainder_of(text("abcdef"), Command("retract", to=4), text("XY"))
    remainder.add(Command("retract", to=1))
    remainder.retracted(4)
    assert list(remainder.again()) == [text("abcdXY"), Command("retract", to=1)]
    remainder.retracted(5)
    assert list(remainder.again()) == [text("abcdX")]
    assert remainder.length == 5


def test_however_it_is_cut_the_rest_is_what_was_not_heard() -> None:
    chance = random.Random(1)
    for _ in range(200):
        whole = "".join(chance.choices("abc ", k=40))
        remainder, sent, heard = UnheardText(), 0, 0
        while sent < len(whole):
            size = chance.randrange(1, 8)
            remainder.add(text(whole[sent : sent + size]))
            sent = min(sent + size, len(whole))
            heard = chance.randrange(heard, sent + 1)
            remainder.heard(heard)
            assert "".join(each.text for each in remainder.again()) == whole[heard:sent]
            assert remainder.unheard == sent - heard
