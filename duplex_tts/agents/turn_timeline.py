"""The answers of an agent that are spoken or still played, on one time line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from duplex_tts.agents.playback_clock import PlaybackClock
from duplex_tts.agents.speech import Speech
from duplex_tts.events import Audio
from duplex_tts.heard import Heard


@dataclass(slots=True, eq=False)
class Turn:
    """One answer and its speech.

    `begins_ms`, `begins_s`: where its audio begins on the time line, and when that is played; None
    while an earlier turn is not received. `audio_ms`: received. `receiving`: the task that does it.
    """

    speech: Speech
    is_interruptible: bool = True
    is_received: bool = False
    begins_ms: float | None = None
    begins_s: float = 0.0
    audio_ms: float = 0.0
    receiving: asyncio.Task[None] | None = None


class TurnTimeline:
    """Estimates when the audio of each turn is played: as it arrives, one turn after the other.

    The server speaks several turns at once; the framework plays them in order.
    """

    def __init__(self, now_s: Callable[[], float] = monotonic) -> None:
        self._now_s = now_s
        self._clock = PlaybackClock(now_s)
        self.turns: dict[str, Turn] = {}  # by id, in the order of playing

    # --- audio ------------------------------------------------------------------------------------

    def add_audio(self, turn: Turn, audio: Audio) -> float:
        """Add audio of a turn. Returns by how many ms its words are late, as the playback had to
        wait for it.
        """
        self._begin_turns()
        turn.audio_ms += audio.duration_ms
        if turn.begins_ms is None:
            return 0.0
        late_s = self._now_s() + self._clock.buffered_ms / 1000 - turn.begins_s
        self._play(audio.duration_ms)
        return max(0.0, late_s * 1000 - audio.start_ms)

    def end_audio(self, turn: Turn) -> None:
        """Note that all audio of a turn was received: the next one may begin."""
        turn.is_received = True
        self._begin_turns()

    def seconds_until(self, turn: Turn) -> float:
        """Time until the turn's audio is played."""
        return max(0.0, turn.begins_s - self._now_s())

    def _begin_turns(self) -> None:
        for turn in self.turns.values():
            if turn.begins_ms is None:
                turn.begins_ms = self._clock.played_ms + self._clock.buffered_ms
                turn.begins_s = self._now_s() + self._clock.buffered_ms / 1000
                self._play(turn.audio_ms)
            if not turn.is_received:
                return

    def _play(self, ms: float) -> None:
        self._clock.add(ms)
        self._clock.run()

    # --- playback ---------------------------------------------------------------------------------

    def report_played(self) -> None:
        """Tell the server what was played of each turn, and forget those that are over."""
        for turn_id, turn in list(self.turns.items()):
            played_ms = self._played_ms(turn)
            turn.speech.played(played_ms)
            if turn.is_received and played_ms >= turn.audio_ms:
                del self.turns[turn_id]

    def interrupt(self) -> list[tuple[Turn, Heard]]:
        """Stop the turns that may be interrupted. Returns them with what was heard of each."""
        stopped = {
            turn_id: (turn, turn.speech.heard(self._played_ms(turn)))
            for turn_id, turn in self.turns.items()
            if turn.is_interruptible
        }
        for turn_id, (turn, heard) in stopped.items():
            del self.turns[turn_id]
            turn.speech.cancel()
            if turn.begins_ms is not None:
                self._remove_audio(turn.begins_ms, turn.audio_ms - heard.ms)
        self._begin_turns()
        return list(stopped.values())

    def _played_ms(self, turn: Turn) -> float:
        if turn.begins_ms is None:
            return 0.0
        return min(max(0.0, self._clock.played_ms - turn.begins_ms), turn.audio_ms)

    def _remove_audio(self, begins_ms: float, dropped_ms: float) -> None:
        """Move the turns after the one at `begins_ms` up, in the place of its dropped audio."""
        self._clock.add(-dropped_ms)
        for later in self.turns.values():
            if later.begins_ms is not None and later.begins_ms > begins_ms:
                later.begins_ms -= dropped_ms
                later.begins_s -= dropped_ms / 1000
