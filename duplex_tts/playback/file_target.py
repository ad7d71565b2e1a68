"""Where a file is written: beside its place until it is complete. So no failure destroys one.

Devices, pipes and standard output are written as they are.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from contextlib import suppress
from pathlib import Path

from duplex_tts.errors import ClientError

STDOUT = Path("-")
_NAME_BYTES = 240  # what file systems take, less what is put around it
_ROOM_BYTES = 4096  # a disk without that much is full
_DEVICES = Path("/dev")


class SinkFailed(ClientError):
    """The speech could not be written."""

    code = "sink_failed"


def part_of(path: Path) -> Path:
    """Where a file is written before it is complete."""
    name = path.name.encode()[:_NAME_BYTES].decode(errors="ignore")
    return path.with_name(f".{name}.part")


class FileTarget:
    """The place of a file. `written_at`: where to write it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._place = Path(os.path.realpath(path))  # a link stays one
        self._direct = _is_direct(path)
        self.written_at = path if self._direct else part_of(self._place)

    def check(self) -> None:
        """Raise `SinkFailed` for what cannot be written; what is there stays as it is."""
        try:
            if self._direct:
                self._check_device()
            else:
                self._check_place()
        except OSError as error:
            raise SinkFailed(f"{self._path}: {error.strerror or error}") from error

    def complete(self) -> None:
        """The file is complete: put it into its place. Raises `SinkFailed`."""
        if self._direct:
            return
        try:
            with suppress(FileNotFoundError):
                shutil.copymode(self._place, self.written_at)
            os.replace(self.written_at, self._place)
        except OSError as error:
            self.written_at.unlink(missing_ok=True)
            raise SinkFailed(f"{self._path}: {error.strerror or error}") from error

    def abandon(self, *, keep: bool) -> None:
        """It will not be complete: `keep` what there is, unless that would destroy another file."""
        if self._direct:
            return
        if keep and not os.path.exists(self._place):
            self.complete()
        else:
            self.written_at.unlink(missing_ok=True)

    def _check_device(self) -> None:
        if self._path == STDOUT:
            if sys.stdout is None:
                raise SinkFailed("standard output is closed")
            os.write(sys.stdout.fileno(), b"")
            return
        mode = self._path.stat().st_mode
        if not (stat.S_ISCHR(mode) or stat.S_ISFIFO(mode) or stat.S_ISREG(mode)):
            raise SinkFailed(f"{self._path} is no file, and nothing that takes sound")
        if stat.S_ISCHR(mode):  # to open a pipe would wait for who reads it
            descriptor = os.open(self._path, os.O_WRONLY | getattr(os, "O_NOCTTY", 0))
            try:
                os.write(descriptor, b"")  # /dev/full refuses even that
            finally:
                os.close(descriptor)
        elif not os.access(self._path, os.W_OK):
            raise SinkFailed(f"{self._path}: you may not write it")

    def _check_place(self) -> None:
        with suppress(FileNotFoundError):
            self._place.stat()  # the name of the part may be shorter, and say nothing
        if os.path.isdir(self._place):
            raise SinkFailed(f"{self._path} is a folder; give it a file's name")
        if os.path.exists(self._place) and not os.access(self._place, os.W_OK):
            raise SinkFailed(f"{self._path}: you may not write it")
        try:
            self.written_at.write_bytes(bytes(_ROOM_BYTES))
        finally:
            with suppress(OSError):
                self.written_at.unlink()


def _is_direct(path: Path) -> bool:
    if path == STDOUT or _DEVICES in path.absolute().parents:
        return True
    # Not those of `Path`, which raise for a name that is too long.
    return os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path))
