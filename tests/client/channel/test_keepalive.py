import asyncio
import json

from duplex_tts.channel.keepalive import ACKNOWLEDGE_BYTES, KEEPALIVE_S, PING_S, Keepalive
from duplex_tts.events import Pong


def pong_to(ping: str) -> Pong:
    return Pong(json.loads(ping)["id"])


def test_the_first_ping_is_due_at_once_and_the_next_after_a_while() -> None:
    pulse = Keepalive(0.0)
    assert pulse.due(0.0, unconfirmed=False)
    pulse.ping(0.0, {})
    assert not pulse.due(KEEPALIVE_S - 0.1, unconfirmed=False)
    assert pulse.due(KEEPALIVE_S, unconfirmed=False)


def test_what_is_not_acknowledged_makes_pings_more_frequent() -> None:
    pulse = Keepalive(0.0)
    pulse.ping(0.0, {})
    assert pulse.due(PING_S, unconfirmed=True)
    assert not pulse.due(PING_S, unconfirmed=False)
    pulse.audio(1)
    assert pulse.due(PING_S, unconfirmed=False)


def test_much_audio_is_acknowledged_at_once() -> None:
    pulse = Keepalive(0.0)
    pulse.ping(0.0, {})
    pulse.audio(ACKNOWLEDGE_BYTES - 1)
    assert not pulse.due(0.0, unconfirmed=False)
    pulse.audio(1)
    assert pulse.due(0.0, unconfirmed=False)
    pulse.ping(0.0, {})
    assert not pulse.urgent


def test_a_ping_says_what_has_come() -> None:
    pulse = Keepalive(0.0)
    pulse.answered()
    pulse.answered()
    ping = json.loads(pulse.ping(0.0, {"a": 7}))
    assert (ping["type"], ping["after"], ping["answers"]) == ("ping", {"a": 7}, 2)


def test_a_pong_tells_the_time_to_the_server_and_back() -> None:
    pulse = Keepalive(0.0)
    pulse.pong(pong_to(pulse.ping(1.0, {})), 1.25)
    assert pulse.ping_ms == 250.0


def test_a_peer_is_silent_when_a_ping_is_unanswered_and_nothing_else_comes() -> None:
    pulse = Keepalive(0.0)
    assert pulse.silent_s(100.0) == 0
    ping = pulse.ping(100.0, {})
    assert pulse.silent_s(104.0) == 4.0
    pulse.heard(103.0)
    assert pulse.silent_s(104.0) == 1.0
    pulse.pong(pong_to(ping), 104.0)
    assert pulse.silent_s(200.0) == 0


async def test_who_waits_for_a_pong_is_not_forgotten_with_the_socket() -> None:
    pulse = Keepalive(0.0)
    answer = asyncio.get_running_loop().create_future()
    pulse.ping(0.0, {}, answer)
    pulse.ping(0.0, {})
    assert pulse.reconnected(5.0) == [answer]
    assert pulse.silent_s(100.0) == 0
    pulse.pong(pong_to(pulse.ping(5.0, {}, answer)), 5.5)
    assert answer.result() == 500.0


def test_a_new_socket_is_pinged_at_once() -> None:
    pulse = Keepalive(0.0)
    pulse.ping(5.0, {})
    pulse.reconnected(5.1)
    assert pulse.due(5.1, unconfirmed=False)
