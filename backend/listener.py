"""One listener of one context: when it runs dry, and how well it is served."""

from __future__ import annotations

from backend.metrics import Metrics
from backend.pacer import Pacer

_HEARD_GAP_S = 0.005  # a listener who was dry for less has not noticed


class Listener:
    """Keeps the pacer's clock of one listener, and the figures of how well he is served."""

    def __init__(self, pacer: Pacer, metrics: Metrics) -> None:
        self._pacer = pacer
        self._metrics = metrics
        self._released_at_s = 0.0
        self._waits = True  # had nothing to hear when the release was made: its wait is not a gap
        self._heard = False

    def released(self, now_s: float) -> None:
        """More may be spoken from now on."""
        self._released_at_s = now_s
        self._waits = self._pacer.ahead_s(now_s) <= 0

    def sent(self, audio_s: float, now_s: float) -> None:
        """Audio went out."""
        if not audio_s:
            return
        gap_s = self._pacer.sent(audio_s, now_s)
        if not self._heard:
            self._metrics.first_audio(now_s - self._released_at_s)
        elif gap_s > _HEARD_GAP_S and not self._waits and self._pacer.pacing.live:
            self._metrics.underrun()
        self._heard, self._waits = True, False
