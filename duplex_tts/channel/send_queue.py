"""Queue of messages to the server, kept until the server confirms them, to be sent again.

Synchronous. Messages are counted from the start of the server session, as the server counts them;
pings are not counted and go first.
"""

from __future__ import annotations

from collections import deque

from duplex_tts.errors import ProtocolError


class SendQueue:
    """Messages in order: confirmed and dropped, sent, and unsent."""

    def __init__(self) -> None:
        self._kept: deque[str] = deque()
        self._first = 0  # number of the oldest message kept
        self._sent = 0  # number of kept messages that were written to the socket
        self._urgent: deque[str] = deque()

    @property
    def unsent(self) -> int:
        """Number of messages not written yet."""
        return len(self._kept) - self._sent

    @property
    def unconfirmed(self) -> int:
        """Number of messages that the server has not confirmed."""
        return len(self._kept)

    def add_message(self, message: str) -> None:
        """Append a message."""
        self._kept.append(message)

    def add_urgent_message(self, message: str) -> None:
        """Add a message to be sent first, and only once."""
        self._urgent.append(message)

    def next_message(self) -> str | None:
        """Return the message to write now; None if there is none."""
        if self._urgent:
            return self._urgent.popleft()
        if not self.unsent:
            return None
        self._sent += 1
        return self._kept[self._sent - 1]

    def confirm_received(self, received: int) -> None:
        """Drop the first `received` messages. Raises `ProtocolError` if fewer were sent."""
        if not received <= self._first + self._sent:
            raise ProtocolError(
                f"{received} messages received, but {self._first + self._sent} were sent"
            )
        while self._first < received:
            self._kept.popleft()
            self._first += 1
            self._sent -= 1

    def resend_after(self, received: int) -> None:
        """Send all but the first `received` messages again, after a reconnect.

        Raises `ProtocolError` if some of them were dropped.
        """
        if received < self._first:
            raise ProtocolError(f"{received} messages received, but it had {self._first} before")
        self.confirm_received(received)
        self._sent = 0
        self._urgent.clear()
