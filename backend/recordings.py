"""Recordings that voices are made of: is it sound, is it long enough, and not too long."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from backend.errors import BadMessage

SHORTEST_S = 5.0
LONGEST_S = 30.0
LARGEST_BYTES = 20 << 20  # 30 s of stereo at 96 kHz, 24 bits, fit in
FORMATS = "WAV, FLAC, MP3 or OGG"
_KINDS = {"WAV", "WAVEX", "FLAC", "MP3", "OGG"}
_RATES_HZ = (8000, 192_000)
_SILENCE = 1e-3  # of full scale; a recording that never gets louder has no voice in it


def as_mono_wav(recording: Path, wav: Path) -> None:
    """Check a recording and write it as a mono WAV of its own sample rate. Blocks (decodes it).

    Never decodes much more than `LONGEST_S`, whatever the file is. Raises `BadMessage`.
    """
    try:
        with soundfile.SoundFile(recording) as sound:
            _check_kind(sound)
            most = int((LONGEST_S + 1) * sound.samplerate)
            samples = sound.read(most, dtype="float32", always_2d=True)
            rate_hz = sound.samplerate
    except soundfile.SoundFileError as error:
        raise BadMessage(f"audio: this is no recording that can be read; send {FORMATS}") from error
    seconds = len(samples) / rate_hz
    if not SHORTEST_S <= seconds <= LONGEST_S:
        length = "longer" if seconds > LONGEST_S else f"{seconds:.1f} s long"
        raise BadMessage(
            f"audio: expected {SHORTEST_S:g} to {LONGEST_S:g} s; the recording is {length}"
        )
    mono = samples.mean(axis=1)
    if not np.isfinite(mono).all() or np.abs(mono).max() < _SILENCE:
        raise BadMessage("audio: the recording is silent")
    soundfile.write(wav, mono, rate_hz, subtype="FLOAT", format="WAV")


def _check_kind(sound: soundfile.SoundFile) -> None:
    low_hz, high_hz = _RATES_HZ
    if sound.format not in _KINDS:
        raise BadMessage(f"audio: {sound.format} is not taken; send {FORMATS}")
    if sound.channels > 2:
        raise BadMessage(f"audio: one or two channels are taken, not {sound.channels}")
    if not low_hz <= sound.samplerate <= high_hz:
        raise BadMessage(f"audio: expected {low_hz} to {high_hz} Hz, got {sound.samplerate}")
