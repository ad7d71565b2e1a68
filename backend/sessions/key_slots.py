"""Limits the concurrent sessions of one API key, over all replicas of a cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from backend.cluster.replicas import Replicas
from backend.errors import KeyLimit


class KeySlots:
    """Counts open connections and speaking requests by the owner of their key. Bound to one event
    loop. What other replicas count comes from their reports: about a second old.
    """

    def __init__(self, limit: int, replicas: Replicas | None = None) -> None:
        """`limit`: per key; 0: none."""
        self._limit = limit
        self._replicas = replicas
        self._taken: Counter[str] = Counter()

    @property
    def counts(self) -> Mapping[str, int]:
        """The slots taken on this replica, by owner; without a limit none are counted."""
        return dict(self._taken)

    @contextmanager
    def take_slot(self, owner: str) -> Iterator[None]:
        """Hold a slot of the owner while the block runs; no owner ("") needs none. Raises
        `KeyLimit`.
        """
        with self.open_holder() as holder:
            holder.take(owner)
            yield

    @contextmanager
    def open_holder(self) -> Iterator[KeySlotHolder]:
        """What is taken with it is freed when the block ends."""
        holder = KeySlotHolder(self)
        try:
            yield holder
        finally:
            for owner in holder.owners:
                self._taken[owner] -= 1
                if not self._taken[owner]:
                    del self._taken[owner]

    def count(self, owner: str) -> int:
        """The slots that the owner has taken, on all replicas."""
        return self._taken[owner] + self._count_elsewhere(owner)

    def take(self, owner: str) -> bool:
        """Take a slot. Returns False if there is nothing to count. Raises `KeyLimit`."""
        if not (self._limit and owner):
            return False
        if self.count(owner) >= self._limit:
            raise KeyLimit(
                f"this key has {self._limit} sessions open, as many as it may have at a time "
                "(access.sessions_per_key): end one, or ask the operator for more"
            )
        self._taken[owner] += 1
        return True

    def _count_elsewhere(self, owner: str) -> int:
        if self._replicas is None:
            return 0
        others = (each for each in self._replicas.reports() if each.id != self._replicas.own_id)
        counts = (each.status.get("sessions_by_key") for each in others)
        found = (each.get(owner) for each in counts if isinstance(each, Mapping))
        return sum(number for number in found if isinstance(number, int))


class KeySlotHolder:
    """The slots of one connection or request."""

    def __init__(self, slots: KeySlots) -> None:
        self.owners: list[str] = []
        self._slots = slots

    def take(self, owner: str) -> None:
        """Take a slot of the owner. Raises `KeyLimit`."""
        if self._slots.take(owner):
            self.owners.append(owner)
