"""Renders many texts to files, several at once, and continues where a former run stopped.

A file with its final name is complete, because it is renamed at the end. Its comment holds a digest
of its line, so that a changed line is rendered again and foreign files are not overwritten, and the
formats of the subtitles that belong to it. No other state is kept.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import soundfile

from duplex_tts.channel.progress_timeout import NO_PROGRESS
from duplex_tts.cli.batch.lines import BatchLine, LineFailure
from duplex_tts.errors import ClientError, ConnectionLost, NothingToSpeak, Refused
from duplex_tts.options import Options
from duplex_tts.playback.file_target import part_path
from duplex_tts.session import Session
from duplex_tts.sinks import SYSTEM_ERROR, FileSink
from duplex_tts.subtitles import SUBTITLE_FORMATS, SubtitleFiles

SESSION_JOBS = 8  # texts at once on one session: a server allows 10
_SIGNATURE = "duplex-tts"


@dataclass(slots=True)
class BatchReport:
    """The results of a batch; updated while it runs, so that an interrupted one can be reported.

    `kept`: lines whose file existed. `audio_s`: duration of the speech rendered.
    """

    kept: int = 0
    written: int = 0
    audio_s: float = 0.0
    failures: list[LineFailure] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class BatchJob:
    """Render `lines` into the folder `out`, `at_once` at a time, each failed one `retries` times
    more. `on_change` is called when the report has changed, `on_written` with a line that is
    complete. `subtitles`: formats of the subtitle files to write for each.
    """

    lines: Sequence[BatchLine]
    out: Path
    at_once: int
    retries: int = 0
    on_change: Callable[[], None] = lambda: None
    subtitles: Sequence[str] = ()
    on_written: Callable[[BatchLine], None] = lambda _line: None


def select_missing(
    lines: Sequence[BatchLine], out: Path, report: BatchReport, subtitles: Sequence[str] = ()
) -> list[BatchLine]:
    """Return the lines that have no file yet, the file of another text, or not these `subtitles`.

    Lines whose file is not from a batch are reported as failures; the file is not overwritten.
    """
    missing = []
    for line in lines:
        path = out / line.file_name
        part_path(path).unlink(missing_ok=True)  # left by a killed run
        for format_ in SUBTITLE_FORMATS:
            part_path(line.subtitle_path(out, format_)).unlink(missing_ok=True)
        if not path.exists():
            missing.append(line)
            continue
        signature = read_signature(path)
        if not signature.digest:
            why = f"{path} exists and is not from a batch: move it away, or use another id"
            report.failures.append(LineFailure(line.number, line.id, why))
        elif signature.digest == line.digest and all(
            format_ in signature.subtitles and line.subtitle_path(out, format_).exists()
            for format_ in subtitles
        ):
            report.kept += 1
        else:
            missing.append(line)
    return missing


async def render_lines(url: str, key: str | None, job: BatchJob, report: BatchReport) -> None:
    """Render the lines of the job. Raises `ClientError` when the server cannot be reached.

    Cancel-safe: incomplete files are deleted.
    """
    pending = deque((line, job.retries) for line in job.lines)
    sessions_needed = -(-job.at_once // SESSION_JOBS)
    options = Options(max_in_flight=SESSION_JOBS)
    async with AsyncExitStack() as stack:
        sessions = [
            await stack.enter_async_context(Session.connect(url, key, options))
            for _ in range(sessions_needed)
        ]
        try:
            async with asyncio.TaskGroup() as tasks:
                for number in range(job.at_once):
                    session = sessions[number % sessions_needed]
                    tasks.create_task(_render_pending(session, pending, job, report))
        except* ClientError as group:  # all have the same cause
            raise group.exceptions[0] from None


async def _render_pending(
    session: Session, pending: deque[tuple[BatchLine, int]], job: BatchJob, report: BatchReport
) -> None:
    while pending:
        line, retries = pending.popleft()
        try:
            audio_s = await _render_line(session, line, job)
            report.audio_s += audio_s
            report.written += 1
            job.on_written(line)
        except ClientError as error:
            if _is_fatal(error):
                raise
            if retries and not isinstance(error, NothingToSpeak):
                pending.append((line, retries - 1))  # last, because the cause may be temporary
            else:
                report.failures.append(LineFailure(line.number, line.id, str(error), error.code))
        job.on_change()


def _is_fatal(error: ClientError) -> bool:
    """Whether all other lines would fail, too: the server is gone or stuck, the disk is full."""
    lost = isinstance(error, ConnectionLost | Refused) or error.code == NO_PROGRESS
    cause = error.__cause__
    # A format's own errors, such as a rate that it does not support, are those of one line.
    failed_write = isinstance(cause, soundfile.LibsndfileError) and cause.code == SYSTEM_ERROR
    return lost or failed_write or isinstance(cause, OSError)


async def _render_line(session: Session, line: BatchLine, job: BatchJob) -> float:
    """Render a line to its files. Returns the seconds of speech."""
    path = job.out / line.file_name
    subtitles = SubtitleFiles([line.subtitle_path(job.out, each) for each in job.subtitles])
    rate_hz = line.parameters.get("sample_rate") or session.ready.sample_rate
    parameters = line.parameters.copy()
    parameters["mode"] = "batch"
    utterance = session.speak(line.text, **parameters)
    comment = str(Signature(line.digest, tuple(job.subtitles)))
    try:
        with FileSink(
            path, rate_hz, format=line.format, comment=comment, keep_partial=False
        ) as sink:
            await sink.record(utterance)
            if not utterance.audio_ms:
                raise NothingToSpeak
            subtitles.write(utterance.text, utterance.words, utterance.audio_ms)
            _remove_subtitles(line, path, job.out)
        subtitles.complete()
    finally:
        utterance.cancel()
        subtitles.abandon()
    return utterance.audio_ms / 1000


def _remove_subtitles(line: BatchLine, path: Path, out: Path) -> None:
    """Delete the subtitles of the sound file that is about to be replaced."""
    for format_ in read_signature(path).subtitles:
        line.subtitle_path(out, format_).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Signature:
    """What the comment of a sound file from a batch says; the digest is empty for other files."""

    digest: str = ""
    subtitles: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join([_SIGNATURE, self.digest, *self.subtitles])


def read_signature(path: Path) -> Signature:
    """Read the comment of a sound file."""
    try:
        with soundfile.SoundFile(path) as file:
            words = str(file.comment).split()
    except (OSError, soundfile.SoundFileError):
        return Signature()
    if len(words) < 2 or words[0] != _SIGNATURE:
        return Signature()
    return Signature(words[1], tuple(words[2:]))
