"""What the renders of an engine cost. Plain.

The event loop counts and engine threads read; each read is one number.
"""

from __future__ import annotations

import math

_RTF_SMOOTHING = 0.01  # weight of a new step: a first word costs twice what a sentence does
_COST_SMOOTHING = 0.05
_COST_S = 0.012  # assumed before the first render


class RenderCosts:
    """Running figures of one engine. `first_s`, `later_s`: thread time of a render, of a listener's
    first sound and of its next ones. `rendered_at_s`: loop time at which it last brought audio,
    that of health checks not counted; -inf before.
    """

    def __init__(self, assumed_rtf: float = 0.0) -> None:
        """`assumed_rtf`: until the first audio."""
        self.first_s = self.later_s = _COST_S
        self.rendered_at_s = -math.inf
        self._assumed_rtf = assumed_rtf
        self._busy_s = self._audio_s = 0.0  # running sums that fade: their ratio is the RTF

    @property
    def rtf(self) -> float:
        """Recent compute time per second of audio; 0 before the first audio."""
        return self._busy_s / self._audio_s if self._audio_s else 0.0

    @property
    def expected_rtf(self) -> float:
        """What a listener more is expected to cost."""
        return self.rtf or self._assumed_rtf

    def count_step(self, busy_s: float, audio_s: float) -> None:
        """Count an engine step."""
        self._busy_s += _RTF_SMOOTHING * (busy_s - self._busy_s)
        self._audio_s += _RTF_SMOOTHING * (audio_s - self._audio_s)

    def count_render(self, cost_s: float, *, first: bool) -> None:
        """Count a rendered chunk. `first`: it is a listener's first sound."""
        if first:
            self.first_s += _COST_SMOOTHING * (cost_s - self.first_s)
        else:
            self.later_s += _COST_SMOOTHING * (cost_s - self.later_s)
