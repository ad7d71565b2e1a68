"""Reads files from a ZIP archive, within limits."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from pathlib import Path
from types import TracebackType
from typing import Self

from duplex_tts.books.book import MOST_BYTES, BookFailed

MOST_FILES = 50_000
_ENCRYPTED = 0x1  # flag of a ZIP member
_DAMAGES = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    *(EOFError, NotImplementedError, OSError),
)


class Archive:
    """A ZIP archive of untrusted origin; all files read together have `MOST_BYTES` at most."""

    def __init__(self, path: Path) -> None:
        """Raises `BookFailed` if it is not a ZIP archive, or has too many files."""
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise BookFailed("bad_book", f"{path} is not an EPUB, or damaged: {error}") from error
        except OSError as error:
            raise BookFailed("unreadable", f"{path}: {error.strerror or error}") from error
        self._path = path
        self._left_bytes = MOST_BYTES
        infos = self._zip.infolist()
        if len(infos) > MOST_FILES:
            self._zip.close()
            raise BookFailed("book_too_large", f"{path} has more than {MOST_FILES:,} files")
        self._infos = {info.filename: info for info in infos}
        self._by_folded_name = {info.filename.casefold(): info for info in infos}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._zip.close()

    def find(self, name: str) -> zipfile.ZipInfo | None:
        """Return the file of this name, if need be with other capitals."""
        return self._infos.get(name) or self._by_folded_name.get(name.casefold())

    def read(self, name: str) -> bytes | None:
        """Return the content of a file; None if there is none. Raises `BookFailed`."""
        info = self.find(name)
        if info is None:
            return None
        if info.flag_bits & _ENCRYPTED:
            raise BookFailed("encrypted_book", f"{self._path} is protected by a password")
        try:
            with self._zip.open(info) as file:  # its declared size may be wrong
                content = file.read(self._left_bytes + 1)
        except _DAMAGES as error:
            raise BookFailed("bad_book", f"{self._path}: {name} is damaged: {error}") from error
        self._left_bytes -= len(content)
        if self._left_bytes < 0:
            size = f"{MOST_BYTES // 2**20} MB"
            raise BookFailed("book_too_large", f"{self._path} holds more than {size} of text")
        return content
