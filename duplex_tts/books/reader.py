"""Reads a book by the suffix of its name."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from duplex_tts.books.book import MOST_BYTES, Book, BookFailed
from duplex_tts.books.epub import read_epub
from duplex_tts.books.plain_text import read_markdown, read_text

_MARKDOWN = frozenset({".md", ".markdown", ".mdown"})
_TEXT = frozenset({".txt", ".text", ""})
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_OTHER = "a book is .epub, .md or .txt; Calibre converts others: ebook-convert book{} book.epub"


def read_book(path: Path) -> Book:
    """Read an EPUB, Markdown or text file. Raises `BookFailed`; blocks while it reads."""
    return _clean_titles(_read_by_suffix(path))


def _read_by_suffix(path: Path) -> Book:
    suffix = path.suffix.lower()
    if suffix not in {".epub", *_MARKDOWN, *_TEXT}:
        raise BookFailed("unsupported_book", f"{path}: {_OTHER.format(suffix)}")
    if path.is_dir():
        raise BookFailed("unreadable", f"{path} is a folder")
    if suffix == ".epub":
        return read_epub(path)
    text = _read_text_file(path)
    return read_markdown(path, text) if suffix in _MARKDOWN else read_text(path, text)


def _clean_titles(book: Book) -> Book:
    """Without control characters, which would reach the terminal and the player."""
    return replace(
        book,
        title=_CONTROLS.sub(" ", book.title).strip(),
        author=_CONTROLS.sub(" ", book.author).strip(),
        language=_CONTROLS.sub("", book.language),
        chapters=tuple(
            replace(chapter, title=_CONTROLS.sub(" ", chapter.title).strip())
            for chapter in book.chapters
        ),
    )


def _read_text_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise BookFailed("unreadable", f"{path}: {error.strerror or error}") from error
    if len(raw) > MOST_BYTES:
        raise BookFailed("book_too_large", f"{path} has more than {MOST_BYTES // 2**20} MB")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", errors="replace")
    if b"\0" in raw:
        raise BookFailed("bad_book", f"{path} is not text: it has NUL bytes")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")  # old text files
