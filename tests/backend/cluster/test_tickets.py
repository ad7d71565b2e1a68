"""Tickets: once, for a few seconds, at the replica that issued them."""

from __future__ import annotations

from backend.cluster.tickets import LIFETIME_S, LIMIT, Tickets


class Clock:
    def __init__(self, now_s: float = 0.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


def test_a_ticket_is_redeemed_once_for_its_owner() -> None:
    tickets = Tickets(Clock())
    one, two = tickets.issue("alice"), tickets.issue("bob")
    assert tickets.redeem(two) == "bob"
    assert tickets.redeem(one) == "alice"
    assert tickets.redeem(one) is None


def test_a_ticket_expires() -> None:
    clock = Clock()
    tickets = Tickets(clock)
    first = tickets.issue("alice")
    clock.now_s = LIFETIME_S / 2
    second = tickets.issue("alice")
    clock.now_s = LIFETIME_S
    assert tickets.redeem(first) is None
    assert tickets.redeem(second) == "alice"


def test_unused_tickets_are_forgotten() -> None:
    clock = Clock()
    tickets = Tickets(clock)
    for _ in range(100):
        tickets.issue("alice")
    clock.now_s = LIFETIME_S
    tickets.issue("alice")
    assert len(tickets) == 1


def test_outstanding_tickets_are_bounded_and_the_oldest_is_dropped() -> None:
    tickets = Tickets(Clock())
    first = tickets.issue("alice")
    second = tickets.issue("alice")
    for _ in range(LIMIT - 1):
        tickets.issue("bob")
    assert len(tickets) == LIMIT
    assert tickets.redeem(first) is None
    assert tickets.redeem(second) == "alice"


def test_a_ticket_is_worth_nothing_at_another_replica_whatever_its_clock_shows() -> None:
    here, there = Tickets(Clock()), Tickets(Clock(-1e9))
    assert there.redeem(here.issue("alice")) is None
    assert there.redeem(there.issue("alice")) == "alice"


def test_tickets_cannot_be_guessed() -> None:
    tickets = Tickets(Clock())
    issued = [tickets.issue("alice") for _ in range(100)]
    assert len(set(issued)) == 100
    assert all(len(ticket) >= 43 for ticket in issued)  # 256 bits
    assert tickets.redeem("") is None
    assert tickets.redeem(issued[0][:-1]) is None
