from typing import Any

import pytest

from duplex_tts.agents.turn_timeline import Turn, TurnTimeline
from duplex_tts.events import Audio
from duplex_tts.heard import Heard


class FakeSpeech:
    def __init__(self) -> None:
        self.reports: list[float] = []
        self.cancelled = False

    def played(self, ms: float) -> None:
        self.reports.append(round(ms))

    def heard(self, ms: float) -> Heard:
        return Heard("", ms, complete=False)

    def cancel(self) -> None:
        self.cancelled = True


class Call:
    """A time line with a clock that the test moves."""

    def __init__(self) -> None:
        self.s = 100.0
        self.timeline = TurnTimeline(lambda: self.s)

    def begin(self, name: str, *, is_interruptible: bool = True) -> Any:
        speech: Any = FakeSpeech()
        turn = Turn(speech, is_interruptible)
        self.timeline.turns[name] = turn
        return turn

    def add(self, turn: Any, ms: float) -> float:
        audio = Audio("a", 0, turn.audio_ms, ms, (0, 0), (), b"")
        return round(self.timeline.add_audio(turn, audio))

    def interrupt(self) -> list[int]:
        return [round(heard.ms) for _, heard in self.timeline.interrupt()]


@pytest.fixture
def call() -> Call:
    return Call()


def test_words_are_late_by_the_time_that_the_playback_waited(call: Call) -> None:
    turn = call.begin("a")
    assert call.add(turn, 500.0) == 0
    call.s += 0.2
    assert call.add(turn, 500.0) == 0
    call.s += 2.8  # 0.8 s are left to play: it stands still for 2 s
    assert call.add(turn, 500.0) == 2000
    call.s += 0.1
    assert call.interrupt() == [1100]


def test_a_turn_is_played_after_all_of_the_one_before_it(call: Call) -> None:
    first, second = call.begin("a"), call.begin("b")
    call.add(first, 1000.0)
    call.add(second, 1000.0)  # arrives before the rest of the first
    call.add(first, 1000.0)
    call.timeline.end_audio(first)
    assert round(call.timeline.seconds_until(second), 3) == 2.0
    call.s += 2.5
    call.timeline.report_played()
    assert (first.speech.reports, second.speech.reports) == ([2000], [500])
    assert list(call.timeline.turns) == ["b"]
    assert call.interrupt() == [500]
    assert second.speech.cancelled


def test_a_turn_that_waits_for_an_unfinished_one_is_not_played(call: Call) -> None:
    first, second = call.begin("a"), call.begin("b")
    call.add(first, 1000.0)
    call.add(second, 1000.0)
    call.s += 5.0
    assert call.interrupt() == [1000, 0]
    assert first.speech.cancelled


def test_a_turn_that_may_not_be_interrupted_moves_up(call: Call) -> None:
    first, second = call.begin("a"), call.begin("b", is_interruptible=False)
    call.add(first, 3000.0)
    call.timeline.end_audio(first)
    call.add(second, 1000.0)
    call.timeline.end_audio(second)
    call.s += 1.0
    assert call.interrupt() == [1000]
    call.s += 0.4
    call.timeline.report_played()
    assert second.speech.reports == [400]
    assert not second.speech.cancelled


def test_an_interrupted_turn_lets_a_waiting_one_begin(call: Call) -> None:
    first, second = call.begin("a"), call.begin("b", is_interruptible=False)
    call.add(first, 500.0)
    call.add(second, 1000.0)
    call.s += 0.1
    call.interrupt()
    call.s += 0.3
    call.timeline.report_played()
    assert second.speech.reports == [300]
