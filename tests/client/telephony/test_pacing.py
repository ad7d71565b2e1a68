"""Frames and marks by a scripted clock, heard by an emulated ear."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from duplex_tts.telephony.codecs import FRAME_MS, codec_named
from duplex_tts.telephony.pacing import (
    LEAD_S,
    MARK_EVERY_S,
    MARK_TIMEOUT_S,
    Frame,
    FramePacer,
    Mark,
    Track,
)
from tests.support.emulated_carrier import Ear

CODEC = codec_named("PCMU", 8000)
FRAME_S = FRAME_MS / 1000


class Scene:
    """A pacer and the ear it plays to, in one clock; timers come `late_s` late."""

    def __init__(self, late_s: float = 0.0, *, answers: bool = True) -> None:
        self.pacer = FramePacer(CODEC)
        self.ear = Ear(CODEC, 0.0)
        self.now_s = 0.0
        self.waiting: list[int] = []
        self.names: list[str] = []
        self.late_s = late_s
        self.answers = answers

    def say(self, data: bytes) -> Track:
        track = self.pacer.open()
        self.pacer.push(track, data)
        self.pacer.finish(track)
        return track

    def step(self) -> None:
        for item in self.pacer.due(self.now_s):
            self._answer(self.ear.play(self.now_s))
            if isinstance(item, Frame):
                assert len(item.payload) == CODEC.frame_bytes
                self.waiting.append(self.ear.waiting_frames)
                self.ear.media(item.payload)
            else:
                self.names.append(item.name)
                self.ear.mark(item.name)
        self._answer(self.ear.play(self.now_s))

    def run(self, seconds: float) -> None:
        """Live so long."""
        until_s = self.now_s + seconds
        self.step()
        while self.now_s < until_s:
            timer_s = self.pacer.next_s()
            wake_s = until_s if timer_s is None else max(timer_s + self.late_s, self.now_s)
            self.now_s = min(wake_s, self.ear.next_s(), until_s)
            self.step()

    def _answer(self, names: list[str]) -> None:
        for name in names if self.answers else []:
            self.pacer.marked(name)


def speech(size: int) -> bytes:
    return bytes(n % 251 for n in range(size))


def test_all_of_it_is_heard_in_order_and_without_a_gap() -> None:
    scene = Scene()
    track = scene.say(speech(160 * 400))
    scene.run(9.0)
    assert scene.ear.sound == speech(160 * 400)
    assert scene.ear.gaps == 0
    assert track.over
    assert track.heard_bytes == 160 * 400


def test_the_carrier_holds_no_more_than_the_lead() -> None:
    scene = Scene()
    scene.say(speech(160 * 400))
    scene.run(9.0)
    assert max(scene.waiting) <= LEAD_S / FRAME_S + 1
    assert min(scene.waiting[10:]) >= LEAD_S / FRAME_S - 1


def test_late_timers_are_not_heard_and_do_not_add_up() -> None:
    scene = Scene(late_s=0.037)
    scene.say(speech(160 * 3000))
    scene.run(61.0)
    assert scene.ear.sound == speech(160 * 3000)
    assert scene.ear.gaps == 0
    assert scene.pacer.gaps == 0
    assert min(scene.waiting[10:]) >= 2


def test_the_last_frame_is_filled_with_silence() -> None:
    scene = Scene()
    scene.say(speech(200))
    scene.run(1.0)
    assert scene.ear.sound == speech(200) + CODEC.silence * 120


def test_pieces_of_any_size_are_joined_without_a_seam() -> None:
    scene = Scene()
    track = scene.pacer.open()
    data, at = speech(160 * 40), 0
    for number in range(90):
        scene.pacer.push(track, data[at : at + 97])
        at += 97
        scene.run(0.011 if number > 20 else 0.0)
    scene.pacer.finish(track)
    scene.run(1.0)
    assert scene.ear.sound == data
    assert scene.ear.gaps == 0


def test_what_is_no_whole_frame_is_not_kept_back_when_the_ear_runs_dry() -> None:
    scene = Scene()
    track = scene.pacer.open()
    scene.pacer.push(track, speech(200))
    scene.run(0.5)
    assert scene.ear.sound[:200] == speech(200)
    scene.pacer.push(track, b"\1" * 160)
    scene.run(0.5)
    assert scene.ear.sound == speech(200) + CODEC.silence * 120 + b"\1" * 160
    assert scene.pacer.gaps == 1


def test_tracks_follow_each_other_without_a_pause() -> None:
    scene = Scene()
    first, second = scene.say(b"\1" * 320), scene.say(b"\2" * 320)
    scene.run(1.0)
    assert scene.ear.sound == b"\1" * 320 + b"\2" * 320
    assert scene.ear.gaps == 0
    assert first.over
    assert second.over


def test_a_track_that_waits_for_audio_holds_back_the_next_one() -> None:
    scene = Scene()
    first = scene.pacer.open()
    scene.say(b"\2" * 160)
    scene.run(0.5)
    assert scene.ear.sound == b""
    scene.pacer.push(first, b"\1" * 160)
    scene.pacer.finish(first)
    scene.run(0.5)
    assert scene.ear.sound == b"\1" * 160 + b"\2" * 160


def test_a_track_is_over_when_the_last_frame_was_heard_and_not_before() -> None:
    scene = Scene()
    track = scene.say(speech(160 * 50))
    while not track.over:
        heard = sum(frame is not None for frame in scene.ear.heard)
        scene.run(FRAME_S / 2)
    assert heard >= 49
    assert sum(frame is not None for frame in scene.ear.heard) == 50


def test_an_empty_track_is_over_at_once() -> None:
    scene = Scene()
    track = scene.say(b"")
    scene.run(FRAME_S)
    assert track.over
    assert not track.cleared
    assert scene.ear.sound == b""


def test_marks_tell_the_first_frame_then_every_half_second_then_the_end() -> None:
    scene = Scene()
    scene.say(speech(160 * 100))
    scene.run(3.0)
    at = [int(name.split(".")[1]) / 8000 for name in scene.names]
    every = MARK_EVERY_S
    assert at == pytest.approx([0.02, every + 0.02, 2 * every + 0.02, 3 * every + 0.02, 2.0])


def test_after_a_clear_nothing_more_is_sent_of_what_was_there() -> None:
    scene = Scene()
    playing, waiting = scene.say(speech(160 * 100)), scene.say(speech(160 * 100))
    scene.run(0.5)
    assert scene.pacer.clear(scene.now_s) == [playing, waiting]
    assert playing.cleared
    assert waiting.cleared
    scene.ear.clear()
    heard = scene.ear.sound
    scene.run(2.0)
    assert scene.ear.sound == heard
    assert scene.pacer.next_s() is None


def test_what_was_heard_before_a_clear_is_known() -> None:
    scene = Scene()
    track = scene.say(speech(160 * 100))
    scene.run(0.73)
    heard = len(scene.ear.sound)
    scene.pacer.clear(scene.now_s)
    assert abs(track.heard_bytes - heard) <= 160
    scene.pacer.push(track, speech(160))  # it was on its way; nobody waits for it
    assert track.pushed_bytes == 160 * 100
    assert not track.buffer


def test_a_carrier_that_plays_late_is_believed_not_the_clock() -> None:
    scene = Scene(answers=False)
    track = scene.say(speech(160 * 100))
    scene.run(0.9)  # no mark came back: not even the first frame is known to be heard
    scene.pacer.clear(scene.now_s)
    assert track.heard_bytes <= 160


def test_answers_to_cleared_and_unknown_marks_mean_nothing() -> None:
    scene = Scene()
    scene.say(speech(160 * 100))
    scene.run(0.5)
    scene.pacer.clear(scene.now_s)
    for name in scene.ear.clear():
        assert scene.pacer.marked(name) is None
    assert scene.pacer.marked("nobody's") is None


def test_speech_after_a_clear_begins_at_once() -> None:
    scene = Scene()
    scene.say(speech(160 * 100))
    scene.run(0.5)
    scene.pacer.clear(scene.now_s)
    scene.ear.clear()
    scene.say(b"\1" * 160)
    assert Frame(b"\1" * 160) in scene.pacer.due(scene.now_s)


def test_a_carrier_that_forgets_marks_does_not_hold_up_the_call() -> None:
    scene = Scene(answers=False)
    track = scene.say(speech(160 * 10))
    scene.run(0.3 + MARK_TIMEOUT_S)
    assert track.over
    assert scene.pacer.unanswered == len(scene.names)


def test_a_late_mark_answers_for_those_before_it() -> None:
    pacer = FramePacer(CODEC)
    track = pacer.open()
    pacer.push(track, speech(160 * 50))
    pacer.finish(track)
    names = []
    for tick in range(60):
        names += [m.name for m in pacer.due(tick * FRAME_S) if isinstance(m, Mark)]
    assert pacer.marked(names[-1]) is track
    assert track.over
    assert pacer.marked(names[0]) is None


@given(st.lists(st.tuples(st.binary(max_size=700), st.floats(0, 0.3)), max_size=12), st.data())
def test_whatever_comes_when_every_byte_is_heard_once(
    pieces: list[tuple[bytes, float]], data: st.DataObject
) -> None:
    scene = Scene(late_s=data.draw(st.floats(0, 0.05)))
    track = scene.pacer.open()
    for piece, pause_s in pieces:
        scene.pacer.push(track, piece.replace(b"\xff", b"\x7f"))
        scene.run(pause_s)
    scene.pacer.finish(track)
    scene.run(3.0)
    heard = scene.ear.sound.replace(b"\xff", b"")  # the padding
    assert heard == b"".join(piece for piece, _ in pieces).replace(b"\xff", b"\x7f")
    assert track.over
    assert track.heard_bytes == track.pushed_bytes
