"""Speech into sound files, as it comes.

A file is written beside its place (`.NAME.part`) and put there when it is complete: one that was
there before is replaced by a whole one, or not at all. However a program ends, what it leaves is as
good as its format allows. After an exception, also after Ctrl-C or a kill (SIGTERM) that becomes
one, the file is valid and holds what was written, unless another one was there before: that one is
kept. After SIGKILL or a crash the part is left:

* WAV: valid, to the last sample written (its header is brought up to date with each write).
* FLAC: plays to its last block of 0.2 s; its length is unknown, which some readers refuse.
* Ogg Vorbis, Opus: play to their last page, of 1 s (Opus) to some seconds (Vorbis).
* MP3: plays to its last frame; the length it tells is too short.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import AsyncIterable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import soundfile

from duplex_tts.events import Audio
from duplex_tts.playback.file_target import STDOUT, FileTarget, SinkFailed

__all__ = ["FILE_FORMATS", "STDOUT", "FileSink", "SinkFailed", "file_format"]

FILE_FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
"""What `soundfile` calls them, by the suffix of a file's name."""

_SAMPLE_BYTES = 2
_ENDLESS = 0xFFFFFFFF  # a WAV whose length nobody knows yet
_RIFF_HEADER = struct.Struct("<4sI4s4sIHHIIHH")
_CHUNK_HEADER = struct.Struct("<4sI")


def file_format(path: Path, format_: str | None = None) -> str:
    """The format of a file: the one asked for, else what its name says.

    Raises `SinkFailed` for one that is not in `FILE_FORMATS`, or when the folder is not there.
    """
    known = ", ".join(FILE_FORMATS)
    if format_ is not None and format_ not in FILE_FORMATS:
        raise SinkFailed(f"no file format {format_!r}; there are {known}")
    if format_ is None and path == STDOUT:
        raise SinkFailed(f"to standard output, say in which format: one of {known}")
    found = format_ or path.suffix.lower().removeprefix(".")
    if found not in FILE_FORMATS:
        raise SinkFailed(f"{path}: the name must end in one of {known}, or the format be given")
    if not os.path.isdir(path.parent):
        raise SinkFailed(f"{path}: the folder {path.parent} does not exist")
    return found


class FileSink:
    """A sound file, there when the block ends; what fails leaves an old one alone.

    `path` may be `-` for standard output. `comment` is kept in the file. `keep_partial`: whether a
    block that fails leaves what was written, where no file was before. Raises what `file_format`
    raises.
    """

    def __init__(
        self,
        path: Path | str,
        sample_rate_hz: int,
        *,
        format: str | None = None,
        comment: str = "",
        keep_partial: bool = True,
    ) -> None:
        self._path = Path(path)
        self._format = file_format(self._path, format)
        self._sample_rate_hz = sample_rate_hz
        self._comment = comment
        self._keep_partial = keep_partial
        self._target = FileTarget(self._path)
        self._file: _SoundFile | None = None
        self._closed = False

    def write(self, pcm: bytes) -> None:
        """Append mono 16-bit little-endian PCM; blocks for the milliseconds that its encoder takes.

        Raises `SinkFailed`.
        """
        if pcm:
            try:
                self._open().write(pcm)
            except (OSError, soundfile.SoundFileError) as error:
                raise SinkFailed(f"{self._path}: {_words(error)}") from error

    async def record(self, speech: AsyncIterable[Audio]) -> None:
        """Write an utterance to its end. Raises what it raises, and `SinkFailed`."""
        async for audio in speech:
            self.write(audio.data)

    def close(self) -> None:
        """Complete the file: what was not written will not be. Harmless twice."""
        if self._file is not None and not self._closed:
            self._closed = True
            self._file.close()
            self._target.complete()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self._open()  # also when there was no speech
            self.close()
        elif self._file is not None and not self._closed:
            self._closed = True
            self._file.close()
            self._target.abandon(keep=self._keep_partial)

    def _open(self) -> _SoundFile:
        if self._file is None:
            try:
                self._file = self._made()
            except (OSError, soundfile.SoundFileError) as error:
                raise SinkFailed(f"{self._path}: {_words(error)}") from error
        return self._file

    def _made(self) -> _SoundFile:
        if self._format == "wav":
            return _WavFile(self._target.written_at, self._sample_rate_hz, self._comment)
        return _EncodedFile(
            self._target.written_at, self._sample_rate_hz, self._format, self._comment
        )


def _words(error: Exception) -> str:
    """Without the file's name, which is said already."""
    if isinstance(error, soundfile.LibsndfileError):
        return str(error.error_string)
    return str(getattr(error, "strerror", None) or error)


class _SoundFile(Protocol):
    def write(self, pcm: bytes) -> None: ...
    def close(self) -> None: ...


class _EncodedFile:
    def __init__(self, path: Path, sample_rate_hz: int, format_: str, comment: str) -> None:
        major, subtype = FILE_FORMATS[format_]
        target = sys.stdout.fileno() if path == STDOUT else path
        self._file = soundfile.SoundFile(
            target, "w", sample_rate_hz, 1, subtype, format=major, closefd=path != STDOUT
        )
        if comment:
            self._file.comment = comment

    def write(self, pcm: bytes) -> None:
        self._file.buffer_write(pcm, dtype="int16")

    def close(self) -> None:
        self._file.close()


class _WavFile:
    """A WAV that is valid after every write, unless it goes into a pipe: then its length is told
    as the longest possible, which players read to the end.

    libsndfile leaves its length at 0 until it is closed.
    """

    def __init__(self, path: Path, sample_rate_hz: int, comment: str) -> None:
        to_stdout = path == STDOUT
        self._file = open(  # noqa: SIM115 - closed by `close`
            sys.stdout.fileno() if to_stdout else path, "wb", buffering=0, closefd=not to_stdout
        )
        self._rate_hz = sample_rate_hz
        self._limit = _ENDLESS - 2 * _RIFF_HEADER.size - len(comment.encode())
        self._note = _info_chunk(comment) if comment else b""
        self._seekable = self._file.seekable() and not to_stdout
        self._written = 0
        self._file.write(self._header())

    def write(self, pcm: bytes) -> None:
        if self._seekable and self._written + len(pcm) > self._limit:
            raise OSError("a WAV ends at 4 GiB, after a day of speech; write .flac")
        rest = memoryview(pcm)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._written += len(pcm)
        if self._seekable:
            self._file.seek(0)
            self._file.write(self._header())
            self._file.seek(0, 2)

    def close(self) -> None:
        self._file.close()

    def _header(self) -> bytes:
        rate_hz, size = self._rate_hz, _RIFF_HEADER.size + len(self._note) + _CHUNK_HEADER.size
        data = self._written if self._seekable else _ENDLESS - size
        # fmt: off
        riff = _RIFF_HEADER.pack(
            b"RIFF", size - _CHUNK_HEADER.size + data, b"WAVE",
            b"fmt ", 16, 1, 1, rate_hz, rate_hz * _SAMPLE_BYTES, _SAMPLE_BYTES, 8 * _SAMPLE_BYTES,
        )
        # fmt: on
        return riff + self._note + _CHUNK_HEADER.pack(b"data", data)


def _info_chunk(comment: str) -> bytes:
    text = comment.encode() + b"\0"
    text += b"\0" * (len(text) % 2)
    body = b"INFO" + _CHUNK_HEADER.pack(b"ICMT", len(text)) + text
    return _CHUNK_HEADER.pack(b"LIST", len(body)) + body
