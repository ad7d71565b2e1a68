"""Text out of files: where it comes from, how much it is, and that it is text."""

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
    """What should be text cannot be read, or is none."""

    code = "bad_text"


@dataclass(frozen=True, slots=True)
class Source:
    """A text as it comes, and how many characters it will be, where that is known."""

    text: Text
    length: int | None = None
    empty: bool = False


def source_of(text: str) -> Source:
    """Text that is there already."""
    return Source(text, len(text), not text.strip())


def source_at(path: Path) -> Source:
    """The text of a file, or what comes out of a pipe of that name. Raises `TextFailed`."""
    try:
        if stat.S_ISDIR(path.stat().st_mode):
            raise TextFailed(f"{path} is a folder")
        # It stays open: a pipe is read while it is spoken.
        return source_in(os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0)), str(path))
    except OSError as error:
        raise TextFailed(f"{path}: {error.strerror}") from error


def source_in(descriptor: int, name: str = "standard input") -> Source:
    """The text behind a file descriptor: all of a file, what arrives of anything else.

    Blocks while it reads a file. Raises `TextFailed`.
    """
    try:
        whole = stat.S_ISREG(os.fstat(descriptor).st_mode)
    except OSError:  # closed: no text comes
        return source_of("")
    if not whole:
        return Source(arriving(descriptor, name))
    try:
        with os.fdopen(os.dup(descriptor), "rb") as file:
            return source_of(decoded(file.read(), name))
    except OSError as error:
        raise TextFailed(f"{name}: {error.strerror}") from error


def decoded(raw: bytes, name: str) -> str:
    """Text of UTF-8, with or without a byte order mark; bytes that are none become U+FFFD.

    Raises `TextFailed` for what is no text in UTF-8 at all.
    """
    check_encoding(raw, name)
    return raw.decode("utf-8-sig", errors="replace")


def check_encoding(raw: bytes, name: str) -> None:
    """Look at the beginning of what should be text. Raises `TextFailed`."""
    for mark, encoding in _OTHER_MARKS.items():
        if raw.startswith(mark):
            raise TextFailed(f"{name} is {encoding}; save it as UTF-8")
    if b"\0" in raw[:READ_BYTES]:
        raise TextFailed(f"{name} is no text: it has NUL bytes; save it as UTF-8")


def arriving(descriptor: int, name: str = "standard input") -> Iterator[str]:
    """Text from a file descriptor, as it arrives: no line, no word and no buffer is waited for.

    Blocks while there is none. Bytes that are no UTF-8 become U+FFFD. Raises `TextFailed` for what
    begins as no text.
    """
    decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
    chunk = _read(descriptor)
    check_encoding(chunk, name)
    while chunk:
        if text := decoder.decode(chunk):
            yield text
        chunk = _read(descriptor)
    if text := decoder.decode(b"", final=True):
        yield text


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, READ_BYTES)
    except OSError:  # closed, or its terminal is gone: no more text comes
        return b""
