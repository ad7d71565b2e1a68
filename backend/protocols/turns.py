"""The core's commands for a vendor's stream of turns: texts of one voice after the other, each
spoken to its end at a flush. Plain and synchronous.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from backend.events import Command, End, Flush, Played, Retract, Start, Text


class TurnStream:
    """One stream of turns, in order.

    A core context lasts across turns, so that a client may write many ahead. With other parameters
    another follows it, and is silent until it has ended. At each flush the encoded audio is whole.
    """

    def __init__(self, start: Start, create_id: Callable[[], str]) -> None:
        """`start`: parameters, its context is not used. `create_id`: a fresh core id."""
        self._start = start
        self._create_id = create_id
        self.context: str | None = None
        """The open core context; None before the first text and after `close`."""
        self.has_unflushed_text = False
        """Whether text of the open context follows its last flush."""
        self._is_flushed = False  # the open context had a flush
        self._previous: str | None = None  # closed, may still speak

    def change_parameters(self, start: Start) -> Sequence[Command]:
        """Apply `start` to later text; an open context is closed."""
        if start == self._start:
            return ()
        self._start = start
        return self.close()

    def open(self) -> Sequence[Command]:
        """Open a context, if there is none."""
        if self.context is not None:
            return ()
        self.context, self._is_flushed = self._create_id(), False
        return (replace(self._start, context=self.context, follows=self._previous),)

    def push_text(self, text: str) -> Sequence[Command]:
        """Append text; none if it is empty."""
        if not text:
            return ()
        opened, context = self.open(), self._open_context
        is_new_turn, self.has_unflushed_text = not self.has_unflushed_text, True
        if is_new_turn and self._is_flushed:
            # A new turn may be an interruption: do not wait for the playback of sent audio.
            return Played(context, math.inf), Text(context, text)
        return *opened, Text(context, text)

    def flush(self) -> Sequence[Command]:
        """End the turn: answered by one `Flushed`, also if it has no text."""
        opened, context = self.open(), self._open_context
        # A line break ends a sentence that has no full stop.
        ends = (Text(context, "\n"),) if self.has_unflushed_text else ()
        self.has_unflushed_text, self._is_flushed = False, True
        return *opened, *ends, Flush(context, ends_stream=True)

    def clear(self) -> Sequence[Command]:
        """Take back all text that is not spoken yet; its flushes are answered."""
        if self.context is None:
            return ()
        return Retract(self.context, 0), *self.close()

    def close(self) -> Sequence[Command]:
        """End the open context, if there is one: its text is spoken."""
        if self.context is None:
            return ()
        self._previous, self.context = self.context, None
        self.has_unflushed_text = False
        return (End(self._previous),)

    def forget_context(self, context: str) -> None:
        """The context has failed or was cancelled; the next text opens another."""
        if context == self.context:
            self.context, self.has_unflushed_text = None, False
        if context == self._previous:
            self._previous = None

    @property
    def _open_context(self) -> str:
        assert self.context is not None, "open() was called"
        return self.context
