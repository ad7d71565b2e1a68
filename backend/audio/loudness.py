"""Loudness of the audio sent: a fixed gain per voice, a volume per context, a true-peak limiter.

Synchronous, no I/O. Levels are in dBFS (0: full scale), loudness in LUFS (ITU-R BS.1770).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pyloudnorm
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.signal import resample_poly

from backend.audio.codecs import Pcm
from backend.errors import BadMessage

TARGET_LUFS = -18.0  # speech beside music, calls and other programs; as in AES TD1008
LOWEST_VOLUME, HIGHEST_VOLUME = 0.0, 2.0
AUDIBLE_DBFS = -45.0
WINDOW_S = 0.005  # over which a level is measured

_CEILING = 10 ** (-2.3 / 20)  # of samples: later codecs and resamplers may overshoot by 1 dB
_OVERSAMPLING = 4  # BS.1770 annex 2: peaks between the samples
_REACH = 10  # samples to each side that a value between two depends on,
_MOST_OVERSHOOT = 2.25  # and how far above the largest of them it can be (2.242)
_BLOCK_S = 0.001  # the limiter's resolution
# Few enough that BLAS multiplies them on this thread: its others wait actively beside the engine's.
_BLOCKS_AT_ONCE = 32
_ATTACK_BLOCKS, _RELEASE_BLOCKS = 5, 150  # blocks for the gain to change by 1
_MOST_GAIN_DB = 20.0
_SHORTEST_S = 0.4  # BS.1770's gating block: loudness is undefined below


def measure_lufs(pcm: Pcm, rate_hz: int) -> float | None:
    """Integrated loudness of mono `pcm` (BS.1770-4); None if it is too short or silent."""
    if len(pcm) < _SHORTEST_S * rate_hz:
        return None
    lufs = float(pyloudnorm.Meter(rate_hz).integrated_loudness(pcm))
    return lufs if np.isfinite(lufs) else None


def gain_to_target(lufs: float | None) -> float:
    """The factor that brings speech of this loudness to `TARGET_LUFS`; 1 if it is unknown."""
    if lufs is None:
        return 1.0
    return float(10 ** (np.clip(TARGET_LUFS - lufs, -_MOST_GAIN_DB, _MOST_GAIN_DB) / 20))


def parse_volume(volume: float | None) -> float:
    """The requested volume, 1 by default. Raises `BadMessage`."""
    volume = 1.0 if volume is None else volume
    if not LOWEST_VOLUME <= volume <= HIGHEST_VOLUME:
        raise BadMessage(
            f"volume: expected {LOWEST_VOLUME:g} (silent) to {HIGHEST_VOLUME:g}, got {volume:g}"
        )
    return volume


def levels_dbfs(pcm: Pcm, rate_hz: int) -> NDArray[np.float64]:
    """Levels of the complete windows of `WINDOW_S`."""
    size = int(WINDOW_S * rate_hz)
    windows = pcm[: len(pcm) // size * size].reshape(-1, size).astype(np.float64)
    return np.asarray(10 * np.log10(np.square(windows).mean(1) + 1e-12))


def first_audible(pcm: Pcm, rate_hz: int) -> int | None:
    """Index of the first window's first sample above `AUDIBLE_DBFS`; None if all is silent."""
    loud = np.flatnonzero(levels_dbfs(pcm, rate_hz) > AUDIBLE_DBFS)
    return int(loud[0]) * int(WINDOW_S * rate_hz) if len(loud) else None


class Limiter:
    """Keeps the true peak of a stream below -1 dBFS, chunk by chunk, and adds no delay.

    The gain falls within 5 ms before a peak and recovers over 150 ms, both linearly. Chunks are cut
    between words, so a look-ahead across their edge would see only quiet samples.
    """

    def __init__(self, rate_hz: int) -> None:
        self._block = max(_REACH, int(_BLOCK_S * rate_hz))
        self._gain = 1.0  # where the last chunk ended

    def limit(self, pcm: Pcm) -> Pcm:
        """Return the chunk limited, at the same length."""
        if not pcm.size or (self._gain == 1.0 and np.abs(pcm).max() < _CEILING / 2):
            return pcm
        allowed = np.minimum(1.0, _CEILING / np.maximum(self._peaks(pcm), 1e-9))
        if self._gain == 1.0 and allowed.min() == 1.0:
            return pcm
        # At the edge of two blocks the gain suits both; it is linear from one edge to the next.
        nodes = np.minimum(np.append(allowed, 1.0), np.insert(allowed, 0, self._gain))
        nodes[-1] = allowed[-1]
        nodes = _limit_slope(nodes[::-1], 1 / _ATTACK_BLOCKS)[::-1]
        nodes[0] = self._gain
        nodes = _limit_slope(nodes, 1 / _RELEASE_BLOCKS)
        self._gain = float(nodes[-1])
        limited: Pcm = np.clip(pcm * self._spread(nodes, len(pcm)), -_CEILING, _CEILING)
        return limited

    def _peaks(self, pcm: Pcm) -> NDArray[np.float64]:
        """True peak of each block that may be above the ceiling, of others a bound below it; the
        last block may be shorter.
        """
        size = self._block
        padded = np.zeros(size + -(-len(pcm) // size) * size + size, np.float32)
        padded[size : size + len(pcm)] = pcm
        largest = np.abs(padded).reshape(-1, size).max(1)
        # A value between two samples depends on `_REACH` to each side: on the next block at most.
        peaks = np.maximum(np.maximum(largest[:-2], largest[2:]), largest[1:-1]).astype(np.float64)
        loud = np.flatnonzero(peaks > _CEILING / _MOST_OVERSHOOT)
        windows = sliding_window_view(padded[size - _REACH :], size + 2 * _REACH)[::size]
        for start in range(0, len(loud), _BLOCKS_AT_ONCE):
            part = loud[start : start + _BLOCKS_AT_ONCE]
            between = np.abs(windows[part] @ _interpolator(size)).max(1)
            peaks[part] = np.maximum(largest[1:-1][part], between)
        return np.asarray(peaks, np.float64)

    def _spread(self, nodes: NDArray[np.float64], samples: int) -> Pcm:
        """The gain of each sample, linear from one node to the next; the last block may be
        shorter.
        """
        steps = np.diff(nodes)[:, None]
        gain = (nodes[:-1, None] + steps * (np.arange(self._block) / self._block)).reshape(-1)
        rest = samples % self._block
        if rest:
            gain = gain[:samples]
            gain[-rest:] = nodes[-2] + steps[-1] * (np.arange(rest) / rest)
        return gain.astype(np.float32)


@lru_cache
def _interpolator(size: int) -> Pcm:
    """Matrix from `size` samples, with `_REACH` more to each side, to the values between them."""
    impulses = np.eye(size + 2 * _REACH, dtype=np.float32)
    finer = resample_poly(impulses, _OVERSAMPLING, 1, axis=1)
    inner = finer[:, _OVERSAMPLING * _REACH : _OVERSAMPLING * (_REACH + size)]
    return np.ascontiguousarray(np.delete(inner, np.s_[::_OVERSAMPLING], axis=1))


def _limit_slope(values: NDArray[np.float64], slope: float) -> NDArray[np.float64]:
    """The largest values below `values` that rise by at most `slope` from one to the next."""
    ramp = np.arange(len(values)) * slope
    return np.asarray(np.minimum.accumulate(values - ramp) + ramp)
