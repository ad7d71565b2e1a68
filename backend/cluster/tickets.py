"""Tickets: each admits one connection, for a few seconds, at the replica that issued it.

A ticket stands for the key and the admission of the connection that it was sent over. Issued and
redeemed by the same clock, so clocks of different machines need not agree.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

LIFETIME_S = 10.0
LIMIT = 10_000  # outstanding; the oldest is dropped: its client stays where it is


class Tickets:
    """The outstanding tickets of this replica. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._issued: dict[str, tuple[float, str]] = {}  # oldest first: expiry, owner

    def __len__(self) -> int:
        return len(self._issued)

    def issue(self, owner: str) -> str:
        """Issue a ticket. `owner`: the owner of the API key that it stands for."""
        self._drop_expired()
        if len(self._issued) >= LIMIT:
            del self._issued[next(iter(self._issued))]
        ticket = secrets.token_urlsafe(32)
        self._issued[ticket] = (self._clock() + LIFETIME_S, owner)
        return ticket

    def redeem(self, ticket: str) -> str | None:
        """Use up a ticket. Returns its owner; None if it is unknown, used or expired."""
        self._drop_expired()
        issued = self._issued.pop(ticket, None)
        return None if issued is None else issued[1]

    def _drop_expired(self) -> None:
        now_s = self._clock()
        while self._issued:
            oldest = next(iter(self._issued))
            if self._issued[oldest][0] > now_s:
                return
            del self._issued[oldest]
