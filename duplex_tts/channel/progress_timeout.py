"""Measures how long a server's reply is overdue: a server that answers pings may still be stuck.

Synchronous; the caller passes the time (seconds, any origin).
"""

from __future__ import annotations

import math

NO_PROGRESS = "no_progress"
QUEUED_FACTOR = 10
"""A context that may be queued waits longer by this factor: behind others of its session or, in
mode `batch`, behind all live listeners.
"""


class ProgressTimeout:
    """The timeout of one context. It runs only while a reply of the server is expected."""

    def __init__(self) -> None:
        self._expected_since_s = math.inf
        self._progress_s = -math.inf
        self._played_out_s = -math.inf  # when the received audio has been heard; none is due before

    def expect_reply(self, now_s: float) -> None:
        """Expect a reply from now on, or from an earlier call on."""
        self._expected_since_s = min(self._expected_since_s, now_s)

    def expect_nothing(self) -> None:
        """Stop expecting a reply."""
        self._expected_since_s = math.inf

    def note_progress(self, now_s: float) -> None:
        """Record that something arrived for the context, or that the connection was restored."""
        self._progress_s = now_s

    def note_audio(self, duration_ms: float, now_s: float) -> None:
        """Record received audio, which takes its duration to be heard."""
        self._played_out_s = max(self._played_out_s, now_s) + duration_ms / 1000

    def note_played(self, left_ms: float, now_s: float) -> None:
        """Record how much is still to be heard; replaces the estimate."""
        self._played_out_s = now_s + max(0.0, left_ms) / 1000

    def overdue_s(self, now_s: float) -> float:
        """Time since the expected reply was due; 0 when none is expected."""
        since_s = max(self._expected_since_s, self._progress_s, self._played_out_s)
        return max(0.0, now_s - since_s)
