"""Checks the samples of recordings for voice cloning. Plain; `decoder_process` decodes them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backend.errors import BadMessage

FloatArray = NDArray[np.float32]

SHORTEST_S = 5.0
LONGEST_S = 30.0
LARGEST_BYTES = 20 << 20  # fits 30 s of stereo at 96 kHz, 24 bits
FORMATS = "WAV, FLAC, MP3 or OGG"
_LOUDEST = 4.0  # times full scale: decoders overshoot a clipped original by far less
_SILENCE = 5e-4  # RMS of full scale, without the mean; a voice is louder
_FRAME_S = 0.02
_LEAST_SOUND_S = 1.0


def mix_to_mono(samples: FloatArray, rate_hz: int) -> FloatArray:
    """Check the samples (frames, channels) of a recording; returns the mean of the channels, in
    [-1, 1]. Raises `BadMessage`: too short or long, silent, not samples of sound.
    """
    seconds = len(samples) / rate_hz
    if not SHORTEST_S <= seconds <= LONGEST_S:
        length = "longer" if seconds > LONGEST_S else f"{seconds:.1f} s long"
        raise BadMessage(
            f"audio: expected {SHORTEST_S:g} to {LONGEST_S:g} s; the recording is {length}"
        )
    if not np.isfinite(samples).all():
        raise BadMessage("audio: some samples are not numbers; export the recording again")
    peak = float(np.abs(samples).max())
    if peak > _LOUDEST:
        raise BadMessage(
            f"audio: samples reach {peak:.3g} times full scale; export it with samples of -1 to 1"
        )
    mono: FloatArray = samples.mean(axis=1) / max(1.0, peak)
    sound_s = _measure_sound_s(mono, rate_hz)
    if sound_s < _LEAST_SOUND_S:
        if min(_measure_sound_s(channel, rate_hz) for channel in samples.T) >= _LEAST_SOUND_S:
            raise BadMessage("audio: the two channels cancel each other; send one of them")
        amount = f"holds {sound_s:.1f} s of sound" if sound_s else "is silent"
        raise BadMessage(f"audio: the recording {amount}; a voice needs {SHORTEST_S:g} s of speech")
    return mono


def _measure_sound_s(mono: FloatArray, rate_hz: int) -> float:
    """Duration of the frames above silence; a constant is silence."""
    length = round(_FRAME_S * rate_hz)
    frames = mono[: len(mono) // length * length].reshape(-1, length)
    return float((frames.std(axis=1) > _SILENCE).sum() * _FRAME_S)
