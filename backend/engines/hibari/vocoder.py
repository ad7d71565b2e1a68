"""Streaming vocoder: spectral frames to a waveform.

A frame is 12.5 ms: a filter for a pulse train at the pitch, a level for noise, and a free spectrum.
`hibari.dsp` renders a whole sentence of frames at once; this renders the same samples from frames
as they arrive: the phase of the pulses, the overlap of the inverse STFT and the place in the noise
carry over, so that neither chunk edges nor joints of two renders are audible. The formula is in the
docstring of `hibari.dsp`.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from hibari import dsp
from numpy.typing import NDArray

from backend.engines.base import Pcm

FloatArray = NDArray[np.float32]

SAMPLE_RATE_HZ: int = dsp.SR
HOP: int = dsp.HOP
BINS = dsp.N_FFT // 2 + 1
LAG = 4
"""Frames that must follow a frame before its samples are final: two for the pitch and the source
under the last window that overlaps it, two for that window itself."""

_OVERLAP = dsp.N_FFT // HOP
_HALF = dsp.N_FFT // 2
_WINDOW: FloatArray = dsp.WIN
_WEIGHT: FloatArray = (_WINDOW * _WINDOW).reshape(_OVERLAP, HOP)
_VOICED_ABOVE_HZ = 40.0
_HIGHEST_HARMONIC_HZ = 11_000.0
_NOISE_FRAMES = 1024  # 12.8 s, longer than a sentence: no utterance hears a repetition
_NOISE_STEP = 617  # frames between the noise of one seed and of the next; coprime to the above


class StreamingVocoder:
    """Renders one utterance's frames, pushed in order, to samples: `HOP` per frame."""

    def __init__(self, seed: int) -> None:
        self._noise_at = seed * _NOISE_STEP  # the next frame of noise
        self._phase = 0.0  # of the pulse train, in cycles
        self._f0: FloatArray = np.zeros(0, np.float32)  # from the last frame with a source on
        self._frames: FloatArray = np.zeros((0, 5 * BINS), np.float32)  # not yet synthesised
        self._source: FloatArray = np.zeros(0, np.float32)  # from the first window still needed on
        self._padded = False  # the reflection before the first sample is in `_source`
        self._sum: FloatArray = np.zeros((0, HOP), np.float32)  # overlap-add, not yet complete
        self._weight: FloatArray = np.zeros((0, HOP), np.float32)
        self._skip = _HALF // HOP  # blocks of the overlap-add that lie before the first sample

    def push_frames(self, frames: FloatArray, f0: FloatArray) -> Pcm:
        """Append `frames` [n, 5 * BINS] (log harmonic level, its phase, log noise level, log free
        level, its phase) with `f0` [n] in Hz. Returns the samples that are now final: all but those
        of the last `LAG` frames.
        """
        self._frames = np.concatenate([self._frames, frames])
        first = len(self._f0) == 0
        self._f0 = np.concatenate([self._f0, f0[:1] if first else f0[:0], f0])
        self._extend_source()
        return self._synthesise()

    def finish(self) -> Pcm:
        """Return the remaining samples; no frames may follow."""
        if len(self._frames) == 0:
            return np.zeros(0, np.float32)
        self._f0 = np.concatenate([self._f0, self._f0[-1:]])
        self._extend_source()
        before = 0 if self._padded else _HALF
        self._padded = True
        self._source = np.pad(self._source, (before, _HALF), mode="reflect")
        return np.concatenate([self._synthesise(), self._drain(_OVERLAP // 2)])

    def _extend_source(self) -> None:
        if len(self._f0) < 3:
            return
        pulses, self._phase = pulse_train(self._f0, self._phase)
        self._f0 = self._f0[-2:]
        self._source = np.concatenate([self._source, pulses])
        if not self._padded and len(self._source) > _HALF:
            self._source = np.pad(self._source, (_HALF, 0), mode="reflect")
            self._padded = True

    def _synthesise(self) -> Pcm:
        n = (len(self._source) - dsp.N_FFT) // HOP + 1 if self._padded else 0
        n = min(n, len(self._frames))
        if n <= 0:
            return np.zeros(0, np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(self._source, dsp.N_FFT)[::HOP][:n]
        spectrum = dsp.rfft(windows * dsp.WIN_SRC, 1)
        self._filter(spectrum, self._frames[:n])
        self._frames = self._frames[n:]
        self._source = self._source[n * HOP :]
        self._overlap_add(dsp.irfft(spectrum, dsp.N_FFT, 1))
        return self._drain(n)

    def _filter(self, spectrum: NDArray[np.complex64], frames: FloatArray) -> None:
        harmonic, theta, noise, free, phi = np.split(frames, 5, axis=1)
        turn = np.tanh(theta)
        turn *= np.pi
        spectrum *= _polar(harmonic, turn)
        drawn = self.take_noise(len(frames))
        drawn *= dsp.ex(noise)
        spectrum += drawn
        spectrum += _polar(free, phi)

    def take_noise(self, n: int) -> NDArray[np.complex64]:
        """The next `n` frames [n, BINS] of white noise: normal, of variance 1 in both parts."""
        rows = np.arange(self._noise_at, self._noise_at + n) % _NOISE_FRAMES
        self._noise_at += n
        return _draw_noise()[rows]

    def _overlap_add(self, frames: FloatArray) -> None:
        n = len(frames)
        frames *= _WINDOW
        blocks = frames.reshape(n, _OVERLAP, HOP)
        total = np.zeros((n + _OVERLAP - 1, HOP), np.float32)
        weight = np.zeros_like(total)
        total[: len(self._sum)] = self._sum
        weight[: len(self._sum)] = self._weight
        for k in range(_OVERLAP):
            total[k : k + n] += blocks[:, k]
            weight[k : k + n] += _WEIGHT[k]
        self._sum, self._weight = total, weight

    def _drain(self, blocks: int) -> Pcm:
        weight: FloatArray = np.maximum(self._weight[:blocks], 1e-11)
        done = self._sum[:blocks] / weight
        self._sum, self._weight = self._sum[blocks:], self._weight[blocks:]
        skipped = min(self._skip, len(done))
        self._skip -= skipped
        samples: Pcm = done[skipped:].reshape(-1)
        return samples


@lru_cache(1)
def _draw_noise() -> NDArray[np.complex64]:
    # Drawn once: new noise for each utterance was a third of the cost of its samples.
    drawn = np.random.default_rng(0).standard_normal((_NOISE_FRAMES, 2 * BINS), dtype=np.float32)
    return drawn.view(np.complex64)


def _polar(log_level: FloatArray, phase: FloatArray) -> NDArray[np.complex64]:
    out = np.empty(log_level.shape, np.complex64)
    level = dsp.ex(log_level)
    np.multiply(level, np.cos(phase), out=out.real)
    np.multiply(level, np.sin(phase), out=out.imag)
    return out


def pulse_train(f0: FloatArray, phase: float) -> tuple[FloatArray, float]:
    """Pulses for the inner frames of `f0` [n + 2] in Hz: [n * HOP] samples, and the phase in cycles
    after them. Every harmonic up to 11 kHz at unit amplitude, by the closed form of the Dirichlet
    kernel: sum of cos(h t) for h = 1..H is sin((H + 1/2) t) / (2 sin(t / 2)) - 1/2. Silent where
    the pitch, interpolated between frame centres, is not above 40 Hz.
    """
    position = ((np.arange(HOP) + 0.5) / HOP - 0.5).astype(np.float32)
    before = np.maximum(-position, 0)
    after = np.maximum(position, 0)
    here = 1 - before - after
    hz: FloatArray = (
        f0[:-2, None] * before + f0[1:-1, None] * here + f0[2:, None] * after
    ).reshape(-1)
    voiced = hz > _VOICED_ABOVE_HZ
    hz = np.maximum(hz, np.float32(_VOICED_ABOVE_HZ))
    cycles = phase + np.cumsum(hz, dtype=np.float64) / SAMPLE_RATE_HZ
    cycles -= np.floor(cycles)
    angle: FloatArray = (2 * np.pi * cycles).astype(np.float32)
    order = np.floor(_HIGHEST_HARMONIC_HZ / hz) + np.float32(0.5)
    divisor = np.sin(angle / 2) * 2
    peak = np.abs(divisor) <= 2e-3  # the limit there is H + 1/2
    divisor[peak] = 1
    pulses = np.where(peak, order, np.sin(order * angle) / divisor) - np.float32(0.5)
    pulses[~voiced] = 0
    return pulses.astype(np.float32, copy=False), float(cycles[-1])
