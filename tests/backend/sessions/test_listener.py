"""`Listener`: first sound, gaps and their causes."""

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
def _logged(_silence_logs: None) -> None:
    structlog.reset_defaults()


class ScriptedListener:
    """A listener in scripted time; queued audio is taken at once while `reads`."""

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

    def release(self, at_s: float, *, text_s: float | None = None) -> None:
        self.now_s = at_s
        self.listener.on_released(at_s if text_s is None else text_s)

    def render(self, at_s: float, audio_s: float, *, busy_s: float = 0.0) -> None:
        """Render and queue a chunk."""
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

    def await_text(self, at_s: float) -> None:
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


def logged_lines(scripted: ScriptedListener, last: float, audio_s: float = 0.5) -> list[EventDict]:
    """Log lines caused by audio rendered at `last`."""
    with capture_logs() as logged:
        scripted.render(last, audio_s)
    return logged


# --- the first sound ------------------------------------------------------------------------------


def test_first_sound_is_measured_from_release_to_first_audible_sample() -> None:
    scripted = ScriptedListener()
    scripted.release(1.0)
    scripted.now_s = 1.25
    scripted.listener.on_rendered(12000, 0.0)
    scripted.listener.on_sent(0.5, 0.02)
    assert scripted.first_sound_s == pytest.approx(0.27)
    scripted.listener.on_sent(0.5, 0.0)
    assert scripted.first_sound_s == pytest.approx(0.27)


def test_a_silent_message_delays_the_first_sound() -> None:
    scripted = ScriptedListener()
    scripted.release(1.0)
    scripted.now_s = 1.1
    scripted.listener.on_rendered(7200, 0.0)
    scripted.listener.on_sent(0.3, None)
    assert scripted.first_sound_s is None
    scripted.release(1.15)
    scripted.now_s = 1.2
    scripted.listener.on_rendered(7200, 0.0)
    scripted.listener.on_sent(0.3, 0.05)  # heard after the silence, at 1.4
    assert scripted.first_sound_s == pytest.approx(0.45)


def test_trimmed_silence_counts_from_its_own_release() -> None:
    scripted = ScriptedListener()
    scripted.release(1.0)
    scripted.now_s = 1.1
    scripted.listener.on_rendered(7200, 0.0)
    scripted.listener.on_sent(0.0, None)  # trimmed entirely
    scripted.release(1.15)
    scripted.now_s = 1.2
    scripted.listener.on_rendered(7200, 0.0)
    scripted.listener.on_sent(0.3, 0.0)
    assert scripted.first_sound_s == pytest.approx(0.2)


def test_text_without_sound_does_not_start_the_first_sound_clock() -> None:
    scripted = ScriptedListener()
    scripted.release(1.0)
    scripted.render(1.1, 0.0)  # an emoji
    scripted.await_text(1.1)
    scripted.release(9.0)
    scripted.render(9.1, 0.5)
    assert scripted.first_sound_s == pytest.approx(0.1)


# --- gaps -----------------------------------------------------------------------------------------


def test_audio_in_time_leaves_no_gap() -> None:
    scripted = ScriptedListener()
    scripted.release(0.0)
    scripted.render(0.0, 0.5)
    scripted.release(0.3)
    assert logged_lines(scripted, 0.504) == []
    assert scripted.gaps == {}


def test_a_gap_caused_by_the_engine() -> None:
    scripted = ScriptedListener()
    scripted.release(0.0)
    scripted.render(0.1, 0.5)
    scripted.await_text(0.1)
    scripted.release(0.4, text_s=0.35)
    scripted.now_s = 0.9
    scripted.listener.on_rendered(12000, 0.1)
    with capture_logs() as logged:
        scripted.queue(0.5)
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
    assert list(scripted.gaps) == ["rendered_late"]
    assert scripted.gaps["rendered_late"].seconds == pytest.approx(0.3)


def test_a_gap_caused_by_the_writer() -> None:
    scripted = ScriptedListener()
    scripted.release(0.0)
    scripted.render(0.0, 0.5)
    scripted.await_text(0.0)
    scripted.release(3.0, text_s=2.9)
    (line,) = logged_lines(scripted, 3.1)
    assert (line["cause"], line["gap_ms"]) == ("text_late", 2600)
    assert (line["text_ms"], line["render_ms"], line["text_age_ms"]) == (2500, 100, 100)


def test_a_voice_that_is_loaded_meanwhile_does_not_hide_that_text_was_awaited() -> None:
    scripted = ScriptedListener()
    scripted.release(0.0)
    scripted.render(0.0, 0.5)
    scripted.await_text(0.0)
    scripted.await_text(3.0)  # chosen again with the voice
    scripted.release(3.0)
    (line,) = logged_lines(scripted, 3.1)
    assert (line["cause"], line["text_ms"]) == ("text_late", 2500)


def test_silent_text_does_not_hide_a_gap_caused_by_the_writer() -> None:
    scripted = ScriptedListener()
    scripted.release(0.0)
    scripted.render(0.0, 0.5)
    for at_s in (1.0, 2.0):
        scripted.await_text(at_s - 1)
        scripted.release(at_s)
        scripted.render(at_s, 0.0)
    scripted.await_text(2.0)
    scripted.release(3.0)
    (line,) = logged_lines(scripted, 3.1)
    assert (line["cause"], line["text_ms"]) == ("text_late", 2500)


def test_a_gap_within_a_release_is_caused_by_the_engine() -> None:
    scripted = ScriptedListener()
    scripted.release(0.0)
    scripted.render(0.0, 0.5)
    scripted.await_text(0.0)
    scripted.release(3.0)
    scripted.render(3.1, 0.1)
    (line,) = logged_lines(scripted, 3.3)
    assert (line["cause"], line["gap_ms"]) == ("rendered_late", 100)


def test_a_gap_caused_by_a_client_that_does_not_read() -> None:
    scripted = ScriptedListener()
    scripted.release(0.0)
    scripted.render(0.0, 0.5)
    scripted.reads = False
    scripted.release(0.1)
    scripted.render(0.2, 0.5)
    scripted.render(0.3, 0.5)
    scripted.now_s = 2.0
    with capture_logs() as logged:
        scripted.read()
    (line,) = logged  # the second message plays after the first
    assert (line["cause"], line["gap_ms"], line["reader_ms"]) == ("slow_reader", 1500, 1500)


def test_a_gap_caused_by_a_failed_utterance() -> None:
    scripted = ScriptedListener()
    scripted.release(0.0)
    scripted.render(0.0, 0.5)
    scripted.release(0.1)
    scripted.now_s = 0.6
    scripted.listener.on_failed(EngineFailed("out of memory"))
    scripted.release(0.6)
    (line,) = logged_lines(scripted, 0.8)
    assert (line["cause"], line["code"], line["gap_ms"]) == ("refused", "engine_failed", 300)
    scripted.release(0.9)
    (line,) = logged_lines(scripted, 1.5)  # the next gap has another cause
    assert (line["cause"], line["code"]) == ("rendered_late", None)


def test_a_gap_caused_by_a_broken_connection() -> None:
    scripted = ScriptedListener()
    scripted.release(0.0)
    scripted.render(0.0, 1.0)
    scripted.render(0.1, 1.0)
    lost = Audio("a", 1, 1000.0, 1000.0, (0, 0), (), b"")
    scripted.now_s = 5.0
    scripted.listener.on_returned([lost])
    with capture_logs() as logged:
        scripted.listener.on_taken(lost)
        scripted.listener.on_ended("done")
    gap, closed = logged
    assert (gap["cause"], gap["gap_ms"], gap["at_ms"]) == ("disconnected", 4000, 1000)
    assert (closed["chunks"], closed["audio_ms"]) == (2, 2000)
    scripted.release(5.1)
    (line,) = logged_lines(scripted, 7.0)
    assert (line["cause"], line["gap_ms"]) == ("rendered_late", 1000)


def test_a_reported_position_overrides_the_estimate() -> None:
    scripted = ScriptedListener()
    scripted.release(0.0)
    scripted.render(0.0, 0.5)
    scripted.now_s = 0.4
    scripted.listener.on_played(0.1)  # it has a buffer: empty at 0.8
    scripted.release(0.4)
    assert logged_lines(scripted, 0.75) == []


def test_the_encoder_rest_causes_no_gap() -> None:
    scripted = ScriptedListener()
    scripted.release(0.0)
    scripted.render(0.0, 0.5)
    scripted.await_text(0.0)
    scripted.now_s = 9.0  # the client ends the context late
    scripted.listener.on_finishing()
    with capture_logs() as logged:
        scripted.queue(0.02)
    assert logged == []


def test_batch_mode_has_no_gaps() -> None:
    scripted = ScriptedListener(live=False)
    scripted.release(0.0)
    scripted.render(0.0, 0.1)
    scripted.release(0.05)
    assert logged_lines(scripted, math.pi) == []
    assert scripted.gaps == {}


def test_spans_without_text_are_bounded() -> None:
    scripted = ScriptedListener()
    scripted.release(0.0)
    scripted.render(0.0, 0.5)
    for second in range(1, 1000):
        scripted.await_text(second - 0.5)
        scripted.release(float(second))
        scripted.render(float(second), 0.0)
    assert len(scripted.listener._interval.without_text) <= 100
    assert not scripted.listener._queued
