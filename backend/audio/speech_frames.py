"""What each 20 ms of a recording is: its level, how much of it is a voice, whether it is clipped.

Plain. The measures need no model and hold for any speaker and language.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from backend.audio.recordings import FloatArray

FRAME_S = 0.02
_WINDOW_S = 0.04  # in which the pitch is looked for: two periods of the lowest
_PITCH_HZ = (60, 400)
_ANALYSIS_HZ = 8000  # pitch needs no more
_LOWEST_HZ = 90.0  # below are the mains and rumble; a lower voice still has its harmonics
_LEAST_RUN = 3  # equal samples in a row at the top: clipped
_TOP, _FLAT = 0.9, 1e-4  # of the peak
_SPEECH_RANGE_DB = 25.0  # from the loudest to the quietest sounds of speech
_ABOVE_FLOOR_DB = 6.0
_VOICED = 0.7  # periodicity; white noise stays below 0.5


@dataclass(frozen=True, slots=True)
class SpeechFrames:
    """A value for each frame: level in dBFS; periodicity, 0 (noise) to 1 (a steady vowel); the
    share of its samples that are clipped.
    """

    level_db: NDArray[np.float64]
    periodicity: NDArray[np.float64]
    clipped: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.level_db)

    def cut(self, start: int, end: int) -> SpeechFrames:
        """The frames from `start` to before `end`."""
        return SpeechFrames(
            self.level_db[start:end], self.periodicity[start:end], self.clipped[start:end]
        )

    @property
    def speech_db(self) -> float:
        """The level of the loudest twentieth."""
        return float(np.percentile(self.level_db, 95))

    @property
    def floor_db(self) -> float:
        """The level of the quietest tenth: the noise in the pauses."""
        return float(np.percentile(self.level_db, 10))

    @property
    def has_pauses(self) -> bool:
        """Whether the quietest frames are without a voice."""
        quietest = self.periodicity[self.level_db <= self.floor_db]
        return bool(np.median(quietest) < _VOICED)

    @property
    def active(self) -> NDArray[np.bool_]:
        """Which frames are louder than the pauses; all, where there is none."""
        quiet_db = max(self.speech_db - _SPEECH_RANGE_DB, self.floor_db + _ABOVE_FLOOR_DB)
        return np.asarray(self.level_db > min(quiet_db, self.speech_db - _ABOVE_FLOOR_DB))

    @property
    def voiced(self) -> NDArray[np.bool_]:
        """Which active frames are a voice's: periodic, as vowels and nasals are."""
        return np.asarray(self.active & (self.periodicity > _VOICED))


def measure_frames(mono: FloatArray, rate_hz: int) -> SpeechFrames:
    """Measure the whole frames of a recording of at least one. About 20 ms for 30 s."""
    count = int(len(mono) / (FRAME_S * rate_hz))
    edges = (np.arange(count + 1) * FRAME_S * rate_hz).astype(int)
    fine = mono.astype(np.float64)
    power = _means(np.square(fine), edges) - np.square(_means(fine, edges))  # no offset in it
    return SpeechFrames(
        10 * np.log10(np.maximum(power, 0) + 1e-12),
        _periodicity(mono, rate_hz, count),
        _means(find_clipped(mono, rate_hz).astype(np.float64), edges),
    )


def _means(values: NDArray[np.float64], edges: NDArray[np.int_]) -> NDArray[np.float64]:
    """The mean of the values from each edge to the next."""
    sums = np.add.reduceat(values[: edges[-1]], edges[:-1])
    return np.asarray(sums / np.diff(edges))


def find_clipped(mono: FloatArray, rate_hz: int) -> NDArray[np.bool_]:
    """Which samples stand still at the top of the recording's range: a converter's limit."""
    step = max(1, rate_hz // 48_000)  # at higher rates any smooth top looks flat
    coarse = mono[::step]
    peak = float(np.abs(coarse).max())
    still = np.abs(np.diff(coarse, prepend=np.inf)) <= _FLAT * peak
    still &= np.abs(coarse) >= _TOP * peak
    run = np.convolve(still, np.ones(_LEAST_RUN - 1), "full")[: len(still)] >= _LEAST_RUN - 1
    flat = run.copy()
    for shift in range(1, _LEAST_RUN):
        flat[:-shift] |= run[shift:]
    return np.repeat(flat, step)[: len(mono)]


def _periodicity(mono: FloatArray, rate_hz: int, count: int) -> NDArray[np.float64]:
    """The highest normalised autocorrelation at a period of speech (Boersma, 1993)."""
    factor = max(1, rate_hz // _ANALYSIS_HZ)
    signal = mono[: len(mono) // factor * factor].reshape(-1, factor).mean(1, dtype=np.float64)
    hz = rate_hz / factor
    signal = sosfilt(butter(4, _LOWEST_HZ, "highpass", fs=hz, output="sos"), signal)
    size = int(_WINDOW_S * hz)
    starts = np.minimum((np.arange(count) * FRAME_S * hz).astype(int), max(0, len(signal) - size))
    window = np.hanning(size)
    frames = signal[starts[:, None] + np.arange(size)] * window
    low, high = int(hz / _PITCH_HZ[1]), int(hz / _PITCH_HZ[0])
    lags = slice(0, high + 1)
    ratio = _autocorrelate(frames)[:, lags] / _autocorrelate(window[None])[:, lags]
    best = ratio[:, low:].max(1, initial=0.0)
    return np.asarray(np.clip(best / (ratio[:, 0] + 1e-12), 0.0, 1.0))


def _autocorrelate(frames: NDArray[np.float64]) -> NDArray[np.float64]:
    size = 1 << (2 * frames.shape[1] - 1).bit_length()
    spectrum = np.fft.rfft(frames, size)
    return np.asarray(np.fft.irfft(np.square(np.abs(spectrum)), size))
