import pytest

from duplex_tts.channel.send_queue import SendQueue
from duplex_tts.errors import ProtocolError


def take_all(send_queue: SendQueue) -> list[str]:
    messages = []
    while (message := send_queue.next_message()) is not None:
        messages.append(message)
    return messages


def queue_of(messages: str) -> SendQueue:
    send_queue = SendQueue()
    for message in messages:
        send_queue.add_message(message)
    return send_queue


def test_messages_are_sent_once_in_order_with_urgent_ones_first() -> None:
    send_queue = queue_of("ab")
    send_queue.add_urgent_message("ping")
    assert take_all(send_queue) == ["ping", "a", "b"]
    assert (send_queue.unsent, send_queue.unconfirmed) == (0, 2)


def test_unreceived_messages_are_resent_after_a_break() -> None:
    send_queue = queue_of("abc")
    take_all(send_queue)
    send_queue.add_message("d")
    send_queue.resend_after(1)
    assert take_all(send_queue) == ["b", "c", "d"]


def test_confirmed_messages_are_dropped_and_the_count_continues() -> None:
    send_queue = queue_of("abc")
    take_all(send_queue)
    send_queue.confirm_received(2)
    send_queue.confirm_received(1)
    assert send_queue.unconfirmed == 1
    send_queue.add_message("d")
    take_all(send_queue)
    send_queue.resend_after(3)
    assert take_all(send_queue) == ["d"]


def test_pings_are_not_resent() -> None:
    send_queue = queue_of("a")
    send_queue.add_urgent_message("ping")
    send_queue.resend_after(0)
    assert take_all(send_queue) == ["a"]


def test_confirming_unsent_messages_raises() -> None:
    send_queue = queue_of("ab")
    assert send_queue.next_message() == "a"
    with pytest.raises(ProtocolError, match="2 messages received"):
        send_queue.confirm_received(2)


def test_resending_confirmed_messages_raises() -> None:
    send_queue = queue_of("ab")
    take_all(send_queue)
    send_queue.confirm_received(2)
    with pytest.raises(ProtocolError, match="1 messages received"):
        send_queue.resend_after(1)
