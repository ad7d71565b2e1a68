"""Decodes one recording in a process of its own: `python -m backend.audio.decoder_process PATH`.

Decoders are C libraries that read what strangers send. Here a crash, an endless loop or a bomb ends
this process, not the server. `synthesis/recording_decoder` starts it.

Output: one line of JSON, `{"rate_hz": ..., "channels": ...}` or `{"error": ...}`, then the samples
as native float32, interleaved.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import NoReturn

import soundfile

from backend.audio.recordings import FORMATS, LONGEST_S, FloatArray
from backend.errors import BadMessage

MOST_MEMORY_BYTES = 1 << 30  # of addresses; 0.2 GiB are the libraries, 0.1 the largest recording
MOST_CPU_S = 20
_CONTAINERS = {"WAV", "WAVEX", "FLAC", "MP3", "OGG"}
_RATES_HZ = (8000, 192_000)


def decode(path: str) -> tuple[FloatArray, int]:
    """The samples (frames, channels) and their rate. Never decodes much more than `LONGEST_S`,
    whatever the file. Raises `BadMessage`.
    """
    try:
        with soundfile.SoundFile(path) as sound:
            _check_file(sound)
            most = int((LONGEST_S + 1) * sound.samplerate)
            return sound.read(most, dtype="float32", always_2d=True), sound.samplerate
    except soundfile.SoundFileError as error:
        raise BadMessage(f"audio: the recording cannot be read; send {FORMATS}") from error


def _check_file(sound: soundfile.SoundFile) -> None:
    low_hz, high_hz = _RATES_HZ
    if sound.format not in _CONTAINERS:
        raise BadMessage(f"audio: {sound.format} is not supported; send {FORMATS}")
    if sound.channels > 2:
        raise BadMessage(f"audio: expected one or two channels, got {sound.channels}")
    if not low_hz <= sound.samplerate <= high_hz:
        raise BadMessage(f"audio: expected {low_hz} to {high_hz} Hz, got {sound.samplerate}")


def limit_resources() -> None:
    """Limit this process for good, as far as its system can: memory, computing, no files written,
    no processes, no core dump.
    """
    try:
        import resource
    except ImportError:  # Windows: the parent's time limit remains
        return
    limits = {
        resource.RLIMIT_AS: MOST_MEMORY_BYTES,
        resource.RLIMIT_CPU: MOST_CPU_S,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for kind, most in limits.items():
        with suppress(ValueError, OSError):  # macOS refuses some
            resource.setrlimit(kind, (most, most))


def main(path: str) -> NoReturn:
    """Decode to stdout, under limits."""
    limit_resources()
    try:
        samples, rate_hz = decode(path)
    except BadMessage as error:
        _write_head({"error": error.message})
    else:
        _write_head({"rate_hz": rate_hz, "channels": samples.shape[1]})
        sys.stdout.buffer.write(samples.tobytes())
    sys.stdout.flush()
    sys.exit(0)


def _write_head(head: dict[str, object]) -> None:
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n")


if __name__ == "__main__":
    main(sys.argv[1])
