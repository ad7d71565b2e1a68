"""Decides which 20 ms frames go to the carrier, and when. Synchronous, without I/O.

The carrier queues audio and plays it in real time. Each frame is sent a short lead before it is
due: enough to hide a late timer, little enough to keep the carrier's queue short for barge-in.
Deadlines are absolute: late timers do not add up.

Times are seconds of one clock, passed in by the caller.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from duplex_tts.telephony.codecs import FRAME_MS, TelephoneCodec

FRAME_S = FRAME_MS / 1000
LEAD_S = 0.1
LAST_MOMENT_S = 0.01
MARK_EVERY_S = 0.5
_EARLY_S = 1e-6  # event loops round, so timers may fire this early
MARK_TIMEOUT_S = 2.0
"""How long after its due time a mark is awaited; then the clock is used instead."""


@dataclass(eq=False, slots=True)
class PlaybackTrack:
    """One utterance's audio on its way to the caller, in bytes without padding.

    `heard_bytes`: confirmed by marks; final when `ended`, then the best estimate. `finished`: no
    more audio follows. `ended`: all was heard, or it was `cleared`.
    """

    number: int
    pushed_bytes: int = 0
    sent_bytes: int = 0
    heard_bytes: int = 0
    finished: bool = False
    ended: bool = False
    cleared: bool = False
    buffer: bytearray = field(default_factory=bytearray, repr=False)
    estimated_bytes: int = field(default=0, repr=False)  # heard, by the clock


@dataclass(frozen=True, slots=True)
class AudioFrame:
    """20 ms for the carrier to play."""

    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PlaybackMark:
    """A mark after everything sent so far."""

    name: str


@dataclass(frozen=True, slots=True)
class _SentFrame:
    """A frame at the carrier: when its playback ends, and its track's position then."""

    ends_s: float
    track: PlaybackTrack
    track_bytes: int


@dataclass(frozen=True, slots=True)
class _PendingMark:
    """A mark that the carrier has not answered."""

    name: str
    due_s: float
    track: PlaybackTrack
    track_bytes: int
    last: bool


class FramePacer:
    """Plays tracks in order, as frames and marks.

    `codec`: of pushed and sent audio. `gaps`: how often the carrier ran dry within a track.
    `unanswered_marks`: marks that timed out.
    """

    def __init__(self, codec: TelephoneCodec, lead_s: float = LEAD_S) -> None:
        self.gaps = 0
        self.unanswered_marks = 0
        self.codec = codec
        self._lead_s = lead_s
        self._opened_tracks = 0
        self._last_mark_s = 0.0
        self._queue_ends_s = float("-inf")  # when the carrier will have played all sent audio
        self._queued_tracks: deque[PlaybackTrack] = deque()  # the first one is being sent
        self._sent_frames: deque[_SentFrame] = deque()
        self._pending_marks: deque[_PendingMark] = deque()

    def open_track(self) -> PlaybackTrack:
        """Add a track after all open tracks."""
        self._opened_tracks += 1
        track = PlaybackTrack(self._opened_tracks)
        self._queued_tracks.append(track)
        return track

    def push_audio(self, track: PlaybackTrack, data: bytes) -> None:
        """Add audio to a track, in the codec; dropped if the track has ended."""
        if not track.ended:
            track.buffer += data
            track.pushed_bytes += len(data)

    def finish_track(self, track: PlaybackTrack) -> None:
        """Declare that no more audio follows."""
        track.finished = True

    def next_due_s(self) -> float | None:
        """When `take_due` has something to do; None: not before a push, a finish or a mark."""
        times_s = []
        if (ready_s := self._next_item_s()) is not None:
            times_s.append(ready_s)
        if self._pending_marks:
            times_s.append(self._pending_marks[0].due_s + MARK_TIMEOUT_S)
        return min(times_s, default=None)

    def take_due(self, now_s: float) -> list[AudioFrame | PlaybackMark]:
        """What to send now, in this order."""
        now_s += _EARLY_S
        due: list[AudioFrame | PlaybackMark] = []
        while (ready_s := self._next_item_s()) is not None and ready_s <= now_s:
            due += self._take_next(now_s)
        self._estimate_heard(now_s)
        while self._pending_marks and self._pending_marks[0].due_s + MARK_TIMEOUT_S <= now_s:
            self.unanswered_marks += 1
            _apply_mark(self._pending_marks.popleft())
        return due

    def confirm_mark(self, name: str) -> PlaybackTrack | None:
        """Handle the carrier's answer. Returns the mark's track, or None for an unknown mark."""
        if all(mark.name != name for mark in self._pending_marks):
            return None
        while True:  # the carrier plays in order: earlier marks were passed, too
            mark = self._pending_marks.popleft()
            _apply_mark(mark)
            if mark.name == name:
                return mark.track

    def drop_unheard(self, now_s: float) -> list[PlaybackTrack]:
        """Drop all audio that is not heard yet. Returns the tracks that this ends."""
        self._estimate_heard(now_s)
        marked = (mark.track for mark in self._pending_marks)
        tracks = list(dict.fromkeys([*marked, *self._queued_tracks]))
        for mark in self._pending_marks:  # not reached yet, whatever the clock says
            mark.track.estimated_bytes = min(mark.track.estimated_bytes, mark.track_bytes)
        for track in tracks:
            track.heard_bytes = max(track.heard_bytes, track.estimated_bytes)
            track.ended = track.cleared = True
            track.buffer.clear()
        self._queued_tracks.clear()
        self._sent_frames.clear()
        self._pending_marks.clear()
        self._queue_ends_s = now_s
        return tracks

    def _next_item_s(self) -> float | None:
        """When the next frame, or the end of a track, is due."""
        if not self._queued_tracks:
            return None
        track = self._queued_tracks[0]
        if track.finished or len(track.buffer) >= self.codec.frame_bytes:
            return self._queue_ends_s - self._lead_s
        if not track.buffer or not track.sent_bytes:
            return None
        return self._queue_ends_s - LAST_MOMENT_S  # less than a frame: more may fill it

    def _take_next(self, now_s: float) -> list[AudioFrame | PlaybackMark]:
        track = self._queued_tracks[0]
        if not track.buffer:
            self._queued_tracks.popleft()
            return [self._add_mark(track, last=True)]
        if self._queue_ends_s < now_s and track.sent_bytes:
            self.gaps += 1
        audio = bytes(track.buffer[: self.codec.frame_bytes])
        del track.buffer[: len(audio)]
        track.sent_bytes += len(audio)
        self._queue_ends_s = max(self._queue_ends_s, now_s) + FRAME_S
        self._sent_frames.append(_SentFrame(self._queue_ends_s, track, track.sent_bytes))
        padding = (self.codec.frame_bytes - len(audio)) // len(self.codec.silence)
        frame = AudioFrame(audio + padding * self.codec.silence)
        is_first = track.sent_bytes == len(audio)
        if is_first or self._queue_ends_s - self._last_mark_s >= MARK_EVERY_S:
            return [frame, self._add_mark(track, last=False)]
        return [frame]

    def _add_mark(self, track: PlaybackTrack, *, last: bool) -> PlaybackMark:
        self._last_mark_s = self._queue_ends_s
        name = f"{track.number}.{track.sent_bytes}{'.end' if last else ''}"
        self._pending_marks.append(
            _PendingMark(name, self._queue_ends_s, track, track.sent_bytes, last)
        )
        return PlaybackMark(name)

    def _estimate_heard(self, now_s: float) -> None:
        while self._sent_frames and self._sent_frames[0].ends_s <= now_s:
            frame = self._sent_frames.popleft()
            frame.track.estimated_bytes = frame.track_bytes


def _apply_mark(mark: _PendingMark) -> None:
    mark.track.heard_bytes = max(mark.track.heard_bytes, mark.track_bytes)
    mark.track.ended = mark.track.ended or mark.last
