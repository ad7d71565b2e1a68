"""What is sent to the carrier, and when: 20 ms frames, paced by a clock. Plain and synchronous.

The carrier plays what it is sent at its own pace and keeps the rest. So a frame goes out a small
lead before its turn: enough that a late timer is not heard, little enough that the carrier never
holds much to be cleared. Deadlines are absolute: they do not drift, however late each timer is.

Times are seconds of any one clock, given by the caller.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from duplex_tts.telephony.codecs import FRAME_MS, Codec

FRAME_S = FRAME_MS / 1000
LEAD_S = 0.1
LAST_MOMENT_S = 0.01
MARK_EVERY_S = 0.5
_EARLY_S = 1e-6  # timers may come this much early: event loops round
MARK_TIMEOUT_S = 2.0
"""How long after its time a mark is waited for; then the clock is believed."""


@dataclass(eq=False, slots=True)
class Track:
    """One utterance on its way to the caller's ear; bytes of audio, its padding not counted.

    `heard_bytes`: what the carrier has confirmed by marks; when `over`, all that was heard, as well
    as it is known. `finished`: nothing will be pushed. `over`: all was heard, or it was `cleared`.
    """

    number: int
    pushed_bytes: int = 0
    sent_bytes: int = 0
    heard_bytes: int = 0
    finished: bool = False
    over: bool = False
    cleared: bool = False
    buffer: bytearray = field(default_factory=bytearray, repr=False)
    clocked_bytes: int = field(default=0, repr=False)


@dataclass(frozen=True, slots=True)
class Frame:
    """20 ms for the carrier to play."""

    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark behind everything sent so far."""

    name: str


@dataclass(frozen=True, slots=True)
class _Playing:
    """A frame that the carrier has: when it will have been heard, and what of its track then."""

    until_s: float
    track: Track
    track_bytes: int


@dataclass(frozen=True, slots=True)
class _Pending:
    """A mark that the carrier has not answered."""

    name: str
    due_s: float
    track: Track
    track_bytes: int
    last: bool


class FramePacer:
    """Tracks one after the other, as frames and marks.

    `codec`: what is pushed and sent. `gaps`: how often the carrier ran dry within a track.
    `unanswered`: marks that never came back.
    """

    def __init__(self, codec: Codec, lead_s: float = LEAD_S) -> None:
        self.gaps = 0
        self.unanswered = 0
        self.codec = codec
        self._lead_s = lead_s
        self._opened = 0
        self._marked_s = 0.0
        self._until_s = float("-inf")  # by then the carrier has played everything it was sent
        self._waiting: deque[Track] = deque()  # the first one is being sent
        self._playing: deque[_Playing] = deque()
        self._pending: deque[_Pending] = deque()

    def open(self) -> Track:
        """A new track, after those that are open."""
        self._opened += 1
        track = Track(self._opened)
        self._waiting.append(track)
        return track

    def push(self, track: Track, data: bytes) -> None:
        """More audio of a track, in the codec; of one that is over it is dropped."""
        if not track.over:
            track.buffer += data
            track.pushed_bytes += len(data)

    def finish(self, track: Track) -> None:
        """No more audio of this track follows."""
        track.finished = True

    def next_s(self) -> float | None:
        """When `due` has something to do; None: not before a push, a finish or a mark."""
        times_s = []
        if (ready_s := self._ready_s()) is not None:
            times_s.append(ready_s)
        if self._pending:
            times_s.append(self._pending[0].due_s + MARK_TIMEOUT_S)
        return min(times_s, default=None)

    def due(self, now_s: float) -> list[Frame | Mark]:
        """What to send now, in this order."""
        now_s += _EARLY_S
        sent: list[Frame | Mark] = []
        while (ready_s := self._ready_s()) is not None and ready_s <= now_s:
            sent += self._send(now_s)
        self._hear(now_s)
        while self._pending and self._pending[0].due_s + MARK_TIMEOUT_S <= now_s:
            self.unanswered += 1
            self._passed(self._pending.popleft())
        return sent

    def marked(self, name: str) -> Track | None:
        """The carrier answers a mark. The track that it belongs to; None for an unknown mark."""
        if all(mark.name != name for mark in self._pending):
            return None
        while True:  # the carrier plays in order: earlier marks were passed, too
            mark = self._pending.popleft()
            self._passed(mark)
            if mark.name == name:
                return mark.track

    def clear(self, now_s: float) -> list[Track]:
        """Forget everything not heard yet. The tracks that this ends."""
        self._hear(now_s)
        tracks = list(dict.fromkeys([*(mark.track for mark in self._pending), *self._waiting]))
        for mark in self._pending:  # it was not played up to there, whatever the clock says
            mark.track.clocked_bytes = min(mark.track.clocked_bytes, mark.track_bytes)
        for track in tracks:
            track.heard_bytes = max(track.heard_bytes, track.clocked_bytes)
            track.over = track.cleared = True
            track.buffer.clear()
        self._waiting.clear()
        self._playing.clear()
        self._pending.clear()
        self._until_s = now_s
        return tracks

    def _ready_s(self) -> float | None:
        """When the next frame, or the end of a track, is due."""
        if not self._waiting:
            return None
        track = self._waiting[0]
        if track.finished or len(track.buffer) >= self.codec.frame_bytes:
            return self._until_s - self._lead_s
        if not track.buffer or not track.sent_bytes:
            return None
        return self._until_s - LAST_MOMENT_S  # less than a frame: more may fill it

    def _send(self, now_s: float) -> list[Frame | Mark]:
        track = self._waiting[0]
        if not track.buffer:
            self._waiting.popleft()
            return [self._mark(track, last=True)]
        if self._until_s < now_s and track.sent_bytes:
            self.gaps += 1
        audio = bytes(track.buffer[: self.codec.frame_bytes])
        del track.buffer[: len(audio)]
        track.sent_bytes += len(audio)
        self._until_s = max(self._until_s, now_s) + FRAME_S
        self._playing.append(_Playing(self._until_s, track, track.sent_bytes))
        missing = (self.codec.frame_bytes - len(audio)) // len(self.codec.silence)
        frame = Frame(audio + missing * self.codec.silence)
        first = track.sent_bytes == len(audio)
        if first or self._until_s - self._marked_s >= MARK_EVERY_S:
            return [frame, self._mark(track, last=False)]
        return [frame]

    def _mark(self, track: Track, *, last: bool) -> Mark:
        self._marked_s = self._until_s
        name = f"{track.number}.{track.sent_bytes}{'.end' if last else ''}"
        self._pending.append(_Pending(name, self._until_s, track, track.sent_bytes, last))
        return Mark(name)

    def _hear(self, now_s: float) -> None:
        while self._playing and self._playing[0].until_s <= now_s:
            played = self._playing.popleft()
            played.track.clocked_bytes = played.track_bytes

    def _passed(self, mark: _Pending) -> None:
        mark.track.heard_bytes = max(mark.track.heard_bytes, mark.track_bytes)
        mark.track.over = mark.track.over or mark.last
