"""Cuts the audio of a message at its index marks, and trims what cannot be heard before it.

Synchronous, no I/O.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from duplex_tts.events import Audio

AUDIBLE = 10 ** (-45 / 20) * 32768
"""RMS of the quietest audible 5 ms, as everywhere in this project."""

_LEAD_S = 0.005  # kept before it
_WINDOW_S = 0.005
_SAMPLE_BYTES = 2


@dataclass(frozen=True, slots=True)
class Mark:
    """An index mark, reached when the audio before it was played."""

    name: str


SpeechPart = bytes | Mark
"""16-bit samples, or a mark between them."""


class MarkedAudio:
    """Puts marks, given by text offsets, before the words that they stand before."""

    def __init__(self, marks: Sequence[tuple[int, str]], sample_rate_hz: int) -> None:
        self._marks = deque(marks)
        self._rate_hz = sample_rate_hz
        self._begun = False

    def add_audio(self, audio: Audio) -> Iterator[SpeechPart]:
        """Yield the audio and the marks in it, in order."""
        done = 0
        pcm = audio.data
        for word in audio.words:
            while self._marks and self._marks[0][0] < word.end:
                at = self._to_bytes(word.start_ms - audio.start_ms, len(pcm))
                yield from self._trim(pcm[done:at])
                done = max(done, at)
                yield Mark(self._marks.popleft()[1])
        yield from self._trim(pcm[done:])

    def finish(self) -> Iterator[Mark]:
        """Yield the marks after the last word."""
        while self._marks:
            yield Mark(self._marks.popleft()[1])

    def _to_bytes(self, ms: float, limit: int) -> int:
        return min(limit, max(0, round(ms * self._rate_hz / 1000)) * _SAMPLE_BYTES)

    def _trim(self, pcm: bytes) -> Iterator[bytes]:
        """Drop what is inaudible before the first sound of the message.

        The server keeps up to 45 ms of a soft onset, which a listener who waits for every key
        would rather not wait for.
        """
        if not self._begun:
            onset = find_onset(pcm, self._rate_hz)
            if onset is None:
                return
            self._begun = True
            pcm = pcm[max(0, onset - int(_LEAD_S * self._rate_hz)) * _SAMPLE_BYTES :]
        if pcm:
            yield pcm


def find_onset(pcm: bytes, sample_rate_hz: int) -> int | None:
    """Sample at which the first audible 5 ms of 16-bit samples begin; None if there are none."""
    window = int(_WINDOW_S * sample_rate_hz)
    samples = np.frombuffer(pcm, "<i2").astype(np.float64)
    count = len(samples) // window
    rms = np.sqrt(np.mean(samples[: count * window].reshape(count, window) ** 2, axis=1))
    audible = np.flatnonzero(rms > AUDIBLE)
    return int(audible[0]) * window if len(audible) else None


class SoundCache:
    """The latest spoken short texts, at most `limit_bytes` of samples; the oldest go first."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._sounds: OrderedDict[object, bytes] = OrderedDict()
        self._bytes = 0

    def get(self, key: object) -> bytes | None:
        """Return the samples stored under a key."""
        if key in self._sounds:
            self._sounds.move_to_end(key)
        return self._sounds.get(key)

    def put(self, key: object, pcm: bytes) -> None:
        """Store samples; more than a tenth of the limit are not stored."""
        if len(pcm) > self._limit_bytes // 10:
            return
        self._bytes += len(pcm) - len(self._sounds.pop(key, b""))
        self._sounds[key] = pcm
        while self._bytes > self._limit_bytes:
            self._bytes -= len(self._sounds.popitem(last=False)[1])
