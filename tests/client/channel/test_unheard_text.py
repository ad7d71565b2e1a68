import random

import pytest

from duplex_tts.channel.unheard_text import Command, UnheardText


def text(text: str) -> Command:
    return Command("text", text)


def unheard_text_of(*commands: Command) -> UnheardText:
    unheard_text = UnheardText()
    for command in commands:
        unheard_text.add_command(command)
    return unheard_text


def test_everything_is_resent_when_nothing_was_heard() -> None:
    unheard_text = unheard_text_of(text("Hello "), text("there."), Command("end"))
    assert list(unheard_text.commands_to_resend()) == [text("Hello there."), Command("end")]
    assert unheard_text.unheard_length == unheard_text.length == 12


def test_heard_text_is_not_resent() -> None:
    unheard_text = unheard_text_of(text("Hello "), text("there, "), text("friend."), Command("end"))
    unheard_text.mark_heard(9)
    assert list(unheard_text.commands_to_resend()) == [text("re, friend."), Command("end")]
    unheard_text.mark_heard(20)
    assert list(unheard_text.commands_to_resend()) == [Command("end")]
    assert (unheard_text.unheard_length, unheard_text.length) == (0, 20)


@pytest.mark.parametrize(
    ("heard", "resent"),
    [
        (3, [text("lo "), Command("flush"), text("there")]),
        (6, [text("there")]),
        (8, [text("ere")]),
    ],
)
def test_a_flush_is_resent_at_its_position(heard: int, resent: list[Command]) -> None:
    unheard_text = unheard_text_of(text("Hello "), Command("flush"), text("there"))
    unheard_text.mark_heard(heard)
    assert list(unheard_text.commands_to_resend()) == resent


def test_an_unanswered_retraction_is_resent_relative_to_the_heard_text() -> None:
    unheard_text = unheard_text_of(text("Hello there"), Command("retract", to=8), text("y"))
    unheard_text.mark_heard(6)
    assert list(unheard_text.commands_to_resend()) == [
        text("there"),
        Command("retract", to=2),
        text("y"),
    ]


@pytest.mark.parametrize(("answer", "left"), [(8, "They"), (11, "There you")])
def test_an_answered_retraction_keeps_the_text_that_could_not_be_taken_back(
    answer: int, left: str
) -> None:
    sent = "Hello there"
    unheard_text = unheard_text_of(text(sent), Command("retract", to=8), text(left[answer - 6 :]))
    unheard_text.mark_heard(6)
    unheard_text.apply_retraction(answer)
    assert [command.text for command in unheard_text.commands_to_resend()] == [
        (sent[:answer] + left[answer - 6 :])[6:]
    ]
    assert unheard_text.length == 6 + len(left)


def test_retractions_are_applied_in_the_order_of_their_answers() -> None:
    unheard_text = unheard_text_of(text("abcdef"), Command("retract", to=4), text("XY"))
    unheard_text.add_command(Command("retract", to=1))
    unheard_text.apply_retraction(4)
    assert list(unheard_text.commands_to_resend()) == [text("abcdXY"), Command("retract", to=1)]
    unheard_text.apply_retraction(5)
    assert list(unheard_text.commands_to_resend()) == [text("abcdX")]
    assert unheard_text.length == 5


def test_the_resent_text_is_the_unheard_text_for_any_split() -> None:
    chance = random.Random(1)
    for _ in range(200):
        whole = "".join(chance.choices("abc ", k=40))
        unheard_text, sent, heard = UnheardText(), 0, 0
        while sent < len(whole):
            size = chance.randrange(1, 8)
            unheard_text.add_command(text(whole[sent : sent + size]))
            sent = min(sent + size, len(whole))
            heard = chance.randrange(heard, sent + 1)
            unheard_text.mark_heard(heard)
            assert (
                "".join(command.text for command in unheard_text.commands_to_resend())
                == whole[heard:sent]
            )
            assert unheard_text.unheard_length == sent - heard
