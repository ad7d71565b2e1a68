"""Writes a file to a temporary path and renames it when complete, so that no failure destroys an
existing file.

Devices, pipes and standard output are written directly.
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
_NAME_BYTES = 240  # limit of file systems, less the prefix and suffix added here
_PROBE_BYTES = 4096  # a disk without this much space counts as full
_DEVICES = Path("/dev")


class SinkFailed(ClientError):
    """The file could not be written."""

    code = "sink_failed"


def part_path(path: Path) -> Path:
    """Return the path at which a file is written before it is complete."""
    name = path.name.encode()[:_NAME_BYTES].decode(errors="ignore")
    return path.with_name(f".{name}.part")


class FileTarget:
    """The path of a file to write. `write_path`: where to write it until it is complete."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._real_path = Path(os.path.realpath(path))  # keeps a symbolic link
        self._direct = _is_direct(path)
        self.write_path = path if self._direct else part_path(self._real_path)

    def check_writable(self) -> None:
        """Raise `SinkFailed` if the file cannot be written; an existing file is not changed."""
        try:
            if self._direct:
                self._check_device()
            else:
                self._check_file()
        except OSError as error:
            raise SinkFailed(f"{self._path}: {error.strerror or error}") from error

    def complete(self) -> None:
        """Rename the complete file to its path. Raises `SinkFailed`."""
        if self._direct:
            return
        try:
            with suppress(FileNotFoundError):
                shutil.copymode(self._real_path, self.write_path)
            os.replace(self.write_path, self._real_path)
        except OSError as error:
            self.write_path.unlink(missing_ok=True)
            raise SinkFailed(f"{self._path}: {error.strerror or error}") from error

    def abandon(self, *, keep: bool) -> None:
        """Delete the incomplete file; with `keep` rename it, unless a file exists at the path."""
        if self._direct:
            return
        if keep and not os.path.exists(self._real_path):
            self.complete()
        else:
            self.write_path.unlink(missing_ok=True)

    def _check_device(self) -> None:
        if self._path == STDOUT:
            if sys.stdout is None:
                raise SinkFailed("standard output is closed")
            os.write(sys.stdout.fileno(), b"")
            return
        mode = self._path.stat().st_mode
        if not (stat.S_ISCHR(mode) or stat.S_ISFIFO(mode) or stat.S_ISREG(mode)):
            raise SinkFailed(f"{self._path} is neither a file nor a device that takes sound")
        if stat.S_ISCHR(mode):  # opening a pipe would wait for its reader
            descriptor = os.open(self._path, os.O_WRONLY | getattr(os, "O_NOCTTY", 0))
            try:
                os.write(descriptor, b"")  # fails on /dev/full
            finally:
                os.close(descriptor)
        elif not os.access(self._path, os.W_OK):
            raise SinkFailed(f"{self._path}: permission denied")

    def _check_file(self) -> None:
        with suppress(FileNotFoundError):
            self._real_path.stat()  # fails for a name too long, unlike the shortened part path
        if os.path.isdir(self._real_path):
            raise SinkFailed(f"{self._path} is a folder; give a file name")
        if os.path.exists(self._real_path) and not os.access(self._real_path, os.W_OK):
            raise SinkFailed(f"{self._path}: permission denied")
        try:
            self.write_path.write_bytes(bytes(_PROBE_BYTES))
        finally:
            with suppress(OSError):
                self.write_path.unlink()


def _is_direct(path: Path) -> bool:
    if path == STDOUT or _DEVICES in path.absolute().parents:
        return True
    # `os.path`, because `Path`'s methods raise for a name that is too long.
    return os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path))
