"""Frames and marks by a virtual clock, played by an emulated carrier."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from duplex_tts.telephony.codecs import FRAME_MS, find_codec
from duplex_tts.telephony.frame_pacer import (
    LEAD_S,
    MARK_EVERY_S,
    MARK_TIMEOUT_S,
    AudioFrame,
    FramePacer,
    PlaybackMark,
    PlaybackTrack,
)
from tests.support.emulated_carrier import CarrierPlayback

CODEC = find_codec("PCMU", 8000)
FRAME_S = FRAME_MS / 1000


class PacedCall:
    """A pacer and the carrier's playback on one clock; timers fire `late_s` late."""

    def __init__(self, late_s: float = 0.0, *, answers_marks: bool = True) -> None:
        self.pacer = FramePacer(CODEC)
        self.playback = CarrierPlayback(CODEC, 0.0)
        self.now_s = 0.0
        self.queued_frames: list[int] = []
        self.mark_names: list[str] = []
        self.late_s = late_s
        self.answers_marks = answers_marks

    def play_track(self, data: bytes) -> PlaybackTrack:
        track = self.pacer.open_track()
        self.pacer.push_audio(track, data)
        self.pacer.finish_track(track)
        return track

    def step(self) -> None:
        for item in self.pacer.take_due(self.now_s):
            self._confirm_marks(self.playback.play_until(self.now_s))
            if isinstance(item, AudioFrame):
                assert len(item.payload) == CODEC.frame_bytes
                self.queued_frames.append(self.playback.queued_frames)
                self.playback.queue_frame(item.payload)
            else:
                self.mark_names.append(item.name)
                self.playback.queue_mark(item.name)
        self._confirm_marks(self.playback.play_until(self.now_s))

    def run(self, seconds: float) -> None:
        """Run for this long."""
        until_s = self.now_s + seconds
        self.step()
        while self.now_s < until_s:
            timer_s = self.pacer.next_due_s()
            wake_s = until_s if timer_s is None else max(timer_s + self.late_s, self.now_s)
            self.now_s = min(wake_s, self.playback.next_frame_s(), until_s)
            self.step()

    def _confirm_marks(self, names: list[str]) -> None:
        for name in names if self.answers_marks else []:
            self.pacer.confirm_mark(name)


def speech(size: int) -> bytes:
    return bytes(n % 251 for n in range(size))


def test_all_audio_is_heard_in_order_without_a_gap() -> None:
    call = PacedCall()
    track = call.play_track(speech(160 * 400))
    call.run(9.0)
    assert call.playback.audio == speech(160 * 400)
    assert call.playback.gaps == 0
    assert track.ended
    assert track.heard_bytes == 160 * 400


def test_the_carriers_queue_never_exceeds_the_lead() -> None:
    call = PacedCall()
    call.play_track(speech(160 * 400))
    call.run(9.0)
    assert max(call.queued_frames) <= LEAD_S / FRAME_S + 1
    assert min(call.queued_frames[10:]) >= LEAD_S / FRAME_S - 1


def test_late_timers_cause_no_gap_and_do_not_add_up() -> None:
    call = PacedCall(late_s=0.037)
    call.play_track(speech(160 * 3000))
    call.run(61.0)
    assert call.playback.audio == speech(160 * 3000)
    assert call.playback.gaps == 0
    assert call.pacer.gaps == 0
    assert min(call.queued_frames[10:]) >= 2


def test_the_last_frame_is_padded_with_silence() -> None:
    call = PacedCall()
    call.play_track(speech(200))
    call.run(1.0)
    assert call.playback.audio == speech(200) + CODEC.silence * 120


def test_audio_pushed_in_any_sizes_is_joined_without_a_seam() -> None:
    call = PacedCall()
    track = call.pacer.open_track()
    data, at = speech(160 * 40), 0
    for number in range(90):
        call.pacer.push_audio(track, data[at : at + 97])
        at += 97
        call.run(0.011 if number > 20 else 0.0)
    call.pacer.finish_track(track)
    call.run(1.0)
    assert call.playback.audio == data
    assert call.playback.gaps == 0


def test_a_partial_frame_is_sent_before_the_carrier_runs_dry() -> None:
    call = PacedCall()
    track = call.pacer.open_track()
    call.pacer.push_audio(track, speech(200))
    call.run(0.5)
    assert call.playback.audio[:200] == speech(200)
    call.pacer.push_audio(track, b"\1" * 160)
    call.run(0.5)
    assert call.playback.audio == speech(200) + CODEC.silence * 120 + b"\1" * 160
    assert call.pacer.gaps == 1


def test_tracks_play_in_order_without_a_pause() -> None:
    call = PacedCall()
    first, second = call.play_track(b"\1" * 320), call.play_track(b"\2" * 320)
    call.run(1.0)
    assert call.playback.audio == b"\1" * 320 + b"\2" * 320
    assert call.playback.gaps == 0
    assert first.ended
    assert second.ended


def test_a_track_without_audio_delays_the_next_track() -> None:
    call = PacedCall()
    first = call.pacer.open_track()
    call.play_track(b"\2" * 160)
    call.run(0.5)
    assert call.playback.audio == b""
    call.pacer.push_audio(first, b"\1" * 160)
    call.pacer.finish_track(first)
    call.run(0.5)
    assert call.playback.audio == b"\1" * 160 + b"\2" * 160


def test_a_track_ends_when_its_last_frame_was_heard() -> None:
    call = PacedCall()
    track = call.play_track(speech(160 * 50))
    while not track.ended:
        heard = sum(frame is not None for frame in call.playback.heard)
        call.run(FRAME_S / 2)
    assert heard >= 49
    assert sum(frame is not None for frame in call.playback.heard) == 50


def test_an_empty_track_ends_at_once() -> None:
    call = PacedCall()
    track = call.play_track(b"")
    call.run(FRAME_S)
    assert track.ended
    assert not track.cleared
    assert call.playback.audio == b""


def test_marks_follow_the_first_frame_each_half_second_and_the_end() -> None:
    call = PacedCall()
    call.play_track(speech(160 * 100))
    call.run(3.0)
    at = [int(name.split(".")[1]) / 8000 for name in call.mark_names]
    every = MARK_EVERY_S
    assert at == pytest.approx([0.02, every + 0.02, 2 * every + 0.02, 3 * every + 0.02, 2.0])


def test_drop_unheard_ends_all_tracks_and_sends_nothing_more() -> None:
    call = PacedCall()
    playing, waiting = call.play_track(speech(160 * 100)), call.play_track(speech(160 * 100))
    call.run(0.5)
    assert call.pacer.drop_unheard(call.now_s) == [playing, waiting]
    assert playing.cleared
    assert waiting.cleared
    call.playback.clear()
    heard = call.playback.audio
    call.run(2.0)
    assert call.playback.audio == heard
    assert call.pacer.next_due_s() is None


def test_drop_unheard_keeps_the_amount_heard() -> None:
    call = PacedCall()
    track = call.play_track(speech(160 * 100))
    call.run(0.73)
    heard = len(call.playback.audio)
    call.pacer.drop_unheard(call.now_s)
    assert abs(track.heard_bytes - heard) <= 160
    call.pacer.push_audio(track, speech(160))  # arrives late and is dropped
    assert track.pushed_bytes == 160 * 100
    assert not track.buffer


def test_audio_without_a_mark_does_not_count_as_heard() -> None:
    call = PacedCall(answers_marks=False)
    track = call.play_track(speech(160 * 100))
    call.run(0.9)  # no mark was answered: even the first frame is unconfirmed
    call.pacer.drop_unheard(call.now_s)
    assert track.heard_bytes <= 160


def test_dropped_and_unknown_marks_are_ignored() -> None:
    call = PacedCall()
    call.play_track(speech(160 * 100))
    call.run(0.5)
    call.pacer.drop_unheard(call.now_s)
    for name in call.playback.clear():
        assert call.pacer.confirm_mark(name) is None
    assert call.pacer.confirm_mark("unknown") is None


def test_audio_after_drop_unheard_is_due_at_once() -> None:
    call = PacedCall()
    call.play_track(speech(160 * 100))
    call.run(0.5)
    call.pacer.drop_unheard(call.now_s)
    call.playback.clear()
    call.play_track(b"\1" * 160)
    assert AudioFrame(b"\1" * 160) in call.pacer.take_due(call.now_s)


def test_unanswered_marks_time_out() -> None:
    call = PacedCall(answers_marks=False)
    track = call.play_track(speech(160 * 10))
    call.run(0.3 + MARK_TIMEOUT_S)
    assert track.ended
    assert call.pacer.unanswered_marks == len(call.mark_names)


def test_a_mark_confirms_all_earlier_marks() -> None:
    pacer = FramePacer(CODEC)
    track = pacer.open_track()
    pacer.push_audio(track, speech(160 * 50))
    pacer.finish_track(track)
    names = []
    for tick in range(60):
        names += [m.name for m in pacer.take_due(tick * FRAME_S) if isinstance(m, PlaybackMark)]
    assert pacer.confirm_mark(names[-1]) is track
    assert track.ended
    assert pacer.confirm_mark(names[0]) is None


@given(st.lists(st.tuples(st.binary(max_size=700), st.floats(0, 0.3)), max_size=12), st.data())
def test_every_pushed_byte_is_heard_once_at_any_timing(
    pushes: list[tuple[bytes, float]], data: st.DataObject
) -> None:
    call = PacedCall(late_s=data.draw(st.floats(0, 0.05)))
    track = call.pacer.open_track()
    for chunk, pause_s in pushes:
        call.pacer.push_audio(track, chunk.replace(b"\xff", b"\x7f"))
        call.run(pause_s)
    call.pacer.finish_track(track)
    call.run(3.0)
    heard = call.playback.audio.replace(b"\xff", b"")  # the padding
    assert heard == b"".join(chunk for chunk, _ in pushes).replace(b"\xff", b"\x7f")
    assert track.ended
    assert track.heard_bytes == track.pushed_bytes
