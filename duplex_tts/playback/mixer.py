"""What the loudspeaker is given, block by block: a queue of tracks behind a jitter buffer.

Speech is pushed as it arrives; a device pulls blocks as it plays. Tracks follow each other without
a gap. Where the sound breaks off or goes on in mid-wave, the step decays over `RAMP_S` instead of
clicking. Which sample is heard when is known for every track.
The caller brings the clock (seconds, any origin). Nothing waits; every method may be called from
any thread: devices pull from their own.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from duplex_tts.playback.jitter_buffer import JitterBuffer

Pcm = NDArray[np.int16]

RAMP_S = 0.005
_KEPT_S = 1.0  # of the timeline, behind what is heard


@dataclass(eq=False, slots=True)
class Track:
    """One utterance in the queue. Made, changed and asked through its `Mixer` only.

    `owed_since_s`: since when audio could have come, because its text was sent; None while the
    speaker waits for the writer. Set by who knows it.
    """

    owed_since_s: float | None = None
    ended: bool = False
    cancelled: bool = False
    received: int = 0  # samples
    read: int = 0  # samples that a device has taken
    chunks: deque[Pcm] = field(default_factory=deque)
    playing: bool = False
    ready_at_s: float = 0.0  # when what waits has been held back long enough
    arrived_s: float = 0.0  # the first of what waits
    front_since_s: float | None = None  # the tracks before it are through
    held_s: float = 0.0  # how long this stretch was held back
    dry_since_s: float | None = None
    dry_while_owed: bool = False
    spans: deque[tuple[float, int, int]] = field(default_factory=deque)  # heard at, first, count
    heard: int = 0

    @property
    def left(self) -> int:
        """Samples that no device has taken yet."""
        return self.received - self.read


@dataclass(slots=True)
class PlaybackStats:
    """What was heard that should not have been, over all tracks.

    `underruns`: gaps within a track while its speech was owed, together `underrun_s` long.
    `pauses`: gaps because its text was not there yet. `dropped_s`: what came after its cancel.
    """

    underruns: int = 0
    underrun_s: float = 0.0
    pauses: int = 0
    dropped_s: float = 0.0


class Mixer:
    """The queue. `push` and `pull` cost microseconds."""

    def __init__(self, sample_rate_hz: int, jitter_buffer: JitterBuffer | None = None) -> None:
        self.account = PlaybackStats()
        self._rate_hz = sample_rate_hz
        self._jitter_buffer = jitter_buffer or JitterBuffer()
        self._lock = threading.Lock()
        self._queue: deque[Track] = deque()
        self._seam = _Seam(round(RAMP_S * sample_rate_hz))

    # --- speech comes in --------------------------------------------------------------------------

    def add(self) -> Track:
        """A track at the end of the queue."""
        with self._lock:
            self._queue.append(track := Track())
        return track

    def push(self, track: Track, pcm: bytes, now_s: float) -> None:
        """Append 16-bit little-endian samples; those of a cancelled track are dropped."""
        samples = np.frombuffer(pcm, "<i2")
        with self._lock:
            if track.cancelled:
                self.account.dropped_s += len(samples) / self._rate_hz
            elif len(samples):
                self._measure(track, now_s)
                if not track.left:
                    track.arrived_s = now_s
                    track.ready_at_s = now_s + self._jitter_buffer.target_s(now_s)
                track.chunks.append(samples)
                track.received += len(samples)

    def end(self, track: Track) -> None:
        """Nothing more comes: the next track follows the last sample."""
        with self._lock:
            track.ended = True

    def cancel(self, track: Track, now_s: float, *, ramp: bool = True) -> bool:
        """Silence it: what no device has taken yet will not be heard. Without `ramp` for devices
        that drop what they have taken: nothing is there to fade from. Returns whether it sounded.
        """
        with self._lock:
            if track.ended and self._heard(track, now_s) == track.received:
                return False
            breaks_off = track.playing and track in self._queue
            track.cancelled = track.ended = True
            track.received = track.read
            track.chunks.clear()
            if track in self._queue:
                self._queue.remove(track)
            if breaks_off:
                self._seam.join(0, 0) if ramp else self._seam.forget()
            return track.playing

    # --- and goes out -----------------------------------------------------------------------------

    def pull(self, frames: int, now_s: float, delay_s: float = 0.0) -> Pcm:
        """The next `frames` samples, shape (frames,); the first is heard `delay_s` from now."""
        block = np.zeros(frames, np.int16)
        with self._lock:
            at = 0
            while at < frames and (track := self._sounding(block[:at], now_s)):
                count = _take(track, block[at:])
                heard_at_s = now_s + delay_s + at / self._rate_hz
                track.spans.append((heard_at_s, track.read - count, count))
                self._forget(track, heard_at_s - _KEPT_S)
                at += count
            self._seam.smooth(block)
        return block

    def _sounding(self, before: Pcm, now_s: float) -> Track | None:
        """The track whose samples follow `before`, of this block; None for silence."""
        while self._queue:
            track = self._queue[0]
            if track.front_since_s is None:
                track.front_since_s = now_s
            if track.left:
                return track if track.playing or self._starts(track, before, now_s) else None
            if not track.ended:
                if track.playing:
                    track.playing = False
                    track.dry_since_s = now_s + len(before) / self._rate_hz
                    self._seam.join(len(before), 0, before)
                return None
            self._queue.popleft()
        return None

    def _starts(self, track: Track, before: Pcm, now_s: float) -> bool:
        if now_s < track.ready_at_s and not track.ended:
            return False
        assert track.front_since_s is not None
        track.held_s = max(0.0, now_s - max(track.arrived_s, track.front_since_s))
        if track.dry_since_s is not None:
            self._seam.join(len(before), int(track.chunks[0][0]), before)
            self._count_gap(track, now_s - track.dry_since_s)
            track.dry_since_s = None
        track.playing = True
        return True

    # --- what can be known ------------------------------------------------------------------------

    def heard_ms(self, track: Track, now_s: float) -> float:
        """How much of it has been heard."""
        with self._lock:
            return self._heard(track, now_s) * 1000 / self._rate_hz

    def held_ms(self, track: Track) -> float:
        """How much later it is heard for having been held back."""
        return track.held_s * 1000

    def received_ms(self, track: Track) -> float:
        """How much of it has arrived, without what a cancel took away."""
        return track.received * 1000 / self._rate_hz

    def buffered_ms(self, track: Track, now_s: float) -> float:
        """How much of it is here and not heard yet."""
        with self._lock:
            return (track.received - self._heard(track, now_s)) * 1000 / self._rate_hz

    def through(self, track: Track, now_s: float) -> bool:
        """Whether it has ended and all of it was heard."""
        with self._lock:
            return track.ended and self._heard(track, now_s) == track.received

    def _heard(self, track: Track, now_s: float) -> int:
        for at_s, first, count in track.spans:
            if at_s > now_s:
                break
            # Rounded: the end of a span must be reached at its time, whatever floats make of it.
            passed = min(count, round((now_s - at_s) * self._rate_hz))
            track.heard = max(track.heard, first + passed)
        return track.heard

    def _forget(self, track: Track, before_s: float) -> None:
        while len(track.spans) > 1 and track.spans[1][0] <= before_s:
            self._heard(track, track.spans[1][0])
            track.spans.popleft()

    # --- what is late -----------------------------------------------------------------------------

    def _measure(self, track: Track, now_s: float) -> None:
        """Audio arrives: how late is it for somebody who holds nothing back?"""
        if track.playing:
            late_s = track.held_s - track.left / self._rate_hz
        elif track.dry_since_s is not None and not track.left:
            late_s = track.held_s + now_s - track.dry_since_s
            track.dry_while_owed = _owed(track, track.dry_since_s)
        else:
            return
        if late_s > 0 and _owed(track, now_s - late_s):
            self._jitter_buffer.late(late_s, now_s)

    def _count_gap(self, track: Track, gap_s: float) -> None:
        if track.dry_while_owed:
            self.account.underruns += 1
            self.account.underrun_s += gap_s
        else:
            self.account.pauses += 1


def _owed(track: Track, at_s: float) -> bool:
    return track.owed_since_s is not None and track.owed_since_s <= at_s


def _take(track: Track, block: Pcm) -> int:
    """Move samples from the track to the start of the block; returns how many."""
    chunk = track.chunks[0]
    count = min(len(chunk), len(block))
    block[:count] = chunk[:count]
    track.read += count
    if count == len(chunk):
        track.chunks.popleft()
    else:
        track.chunks[0] = chunk[count:]
    return count


class _Seam:
    """Lets the step between two sounds that do not belong together decay."""

    def __init__(self, ramp: int) -> None:
        self._fall = np.linspace(1.0, 0.0, ramp, endpoint=False)
        self._decaying = np.zeros(0)  # what is still to be added, from the next block's start on
        self._last = 0.0

    def join(self, at: int, following: int, before: Pcm | None = None) -> None:
        """The sample at `at` of the next block would be `following`; `before` it stand these."""
        last = self._last
        if before is not None and at:
            last = float(before[-1]) + (self._decaying[at - 1] if at <= len(self._decaying) else 0)
        decaying = np.zeros(at + len(self._fall))
        decaying[: min(at, len(self._decaying))] = self._decaying[:at]
        decaying[at:] = (last - following) * self._fall
        self._decaying = decaying

    def forget(self) -> None:
        """Nothing was heard before the next block."""
        self._decaying, self._last = np.zeros(0), 0.0

    def smooth(self, block: Pcm) -> None:
        """Add to the block what decays."""
        count = min(len(block), len(self._decaying))
        if count:
            sum_ = block[:count] + self._decaying[:count]
            block[:count] = np.clip(np.rint(sum_), -32768, 32767).astype(np.int16)
            self._decaying = self._decaying[count:]
        self._last = float(block[-1])
