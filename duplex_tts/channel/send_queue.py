"""What goes out to the server: kept until it is known to have arrived, so that it can be repeated.

Plain and synchronous. Messages are counted from the start of the session with the server, as the
server counts them; pings are not counted, and go first.
"""

from __future__ import annotations

from collections import deque

from duplex_tts.errors import ProtocolError


class SendQueue:
    """Messages in order: received by the server and forgotten, sent, and still to be sent."""

    def __init__(self) -> None:
        self._kept: deque[str] = deque()
        self._first = 0  # number of the oldest message that is kept
        self._sent = 0  # of those kept, how many were written to the socket
        self._urgent: deque[str] = deque()

    @property
    def waiting(self) -> int:
        """Messages that are not written yet."""
        return len(self._kept) - self._sent

    @property
    def unconfirmed(self) -> int:
        """Messages that are not known to have arrived."""
        return len(self._kept)

    def add(self, message: str) -> None:
        """Say this after everything else."""
        self._kept.append(message)

    def add_urgent(self, message: str) -> None:
        """Say this next, once: it is not repeated."""
        self._urgent.append(message)

    def next(self) -> str | None:
        """The message to write now; None when there is none."""
        if self._urgent:
            return self._urgent.popleft()
        if not self.waiting:
            return None
        self._sent += 1
        return self._kept[self._sent - 1]

    def confirm(self, received: int) -> None:
        """The server has so many of the messages. Raises `ProtocolError` when it cannot."""
        if not received <= self._first + self._sent:
            raise ProtocolError(
                f"{received} messages received, but {self._first + self._sent} were sent"
            )
        while self._first < received:
            self._kept.popleft()
            self._first += 1
            self._sent -= 1

    def repeat(self, received: int) -> None:
        """The socket broke when the server had so many: the others go again.

        Raises `ProtocolError` when they are forgotten.
        """
        if received < self._first:
            raise ProtocolError(f"{received} messages received, but it had {self._first} before")
        self.confirm(received)
        self._sent = 0
        self._urgent.clear()
