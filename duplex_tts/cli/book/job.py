"""Renders the chapters of a book, several parts at once, and joins them.

The parts are lines of a batch, in a folder beside the book. The name of a part is the digest of its
text and parameters: a run that follows keeps all whose text has not changed, wherever they are now.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from duplex_tts.books.book import Book, BookFailed, Chapter, count_words
from duplex_tts.books.cover import convert_cover
from duplex_tts.books.m4b import (
    RATE_HZ,
    Audiobook,
    DamagedPart,
    SpokenChapter,
    measure_seconds,
    read_comment,
    write_m4b,
)
from duplex_tts.books.text_parts import split_parts
from duplex_tts.channel.context import Parameters
from duplex_tts.cli.batch.job import (
    BatchJob,
    BatchReport,
    read_signature,
    render_lines,
    select_missing,
)
from duplex_tts.cli.batch.lines import BatchLine
from duplex_tts.errors import NothingToSpeak
from duplex_tts.playback.file_target import part_path

FORMAT = "flac"
RETRIES = 2
_SIGNATURE = "duplex-tts "


@dataclass(frozen=True, slots=True)
class BookJob:
    """The chapters of a book to read into the file `out`, `at_once` parts at a time."""

    book: Book
    chapters: Sequence[Chapter]
    parameters: Parameters
    out: Path
    at_once: int

    @property
    def folder(self) -> Path:
        """Where the parts are until the book is complete."""
        return part_path(self.out).with_suffix(".parts")


class BookRendering:
    """A `BookJob` on its way. `words`: of all chapters; `words_left`: not rendered yet."""

    def __init__(self, job: BookJob) -> None:
        self._job = job
        self._chapters = [(chapter.title, self._create_lines(chapter)) for chapter in job.chapters]
        lines = {line.id: line for _, lines in self._chapters for line in lines}
        self._lines = list(lines.values())
        self._words = {line.id: count_words(line.text) for line in self._lines}
        self._missing: list[BatchLine] = []
        self.report = BatchReport()
        self.words = self.words_left = sum(self._words.values())

    def is_written(self) -> bool:
        """Whether the file of this very book exists."""
        return read_comment(self._job.out) == self._comment()

    def find_missing(self) -> int:
        """Find the parts to render; returns their number. Call it in the locked folder."""
        self._remove_damaged_parts()
        self._missing = select_missing(self._lines, self._job.folder, self.report)
        self.words_left = sum(self._words[line.id] for line in self._missing)
        self._raise_failures()
        return len(self._missing)

    async def render(self, url: str, key: str | None, on_change: Callable[[], None]) -> None:
        """Render the missing parts. Raises `BookFailed` and other `ClientError`s; what was rendered
        is kept. Cancel-safe.
        """

        def count_written(line: BatchLine) -> None:
            self.words_left -= self._words[line.id]
            on_change()

        at_once = min(self._job.at_once, len(self._missing))
        batch = BatchJob(
            self._missing, self._job.folder, at_once, RETRIES, on_written=count_written
        )
        await render_lines(url, key, batch, self.report)
        self._raise_failures()

    def measure_seconds(self) -> float:
        """How long the book lasts."""
        return measure_seconds(self._spoken_chapters())

    def write(self, on_progress: Callable[[float], None]) -> float:
        """Join the parts into the book; returns its seconds. Blocks.

        Raises `SinkFailed`, and `DamagedPart` after deleting it.
        """
        spoken = self._spoken_chapters()
        if not spoken:
            raise NothingToSpeak
        book = self._job.book
        audiobook = Audiobook(spoken, self._metadata(), book.language, book.cover)
        try:
            return write_m4b(audiobook, self._job.out, on_progress)
        except DamagedPart as error:
            error.path.unlink()
            raise

    def has_parts(self) -> bool:
        """Whether any part is complete."""
        return any(self._job.folder.glob(f"[!.]*.{FORMAT}"))

    def remove_parts(self) -> None:
        """Delete the folder of the parts."""
        shutil.rmtree(self._job.folder, ignore_errors=True)

    def _remove_damaged_parts(self) -> None:
        """Delete files without a signature, such as empty ones after a power failure."""
        for path in map(self._path_of, self._lines):
            if path.exists() and not read_signature(path).digest:
                path.unlink()

    def _create_lines(self, chapter: Chapter) -> list[BatchLine]:
        parameters = self._job.parameters.copy()
        parameters["sample_rate"] = RATE_HZ
        lines = []
        for part in split_parts(chapter.text):
            line = BatchLine(0, "", part, FORMAT, parameters)
            lines.append(replace(line, id=line.digest))
        return lines

    def _spoken_chapters(self) -> list[SpokenChapter]:
        """The chapters with sound; some parts have nothing to speak."""
        chapters = []
        for title, lines in self._chapters:
            paths = [path for path in map(self._path_of, lines) if path.exists()]
            if paths:
                chapters.append(SpokenChapter(title, paths))
        return chapters

    def _path_of(self, line: BatchLine) -> Path:
        return self._job.folder / line.file_name

    def _raise_failures(self) -> None:
        for failure in self.report.failures:
            if failure.code == NothingToSpeak.code:
                continue
            titles = [
                title
                for title, lines in self._chapters
                if any(line.id == failure.id for line in lines)
            ]
            raise BookFailed(failure.code, f"chapter {titles[0]!r}: {failure.why}")

    def _metadata(self) -> dict[str, str]:
        book = self._job.book
        metadata = {
            "title": book.title,
            "album": book.title,
            "artist": book.author,
            "album_artist": book.author,
            "date": book.year,
            "description": book.description,
            "comment": self._comment(),
        }
        return {name: value for name, value in metadata.items() if value}

    def _comment(self) -> str:
        """Identifies what the file was made of."""
        book = self._job.book
        chapters = [(title, [line.id for line in lines]) for title, lines in self._chapters]
        cover = hashlib.sha256(book.cover or b"").hexdigest()
        page = [book.title, book.author, book.language, book.year, book.description, cover]
        digest = hashlib.sha256(json.dumps([page, chapters]).encode()).hexdigest()
        return _SIGNATURE + digest[:16]


def prepare_cover(book: Book) -> tuple[Book, str]:
    """Convert the cover to JPEG; without one, and why, if it cannot be read."""
    if not book.cover:
        return replace(book, cover=None), ""
    try:
        return replace(book, cover=convert_cover(book.cover)), ""
    except BookFailed as error:
        return replace(book, cover=None), str(error)
