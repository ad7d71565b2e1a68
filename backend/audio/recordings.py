"""Checks recordings for voice cloning (format, duration, level) and converts them to mono WAV."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from backend.errors import BadMessage

FloatArray = NDArray[np.float32]

SHORTEST_S = 5.0
LONGEST_S = 30.0
LARGEST_BYTES = 20 << 20  # fits 30 s of stereo at 96 kHz, 24 bits
FORMATS = "WAV, FLAC, MP3 or OGG"
_CONTAINERS = {"WAV", "WAVEX", "FLAC", "MP3", "OGG"}
_RATES_HZ = (8000, 192_000)
_LOUDEST = 4.0  # times full scale: decoders overshoot a clipped original by far less
_SILENCE = 5e-4  # RMS of full scale, without the mean; a voice is louder
_FRAME_S = 0.02
_LEAST_SOUND_S = 1.0


def write_mono_wav(recording: Path, wav: Path) -> None:
    """Check a recording and write it as a mono WAV at its own sample rate. Blocks (decodes it).

    Never decodes much more than `LONGEST_S`, whatever the file. Raises `BadMessage`.
    """
    try:
        with soundfile.SoundFile(recording) as sound:
            _check_file(sound)
            most = int((LONGEST_S + 1) * sound.samplerate)
            samples = sound.read(most, dtype="float32", always_2d=True)
            rate_hz = sound.samplerate
    except soundfile.SoundFileError as error:
        raise BadMessage(f"audio: the recording cannot be read; send {FORMATS}") from error
    seconds = len(samples) / rate_hz
    if not SHORTEST_S <= seconds <= LONGEST_S:
        length = "longer" if seconds > LONGEST_S else f"{seconds:.1f} s long"
        raise BadMessage(
            f"audio: expected {SHORTEST_S:g} to {LONGEST_S:g} s; the recording is {length}"
        )
    soundfile.write(wav, _mix_to_mono(samples, rate_hz), rate_hz, subtype="FLOAT", format="WAV")


def _mix_to_mono(samples: FloatArray, rate_hz: int) -> FloatArray:
    """The mean of the channels, in [-1, 1]. Raises `BadMessage` if it is silent."""
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


def _check_file(sound: soundfile.SoundFile) -> None:
    low_hz, high_hz = _RATES_HZ
    if sound.format not in _CONTAINERS:
        raise BadMessage(f"audio: {sound.format} is not supported; send {FORMATS}")
    if sound.channels > 2:
        raise BadMessage(f"audio: expected one or two channels, got {sound.channels}")
    if not low_hz <= sound.samplerate <= high_hz:
        raise BadMessage(f"audio: expected {low_hz} to {high_hz} Hz, got {sound.samplerate}")
