"""`duplex-tts batch`: options, progress, what failed."""

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
from duplex_tts.cli.batch_job import Job, Report, keep_complete, render
from duplex_tts.cli.batch_lines import Line, read_lines
from duplex_tts.cli.shared_options import (
    FAILED,
    Key,
    Language,
    Seed,
    Speed,
    Url,
    Voice,
    Volume,
    answering,
    complain,
    server_at_hand,
    stderr,
)
from duplex_tts.cli.text_files import check_encoding
from duplex_tts.errors import ClientError
from duplex_tts.sinks import FILE_FORMATS
from duplex_tts.wording import counted

STDIN = Path("-")
MOST_JOBS = 64
SHOWN_FAILURES = 50
_LOCK = ".batch.lock"


class BatchFailed(ClientError):
    """The batch cannot be done, whatever its lines are."""


def batch(  # noqa: PLR0913 - a parameter is an option
    texts: Annotated[Path, typer.Argument(help="JSON lines; - is standard input.")],
    out: Annotated[
        Path, typer.Argument(help="The folder of the files; made when it is not there.")
    ],
    format_: Annotated[
        str, typer.Option("--format", help=f"Of the files: {', '.join(FILE_FORMATS)}.")
    ] = "wav",
    jobs: Annotated[
        int, typer.Option("-j", "--jobs", min=1, max=MOST_JOBS, help="How many lines at a time.")
    ] = 4,
    retry: Annotated[
        int, typer.Option(min=0, help="How often a line that failed is tried again.")
    ] = 0,
    voice: Voice = None,
    speed: Speed = None,
    seed: Seed = None,
    language: Language = None,
    volume: Volume = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Render many texts into files: one JSON object a line, one file for each.

    ```
    {"id": "welcome", "text": "Welcome aboard."}
    {"text": "Mind the gap.", "voice": "heart", "speed": 1.2, "seed": 7, "format": "flac"}
    ```

    `duplex-tts batch texts.jsonl out/` writes `out/welcome.wav` and `out/00002.flac`: an `id` is
    the file's name, else the line's number. A line may also have `language`, `volume` and
    `sample_rate`;
    what it does not say, the options do.

    Stop it and start it again as you like: a file that is there is complete and is not rendered
    again, unless its line has changed. Lines that failed are listed at the end; the exit code is 1
    then.
    """
    report = Report()
    with answering() as interruption:
        if format_ not in FILE_FORMATS:
            known = ", ".join(FILE_FORMATS)
            raise typer.BadParameter(f"there are {known}", param_hint="--format")
        defaults = Parameters(voice=voice, speed=speed, seed=seed, language=language, volume=volume)
        lines = _read(texts, format_, defaults, report)
        with _alone_in(out):
            missing = keep_complete(lines, out, report)
            try:
                if missing:
                    with server_at_hand(url) as address, _bar(report, len(lines)) as told:
                        job = Job(missing, out, min(jobs, len(missing)), retry, told)
                        interruption.run(render(address, key, job, report))
            finally:
                _conclude(report, out, stopped=interruption.number is not None)
    if report.failures:
        raise typer.Exit(FAILED)


def _read(texts: Path, format_: str, defaults: Parameters, report: Report) -> list[Line]:
    try:
        raw = sys.stdin.buffer.read() if texts == STDIN else texts.read_bytes()
    except OSError as error:
        raise BatchFailed(f"{texts}: {error.strerror}") from error
    check_encoding(raw, "standard input" if texts == STDIN else str(texts))
    lines = []
    for found in read_lines(raw.split(b"\n"), format_, defaults):
        if isinstance(found, Line):
            lines.append(found)
        else:
            report.failures.append(found)
    return lines


@contextmanager
def _alone_in(out: Path) -> Iterator[None]:
    """Two batches in one folder would do the same work twice."""
    lock = FileLock(out / _LOCK, timeout=0)
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise BatchFailed(f"another batch is writing into {out}") from None
    except OSError as error:
        why = "it is no folder" if out.exists() and not out.is_dir() else error.strerror
        raise BatchFailed(f"{out}: {why}") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _bar(report: Report, total: int) -> Iterator[Callable[[], None]]:
    """A progress bar on a terminal; yields what moves it."""
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speech]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        task = bar.add_task("", total=total, speech="")

        def told() -> None:
            done = report.kept + report.written + len(report.failures)
            bar.update(task, completed=done, speech=f"{report.audio_s:.0f} s of speech")

        told()
        yield told


def _conclude(report: Report, out: Path, *, stopped: bool) -> None:
    failures = sorted(report.failures, key=lambda failure: failure.number)
    for failure in failures[:SHOWN_FAILURES]:
        name = f" ({failure.id})" if failure.id else ""
        complain(f"line {failure.number}{name}: {failure.why}")
    if len(failures) > SHOWN_FAILURES:
        complain(f"and {counted(len(failures) - SHOWN_FAILURES, 'more line')}")
    parts = [f"{report.written} written", f"{report.audio_s:.1f} s of speech", str(out)]
    if report.kept:
        parts.insert(1, f"{report.kept} {'was' if report.kept == 1 else 'were'} there")
    if failures:
        parts.insert(1, f"{len(failures)} failed")
    if stopped:
        parts.insert(0, "stopped")
    stderr.print(" · ".join(parts), soft_wrap=True)
