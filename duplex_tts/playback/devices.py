"""Devices that a `Player` plays on: the sound device, or none. See also `device_programs`.

A device pulls blocks of mono 16-bit samples from a thread of its own, in real time.
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
"""`pull(frames, now_s, delay_s)`: `now_s` is `time.monotonic`, the first frame is heard `delay_s`
later.
"""

BLOCK_S = 0.01
LATENCY_S = 0.02  # requested of the sound device: short enough to fade out, long enough for Python
FADE_S = 0.025  # a device with a longer buffer drops it at a cancel instead of fading out
REMEDY = "or write a file: duplex-tts say -o hello.wav"
_PACKAGES = "libportaudio2, pulseaudio-utils, alsa-utils, ffmpeg"


class DeviceFailed(ClientError):
    """The device could not be opened, or stopped playing."""

    code = "device_failed"


def no_sound_message() -> str:
    """Return the message that no device works, with what to install."""
    if sys.platform.startswith("linux"):
        install = f"install one of {_PACKAGES} (Debian, Ubuntu: sudo apt install alsa-utils)"
    else:
        install = "install ffmpeg, or run pip install --force-reinstall sounddevice"
    return f"no device can play sound: {install}, {REMEDY}"


class Device(ABC):
    """Plays the audio that it pulls. `failure` is set when it stops by itself."""

    name: str
    audible = True
    """Whether it makes sound."""

    needs_drop = False
    """Whether a cancel must call `drop`, because its buffer is too long to play out."""

    failure: DeviceFailed | None = None

    @abstractmethod
    def open(self, sample_rate_hz: int, pull: Pull) -> None:
        """Begin to pull. Blocks for about 100 ms at most. Raises `DeviceFailed`."""

    def drop(self) -> None:  # noqa: B027 - optional
        """Discard audio that was pulled and not heard yet. Returns at once."""

    @abstractmethod
    def close(self, *, drain: bool) -> None:
        """Stop; with `drain` block until all pulled audio was heard."""


class SoundDevice(Device):
    """The default sound device, through PortAudio (module `sounddevice`)."""

    name = "sounddevice"

    def open(self, sample_rate_hz: int, pull: Pull) -> None:
        """Begin to pull, from PortAudio's own thread."""
        try:
            # Imported here because the import loads PortAudio, which may be missing.
            with _silence_stderr():
                import sounddevice
        except (ImportError, OSError) as error:
            raise DeviceFailed(
                f"PortAudio is missing ({error}); install libportaudio2, {REMEDY}"
            ) from error

        def fill_block(block: Any, frames: int, times: Any, _status: object) -> None:
            delay_s = max(0.0, times.outputBufferDacTime - times.currentTime)
            block[:, 0] = pull(frames, time.monotonic(), delay_s)

        self._stopping = False
        try:
            lowest_s = sounddevice.query_devices(kind="output")["default_low_output_latency"]
            self._stream = sounddevice.OutputStream(
                samplerate=sample_rate_hz,
                channels=1,
                dtype="int16",
                latency=max(LATENCY_S, lowest_s),
                callback=fill_block,
                finished_callback=self._stream_finished,
            )
            self._stream.start()
        except sounddevice.PortAudioError as error:
            raise DeviceFailed(f"no sound device: {error}; {REMEDY}") from error
        self.needs_drop = self._stream.latency > FADE_S

    def drop(self) -> None:
        """Restart the stream, which empties its buffer; takes some milliseconds."""
        self._stopping = True
        self._stream.abort()
        self._stopping = False
        self._stream.start()

    def close(self, *, drain: bool) -> None:
        """Stop; with `drain` after the device's buffer was heard."""
        self._stopping = True
        if drain and self.failure is None:
            self._stream.stop()
        else:
            self._stream.abort()
        self._stream.close()

    def _stream_finished(self) -> None:
        if not self._stopping:
            self.failure = DeviceFailed(f"the sound device stopped; {REMEDY}")


@contextmanager
def _silence_stderr() -> Iterator[None]:
    """Discard the pages that PortAudio writes about devices it does not find."""
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


class ClockedDevice(Device):
    """Pulls a block every `BLOCK_S`, by the system clock."""

    delay_s = BLOCK_S

    def open(self, sample_rate_hz: int, pull: Pull) -> None:
        """Begin to pull."""
        self._frames = round(sample_rate_hz * BLOCK_S)
        self._pull = pull
        self._closing = threading.Event()
        self._opened_s = self._due_s = time.monotonic()
        name = f"duplex-tts-{self.name}"
        self._thread = threading.Thread(target=self._play_blocks, name=name, daemon=True)
        self._thread.start()

    def close(self, *, drain: bool) -> None:
        """Stop; with `drain` after `delay_s`, when all pulled audio was heard."""
        if drain:
            time.sleep(self.delay_s)
        self._closing.set()
        self._thread.join()

    def _play_blocks(self) -> None:
        try:
            while not self._closing.wait(max(0.0, self._due_s - time.monotonic())):
                self._prepare_block()
                self._play_block(self._pull(self._frames, self._due_s, self.delay_s))
                self._due_s += BLOCK_S
        except DeviceFailed as failure:
            self.failure = failure

    def _prepare_block(self) -> None:
        """Make sure that the next block can be played."""

    @abstractmethod
    def _play_block(self, block: Pcm) -> None:
        """Play a block. Raises `DeviceFailed`."""


class NullDevice(ClockedDevice):
    """Plays silently in real time. With `record` it keeps what would be heard."""

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
        """All samples pulled since it was opened, shape (frames,), with the silence."""
        return np.concatenate([np.zeros(0, np.int16), *self._blocks])

    def index_at(self, time_s: float) -> int:
        """Index of the recorded sample heard at `time_s` (`time.monotonic`)."""
        return round((time_s - self._opened_s - self.delay_s) * self._rate_hz)

    def _play_block(self, block: Pcm) -> None:
        if self._record:
            self._blocks.append(block)
