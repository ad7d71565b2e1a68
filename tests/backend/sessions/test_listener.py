"""How well a listener is served: its first sound, its gaps and what led to them."""

from __future__ import annotations

import math

import pytest
import structlog
from structlog.testing import capture_logs
from structlog.typing import EventDict

from backend.errors import EngineFailed
from backend.events import Audio
from backend.monitoring.metrics import GapFigures, Metrics
from backend.sessions.context_record import ContextParameters, ContextRecord, SessionRecord
from backend.sessions.listener import Listener
from backend.text.pacer import Pacer, Pacing


@pytest.fixture(autouse=True)
def _logged(_quiet: None) -> None:
    structlog.reset_defaults()


class Served:
    """A listener in scripted time; audio that is queued is taken at once, unless it `reads` not."""

    def __init__(self, *, live: bool = True) -> None:
        self.now_s = 0.0
        self.metrics = Metrics()
        session = SessionRecord("/ws/tts", self.metrics, lambda: self.now_s)
        parameters = ContextParameters("heart", "pcm_s16le", 24000, "live")
        self.record = ContextRecord(session, "a", parameters)
        pacer = Pacer(Pacing(live=live))
        self.listener = Listener(pacer, self.record, lambda: self.now_s)
        self.reads = True
        self.waiting: list[Audio] = []
        self.seq = 0
        self.audio_ms = 0.0

    def released(self, at_s: float, *, text_s: float | None = None) -> None:
        self.now_s = at_s
        self.listener.on_released(at_s if text_s is None else text_s)

    def heard(self, at_s: float, audio_s: float, *, busy_s: float = 0.0) -> None:
        """A chunk is rendered and queued."""
        self.now_s = at_s
        self.listener.on_rendered(round(audio_s * 24000), busy_s)
        self.queue(audio_s)
        self.listener.on_sent(audio_s, 0.0 if audio_s else None)

    def queue(self, audio_s: float) -> None:
        event = Audio("a", self.seq, self.audio_ms, audio_s * 1000, (0, 0), (), b"")
        self.seq += 1
        self.audio_ms += event.duration_ms
        self.listener.on_queued(event)
        self.waiting.append(event)
        if self.reads:
            self.read()

    def read(self) -> None:
        while self.waiting:
            self.listener.on_taken(self.waiting.pop(0))

    def waits(self, at_s: float) -> None:
        self.now_s = at_s
        self.listener.on_text_awaited()

    @property
    def gaps(self) -> dict[str, GapFigures]:
        return {c: each for c, each in self.metrics.figures().gaps.items() if each.count}

    @property
    def first_sound_s(self) -> float | None:
        spread = self.metrics.figures().first_sound_s
        assert spread.count <= 1
        return spread.max


def lines(served: Served, last: float, audio_s: float = 0.5) -> list[EventDict]:
    """The lines that the audio brings which is heard at `last`."""
    with capture_logs() as logged:
        served.heard(last, audio_s)
    return logged


# --- the first sound ------------------------------------------------------------------------------


def test_the_wait_for_the_first_sound_counts_from_its_release_to_its_first_audible_sample() -> None:
    served = Served()
    served.released(1.0)
    served.now_s = 1.25
    served.listener.on_rendered(12000, 0.0)
    served.listener.on_sent(0.5, 0.02)
    assert served.first_sound_s == pytest.approx(0.27)
    served.listener.on_sent(0.5, 0.0)
    assert served.first_sound_s == pytest.approx(0.27)


def test_a_message_of_silence_is_not_the_first_sound_but_delays_it() -> None:
    served = Served()
    served.released(1.0)
    served.now_s = 1.1
    served.listener.on_rendered(7200, 0.0)
    served.listener.on_sent(0.3, None)
    assert served.first_sound_s is None
    served.released(1.15)
    served.now_s = 1.2
    served.listener.on_rendered(7200, 0.0)
    served.listener.on_sent(0.3, 0.05)  # heard behind the silence, at 1.4
    assert served.first_sound_s == pytest.approx(0.45)


def test_silence_that_was_not_sent_is_waited_for_from_its_own_release() -> None:
    served = Served()
    served.released(1.0)
    served.now_s = 1.1
    served.listener.on_rendered(7200, 0.0)
    served.listener.on_sent(0.0, None)  # its onset was trimmed to nothing
    served.released(1.15)
    served.now_s = 1.2
    served.listener.on_rendered(7200, 0.0)
    served.listener.on_sent(0.3, 0.0)
    assert served.first_sound_s == pytest.approx(0.2)


def test_what_has_no_sound_is_not_waited_for() -> None:
    served = Served()
    served.released(1.0)
    served.heard(1.1, 0.0)  # an emoji
    served.waits(1.1)
    served.released(9.0)
    served.heard(9.1, 0.5)
    assert served.first_sound_s == pytest.approx(0.1)


# --- gaps -----------------------------------------------------------------------------------------


def test_audio_in_time_leaves_no_gap() -> None:
    served = Served()
    served.released(0.0)
    served.heard(0.0, 0.5)
    served.released(0.3)
    assert lines(served, 0.504) == []
    assert served.gaps == {}


def test_a_gap_that_the_engine_made() -> None:
    served = Served()
    served.released(0.0)
    served.heard(0.1, 0.5)
    served.waits(0.1)
    served.released(0.4, text_s=0.35)
    served.now_s = 0.9
    served.listener.on_rendered(12000, 0.1)
    with capture_logs() as logged:
        served.queue(0.5)
    (line,) = logged
    assert line.pop("session")
    assert line == {
        "event": "listener.gap",
        "log_level": "info",
        "endpoint": "/ws/tts",
        "context": "a",
        "cause": "rendered_late",
        "gap_ms": 300.0,
        "at_ms": 500.0,
        "text_ms": 0.0,
        "render_ms": 300.0,
        "reader_ms": 0.0,
        "text_age_ms": 50.0,
        "queue_ms": 400.0,
        "engine_ms": 100.0,
        "code": None,
    }
    assert list(served.gaps) == ["rendered_late"]
    assert served.gaps["rendered_late"].seconds == pytest.approx(0.3)


def test_a_gap_that_the_writer_made() -> None:
    served = Served()
    served.released(0.0)
    served.heard(0.0, 0.5)
    served.waits(0.0)
    served.released(3.0, text_s=2.9)
    (line,) = lines(served, 3.1)
    assert (line["cause"], line["gap_ms"]) == ("text_late", 2600)
    assert (line["text_ms"], line["render_ms"], line["text_age_ms"]) == (2500, 100, 100)


def test_text_without_sound_does_not_hide_that_the_writer_was_late() -> None:
    served = Served()
    served.released(0.0)
    served.heard(0.0, 0.5)
    for at_s in (1.0, 2.0):
        served.waits(at_s - 1)
        served.released(at_s)
        served.heard(at_s, 0.0)
    served.waits(2.0)
    served.released(3.0)
    (line,) = lines(served, 3.1)
    assert (line["cause"], line["text_ms"]) == ("text_late", 2500)


def test_a_gap_within_a_release_is_the_engines_however_it_began() -> None:
    served = Served()
    served.released(0.0)
    served.heard(0.0, 0.5)
    served.waits(0.0)
    served.released(3.0)
    served.heard(3.1, 0.1)
    (line,) = lines(served, 3.3)
    assert (line["cause"], line["gap_ms"]) == ("rendered_late", 100)


def test_a_gap_that_a_reader_made_that_does_not_read() -> None:
    served = Served()
    served.released(0.0)
    served.heard(0.0, 0.5)
    served.reads = False
    served.released(0.1)
    served.heard(0.2, 0.5)
    served.heard(0.3, 0.5)
    served.now_s = 2.0
    with capture_logs() as logged:
        served.read()
    (line,) = logged  # the second message is heard behind the first
    assert (line["cause"], line["gap_ms"], line["reader_ms"]) == ("slow_reader", 1500, 1500)


def test_a_gap_around_an_utterance_that_failed() -> None:
    served = Served()
    served.released(0.0)
    served.heard(0.0, 0.5)
    served.released(0.1)
    served.now_s = 0.6
    served.listener.on_failed(EngineFailed("out of memory"))
    served.released(0.6)
    (line,) = lines(served, 0.8)
    assert (line["cause"], line["code"], line["gap_ms"]) == ("refused", "engine_failed", 300)
    served.released(0.9)
    (line,) = lines(served, 1.5)  # the next gap has nothing to do with it
    assert (line["cause"], line["code"]) == ("rendered_late", None)


def test_a_gap_of_a_connection_that_broke() -> None:
    served = Served()
    served.released(0.0)
    served.heard(0.0, 1.0)
    served.heard(0.1, 1.0)
    lost = Audio("a", 1, 1000.0, 1000.0, (0, 0), (), b"")
    served.now_s = 5.0
    served.listener.on_returned([lost])
    with capture_logs() as logged:
        served.listener.on_taken(lost)
        served.listener.on_ended("done")
    gap, closed = logged
    assert (gap["cause"], gap["gap_ms"], gap["at_ms"]) == ("disconnected", 4000, 1000)
    assert (closed["chunks"], closed["audio_ms"]) == (2, 2000)
    served.released(5.1)
    (line,) = lines(served, 7.0)
    assert (line["cause"], line["gap_ms"]) == ("rendered_late", 1000)


def test_what_the_client_reports_counts_more_than_the_estimate() -> None:
    served = Served()
    served.released(0.0)
    served.heard(0.0, 0.5)
    served.now_s = 0.4
    served.listener.on_played(0.1)  # it has a buffer: dry at 0.8
    served.released(0.4)
    assert lines(served, 0.75) == []


def test_the_rest_that_an_encoder_held_back_is_not_late() -> None:
    served = Served()
    served.released(0.0)
    served.heard(0.0, 0.5)
    served.waits(0.0)
    served.now_s = 9.0  # the client ends what was spoken long ago
    served.listener.on_finishing()
    with capture_logs() as logged:
        served.queue(0.02)
    assert logged == []


def test_nobody_listens_to_a_batch() -> None:
    served = Served(live=False)
    served.released(0.0)
    served.heard(0.0, 0.1)
    served.released(0.05)
    assert lines(served, math.pi) == []
    assert served.gaps == {}


def test_silent_text_without_end_takes_no_memory_without_end() -> None:
    served = Served()
    served.released(0.0)
    served.heard(0.0, 0.5)
    for second in range(1, 1000):
        served.waits(second - 0.5)
        served.released(float(second))
        served.heard(float(second), 0.0)
    assert len(served.listener._interval.without_text) <= 100
    assert not served.listener._queued
