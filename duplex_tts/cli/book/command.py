"""The `book` command: its options, its list of chapters and its summary."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from duplex_tts.books.book import MOST_COVER_BYTES, Book, BookFailed, estimate_seconds
from duplex_tts.books.chapter_choice import choose_chapters
from duplex_tts.books.m4b import SUFFIXES
from duplex_tts.books.reader import read_book
from duplex_tts.channel.context import Parameters
from duplex_tts.cli.batch.command import MOST_JOBS, lock_folder
from duplex_tts.cli.book.job import BookJob, BookRendering, prepare_cover
from duplex_tts.cli.book.progress import BookProgress, show_progress
from duplex_tts.cli.book.voice import choose_language, fetch_voices
from duplex_tts.cli.interrupts import Interruption
from duplex_tts.cli.shared_options import (
    Key,
    Language,
    Seed,
    Speed,
    Url,
    Voice,
    Volume,
    ensure_server,
    print_error,
    reporting_errors,
    stderr,
)
from duplex_tts.playback.file_target import FileTarget
from duplex_tts.wording import count_noun, format_duration


def book(  # noqa: PLR0913 - a parameter is an option
    source: Annotated[Path, typer.Argument(help="The book: .epub, .md or .txt.")],
    out: Annotated[
        Path | None,
        typer.Argument(help="The audiobook, .m4b; default: beside the book, by its name."),
    ] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="List the chapters and how long they are; no speech.")
    ] = False,
    chapters: Annotated[
        str | None,
        typer.Option(metavar="NUMBERS", help="Read only these, such as 3-7,9 (see --list)."),
    ] = None,
    title: Annotated[str | None, typer.Option(help="Default: the book's.")] = None,
    author: Annotated[str | None, typer.Option(help="Default: the book's.")] = None,
    cover: Annotated[
        Path | None, typer.Option(help="An image file (JPEG, PNG, WebP); default: the book's.")
    ] = None,
    jobs: Annotated[
        int, typer.Option("-j", "--jobs", min=1, max=MOST_JOBS, help="Parts rendered at once.")
    ] = 4,
    keep_parts: Annotated[
        bool,
        typer.Option(
            "--keep-parts",
            help="Keep the sound of each part beside the audiobook (in .NAME.m4b.parts, 100 MB an "
            "hour): after a change of the text only changed parts are rendered.",
        ),
    ] = False,
    voice: Voice = None,
    speed: Speed = None,
    seed: Seed = None,
    language: Language = None,
    volume: Volume = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Make an audiobook of a book: chapters, cover, title and author are the book's.

    ```
    duplex-tts book novel.epub --list    # what is read, and how long it is
    duplex-tts book novel.epub           # writes novel.m4b
    duplex-tts book novel.epub out.m4b --chapters 3-7 --voice heart
    duplex-tts book notes.md --author "Jo Li" --cover cover.png
    ```

    Chapters are those of an EPUB's table of contents, the headings of Markdown, and lines such as
    "Chapter 3" of a text. Covers, copyright pages, tables of contents, footnotes and page numbers
    are not read. You can stop it and run it again at any time: what was rendered is kept.
    """
    with reporting_errors() as interruption:
        read = _with_options(read_book(source), title, author, cover)
        if list_:
            _print_chapters(read, speed)
            return
        chosen = choose_chapters(read.chapters, chapters)
        out = _check_out(out or source.with_suffix(".m4b"))
        read, problem = prepare_cover(read)
        if problem:
            print_error(f"no cover: {problem}")
        parameters = Parameters(
            voice=voice, speed=speed, seed=seed, language=language, volume=volume
        )
        job = BookJob(read, chosen, parameters, out, jobs)
        with _prepared_job(job, url, key) as (address, ready):
            _make_book(interruption, ready, address, key, keep_parts=keep_parts)


def _with_options(read: Book, title: str | None, author: str | None, cover: Path | None) -> Book:
    if title is not None:
        read = replace(read, title=title)
    if author is not None:
        read = replace(read, author=author)
    if cover is None:
        return read
    try:
        with cover.open("rb") as file:
            image = file.read(MOST_COVER_BYTES + 1)
    except OSError as error:
        raise typer.BadParameter(f"{cover}: {error.strerror}", param_hint="--cover") from error
    if len(image) > MOST_COVER_BYTES:
        message = f"{cover} has more than {MOST_COVER_BYTES // 2**20} MB"
        raise typer.BadParameter(message, param_hint="--cover")
    return replace(read, cover=image)


def _check_out(out: Path) -> Path:
    if out.suffix.lower() not in SUFFIXES:
        raise BookFailed("bad_output", f"{out}: an audiobook ends in {' or '.join(SUFFIXES)}")
    if not out.parent.is_dir():
        raise BookFailed("bad_output", f"{out}: the folder {out.parent} does not exist")
    FileTarget(out).check_writable()
    return out


def _print_chapters(read: Book, speed: float | None) -> None:
    """Print all chapters, with the numbers for `--chapters`."""
    by = f" by {read.author}" if read.author else ""
    in_language = f" ({read.language})" if read.language else ""
    table = Table(
        "",
        "chapter",
        "words",
        "time",
        "",
        box=None,
        title_justify="left",
        title=f"{read.title}{by}{in_language}",
        title_style="bold",
    )
    table.columns[2].justify = table.columns[3].justify = "right"
    words = 0
    for number, chapter in enumerate(read.chapters, 1):
        left_out = f"left out: {chapter.left_out}" if chapter.left_out else ""
        words += 0 if left_out else chapter.words
        length = format_duration(estimate_seconds(chapter.words, speed))
        cells = [str(number), chapter.title, f"{chapter.words:,}", length, left_out]
        table.add_row(*map(Text, cells), style="dim" if left_out else "")
    table.add_section()
    table.add_row("", "read", f"{words:,}", format_duration(estimate_seconds(words, speed)), "")
    Console(highlight=False, soft_wrap=True).print(table)


@contextmanager
def _prepared_job(job: BookJob, url: str | None, key: str | None) -> Iterator[tuple[str, BookJob]]:
    """Find or start a server, and a language that it speaks."""
    with ensure_server(url) as address:
        if job.parameters.get("language") is None and job.book.language:
            voices = fetch_voices(address, key)
            language = choose_language(voices, job.parameters.get("voice"), job.book.language)
            job = replace(job, parameters={**job.parameters, "language": language})
        yield address, job


def _make_book(
    interruption: Interruption, job: BookJob, address: str, key: str | None, *, keep_parts: bool
) -> None:
    rendering = BookRendering(job)
    if rendering.is_written():
        stderr.print(f"{job.out} is complete: nothing has changed", soft_wrap=True, markup=False)
        return
    with lock_folder(job.folder):
        try:
            _render(interruption, rendering, address, key)
            seconds = _write(rendering)
        except BaseException:
            if rendering.has_parts():
                left = f"{rendering.words_left:,} of {rendering.words:,} words left"
                stderr.print(f"what was rendered is kept: run it again to continue ({left})")
            raise
    if not keep_parts:
        rendering.remove_parts()
    parts = [count_noun(len(job.chapters), "chapter"), f"{format_duration(seconds)} of speech"]
    stderr.print(" · ".join([*parts, str(job.out)]), soft_wrap=True, markup=False)


def _render(
    interruption: Interruption, rendering: BookRendering, address: str, key: str | None
) -> None:
    if not rendering.find_missing():
        return
    done = rendering.words - rendering.words_left
    progress = BookProgress(rendering.words, done, "words")
    with show_progress(progress) as update:
        work = rendering.render(
            address, key, lambda: update(rendering.words - rendering.words_left)
        )
        interruption.run_coroutine(work)


def _write(rendering: BookRendering) -> float:
    progress = BookProgress(rendering.measure_seconds(), 0, "s written")
    with show_progress(progress) as update:
        return rendering.write(update)
