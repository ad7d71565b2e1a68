"""How long renders take on this device, so that no step blocks for long."""

from __future__ import annotations

import math
from dataclasses import dataclass

_LONGEST_S = 0.040  # of one render: what a more urgent listener may have to wait


@dataclass(frozen=True, slots=True)
class RenderTimes:
    """A render takes `base_s`, and `token_s` for each token of each row; measured at start. Without
    a measurement nothing is limited.
    """

    base_s: float = 0.0
    token_s: float = 0.0

    @classmethod
    def fit(cls, one_s: float, many_s: float, rows: int, length: int) -> RenderTimes:
        """From the times of one row and of `rows` rows of a length in tokens."""
        token_s = max(0.0, many_s - one_s) / ((rows - 1) * length) if rows > 1 else one_s / length
        return cls(max(0.0, one_s - token_s * length), token_s)

    def most_rows(self, length: int) -> int:
        """How many rows of this length to render at once, at least 1."""
        row_s = self.token_s * length
        if not row_s:
            return 1 << 30
        return max(1, math.floor((_LONGEST_S - self.base_s) / row_s))
