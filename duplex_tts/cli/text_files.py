"""Reads text from files, pipes and standard input, and checks that it is UTF-8."""

from __future__ import annotations

import codecs
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from duplex_tts.errors import ClientError
from duplex_tts.text_stream import Text

READ_BYTES = 65_536
_OTHER_MARKS = {
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
    codecs.BOM_UTF32_BE: "UTF-32",
}


class TextFailed(ClientError):
    """The text cannot be read, or is not text."""

    code = "bad_text"


@dataclass(frozen=True, slots=True)
class TextSource:
    """A text that may still be arriving; `length` in characters if known."""

    text: Text
    length: int | None = None
    empty: bool = False


def source_from_text(text: str) -> TextSource:
    """Wrap a complete text."""
    return TextSource(text, len(text), not text.strip())


def source_from_path(path: Path) -> TextSource:
    """Open a text file or a named pipe. Raises `TextFailed`."""
    try:
        if stat.S_ISDIR(path.stat().st_mode):
            raise TextFailed(f"{path} is a folder")
        # Not closed: a pipe is read while it is spoken.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        return source_from_descriptor(descriptor, str(path))
    except OSError as error:
        raise TextFailed(f"{path}: {error.strerror}") from error


def source_from_descriptor(descriptor: int, name: str = "standard input") -> TextSource:
    """Read a whole file, or wrap a pipe or terminal whose text is still arriving.

    Blocks while it reads a file. Raises `TextFailed`.
    """
    try:
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
    except OSError:  # closed
        return source_from_text("")
    if not is_file:
        return TextSource(iter_arriving(descriptor, name))
    try:
        with os.fdopen(os.dup(descriptor), "rb") as file:
            return source_from_text(decode_text(file.read(), name))
    except OSError as error:
        raise TextFailed(f"{name}: {error.strerror}") from error


def decode_text(raw: bytes, name: str) -> str:
    """Decode UTF-8, with or without a byte order mark; invalid bytes become U+FFFD.

    Raises `TextFailed` for UTF-16, UTF-32 and binary data.
    """
    check_encoding(raw, name)
    return raw.decode("utf-8-sig", errors="replace")


def check_encoding(raw: bytes, name: str) -> None:
    """Raise `TextFailed` if data begins like UTF-16, UTF-32 or binary data."""
    for mark, encoding in _OTHER_MARKS.items():
        if raw.startswith(mark):
            raise TextFailed(f"{name} is {encoding}; save it as UTF-8")
    if b"\0" in raw[:READ_BYTES]:
        raise TextFailed(f"{name} is not text: it has NUL bytes; save it as UTF-8")


def iter_arriving(descriptor: int, name: str = "standard input") -> Iterator[str]:
    """Yield text from a file descriptor as it arrives, without waiting for a line or a buffer.

    Blocks while there is none. Invalid bytes become U+FFFD. Raises `TextFailed` if it begins like
    something else than UTF-8 text.
    """
    decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
    chunk = _read_chunk(descriptor)
    check_encoding(chunk, name)
    while chunk:
        if text := decoder.decode(chunk):
            yield text
        chunk = _read_chunk(descriptor)
    if text := decoder.decode(b"", final=True):
        yield text


def _read_chunk(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, READ_BYTES)
    except OSError:  # closed, or its terminal is gone
        return b""
