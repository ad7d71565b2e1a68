import asyncio
import json

from duplex_tts.channel.keepalive import ACKNOWLEDGE_BYTES, KEEPALIVE_S, PING_S, Keepalive
from duplex_tts.events import Pong


def pong_to(ping: str) -> Pong:
    return Pong(json.loads(ping)["id"])


def test_the_first_ping_is_due_at_once_and_the_next_after_the_keepalive_interval() -> None:
    keepalive = Keepalive(0.0)
    assert keepalive.is_ping_due(0.0, unconfirmed=False)
    keepalive.create_ping(0.0, {})
    assert not keepalive.is_ping_due(KEEPALIVE_S - 0.1, unconfirmed=False)
    assert keepalive.is_ping_due(KEEPALIVE_S, unconfirmed=False)


def test_unacknowledged_messages_make_pings_more_frequent() -> None:
    keepalive = Keepalive(0.0)
    keepalive.create_ping(0.0, {})
    assert keepalive.is_ping_due(PING_S, unconfirmed=True)
    assert not keepalive.is_ping_due(PING_S, unconfirmed=False)
    keepalive.note_audio(1)
    assert keepalive.is_ping_due(PING_S, unconfirmed=False)


def test_much_audio_is_acknowledged_at_once() -> None:
    keepalive = Keepalive(0.0)
    keepalive.create_ping(0.0, {})
    keepalive.note_audio(ACKNOWLEDGE_BYTES - 1)
    assert not keepalive.is_ping_due(0.0, unconfirmed=False)
    keepalive.note_audio(1)
    assert keepalive.is_ping_due(0.0, unconfirmed=False)
    keepalive.create_ping(0.0, {})
    assert not keepalive.is_urgent


def test_a_ping_acknowledges_what_was_received() -> None:
    keepalive = Keepalive(0.0)
    keepalive.note_reply()
    keepalive.note_reply()
    ping = json.loads(keepalive.create_ping(0.0, {"a": 7}))
    assert (ping["type"], ping["after"], ping["answers"]) == ("ping", {"a": 7}, 2)


def test_a_pong_measures_the_round_trip() -> None:
    keepalive = Keepalive(0.0)
    keepalive.process_pong(pong_to(keepalive.create_ping(1.0, {})), 1.25)
    assert keepalive.ping_ms == 250.0


def test_a_peer_is_silent_while_a_ping_is_unanswered_and_nothing_else_arrives() -> None:
    keepalive = Keepalive(0.0)
    assert keepalive.silent_s(100.0) == 0
    ping = keepalive.create_ping(100.0, {})
    assert keepalive.silent_s(104.0) == 4.0
    keepalive.note_activity(103.0)
    assert keepalive.silent_s(104.0) == 1.0
    keepalive.process_pong(pong_to(ping), 104.0)
    assert keepalive.silent_s(200.0) == 0


async def test_an_awaited_ping_survives_a_reconnect() -> None:
    keepalive = Keepalive(0.0)
    result = asyncio.get_running_loop().create_future()
    keepalive.create_ping(0.0, {}, result)
    keepalive.create_ping(0.0, {})
    assert keepalive.start_connection(5.0) == [result]
    assert keepalive.silent_s(100.0) == 0
    keepalive.process_pong(pong_to(keepalive.create_ping(5.0, {}, result)), 5.5)
    assert result.result() == 500.0


def test_a_new_socket_is_pinged_at_once() -> None:
    keepalive = Keepalive(0.0)
    keepalive.create_ping(5.0, {})
    keepalive.start_connection(5.1)
    assert keepalive.is_ping_due(5.1, unconfirmed=False)
