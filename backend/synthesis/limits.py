"""How long engines may take, and when their memory is given back."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """`patience_s`: how long an engine may work on an utterance without a result, time in the queue
    not counted. `max_first_wait_s`: a newcomer whose first sound is expected later is refused.
    `idle_unload_s`: without an utterance for so long, an `UnloadableModel` leaves its device.
    """

    patience_s: float = math.inf
    max_first_wait_s: float = math.inf
    idle_unload_s: float = math.inf
