"""A vendor's context ids and the core's.

A vendor's id may be used again after its end, the core's may not: so each context gets a fresh one
in the core.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from backend.protocols.alignment import Alignment
from backend.protocols.markup import MarkupFilter


@dataclass(slots=True)
class WireContext:
    """One context: the core's `id`, the vendor's `name`, its text without marks, on its way."""

    id: str
    name: str
    markup: MarkupFilter
    transcript: Alignment = field(default_factory=Alignment)


C = TypeVar("C", bound=WireContext)


class ContextIds(Generic[C]):
    """The contexts of one connection that are not over."""

    def __init__(self, make: Callable[[str, str], C]) -> None:
        """`make`: a context from its id and its name."""
        self._make = make
        self._opened = 0
        self._open: dict[str, C] = {}  # by name: text may follow
        self._known: dict[str, C] = {}  # by id: something may still be told of it

    def __len__(self) -> int:
        return len(self._known)

    @property
    def open(self) -> list[C]:
        """Those that take text."""
        return list(self._open.values())

    def begin(self, name: str) -> C:
        """A new context of this name; one before it gets no more text."""
        self._opened += 1
        context = self._make(str(self._opened), name)
        self._open[name] = self._known[context.id] = context
        return context

    def named(self, name: str) -> C | None:
        """The context of this name that takes text."""
        return self._open.get(name)

    def of(self, name: str) -> list[C]:
        """All contexts of this name that are not over."""
        return [context for context in self._known.values() if context.name == name]

    def close(self, name: str) -> C | None:
        """The context of this name takes no more text."""
        return self._open.pop(name, None)

    def get(self, id_: str | None) -> C | None:
        """The context that the core calls so."""
        return None if id_ is None else self._known.get(id_)

    def forget(self, id_: str) -> None:
        """The context is over."""
        context = self._known.pop(id_, None)
        if context is not None and self._open.get(context.name) is context:
            del self._open[context.name]
