"""The edited text of a line that is spoken while it is typed, and what the server has of it.

Synchronous. Offsets count code points from the line's start. Edits apply at once; `next_command`
returns what to send to the server. Erased text that turns out to be spoken already is put back in
its place, before what was typed since.
"""

from __future__ import annotations

from dataclasses import dataclass

AHEAD = 1_500  # characters sent ahead of speech; below the limit at which `Context.push` waits


@dataclass(frozen=True, slots=True)
class PushText:
    """Command: send more text."""

    text: str


@dataclass(frozen=True, slots=True)
class RetractText:
    """Command: take back everything from `to` on; nothing else is sent before the answer."""

    to: int


@dataclass(frozen=True, slots=True)
class EndText:
    """Command: the text is complete."""


class EditBuffer:
    """A line that is edited at its end.

    `text`: the current text. `spoken_to`: end of the text that can no longer be changed, because
    its audio has arrived. `heard_to`: end of the last word heard. `ended`: the line is complete.
    """

    def __init__(self) -> None:
        self.text = ""
        self.spoken_to = 0
        self.heard_to = 0
        self.ended = False
        self._sent = ""
        self._kept = 0  # characters of `_sent` that were never erased, even if typed again
        self._retracting: int | None = None
        self._end_sent = False

    # --- edits ------------------------------------------------------------------------------------

    def insert_text(self, text: str) -> None:
        """Append typed text."""
        self.text += text

    def erase_characters(self, count: int = 1) -> int:
        """Erase the last characters, unless they are spoken; returns how many were erased."""
        count = min(count, len(self.text) - self.spoken_to)
        if count <= 0:
            return 0
        self.text = self.text[:-count]
        self._kept = min(self._kept, len(self.text))
        return count

    def erase_word(self) -> int:
        """Erase the last word and the spaces after it, unless spoken; returns how many were."""
        before = self.text.rstrip()
        while before and not before[-1].isspace():
            before = before[:-1]
        return self.erase_characters(len(self.text) - len(before))

    # --- the server -------------------------------------------------------------------------------

    def next_command(self) -> PushText | RetractText | EndText | None:
        """Return the next command to send, which then counts as sent."""
        if self._retracting is not None or self._end_sent:
            return None
        if self._kept < len(self._sent):
            self._retracting = self._kept
            return RetractText(self._retracting)
        piece = self.text[len(self._sent) : self.spoken_to + AHEAD]
        if piece:
            self._sent += piece
            self._kept = len(self._sent)
            return PushText(piece)
        if self.ended and len(self._sent) == len(self.text):
            self._end_sent = True
            return EndText()
        return None

    def mark_spoken(self, to: int) -> None:
        """Record that audio has arrived for the text up to `to`."""
        self.spoken_to = max(self.spoken_to, to)

    def apply_retraction(self, to: int) -> None:
        """Apply the server's answer to a retraction: its text now ends at `to`."""
        requested, self._retracting = self._retracting, None
        if requested is None:
            return
        restored, self._sent = self._sent[requested:to], self._sent[:to]
        if self._kept >= requested:  # else more was erased since, and is retracted next
            self.text = self.text[:requested] + restored + self.text[requested:]
            self._kept = len(self._sent)
