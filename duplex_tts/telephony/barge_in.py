"""Barge-in: the caller speaks while audio plays, so all unheard audio is dropped.

`Call.clear` and a cancelled `Call.say` end here, by `MediaStream.stop_playback`. Audio waits in
three places: here (`FramePacer.drop_unheard`), at the carrier (its `clear` message is sent before
any other) and at the server (`Utterance.cancel`).
"""

from __future__ import annotations

from collections.abc import Iterable

from duplex_tts.telephony.frame_pacer import FramePacer
from duplex_tts.utterance import Utterance


class BargeIn:
    """Stops a call's playback. `is_clear_due`: send the carrier's `clear` before anything else."""

    def __init__(self, pacer: FramePacer) -> None:
        self.is_clear_due = False
        self._pacer = pacer

    def stop_playback(self, utterances: Iterable[Utterance], now_s: float) -> None:
        """Drop unheard frames, request the carrier's `clear`, cancel rendering. Never blocks."""
        self._pacer.drop_unheard(now_s)
        self.is_clear_due = True
        for utterance in utterances:
            utterance.cancel()

    def take_clear(self) -> bool:
        """Whether to send `clear` now; the request is then done."""
        was_due, self.is_clear_due = self.is_clear_due, False
        return was_due
