"""Writes speech to sound files as it arrives.

A file is written to `.NAME.part` and renamed when it is complete: an existing file is replaced by a
complete one or not at all. After an exception (also one raised for Ctrl-C or SIGTERM) the file is
valid and holds what was written; an existing file is kept instead. After SIGKILL or a crash the
`.part` file is left:

* WAV: valid to the last sample written (each write updates the header).
* FLAC: plays to its last block of 0.2 s; its length is unknown, which some readers refuse.
* Ogg Vorbis, Opus: play to their last page, of 1 s (Opus) to some seconds (Vorbis).
* MP3: plays to its last frame; the length in its header is too short.
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
"""Format and subtype of `soundfile`, by file suffix."""

SYSTEM_ERROR = 2
"""The code of libsndfile for a failed write, such as on a full disk."""

_SAMPLE_BYTES = 2
_UNKNOWN_LENGTH = 0xFFFFFFFF  # of a WAV written to a pipe
_RIFF_HEADER = struct.Struct("<4sI4s4sIHHIIHH")
_CHUNK_HEADER = struct.Struct("<4sI")


def file_format(path: Path, format_: str | None = None) -> str:
    """Return the format of a file: `format_` if given, else by the suffix of its name.

    Raises `SinkFailed` for one that is not in `FILE_FORMATS`, or when the folder does not exist.
    """
    known = ", ".join(FILE_FORMATS)
    if format_ is not None and format_ not in FILE_FORMATS:
        raise SinkFailed(f"unknown file format {format_!r}; known are {known}")
    if format_ is None and path == STDOUT:
        raise SinkFailed(f"standard output needs a format: one of {known}")
    found = format_ or path.suffix.lower().removeprefix(".")
    if found not in FILE_FORMATS:
        raise SinkFailed(f"{path}: the name must end in one of {known}, or a format be given")
    if not os.path.isdir(path.parent):
        raise SinkFailed(f"{path}: the folder {path.parent} does not exist")
    return found


class FileSink:
    """A sound file, complete when the block ends; a failure leaves an existing file unchanged.

    `path` may be `-` for standard output. `comment` is stored in the file. `keep_partial`: whether
    a block that fails keeps what was written, if the file did not exist before. Raises what
    `file_format` raises.
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
        """Append mono 16-bit little-endian PCM; blocks while it is encoded (milliseconds).

        Raises `SinkFailed`.
        """
        if pcm:
            try:
                self._open_file().write(pcm)
            except (OSError, soundfile.SoundFileError) as error:
                raise SinkFailed(f"{self._path}: {_error_text(error)}") from error

    async def record(self, speech: AsyncIterable[Audio]) -> None:
        """Write a whole utterance. Raises what it raises, and `SinkFailed`."""
        async for audio in speech:
            self.write(audio.data)

    def close(self) -> None:
        """Complete the file. Safe to call twice."""
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
            self._open_file()  # also when there was no speech
            self.close()
        elif self._file is not None and not self._closed:
            self._closed = True
            self._file.close()
            self._target.abandon(keep=self._keep_partial)

    def _open_file(self) -> _SoundFile:
        if self._file is None:
            try:
                self._file = self._create_file()
            except (OSError, soundfile.SoundFileError) as error:
                raise SinkFailed(f"{self._path}: {_error_text(error)}") from error
        return self._file

    def _create_file(self) -> _SoundFile:
        path = self._target.write_path
        if self._format == "wav":
            return _WavFile(path, self._sample_rate_hz, self._comment)
        return _EncodedFile(path, self._sample_rate_hz, self._format, self._comment)


def _error_text(error: Exception) -> str:
    """The message without the file's name."""
    if isinstance(error, soundfile.LibsndfileError) and error.code == SYSTEM_ERROR:
        return "cannot be written; is the disk full?"  # libsndfile does not tell
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
    """A WAV that is valid after every write; in a pipe its length is the longest possible, and
    players read it to the end.

    libsndfile leaves the length at 0 until the file is closed.
    """

    def __init__(self, path: Path, sample_rate_hz: int, comment: str) -> None:
        to_stdout = path == STDOUT
        self._file = open(  # noqa: SIM115 - closed by `close`
            sys.stdout.fileno() if to_stdout else path, "wb", buffering=0, closefd=not to_stdout
        )
        self._rate_hz = sample_rate_hz
        self._limit_bytes = _UNKNOWN_LENGTH - 2 * _RIFF_HEADER.size - len(comment.encode())
        self._info = _info_chunk(comment) if comment else b""
        self._seekable = self._file.seekable() and not to_stdout
        self._written_bytes = 0
        self._file.write(self._header())

    def write(self, pcm: bytes) -> None:
        if self._seekable and self._written_bytes + len(pcm) > self._limit_bytes:
            raise OSError("a WAV cannot exceed 4 GiB (a day of speech); write .flac")
        rest = memoryview(pcm)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._written_bytes += len(pcm)
        if self._seekable:
            self._file.seek(0)
            self._file.write(self._header())
            self._file.seek(0, 2)

    def close(self) -> None:
        self._file.close()

    def _header(self) -> bytes:
        rate_hz, size = self._rate_hz, _RIFF_HEADER.size + len(self._info) + _CHUNK_HEADER.size
        data = self._written_bytes if self._seekable else _UNKNOWN_LENGTH - size
        # fmt: off
        riff = _RIFF_HEADER.pack(
            b"RIFF", size - _CHUNK_HEADER.size + data, b"WAVE",
            b"fmt ", 16, 1, 1, rate_hz, rate_hz * _SAMPLE_BYTES, _SAMPLE_BYTES, 8 * _SAMPLE_BYTES,
        )
        # fmt: on
        return riff + self._info + _CHUNK_HEADER.pack(b"data", data)


def _info_chunk(comment: str) -> bytes:
    text = comment.encode() + b"\0"
    text += b"\0" * (len(text) % 2)
    body = b"INFO" + _CHUNK_HEADER.pack(b"ICMT", len(text)) + text
    return _CHUNK_HEADER.pack(b"LIST", len(body)) + body
