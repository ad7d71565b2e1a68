"""The audio of the device, block by block: a queue of tracks behind a jitter buffer.

Audio is pushed as it arrives; a device pulls blocks as it plays. Tracks follow each other without
a gap. A step in the waveform (after a cancel, around a gap) decays over `RAMP_S`, to avoid a click.
Each track records which sample is heard when.
The caller passes the time (seconds, any origin). Nothing blocks; all methods are thread-safe:
devices pull from their own thread.
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
_KEPT_S = 1.0  # how long spans are kept after they were heard


@dataclass(eq=False, slots=True)
class MixerTrack:
    """One utterance in the queue. Created, changed and read by its `Mixer` only.

    `owed_since_s`: since when audio is due, because its text was sent; None while the writer
    pauses. Set by the caller.
    """

    owed_since_s: float | None = None
    ended: bool = False
    cancelled: bool = False
    received: int = 0  # samples
    read: int = 0  # samples pulled by the device
    chunks: deque[Pcm] = field(default_factory=deque)
    playing: bool = False
    ready_at_s: float = 0.0  # when the unread audio may be played
    arrived_s: float = 0.0  # when the first unread audio arrived
    front_since_s: float | None = None  # since when it is first in the queue
    held_s: float = 0.0  # delay of the current stretch of audio
    dry_since_s: float | None = None
    dry_while_owed: bool = False
    spans: deque[tuple[float, int, int]] = field(default_factory=deque)  # heard at, first, count
    heard: int = 0  # samples

    @property
    def unread(self) -> int:
        """Number of samples not pulled yet."""
        return self.received - self.read


@dataclass(slots=True)
class PlaybackStats:
    """Gaps and dropped audio over all tracks.

    `underruns`: gaps within a track while audio was due; `underrun_s`: their total length.
    `pauses`: gaps because the text was not written yet. `dropped_s`: audio that arrived after the
    cancel.
    """

    underruns: int = 0
    underrun_s: float = 0.0
    pauses: int = 0
    dropped_s: float = 0.0


class Mixer:
    """The queue of tracks. `push_audio` and `pull_block` take microseconds."""

    def __init__(self, sample_rate_hz: int, jitter_buffer: JitterBuffer | None = None) -> None:
        self.stats = PlaybackStats()
        self._rate_hz = sample_rate_hz
        self._jitter_buffer = jitter_buffer or JitterBuffer()
        self._lock = threading.Lock()
        self._queue: deque[MixerTrack] = deque()
        self._declicker = _Declicker(round(RAMP_S * sample_rate_hz))

    # --- input ------------------------------------------------------------------------------------

    def add_track(self) -> MixerTrack:
        """Append a track to the queue."""
        with self._lock:
            self._queue.append(track := MixerTrack())
        return track

    def push_audio(self, track: MixerTrack, pcm: bytes, now_s: float) -> None:
        """Append 16-bit little-endian samples; those of a cancelled track are dropped."""
        samples = np.frombuffer(pcm, "<i2")
        with self._lock:
            if track.cancelled:
                self.stats.dropped_s += len(samples) / self._rate_hz
            elif len(samples):
                self._measure_lateness(track, now_s)
                if not track.unread:
                    track.arrived_s = now_s
                    track.ready_at_s = now_s + self._jitter_buffer.target_s(now_s)
                track.chunks.append(samples)
                track.received += len(samples)

    def end_track(self, track: MixerTrack) -> None:
        """Mark the track complete: the next track follows its last sample."""
        with self._lock:
            track.ended = True

    def cancel_track(self, track: MixerTrack, now_s: float, *, ramp: bool = True) -> bool:
        """Drop the unread audio of a track. Returns whether it was playing.

        `ramp`: fade out; False for a device that drops its buffer, which leaves nothing to fade.
        """
        with self._lock:
            if track.ended and self._update_heard(track, now_s) == track.received:
                return False
            interrupted = track.playing and track in self._queue
            track.cancelled = track.ended = True
            track.received = track.read
            track.chunks.clear()
            if track in self._queue:
                self._queue.remove(track)
            if interrupted:
                self._declicker.add_step(0, 0) if ramp else self._declicker.reset()
            return track.playing

    # --- output -----------------------------------------------------------------------------------

    def pull_block(self, frames: int, now_s: float, delay_s: float = 0.0) -> Pcm:
        """Return the next samples, shape (frames,); the first is heard `delay_s` from now."""
        block = np.zeros(frames, np.int16)
        with self._lock:
            at = 0
            while at < frames and (track := self._current_track(block[:at], now_s)):
                count = _copy_samples(track, block[at:])
                heard_at_s = now_s + delay_s + at / self._rate_hz
                track.spans.append((heard_at_s, track.read - count, count))
                self._drop_spans(track, heard_at_s - _KEPT_S)
                at += count
            self._declicker.apply_to(block)
        return block

    def _current_track(self, before: Pcm, now_s: float) -> MixerTrack | None:
        """The track to play after `before`, the start of this block; None for silence."""
        while self._queue:
            track = self._queue[0]
            if track.front_since_s is None:
                track.front_since_s = now_s
            if track.unread:
                starts = track.playing or self._start_track(track, before, now_s)
                return track if starts else None
            if not track.ended:
                if track.playing:
                    track.playing = False
                    track.dry_since_s = now_s + len(before) / self._rate_hz
                    self._declicker.add_step(len(before), 0, before)
                return None
            self._queue.popleft()
        return None

    def _start_track(self, track: MixerTrack, before: Pcm, now_s: float) -> bool:
        """Start or continue playing; returns False while the jitter buffer holds it back."""
        if now_s < track.ready_at_s and not track.ended:
            return False
        assert track.front_since_s is not None
        track.held_s = max(0.0, now_s - max(track.arrived_s, track.front_since_s))
        if track.dry_since_s is not None:
            self._declicker.add_step(len(before), int(track.chunks[0][0]), before)
            self._count_gap(track, now_s - track.dry_since_s)
            track.dry_since_s = None
        track.playing = True
        return True

    # --- state ------------------------------------------------------------------------------------

    def heard_ms(self, track: MixerTrack, now_s: float) -> float:
        """Duration of the audio heard."""
        with self._lock:
            return self._update_heard(track, now_s) * 1000 / self._rate_hz

    def held_ms(self, track: MixerTrack) -> float:
        """Delay of the track by the jitter buffer."""
        return track.held_s * 1000

    def received_ms(self, track: MixerTrack) -> float:
        """Duration of the audio received, without what a cancel has dropped."""
        return track.received * 1000 / self._rate_hz

    def buffered_ms(self, track: MixerTrack, now_s: float) -> float:
        """Duration of the audio received and not heard yet."""
        with self._lock:
            return (track.received - self._update_heard(track, now_s)) * 1000 / self._rate_hz

    def is_played_out(self, track: MixerTrack, now_s: float) -> bool:
        """Whether the track has ended and all of it was heard."""
        with self._lock:
            return track.ended and self._update_heard(track, now_s) == track.received

    def _update_heard(self, track: MixerTrack, now_s: float) -> int:
        for at_s, first, count in track.spans:
            if at_s > now_s:
                break
            # Rounded, so that the end of a span is reached at its time despite float errors.
            passed = min(count, round((now_s - at_s) * self._rate_hz))
            track.heard = max(track.heard, first + passed)
        return track.heard

    def _drop_spans(self, track: MixerTrack, before_s: float) -> None:
        while len(track.spans) > 1 and track.spans[1][0] <= before_s:
            self._update_heard(track, track.spans[1][0])
            track.spans.popleft()

    # --- lateness and gaps ------------------------------------------------------------------------

    def _measure_lateness(self, track: MixerTrack, now_s: float) -> None:
        """Report how late arriving audio is for a listener without a jitter buffer."""
        if track.playing:
            late_s = track.held_s - track.unread / self._rate_hz
        elif track.dry_since_s is not None and not track.unread:
            late_s = track.held_s + now_s - track.dry_since_s
            track.dry_while_owed = _is_owed(track, track.dry_since_s)
        else:
            return
        if late_s > 0 and _is_owed(track, now_s - late_s):
            self._jitter_buffer.report_lateness(late_s, now_s)

    def _count_gap(self, track: MixerTrack, gap_s: float) -> None:
        if track.dry_while_owed:
            self.stats.underruns += 1
            self.stats.underrun_s += gap_s
        else:
            self.stats.pauses += 1


def _is_owed(track: MixerTrack, at_s: float) -> bool:
    return track.owed_since_s is not None and track.owed_since_s <= at_s


def _copy_samples(track: MixerTrack, block: Pcm) -> int:
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


class _Declicker:
    """Lets a step in the waveform decay instead of clicking."""

    def __init__(self, ramp: int) -> None:
        self._fall = np.linspace(1.0, 0.0, ramp, endpoint=False)
        self._decaying = np.zeros(0)  # still to be added, from the start of the next block on
        self._last = 0.0

    def add_step(self, at: int, following: int, before: Pcm | None = None) -> None:
        """Smooth the step at index `at` of the next block, whose sample there is `following`.

        `before`: the samples of that block before `at`.
        """
        last = self._last
        if before is not None and at:
            last = float(before[-1]) + (self._decaying[at - 1] if at <= len(self._decaying) else 0)
        decaying = np.zeros(at + len(self._fall))
        decaying[: min(at, len(self._decaying))] = self._decaying[:at]
        decaying[at:] = (last - following) * self._fall
        self._decaying = decaying

    def reset(self) -> None:
        """Treat the audio before the next block as silence."""
        self._decaying, self._last = np.zeros(0), 0.0

    def apply_to(self, block: Pcm) -> None:
        """Add the decaying step to the block, in place."""
        count = min(len(block), len(self._decaying))
        if count:
            sum_ = block[:count] + self._decaying[:count]
            block[:count] = np.clip(np.rint(sum_), -32768, 32767).astype(np.int16)
            self._decaying = self._decaying[count:]
        self._last = float(block[-1])
