"""How long to wait for speech that the server owes: one that answers pings may still be stuck.

Plain and synchronous; the caller brings the clock (seconds, any origin).
"""

from __future__ import annotations

import math

NO_PROGRESS = "no_progress"
QUEUED_FACTOR = 10
"""So much longer waits a context that may be queued: behind others of its session, or, in mode
`batch`, behind every listener.
"""


class ProgressTimeout:
    """Of one context. It owes nothing until something was asked of it that has to be answered."""

    def __init__(self) -> None:
        self._owed_since_s = math.inf
        self._progress_s = -math.inf
        self._heard_out_s = -math.inf  # until then whoever listens has enough: nothing need come

    def owe(self, now_s: float) -> None:
        """Something was asked of the server; what it owed before it owes since then."""
        self._owed_since_s = min(self._owed_since_s, now_s)

    def settle(self) -> None:
        """It owes nothing for the time being."""
        self._owed_since_s = math.inf

    def progress(self, now_s: float) -> None:
        """Something came of the context, or its connection is back."""
        self._progress_s = now_s

    def audio(self, duration_ms: float, now_s: float) -> None:
        """Audio came, which takes its time to be heard."""
        self._heard_out_s = max(self._heard_out_s, now_s) + duration_ms / 1000

    def played(self, left_ms: float, now_s: float) -> None:
        """The listener says how much he has still to hear, which beats the estimate."""
        self._heard_out_s = now_s + max(0.0, left_ms) / 1000

    def waiting_s(self, now_s: float) -> float:
        """For how long something owed has not come; 0 when nothing is owed."""
        since_s = max(self._owed_since_s, self._progress_s, self._heard_out_s)
        return max(0.0, now_s - since_s)
