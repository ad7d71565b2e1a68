"""Renders many texts to files, several at once, and continues where a former run stopped.

A file with its final name is complete, because it is renamed at the end. Its comment holds a digest
of its line, so that a changed line is rendered again and foreign files are not overwritten. No
other state is kept.
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
from duplex_tts.cli.batch_lines import BatchLine, LineFailure
from duplex_tts.errors import ClientError, ConnectionLost, NothingToSpeak, Refused
from duplex_tts.options import Options
from duplex_tts.playback.file_target import part_path
from duplex_tts.session import Session
from duplex_tts.sinks import FileSink

SESSION_JOBS = 8  # texts at once on one session: a server allows 10
_SIGNATURE = "duplex-tts "


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
    more. `on_change` is called when the report has changed.
    """

    lines: Sequence[BatchLine]
    out: Path
    at_once: int
    retries: int = 0
    on_change: Callable[[], None] = lambda: None


def select_missing(lines: Sequence[BatchLine], out: Path, report: BatchReport) -> list[BatchLine]:
    """Return the lines that have no file yet, or the file of another text.

    Lines whose file is not from a batch are reported as failures; the file is not overwritten.
    """
    missing = []
    for line in lines:
        path = out / line.file_name
        part_path(path).unlink(missing_ok=True)  # left by a killed run
        if not path.exists():
            missing.append(line)
        elif (digest := _read_digest(path)) == line.digest:
            report.kept += 1
        elif digest:
            missing.append(line)
        else:
            why = f"{path} exists and is not from a batch: move it away, or use another id"
            report.failures.append(LineFailure(line.number, line.id, why))
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
            audio_s = await _render_line(session, line, job.out / line.file_name)
            report.audio_s += audio_s
            report.written += 1
        except ClientError as error:
            if _is_fatal(error):
                raise
            if retries and not isinstance(error, NothingToSpeak):
                pending.append((line, retries - 1))  # last, because the cause may be temporary
            else:
                report.failures.append(LineFailure(line.number, line.id, str(error)))
        job.on_change()


def _is_fatal(error: ClientError) -> bool:
    """Whether all other lines would fail, too: the server is gone or stuck, the disk is full."""
    lost = isinstance(error, ConnectionLost | Refused) or error.code == NO_PROGRESS
    return lost or isinstance(error.__cause__, OSError)


async def _render_line(session: Session, line: BatchLine, path: Path) -> float:
    """Render a line to its file. Returns the seconds of speech."""
    rate_hz = line.parameters.get("sample_rate") or session.ready.sample_rate
    parameters = line.parameters.copy()
    parameters["mode"] = "batch"
    utterance = session.speak(line.text, **parameters)
    try:
        comment = _SIGNATURE + line.digest
        with FileSink(
            path, rate_hz, format=line.format, comment=comment, keep_partial=False
        ) as sink:
            await sink.record(utterance)
            if not utterance.audio_ms:
                raise NothingToSpeak
    finally:
        utterance.cancel()
    return utterance.audio_ms / 1000


def _read_digest(path: Path) -> str:
    """Return the digest in a file's comment; empty if it is not from a batch."""
    try:
        with soundfile.SoundFile(path) as file:
            comment = str(file.comment)
    except (OSError, soundfile.SoundFileError):
        return ""
    return comment.removeprefix(_SIGNATURE) if comment.startswith(_SIGNATURE) else ""
