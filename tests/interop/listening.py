"""What a listener notices: which words were said, for how long, when it began, when it stopped."""

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
"""Everything is listened to at this rate."""

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
class Sound:
    """Mono s16 samples at `RATE_HZ`, as a player plays them."""

    samples: NDArray[np.int16]
    waited_s: float | None = None
    """How long one waited for it to begin, where that was measured."""

    @property
    def duration_s(self) -> float:
        """How long it takes to hear."""
        return self.samples.size / RATE_HZ

    @property
    def loudest(self) -> float:
        """The highest peak, 0 to 1."""
        return float(np.abs(self.samples.astype(np.int32)).max(initial=0)) / 32768


def decode(data: bytes, container: str | None = None, rate_hz: int | None = None) -> Sound:
    """The sound of a file (`container` None: found out) or of bare samples.

    Bare samples name their `rate_hz` and their encoding, as FFmpeg does: `s16le`, `f32le`, `mulaw`,
    `alaw`.
    """
    options = {"sample_rate": str(rate_hz)} if rate_hz else {}
    if not data:
        return Sound(np.zeros(0, np.int16))
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE_HZ)
    parts = []
    with av.open(io.BytesIO(data), "r", format=container, options=options) as reader:
        for frame in reader.decode(audio=0):
            parts += [part.to_ndarray()[0] for part in resampler.resample(frame)]
    parts += [part.to_ndarray()[0] for part in resampler.resample(None)]
    return Sound(np.concatenate(parts))


@dataclass
class Recording:
    """Audio with the time at which each piece arrived (`time.perf_counter`)."""

    pieces: list[bytes] = field(default_factory=list)
    arrivals_s: list[float] = field(default_factory=list)
    asked_s: float = field(default_factory=time.perf_counter)
    """When the recorder was switched on: before anything is said."""

    def add(self, data: bytes) -> None:
        """A piece has arrived."""
        if data:
            self.pieces.append(data)
            self.arrivals_s.append(time.perf_counter())

    @property
    def data(self) -> bytes:
        """All of it."""
        return b"".join(self.pieces)

    @property
    def first_s(self) -> float:
        """When something was heard first. Fails when nothing was."""
        assert self.arrivals_s, "nothing was heard"
        return self.arrivals_s[0]

    def sound(self, container: str | None = None, rate_hz: int | None = None) -> Sound:
        """All of it, as `decode` hears it, and how long one waited for it."""
        whole = decode(self.data, container, rate_hz)
        return replace(whole, waited_s=self.first_s - self.asked_s) if self.pieces else whole

    def after(self, moment_s: float) -> bytes:
        """What arrived after a moment."""
        arrived = zip(self.arrivals_s, self.pieces, strict=True)
        return b"".join(piece for arrival_s, piece in arrived if arrival_s > moment_s)


@dataclass(frozen=True, slots=True)
class Heard:
    """What a test listened to: a figure of the run."""

    test: str
    wrong: float
    """Word error rate."""
    duration_s: float
    stretch: float
    """The duration, as a ratio to that of the same text from the native protocol."""
    waited_s: float | None
    """From asking to the first sound, connecting and writing the first words included."""


class Ear:
    """Understands speech, with a small Whisper in a process of its own."""

    def __init__(
        self, process: subprocess.Popen[str], folder: Path, usual_s: Callable[[str], float]
    ) -> None:
        """`usual_s`: how long the native protocol takes to say a text."""
        self._process = process
        self._wav = folder / "heard.wav"
        self._usual_s = usual_s
        self.figures: list[Heard] = []

    def word_error_rate(self, sound: Sound, text: str) -> tuple[float, str]:
        """Of a sound that should say `text`; and what was understood instead. Blocks (a second)."""
        with wave.open(str(self._wav), "wb") as writer:
            writer.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
            writer.writeframes(sound.samples.tobytes())
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"wav": str(self._wav), "text": text}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return answer["errors"] / max(1, answer["words"]), answer["heard"]

    def expect(self, sound: Sound, text: str, *, speed: float = 1.0) -> None:
        """Fail unless the sound says the text, but for a tenth of its words, in the time that the
        native protocol takes for it at this speed, but for a tenth and what a codec adds.
        """
        rate, heard = self.word_error_rate(sound, text)
        usual_s = self._usual_s(text) / speed
        assert rate <= 0.1, f"{rate:.0%} of the words are wrong: {heard!r} instead of {text!r}"
        off_s = abs(sound.duration_s - usual_s)
        assert off_s <= 0.1 * usual_s + 0.1, f"{sound.duration_s:.2f} s, usually {usual_s:.2f} s"
        test = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0].rpartition("/")[2]
        stretch = sound.duration_s / usual_s
        self.figures.append(Heard(test, rate, sound.duration_s, stretch, sound.waited_s))


@contextmanager
def listening(usual_s: Callable[[str], float]) -> Iterator[Ear]:
    """An ear for as long as the block lasts. See `Ear`."""
    command = [str(PYTHON), "-m", "tests.interop.transcriber"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process,
    ):
        yield Ear(process, Path(folder), usual_s)
        assert process.stdin is not None
        process.stdin.close()
