"""A growing text with its markup read: masked, at equal length, and able to go back. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from backend.text.markup.marks import Change, Mark
from backend.text.markup.reader import MarkupOptions, MarkupReader
from backend.text.markup.state import ReaderState

_APART = 64  # characters between saved states: saving costs more than reading again


@dataclass(frozen=True, slots=True)
class _SavedState:
    """The markup reader's state when `length` characters were received, `masked_to` masked."""

    length: int
    masked_to: int
    state: ReaderState


class MaskedText:
    """Reads the markup of one context's text. Offsets are code points from its start.

    Masked text never changes, except by `retract_to`.
    """

    def __init__(self, options: MarkupOptions) -> None:
        self._reader = MarkupReader(options)
        self._raw = ""
        self._raw_start = 0
        self._saved: deque[_SavedState] = deque()
        self._marks: deque[Mark] = deque()
        self._save_state()

    @property
    def length(self) -> int:
        """Characters received."""
        return self._raw_start + len(self._raw)

    @property
    def masked_to(self) -> int:
        """Offset up to which the text is masked; what is behind is held back."""
        return self.length - self._reader.held

    def push_text(self, raw: str) -> str:
        """Append text; returns the masked text that is certain now."""
        self._raw += raw
        masked = self._reader.push_text(raw)
        self._take_marks()
        if self.length - self._saved[-1].length >= _APART:
            self._save_state()
        return masked

    def end_text(self) -> str:
        """Read what is held back as it stands; more text may follow. Returns it, masked."""
        masked = self._reader.end_text()
        self._take_marks()
        self._save_state()  # text that is read again must not be held back again
        return masked

    def find_marks(self, start: int, end: int) -> list[Mark]:
        """The marks that begin in `text[start:end]`."""
        return [mark for mark in self._marks if start <= mark.start < end]

    def find_change(self, upto: int) -> Change | None:
        """The last change of speed or volume that ends at `upto` or before."""
        changes = [m for m in self._marks if isinstance(m, Change) and m.end <= upto]
        return changes[-1] if changes else None

    def retract_to(self, to: int) -> None:
        """Remove the text from `to` on; text before what was settled stays."""
        while self._saved[-1].length > to:
            self._saved.pop()
        saved = self._saved[-1]
        self._reader.restore_state(saved.state)
        while self._marks and self._marks[-1].end > saved.masked_to:
            self._marks.pop()
        again = self._raw[saved.length - self._raw_start : to - self._raw_start]
        self._raw = self._raw[: saved.length - self._raw_start]
        self.push_text(again)

    def settle(self, upto: int) -> None:
        """Drop what only retracting to before `upto` needs."""
        while len(self._saved) > 1 and self._saved[1].length <= upto:
            self._saved.popleft()
        start = self._saved[0].length
        self._raw, self._raw_start = self._raw[start - self._raw_start :], start
        change = self.find_change(upto)
        self._marks = deque(m for m in self._marks if m.end > upto or m is change)

    def _take_marks(self) -> None:
        self._marks += self._reader.marks
        self._reader.marks.clear()

    def _save_state(self) -> None:
        saved = _SavedState(self.length, self.masked_to, self._reader.save_state())
        self._saved.append(saved)
