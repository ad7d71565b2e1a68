import pytest

from duplex_tts.channel.send_queue import SendQueue
from duplex_tts.errors import ProtocolError


def all_of(outgoing: SendQueue) -> list[str]:
    messages = []
    while (message := outgoing.next()) is not None:
        messages.append(message)
    return messages


def of(messages: str) -> SendQueue:
    outgoing = SendQueue()
    for message in messages:
        outgoing.add(message)
    return outgoing


def test_messages_go_out_once_and_in_order_the_urgent_first() -> None:
    outgoing = of("ab")
    outgoing.add_urgent("ping")
    assert all_of(outgoing) == ["ping", "a", "b"]
    assert (outgoing.waiting, outgoing.unconfirmed) == (0, 2)


def test_after_a_break_what_was_not_received_goes_again() -> None:
    outgoing = of("abc")
    all_of(outgoing)
    outgoing.add("d")
    outgoing.repeat(1)
    assert all_of(outgoing) == ["b", "c", "d"]


def test_what_was_confirmed_is_forgotten_and_the_count_goes_on() -> None:
    outgoing = of("abc")
    all_of(outgoing)
    outgoing.confirm(2)
    outgoing.confirm(1)
    assert outgoing.unconfirmed == 1
    outgoing.add("d")
    all_of(outgoing)
    outgoing.repeat(3)
    assert all_of(outgoing) == ["d"]


def test_pings_are_not_repeated() -> None:
    outgoing = of("a")
    outgoing.add_urgent("ping")
    outgoing.repeat(0)
    assert all_of(outgoing) == ["a"]


def test_a_server_cannot_have_what_was_never_sent() -> None:
    outgoing = of("ab")
    assert outgoing.next() == "a"
    with pytest.raises(ProtocolError, match="2 messages received"):
        outgoing.confirm(2)


def test_a_server_cannot_have_lost_what_it_confirmed() -> None:
    outgoing = of("ab")
    all_of(outgoing)
    outgoing.confirm(2)
    with pytest.raises(ProtocolError, match="1 messages received"):
        outgoing.repeat(1)
