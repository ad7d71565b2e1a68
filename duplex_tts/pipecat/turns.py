"""The answers of a Pipecat service that are spoken or still played, on one time line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from duplex_tts.agents.playback_clock import PlaybackClock
from duplex_tts.agents.speech import Speech
from duplex_tts.events import Audio
from duplex_tts.heard import Heard


@dataclass(slots=True)
class Turn:
    """One answer: an audio context of the service, and its speech.

    `begins_ms`: where its audio begins on the time line. `begins_s`: when that is played.
    `receiving`: the task that receives its audio.
    """

    speech: Speech
    begins_ms: float | None = None
    begins_s: float = 0.0
    receiving: asyncio.Task[None] | None = None
    is_interruptible: bool = True
    is_retracted: bool = False


class TurnTimeline:
    """Estimates when the audio of each turn is played: at once, one after the other."""

    def __init__(self, now_s: Callable[[], float] = monotonic) -> None:
        self._now_s = now_s
        self._clock = PlaybackClock(now_s)
        self.turns: dict[str, Turn] = {}  # by context id, in the order of their audio

    def add_audio(self, turn: Turn, audio: Audio) -> float:
        """Add audio that is played next. Returns by how many ms its words are late, as the
        playback had to wait for it.
        """
        starts_s = self._now_s() + self._clock.buffered_ms / 1000
        if turn.begins_ms is None:
            turn.begins_ms = self._clock.played_ms + self._clock.buffered_ms
            turn.begins_s = starts_s
        self._clock.add(audio.duration_ms)
        self._clock.run()
        return max(0.0, (starts_s - turn.begins_s) * 1000 - audio.start_ms)

    def seconds_until(self, turn: Turn) -> float:
        """Time until the turn's audio is played."""
        return max(0.0, turn.begins_s - self._now_s())

    def report_played(self) -> None:
        """Tell the server what was played of each turn, and forget those that are over."""
        for context_id, turn in list(self.turns.items()):
            played_ms = self._played_ms(turn)
            turn.speech.played(played_ms)
            is_received = turn.receiving is not None and turn.receiving.done()
            if is_received and played_ms >= turn.speech.audio_ms:
                del self.turns[context_id]

    def interrupt(self) -> list[tuple[Turn, Heard]]:
        """Stop the turns that may be interrupted. Returns them with what was heard of each."""
        stopped: list[tuple[Turn, Heard]] = []
        for context_id, turn in list(self.turns.items()):
            if not turn.is_interruptible:
                continue
            del self.turns[context_id]
            played_ms = self._played_ms(turn)
            heard = turn.speech.heard(played_ms)
            turn.speech.cancel()
            if turn.begins_ms is not None:
                self._remove_audio(turn.begins_ms, turn.speech.audio_ms - played_ms)
            if not heard.complete:
                stopped.append((turn, heard))
        return stopped

    def _played_ms(self, turn: Turn) -> float:
        if turn.begins_ms is None:
            return 0.0
        played_ms = self._clock.played_ms - turn.begins_ms
        return min(max(0.0, played_ms), turn.speech.audio_ms)

    def _remove_audio(self, begins_ms: float, dropped_ms: float) -> None:
        """Move the turns after the one at `begins_ms` up, in the place of its dropped audio."""
        self._clock.add(-dropped_ms)
        for later in self.turns.values():
            if later.begins_ms is not None and later.begins_ms > begins_ms:
                later.begins_ms -= dropped_ms
                later.begins_s -= dropped_ms / 1000
