"""Checks speech as a listener hears it: the words, the duration, the time to first audio."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tempfile
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from tests.interop.live_servers import PYTHON
from tests.support.repository import ROOT

RATE_HZ = 16_000
"""All audio is checked at this rate."""

HELLO = "Hello there, how are you doing today?"
SENTENCE = (
    "The keeper of the old lighthouse climbed the narrow stairs every single evening of the year "
    "to light the lamp for the ships that were far out at sea."
)
STORY = (
    "The old lighthouse stood alone above the harbor. Every evening the keeper climbed the "
    "narrow stairs and lit the lamp. Ships far out at sea could see it for twenty miles."
)


@dataclass(frozen=True, slots=True)
class AudioClip:
    """Mono s16 samples at `RATE_HZ`."""

    samples: NDArray[np.int16]
    first_audio_s: float | None = None
    """Time to first audio, if measured."""

    @property
    def duration_s(self) -> float:
        """The duration."""
        return self.samples.size / RATE_HZ

    @property
    def peak(self) -> float:
        """The highest peak, 0 to 1."""
        return float(np.abs(self.samples.astype(np.int32)).max(initial=0)) / 32768


def decode(data: bytes, container: str | None = None, rate_hz: int | None = None) -> AudioClip:
    """Decode a file (`container` None: detected) or raw samples.

    Raw samples need `rate_hz` and FFmpeg's name of their encoding: `s16le`, `f32le`, `mulaw`,
    `alaw`.
    """
    options = {"sample_rate": str(rate_hz)} if rate_hz else {}
    if not data:
        return AudioClip(np.zeros(0, np.int16))
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE_HZ)
    parts = []
    with av.open(io.BytesIO(data), "r", format=container, options=options) as reader:
        for frame in reader.decode(audio=0):
            parts += [part.to_ndarray()[0] for part in resampler.resample(frame)]
    parts += [part.to_ndarray()[0] for part in resampler.resample(None)]
    return AudioClip(np.concatenate(parts))


@dataclass
class TimedRecording:
    """Audio with each piece's arrival time (`time.perf_counter`)."""

    pieces: list[bytes] = field(default_factory=list)
    arrivals_s: list[float] = field(default_factory=list)
    started_s: float = field(default_factory=time.perf_counter)
    """When the recording was created: before the request."""

    def add_piece(self, data: bytes) -> None:
        """Record a piece that arrived now."""
        if data:
            self.pieces.append(data)
            self.arrivals_s.append(time.perf_counter())

    @property
    def data(self) -> bytes:
        """All audio so far."""
        return b"".join(self.pieces)

    @property
    def first_s(self) -> float:
        """When the first audio arrived. Fails without audio."""
        assert self.arrivals_s, "no audio arrived"
        return self.arrivals_s[0]

    def clip(self, container: str | None = None, rate_hz: int | None = None) -> AudioClip:
        """All audio, decoded, with the time to first audio."""
        clip = decode(self.data, container, rate_hz)
        return replace(clip, first_audio_s=self.first_s - self.started_s) if self.pieces else clip

    def data_after(self, moment_s: float) -> bytes:
        """The audio that arrived after a time."""
        arrived = zip(self.arrivals_s, self.pieces, strict=True)
        return b"".join(piece for arrival_s, piece in arrived if arrival_s > moment_s)


@dataclass(frozen=True, slots=True)
class SpeechResult:
    """One checked clip of the run."""

    test: str
    error_rate: float
    """Word error rate."""
    duration_s: float
    stretch: float
    """The duration relative to the native protocol's for the same text."""
    first_audio_s: float | None
    """Time to first audio, including connecting and writing the first words."""


class SpeechChecker:
    """Transcribes speech with a small Whisper in its own process."""

    def __init__(
        self, process: subprocess.Popen[str], folder: Path, reference_s: Callable[[str], float]
    ) -> None:
        """`reference_s`: the duration of a text over the native protocol."""
        self._process = process
        self._wav = folder / "heard.wav"
        self._reference_s = reference_s
        self.results: list[SpeechResult] = []

    def word_error_rate(self, clip: AudioClip, text: str) -> tuple[float, str]:
        """The clip's word error rate for `text`, and the transcript. Blocks (a second)."""
        with wave.open(str(self._wav), "wb") as writer:
            writer.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
            writer.writeframes(clip.samples.tobytes())
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"wav": str(self._wav), "text": text}) + "\n")
        self._process.stdin.flush()
        response = json.loads(self._process.stdout.readline())
        return response["errors"] / max(1, response["words"]), response["heard"]

    def expect_speech(
        self, clip: AudioClip, text: str, *, speed: float = 1.0, pause_s: float = 0.0
    ) -> None:
        """Fail if over a tenth of the words are wrong, or the duration is off by over a tenth
        (plus 0.1 s for the codec) from the native protocol's at this speed. `pause_s`: silence that
        the text asks for.
        """
        rate, transcript = self.word_error_rate(clip, text)
        reference_s = self._reference_s(text) / speed + pause_s
        assert rate <= 0.1, f"{rate:.0%} of the words are wrong: {transcript!r} instead of {text!r}"
        deviation_s = abs(clip.duration_s - reference_s)
        assert deviation_s <= 0.1 * reference_s + 0.1, (
            f"{clip.duration_s:.2f} s, usually {reference_s:.2f} s"
        )
        test = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0].rpartition("/")[2]
        stretch = clip.duration_s / reference_s
        self.results.append(SpeechResult(test, rate, clip.duration_s, stretch, clip.first_audio_s))


@contextmanager
def start_checker(reference_s: Callable[[str], float]) -> Iterator[SpeechChecker]:
    """Run a `SpeechChecker` until the block ends."""
    command = [str(PYTHON), "-m", "tests.interop.transcriber"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process,
    ):
        yield SpeechChecker(process, Path(folder), reference_s)
        assert process.stdin is not None
        process.stdin.close()
