"""The lexicon files in a folder: reads those that have changed, writes them in one step. Blocks.

`lexicon.txt` is for all voices, `voices/NAME.txt` for one; `dictionaries/ID.txt` for contexts that
ask for it.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import structlog

from backend.errors import BadLexicon
from backend.text.reading.lexicon import Lexicon
from backend.text.reading.lexicon_text import LARGEST_BYTES, BadLine, parse_lexicon

log = structlog.get_logger(__name__)

SERVER = "lexicon"
VOICES = "voices"
DICTIONARIES = "dictionaries"
MOST_FILES = 1000  # per folder
_SUFFIX = ".txt"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_HEADING = re.compile(r"#\s*(name|description|created):\s*(.*)")


@dataclass(frozen=True, slots=True)
class LexiconFile:
    """A file as it was read. `headings`: the values of its first lines, `# name: ...`. `version`
    changes with the content.
    """

    lexicon: Lexicon
    bad_lines: tuple[BadLine, ...] = ()
    headings: Mapping[str, str] = field(default_factory=dict)
    version: str = ""
    stamp: tuple[int, ...] = ()


NO_FILE = LexiconFile(Lexicon())


def check_name(name: str) -> str:
    """The name of a voice or a dictionary, if it can name a file. Raises `BadLexicon`."""
    if not _NAME.fullmatch(name):
        raise BadLexicon(f"{name[:40]!r} cannot name a lexicon: expected letters, digits, - and _")
    return name


class LexiconPlace(Protocol):
    """Where lexicons are kept. The methods block and raise `BadLexicon`, `StoreUnavailable`."""

    def read_changed(self, known: Mapping[str, LexiconFile]) -> dict[str, LexiconFile]:
        """All lexicons by key; those of `known` that have not changed are not read again. Raises
        `OSError`, too.
        """

    def edit(self, key: str, edit: Callable[[str], str]) -> LexiconFile:
        """Replace a text by what `edit` makes of it (of "" if there is none); it may be called
        again if another server was faster.
        """

    def delete(self, key: str) -> None:
        """Delete a lexicon, if it is there."""


@dataclass(frozen=True, slots=True)
class LexiconFolder:
    """See `LexiconPlace`: a folder of this server."""

    path: Path

    def read_changed(self, known: Mapping[str, LexiconFile]) -> dict[str, LexiconFile]:
        """See `LexiconPlace`."""
        return read_changed(self.path, known)

    def edit(self, key: str, edit: Callable[[str], str]) -> LexiconFile:
        """See `LexiconPlace`."""
        return write_text(self.path, key, edit(read_text(self.path, key)))

    def delete(self, key: str) -> None:
        """See `LexiconPlace`."""
        delete_file(self.path, key)


def read_changed(folder: Path, known: Mapping[str, LexiconFile]) -> dict[str, LexiconFile]:
    """All files by key (`lexicon`, `voices/NAME`, `dictionaries/ID`); those of `known` that have
    not changed are not read again. Bad lines are logged.
    """
    files = {}
    for key, path in _find_files(folder):
        try:
            stamp = _stamp(path)
            old = known.get(key)
            files[key] = old if old and old.stamp == stamp else _read_file(path, stamp)
        except OSError as error:
            if key in known:  # keeps what was read, until the file is gone
                files[key] = known[key]
            else:
                log.warning("lexicon.unreadable", file=str(path), why=error.strerror)
    return files


def read_text(folder: Path, key: str) -> str:
    """The text of a file; empty if there is none. Raises `BadLexicon` if it cannot be read."""
    path = _path(folder, key)
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise BadLexicon(f"cannot read {path}: {error}") from error


def write_text(folder: Path, key: str, text: str) -> LexiconFile:
    """Replace a file in one step, and read it. Raises `BadLexicon`."""
    path = _path(folder, key)
    check_size(text)
    part = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", newline="\n", dir=path.parent, suffix=".part", delete=False
        ) as file:
            part = Path(file.name)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
        part.replace(path)
        return _read_file(path, _stamp(path))
    except OSError as error:
        if part is not None:
            part.unlink(missing_ok=True)
        raise BadLexicon(f"cannot write {path}: {error.strerror}") from error


def check_size(text: str) -> None:
    """Raises `BadLexicon` if the text is too large."""
    if len(text.encode()) > LARGEST_BYTES:
        raise BadLexicon(f"a lexicon has at most {LARGEST_BYTES >> 20} MiB; remove unused entries")


def delete_file(folder: Path, key: str) -> None:
    """Delete a file, if it is there. Raises `BadLexicon`."""
    try:
        _path(folder, key).unlink(missing_ok=True)
    except OSError as error:
        raise BadLexicon(f"cannot delete {error.filename}: {error.strerror}") from error


def _path(folder: Path, key: str) -> Path:
    return folder / f"{key}{_SUFFIX}"


def _find_files(folder: Path) -> Iterator[tuple[str, Path]]:
    if (server := _path(folder, SERVER)).is_file():
        yield SERVER, server
    for group in (VOICES, DICTIONARIES):
        with suppress(FileNotFoundError, NotADirectoryError):
            names = sorted(name for name in os.listdir(folder / group) if name.endswith(_SUFFIX))
            for name in names[:MOST_FILES]:
                if _NAME.fullmatch(stem := name.removesuffix(_SUFFIX)):
                    yield f"{group}/{stem}", folder / group / name


def _stamp(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read_file(path: Path, stamp: tuple[int, ...]) -> LexiconFile:
    with path.open("rb") as file:
        return parse_file(file.read(LARGEST_BYTES + 1), str(path), stamp)


def parse_file(raw: bytes, where: str, stamp: tuple[int, ...]) -> LexiconFile:
    """A lexicon of the bytes of its file. `where`: for the log, which has its bad lines."""
    try:
        if len(raw) > LARGEST_BYTES:
            raise BadLexicon(f"more than {LARGEST_BYTES >> 20} MiB; nothing of it is read")
        text = raw.decode("utf-8-sig")
        entries, bad = parse_lexicon(text)
    except UnicodeDecodeError as error:
        number = raw[: error.start].count(b"\n") + 1
        text, entries, bad = "", [], [BadLine(number, "not UTF-8; nothing of the file is read")]
    except BadLexicon as error:
        text, entries, bad = "", [], [BadLine(1, error.message)]
    for line in bad[:20]:
        log.warning("lexicon.bad_line", file=where, line=line.number, why=line.why)
    headings = {}
    for heading in text.splitlines()[:10]:
        if match := _HEADING.match(heading):
            headings[match[1]] = match[2].strip()
    version = hashlib.sha256(raw).hexdigest()[:20]
    return LexiconFile(Lexicon(entries), tuple(bad), headings, version, stamp)
