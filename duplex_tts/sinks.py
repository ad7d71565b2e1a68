"""Where speech goes: a sound file, the sound device, or a player program.

Each takes mono 16-bit little-endian PCM as it comes, and is an asynchronous context manager: after
an exception, a file keeps what it has and a player is silent at once.
"""

from __future__ import annotations

import asyncio
import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import soundfile

from duplex_tts.errors import ClientError

FILE_FORMATS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
_SLICE_S = 0.05  # of blocking playback: how long an interruption may have to wait
_SAMPLE_BYTES = 2

# Wheels of sounddevice bring PortAudio on macOS and Windows; on Linux these are what people have.
# Their buffers are kept short: a player waits for a full one before its first sound.
_PLAYERS: dict[str, list[str]] = {
    "paplay": ["--raw", "--format=s16le", "--rate={rate}", "--channels=1", "--latency-msec=50"],
    "aplay": [
        *("-q", "-t", "raw", "-f", "S16_LE", "-r", "{rate}", "-c", "1"),
        "--buffer-time=100000",
    ],
    "ffplay": [
        *("-nodisp", "-autoexit", "-loglevel", "error", "-probesize", "32", "-f", "s16le"),
        *("-ar", "{rate}", "-i", "pipe:0"),
    ],
}
_REMEDY = "write a file instead: -o hello.wav"


class SinkFailed(ClientError):
    """The speech could not be written or played."""


class Sink(ABC):
    """Takes speech."""

    audible: bool
    """Whether somebody listens while it is written."""

    @abstractmethod
    async def write(self, pcm: bytes) -> None:
        """Take more; may wait until there is room. Raises `SinkFailed`."""

    @abstractmethod
    async def finish(self) -> None:
        """Wait until all of it is written or heard. Raises `SinkFailed`."""

    @abstractmethod
    async def close(self) -> None:
        """Let go at once; what was not heard will not be."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                await self.finish()
        finally:
            await self.close()


def check_name(path: Path) -> None:
    """Raise `SinkFailed` for a suffix not in `FILE_FORMATS`, or when the folder is not there."""
    if path.suffix.lower() not in FILE_FORMATS:
        raise SinkFailed(f"{path}: the name must end in one of {', '.join(FILE_FORMATS)}")
    if not path.parent.is_dir():
        raise SinkFailed(f"{path}: the folder {path.parent} does not exist")


class FileSink(Sink):
    """A sound file, its format by its suffix; made when the first speech comes.

    Raises what `check_name` raises.
    """

    audible = False

    def __init__(self, path: Path, sample_rate_hz: int) -> None:
        check_name(path)
        self._path = path
        self._sample_rate_hz = sample_rate_hz
        self._file: soundfile.SoundFile | None = None

    async def write(self, pcm: bytes) -> None:
        """Append; blocks for the milliseconds that its encoder takes."""
        try:
            self._open().buffer_write(pcm, dtype="int16")
        except soundfile.SoundFileError as error:
            raise SinkFailed(f"{self._path}: {error}") from error

    async def finish(self) -> None:
        """Make the file also when there was no speech."""
        self._open()

    async def close(self) -> None:
        """Complete the file's headers: it is valid from here on."""
        if self._file is not None:
            self._file.close()

    def _open(self) -> soundfile.SoundFile:
        if self._file is None:
            format_, subtype = FILE_FORMATS[self._path.suffix.lower()]
            try:
                self._file = soundfile.SoundFile(
                    self._path, "w", self._sample_rate_hz, 1, subtype, format=format_
                )
            except (OSError, soundfile.SoundFileError) as error:
                raise SinkFailed(f"{self._path}: {error}") from error
        return self._file


class DeviceSink(Sink):
    """The default sound device, by the module `sounddevice`. Raises `SinkFailed`: there is none."""

    audible = True

    def __init__(self, sounddevice: Any, sample_rate_hz: int) -> None:
        self._slice_bytes = int(sample_rate_hz * _SLICE_S) * _SAMPLE_BYTES
        self._error: type[Exception] = sounddevice.PortAudioError
        try:
            self._stream = sounddevice.RawOutputStream(
                samplerate=sample_rate_hz, channels=1, dtype="int16"
            )
            self._stream.start()
        except self._error as error:
            raise SinkFailed(f"no sound device: {error}; {_REMEDY}") from error

    async def write(self, pcm: bytes) -> None:
        """Play; waits for room in the device's buffer, in a thread."""
        try:
            for start in range(0, len(pcm), self._slice_bytes):
                await asyncio.to_thread(self._stream.write, pcm[start : start + self._slice_bytes])
        except self._error as error:
            raise SinkFailed(f"the sound device failed: {error}; {_REMEDY}") from error

    async def finish(self) -> None:
        """Wait until the device's buffer is heard."""
        await asyncio.to_thread(self._stream.stop)

    async def close(self) -> None:
        """Drop what the device has not played."""
        self._stream.abort()
        self._stream.close()


class PlayerSink(Sink):
    """A program that plays raw PCM from its standard input."""

    audible = True

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        self._name = name
        self._process = process
        self._pipe = process.stdin

    async def write(self, pcm: bytes) -> None:
        """Hand over; waits while the program's pipe is full."""
        try:
            self._pipe.write(pcm)
            await self._pipe.drain()
        except ConnectionError:
            await self.finish()

    async def finish(self) -> None:
        """Wait until the program has played all and left."""
        self._pipe.close()
        if code := await self._process.wait():
            raise SinkFailed(f"{self._name} could not play (exit code {code}); {_REMEDY}")

    async def close(self) -> None:
        """Silence it."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


async def open_player(sample_rate_hz: int) -> Sink:
    """The sound device, or else a player program. Raises `SinkFailed` when there is neither."""
    try:
        # PortAudio is loaded by the import: it belongs where its absence can be answered.
        import sounddevice
    except (ImportError, OSError):
        return await _open_program(sample_rate_hz)
    try:
        return DeviceSink(sounddevice, sample_rate_hz)
    except SinkFailed:
        return await _open_program(sample_rate_hz)


async def _open_program(sample_rate_hz: int) -> Sink:
    for name, arguments in _PLAYERS.items():
        if program := shutil.which(name):
            process = await asyncio.create_subprocess_exec(
                program,
                *(argument.format(rate=sample_rate_hz) for argument in arguments),
                stdin=asyncio.subprocess.PIPE,
            )
            return PlayerSink(name, process)
    raise SinkFailed(
        f"nothing here can play sound (no PortAudio, none of {', '.join(_PLAYERS)}); {_REMEDY}"
    )
