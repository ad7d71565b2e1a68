"""Maps a vendor's context ids to the core's.

A vendor's id may be reused after its end, a core id may not: each context gets a fresh core id.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from backend.protocols.alignment import Alignment
from backend.protocols.markup import MarkupFilter


@dataclass(slots=True)
class WireContext:
    """One context: the core's `id`, the vendor's `name`, its markup filter and unspoken text."""

    id: str
    name: str
    markup: MarkupFilter
    transcript: Alignment = field(default_factory=Alignment)

    def append_sent(self, text: str) -> None:
        """Add text that was sent to the core to the transcript."""
        self.transcript.append_text(self.markup.hide_marks(text))


C = TypeVar("C", bound=WireContext)


class WireContexts(Generic[C]):
    """The unfinished contexts of one connection."""

    def __init__(self, create_context: Callable[[str, str], C]) -> None:
        """`create_context`: builds a context from an id and a name."""
        self._create_context = create_context
        self._opened = 0
        self._open_by_name: dict[str, C] = {}  # accept text
        self._by_id: dict[str, C] = {}  # may still have events

    def __len__(self) -> int:
        return len(self._by_id)

    @property
    def open_contexts(self) -> list[C]:
        """The contexts that accept text."""
        return list(self._open_by_name.values())

    def open_context(self, name: str) -> C:
        """Open a context; an earlier one of this name accepts no more text."""
        self._opened += 1
        context = self._create_context(str(self._opened), name)
        self._open_by_name[name] = self._by_id[context.id] = context
        return context

    def find_open(self, name: str) -> C | None:
        """The context of this name that accepts text."""
        return self._open_by_name.get(name)

    def find_all(self, name: str) -> list[C]:
        """All unfinished contexts of this name."""
        return [context for context in self._by_id.values() if context.name == name]

    def close_context(self, name: str) -> C | None:
        """Accept no more text for this name; returns the context that was open."""
        return self._open_by_name.pop(name, None)

    def find_by_id(self, id_: str | None) -> C | None:
        """The unfinished context with this core id."""
        return None if id_ is None else self._by_id.get(id_)

    def remove_context(self, id_: str) -> None:
        """Forget a finished context."""
        context = self._by_id.pop(id_, None)
        if context is not None and self._open_by_name.get(context.name) is context:
            del self._open_by_name[context.name]
