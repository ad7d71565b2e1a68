"""`LineProbes`: numbers in pings, and whose pong it is."""

from __future__ import annotations

from backend.transport.line_probes import LineProbes


def test_a_pong_names_its_probe() -> None:
    pings: list[bytes] = []
    answered: list[int] = []
    probes = LineProbes(pings.append)
    probes.on_answered = answered.append
    for number in (1, 0xFFFF):
        probes.send(number)
    assert [probes.process_pong(payload) for payload in pings] == [True, True]
    assert answered == [1, 0xFFFF]


def test_the_pong_of_another_ping_is_left_alone() -> None:
    probes = LineProbes(lambda payload: None)
    assert not probes.process_pong(b"four")
    assert not probes.process_pong(b"")
