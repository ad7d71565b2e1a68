"""How much of the audio given to an output was heard, by the clock."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic


class PlaybackClock:
    """Counts played audio: in real time, but no more than was given to the output.

    Times are milliseconds of audio. A pause of the output stops it, and so does missing audio.
    """

    def __init__(self, now_s: Callable[[], float] = monotonic) -> None:
        self._now_s = now_s
        self._added_ms = 0.0
        self._played_ms = 0.0
        self._running_since_s: float | None = None

    @property
    def played_ms(self) -> float:
        """The audio played by now."""
        if self._running_since_s is not None:
            now_s = self._now_s()
            elapsed_ms = (now_s - self._running_since_s) * 1000
            self._played_ms = min(self._added_ms, self._played_ms + elapsed_ms)
            self._running_since_s = now_s
        return self._played_ms

    @property
    def buffered_ms(self) -> float:
        """The audio given to the output and not played yet."""
        return self._added_ms - self.played_ms

    def add(self, ms: float) -> None:
        """Add audio that was given to the output."""
        self._played_ms = self.played_ms
        self._added_ms += ms

    def run(self) -> None:
        """Play, from now on."""
        if self._running_since_s is None:
            self._running_since_s = self._now_s()

    def pause(self) -> None:
        """Stop playing, until `run`."""
        self._played_ms = self.played_ms
        self._running_since_s = None

    def drop_buffered(self) -> None:
        """Note that the output dropped the audio that it had not played."""
        self._added_ms = self.played_ms
