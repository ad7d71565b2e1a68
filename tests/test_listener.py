"""How well a listener is served."""

from __future__ import annotations

import math
from typing import Any

from backend.listener import Listener
from backend.metrics import Metrics
from backend.pacer import Pacer, Pacing


class Figures(Metrics):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def first_audio(self, seconds: float) -> None:
        self.seen.append(("first", round(seconds, 3)))

    def underrun(self) -> None:
        self.seen.append("underrun")


def listener(*, live: bool = True) -> tuple[Listener, Figures]:
    figures = Figures()
    return Listener(Pacer(Pacing(live=live)), figures), figures


def test_the_wait_for_the_first_audio_counts_from_its_release() -> None:
    served, figures = listener()
    served.released(1.0)
    served.sent(0.0, 1.1)  # no sound yet
    served.sent(0.5, 1.25)
    served.released(1.3)
    served.sent(0.5, 1.4)
    assert figures.seen == [("first", 0.25)]


def test_an_underrun_is_a_gap_that_the_engine_made() -> None:
    served, figures = listener()
    served.released(0.0)
    served.sent(0.5, 0.0)
    served.released(0.4)  # in time, but rendered too late
    served.sent(0.5, 0.6)
    assert figures.seen[1:] == ["underrun"]


def test_a_gap_that_the_writer_made_is_no_underrun() -> None:
    served, figures = listener()
    served.released(0.0)
    served.sent(0.5, 0.0)
    served.released(3.0)
    served.sent(0.5, 3.1)
    assert figures.seen[1:] == []


def test_a_gap_within_a_release_is_an_underrun_however_it_began() -> None:
    served, figures = listener()
    served.released(0.0)
    served.sent(0.5, 0.0)
    served.released(3.0)
    served.sent(0.1, 3.1)
    served.sent(0.1, 3.3)
    assert figures.seen[1:] == ["underrun"]


def test_nobody_listens_to_a_batch() -> None:
    served, figures = listener(live=False)
    served.released(0.0)
    served.sent(0.1, 0.0)
    served.released(0.05)
    served.sent(0.1, math.pi)
    assert "underrun" not in figures.seen
