"""The `batch` command: its options, progress bar and summary."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from filelock import FileLock, Timeout
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from duplex_tts.channel.context import Parameters
from duplex_tts.cli.batch.job import BatchJob, BatchReport, render_lines, select_missing
from duplex_tts.cli.batch.lines import BatchLine, parse_lines
from duplex_tts.cli.shared_options import (
    FAILED,
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
from duplex_tts.cli.subtitle_options import parse_subtitle_formats
from duplex_tts.cli.text_files import check_encoding
from duplex_tts.errors import ClientError
from duplex_tts.sinks import FILE_FORMATS
from duplex_tts.wording import count_noun

STDIN = Path("-")
MOST_JOBS = 64
SHOWN_FAILURES = 50
_LOCK = ".batch.lock"


class BatchFailed(ClientError):
    """The batch cannot run at all."""


def batch(  # noqa: PLR0913 - a parameter is an option
    texts: Annotated[
        Path, typer.Argument(help="File of JSON objects, one per line; - for standard input.")
    ],
    out: Annotated[Path, typer.Argument(help="Folder for the files; created if missing.")],
    format_: Annotated[
        str, typer.Option("--format", help=f"Format of the files: {', '.join(FILE_FORMATS)}.")
    ] = "wav",
    jobs: Annotated[
        int, typer.Option("-j", "--jobs", min=1, max=MOST_JOBS, help="Lines rendered at once.")
    ] = 4,
    subtitles: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FORMATS",
            help="Also write subtitles or word times beside each file: srt, vtt, json, several "
            "with commas.",
        ),
    ] = None,
    retry: Annotated[int, typer.Option(min=0, help="Retries of a failed line.")] = 0,
    voice: Voice = None,
    speed: Speed = None,
    seed: Seed = None,
    language: Language = None,
    volume: Volume = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Render many texts to files: one JSON object per line of input, one file each.

    ```
    {"id": "welcome", "text": "Welcome aboard."}
    {"text": "Mind the gap.", "voice": "heart", "speed": 1.2, "seed": 7, "format": "flac"}
    ```

    `duplex-tts batch texts.jsonl out/` writes `out/welcome.wav` and `out/00002.flac`: files are
    named by `id`, or by the line's number. A line may also have `language`, `volume` and
    `sample_rate`. With `--subtitles srt,json` there are `welcome.srt` and `welcome.json`, too.
    The options below apply to lines that do not set them.

    You can stop it and run it again at any time: complete files are kept, and rendered again only
    if their line has changed. Failed lines are listed at the end, and the exit code is 1.
    """
    report = BatchReport()
    with reporting_errors() as interruption:
        if format_ not in FILE_FORMATS:
            known = ", ".join(FILE_FORMATS)
            raise typer.BadParameter(f"expected one of {known}", param_hint="--format")
        subtitle_formats = parse_subtitle_formats(subtitles or [])
        defaults = Parameters(voice=voice, speed=speed, seed=seed, language=language, volume=volume)
        lines = _read_batch(texts, format_, defaults, report)
        with lock_folder(out):
            missing = select_missing(lines, out, report, subtitle_formats)
            try:
                if missing:
                    with (
                        ensure_server(url) as address,
                        _progress_bar(report, len(lines)) as update_bar,
                    ):
                        at_once = min(jobs, len(missing))
                        job = BatchJob(missing, out, at_once, retry, update_bar, subtitle_formats)
                        interruption.run_coroutine(render_lines(address, key, job, report))
            finally:
                stopped = interruption.signal_number is not None
                _print_summary(report, out, stopped=stopped)
    if report.failures:
        raise typer.Exit(FAILED)


def _read_batch(
    texts: Path, format_: str, defaults: Parameters, report: BatchReport
) -> list[BatchLine]:
    try:
        raw = sys.stdin.buffer.read() if texts == STDIN else texts.read_bytes()
    except OSError as error:
        raise BatchFailed(f"{texts}: {error.strerror}") from error
    check_encoding(raw, "standard input" if texts == STDIN else str(texts))
    lines = []
    for parsed in parse_lines(raw.split(b"\n"), format_, defaults):
        if isinstance(parsed, BatchLine):
            lines.append(parsed)
        else:
            report.failures.append(parsed)
    return lines


@contextmanager
def lock_folder(out: Path) -> Iterator[None]:
    """Prevent two batches in one folder, which would do the same work twice."""
    lock = FileLock(out / _LOCK, timeout=0)
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise BatchFailed(f"another batch is writing into {out}") from None
    except OSError as error:
        why = "it is not a folder" if out.exists() and not out.is_dir() else error.strerror
        raise BatchFailed(f"{out}: {why}") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _progress_bar(report: BatchReport, total: int) -> Iterator[Callable[[], None]]:
    """Show a progress bar on a terminal; yields the function that updates it."""
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speech]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        task = bar.add_task("", total=total, speech="")

        def update() -> None:
            done = report.kept + report.written + len(report.failures)
            bar.update(task, completed=done, speech=f"{report.audio_s:.0f} s of speech")

        update()
        yield update


def _print_summary(report: BatchReport, out: Path, *, stopped: bool) -> None:
    failures = sorted(report.failures, key=lambda failure: failure.number)
    for failure in failures[:SHOWN_FAILURES]:
        name = f" ({failure.id})" if failure.id else ""
        print_error(f"line {failure.number}{name}: {failure.why}")
    if len(failures) > SHOWN_FAILURES:
        print_error(f"and {count_noun(len(failures) - SHOWN_FAILURES, 'more line')}")
    parts = [f"{report.written} written", f"{report.audio_s:.1f} s of speech", str(out)]
    if report.kept:
        parts.insert(1, f"{report.kept} kept")
    if failures:
        parts.insert(1, f"{len(failures)} failed")
    if stopped:
        parts.insert(0, "stopped")
    stderr.print(" · ".join(parts), soft_wrap=True)
