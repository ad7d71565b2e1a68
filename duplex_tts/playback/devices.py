"""What a `Player` plays on: the sound device, or nothing, in real time. Programs: `programs`.

A device pulls blocks of mono 16-bit samples from a thread of its own, as it plays them.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from duplex_tts.errors import ClientError
from duplex_tts.playback.mixer import Pcm

Pull = Callable[[int, float, float], Pcm]
"""Of frames, the time (`time.monotonic`), and in how many seconds the first of them is heard."""

BLOCK_S = 0.01
LATENCY_S = 0.02  # asked of the sound device: short enough to fade out, long enough for Python
FADE_S = 0.025  # what is buffered longer than that is dropped, not faded, at a cancel
REMEDY = "or write a file: duplex-tts say -o hello.wav"
_PACKAGES = "libportaudio2, pulseaudio-utils, alsa-utils, ffmpeg"


class DeviceFailed(ClientError):
    """The speech could not be played."""

    code = "device_failed"


def no_sound() -> str:
    """That nothing here can play sound, and what to install."""
    if sys.platform.startswith("linux"):
        install = f"install one of {_PACKAGES} (Debian, Ubuntu: sudo apt install alsa-utils)"
    else:
        install = "install ffmpeg, or again: pip install --force-reinstall sounddevice"
    return f"nothing here can play sound: {install}, {REMEDY}"


class Device(ABC):
    """Plays what it pulls. `failure` is set when it stops by itself."""

    name: str
    audible = True
    """Whether somebody can hear it."""

    buffers_much = False
    """Whether a cancel has to `drop` what it pulled, to be heard in time."""

    failure: DeviceFailed | None = None

    @abstractmethod
    def open(self, sample_rate_hz: int, pull: Pull) -> None:
        """Begin to pull. Blocks for some 100 ms at most. Raises `DeviceFailed`."""

    def drop(self) -> None:  # noqa: B027 - most have nothing worth dropping
        """Forget what was pulled and is not heard yet. Returns at once."""

    @abstractmethod
    def close(self, *, drain: bool) -> None:
        """Stop; with `drain` once all that was pulled is heard. Blocks that long."""


class SoundDevice(Device):
    """The default sound device, through PortAudio by the module `sounddevice`."""

    name = "sounddevice"

    def open(self, sample_rate_hz: int, pull: Pull) -> None:
        """Begin to pull, from PortAudio's own thread."""
        try:
            # PortAudio is loaded by the import: it belongs where its absence can be answered.
            with _quiet():
                import sounddevice
        except (ImportError, OSError) as error:
            raise DeviceFailed(
                f"no PortAudio here ({error}); install libportaudio2, {REMEDY}"
            ) from error

        def play(block: Any, frames: int, times: Any, _status: object) -> None:
            delay_s = max(0.0, times.outputBufferDacTime - times.currentTime)
            block[:, 0] = pull(frames, time.monotonic(), delay_s)

        self._stopping = False
        try:
            shortest_s = sounddevice.query_devices(kind="output")["default_low_output_latency"]
            self._stream = sounddevice.OutputStream(
                samplerate=sample_rate_hz,
                channels=1,
                dtype="int16",
                latency=max(LATENCY_S, shortest_s),
                callback=play,
                finished_callback=self._finished,
            )
            self._stream.start()
        except sounddevice.PortAudioError as error:
            raise DeviceFailed(f"no sound device: {error}; {REMEDY}") from error
        self.buffers_much = self._stream.latency > FADE_S

    def drop(self) -> None:
        """Stop the stream, which forgets what it has, and start it again: some milliseconds."""
        self._stopping = True
        self._stream.abort()
        self._stopping = False
        self._stream.start()

    def close(self, *, drain: bool) -> None:
        """Stop; with `drain` once the device's buffer is heard."""
        self._stopping = True
        if drain and self.failure is None:
            self._stream.stop()
        else:
            self._stream.abort()
        self._stream.close()

    def _finished(self) -> None:
        if not self._stopping:
            self.failure = DeviceFailed(f"the sound device stopped; {REMEDY}")


@contextmanager
def _quiet() -> Iterator[None]:
    """PortAudio's search for devices writes pages about those it does not find: not to stderr."""
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


class ClockedDevice(Device):
    """Pulls a block every `BLOCK_S`, by the clock of this machine."""

    delay_s = BLOCK_S

    def open(self, sample_rate_hz: int, pull: Pull) -> None:
        """Begin to pull."""
        self._frames = round(sample_rate_hz * BLOCK_S)
        self._pull = pull
        self._closing = threading.Event()
        self._opened_s = self._due_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"sound to {self.name}", daemon=True)
        self._thread.start()

    def close(self, *, drain: bool) -> None:
        """Stop; what was pulled is heard `delay_s` later."""
        if drain:
            time.sleep(self.delay_s)
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._closing.wait(max(0.0, self._due_s - time.monotonic())):
                self._prepare()
                self._play(self._pull(self._frames, self._due_s, self.delay_s))
                self._due_s += BLOCK_S
        except DeviceFailed as failure:
            self.failure = failure

    def _prepare(self) -> None:
        """Make sure that the next block can be played."""

    @abstractmethod
    def _play(self, block: Pcm) -> None:
        """Take a block. Raises `DeviceFailed`."""


class NullDevice(ClockedDevice):
    """Nobody listens, but time passes. With `record` it keeps exactly what would be heard."""

    name = "null"
    audible = False

    def __init__(self, *, record: bool = False) -> None:
        self._record = record
        self._blocks: list[Pcm] = []

    def open(self, sample_rate_hz: int, pull: Pull) -> None:
        """Begin to pull."""
        self._rate_hz = sample_rate_hz
        super().open(sample_rate_hz, pull)

    def recording(self) -> Pcm:
        """All that was pulled since it was opened, shape (frames,), silence included."""
        return np.concatenate([np.zeros(0, np.int16), *self._blocks])

    def index_at(self, time_s: float) -> int:
        """Which sample of the recording was heard at `time_s` (`time.monotonic`)."""
        return round((time_s - self._opened_s - self.delay_s) * self._rate_hz)

    def _play(self, block: Pcm) -> None:
        if self._record:
            self._blocks.append(block)
