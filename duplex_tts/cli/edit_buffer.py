"""A line that is spoken while it is typed: what stands there, what the server has, what was heard.

Plain. Offsets count code points from the line's start. The writer's edits are taken at once; what
the server has still to be told is asked for with `next_command`. Text that turns out to be spoken
already when it should be taken back returns to its place, before what was typed since.
"""

from __future__ import annotations

from dataclasses import dataclass

AHEAD = 1_500  # characters sent ahead of speech: a context takes 2,000 before it makes one wait


@dataclass(frozen=True, slots=True)
class Push:
    """Send more text."""

    text: str


@dataclass(frozen=True, slots=True)
class Retract:
    """Take back everything from `to` on; nothing else is sent before the answer."""

    to: int


@dataclass(frozen=True, slots=True)
class End:
    """No more text comes."""


class TypedText:
    """A line at its end one edits.

    `text`: what stands there. `spoken_to`: up to there it can no longer be changed: its audio has
    come. `heard_to`: the end of the last word that is or was heard. `ended`: nothing more comes.
    """

    def __init__(self) -> None:
        self.text = ""
        self.spoken_to = 0
        self.heard_to = 0
        self.ended = False
        self._sent = ""
        self._kept = 0  # characters of `_sent` that were not erased: a letter typed anew is another
        self._retracting: int | None = None
        self._end_sent = False

    # --- the writer -------------------------------------------------------------------------------

    def insert(self, text: str) -> None:
        """More was typed."""
        self.text += text

    def erase(self, count: int = 1) -> int:
        """The last characters are taken back, if they are not spoken; returns how many were."""
        count = min(count, len(self.text) - self.spoken_to)
        if count <= 0:
            return 0
        self.text = self.text[:-count]
        self._kept = min(self._kept, len(self.text))
        return count

    def erase_word(self) -> int:
        """The last word is taken back, with the spaces behind it, as far as it is not spoken."""
        before = self.text.rstrip()
        while before and not before[-1].isspace():
            before = before[:-1]
        return self.erase(len(self.text) - len(before))

    # --- the server -------------------------------------------------------------------------------

    def next_command(self) -> Push | Retract | End | None:
        """What the server has to be told next; it counts as told then."""
        if self._retracting is not None or self._end_sent:
            return None
        if self._kept < len(self._sent):
            self._retracting = self._kept
            return Retract(self._retracting)
        piece = self.text[len(self._sent) : self.spoken_to + AHEAD]
        if piece:
            self._sent += piece
            self._kept = len(self._sent)
            return Push(piece)
        if self.ended and len(self._sent) == len(self.text):
            self._end_sent = True
            return End()
        return None

    def spoken(self, to: int) -> None:
        """Audio has come for the text up to `to`."""
        self.spoken_to = max(self.spoken_to, to)

    def retracted(self, to: int) -> None:
        """The server's answer: what it has now ends at `to`."""
        asked, self._retracting = self._retracting, None
        if asked is None:
            return
        returned, self._sent = self._sent[asked:to], self._sent[:to]
        if self._kept >= asked:  # else more was erased since: asked for next
            self.text = self.text[:asked] + returned + self.text[asked:]
            self._kept = len(self._sent)
