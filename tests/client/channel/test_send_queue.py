import pytest

from duplex_tts.channel.send_queue import SendQueue
from duplex_tts.errors import ProtocolError


def all_of(send_queue: SendQueue) -> list[str]:
    messages = []
    while (message := send_queue.next()) is not None:
        messages.append(message)
    return messages


def of(messages: str) -> SendQueue:
    send_queue = SendQueue()
    for message in messages:
        send_queue.add(message)
    return send_queue


def test_messages_go_out_once_and_in_order_the_urgent_first() -> None:
    send_queue = of("ab")
    send_queue.add_urgent("ping")
    assert all_of(send_queue) == ["ping", "a", "b"]
    assert (send_queue.waiting, send_queue.unconfirmed) == (0, 2)


def test_after_a_break_what_was_not_received_goes_again() -> None:
    send_queue = of("abc")
    all_of(send_queue)
    send_queue.add("d")
    send_queue.repeat(1)
    assert all_of(send_queue) == ["b", "c", "d"]


def test_what_was_confirmed_is_forgotten_and_the_count_goes_on() -> None:
    send_queue = of("abc")
    all_of(send_queue)
    send_queue.confirm(2)
    send_queue.confirm(1)
    assert send_queue.unconfirmed == 1
    send_queue.add("d")
    all_of(send_queue)
    send_queue.repeat(3)
    assert all_of(send_queue) == ["d"]


def test_pings_are_not_repeated() -> None:
    send_queue = of("a")
    send_queue.add_urgent("ping")
    send_queue.repeat(0)
    assert all_of(send_queue) == ["a"]


def test_a_server_cannot_have_what_was_never_sent() -> None:
    send_queue = of("ab")
    assert send_queue.next() == "a"
    with pytest.raises(ProtocolError, match="2 messages received"):
        send_queue.confirm(2)


def test_a_server_cannot_have_lost_what_it_confirmed() -> None:
    send_queue = of("ab")
    all_of(send_queue)
    send_queue.confirm(2)
    with pytest.raises(ProtocolError, match="1 messages received"):
        send_queue.repeat(1)
