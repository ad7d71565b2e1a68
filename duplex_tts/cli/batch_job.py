"""Many texts into many files: N at a time, and where it stopped it goes on.

A file that is there under its name is complete: it is written beside it first. It says in its
comment what it speaks, so that a line that was changed is spoken again, and what somebody else has
put there is left alone. No other account is kept.
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
from duplex_tts.cli.batch_lines import Failure, Line
from duplex_tts.errors import ClientError, ConnectionLost, NothingToSpeak, Refused
from duplex_tts.options import Options
from duplex_tts.playback.file_target import part_of
from duplex_tts.session import Session
from duplex_tts.sinks import FileSink

SESSION_JOBS = 8  # texts at a time on one session: a server takes 10
_SIGNATURE = "duplex-tts "


@dataclass(slots=True)
class Report:
    """How a batch goes; filled on the way, so that an interruption can be reported too.

    `kept`: lines whose file was there. `audio_s`: speech that was rendered.
    """

    kept: int = 0
    written: int = 0
    audio_s: float = 0.0
    failures: list[Failure] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be done: `lines` into the folder `out`, `at_once` of them, failed ones `retries`
    times more. `told` is called whenever the report has changed.
    """

    lines: Sequence[Line]
    out: Path
    at_once: int
    retries: int = 0
    told: Callable[[], None] = lambda: None


def keep_complete(lines: Sequence[Line], out: Path, report: Report) -> list[Line]:
    """The lines that have no file yet, or that of another text.

    Files that are not of a batch are failures: they are not written over.
    """
    missing = []
    for line in lines:
        path = out / line.file_name
        part_of(path).unlink(missing_ok=True)  # of a run that was killed
        if not path.exists():
            missing.append(line)
        elif (digest := _digest(path)) == line.digest:
            report.kept += 1
        elif digest:
            missing.append(line)
        else:
            why = f"{path} is there, and not from a batch: move it away, or take another id"
            report.failures.append(Failure(line.number, line.id, why))
    return missing


async def render(url: str, key: str | None, job: Job, report: Report) -> None:
    """Speak the lines of the job. Raises `ClientError` when there is no server (any more).

    Cancel-safe: files that are not complete are removed.
    """
    waiting = deque((line, job.retries) for line in job.lines)
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
                    tasks.create_task(_work(session, waiting, job, report))
        except* ClientError as group:  # one is enough: they lose the same server
            raise group.exceptions[0] from None


async def _work(
    session: Session, waiting: deque[tuple[Line, int]], job: Job, report: Report
) -> None:
    while waiting:
        line, retries = waiting.popleft()
        try:
            audio_s = await _speak(session, line, job.out / line.file_name)
            report.audio_s += audio_s
            report.written += 1
        except ClientError as error:
            if _hopeless(error):
                raise
            if retries and not isinstance(error, NothingToSpeak):
                waiting.append((line, retries - 1))  # behind the others: the trouble may pass
            else:
                report.failures.append(Failure(line.number, line.id, str(error)))
        job.told()


def _hopeless(error: ClientError) -> bool:
    """Whether no other line would fare better: the server is gone or mute, the disk is full."""
    lost = isinstance(error, ConnectionLost | Refused) or error.code == NO_PROGRESS
    return lost or isinstance(error.__cause__, OSError)


async def _speak(session: Session, line: Line, path: Path) -> float:
    """Render a line into its file. Returns the seconds of speech."""
    rate_hz = line.parameters.get("sample_rate") or session.ready.sample_rate
    parameters = line.parameters.copy()
    parameters["mode"] = "batch"  # nobody listens: whole sentences
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


def _digest(path: Path) -> str:
    """What a file of a batch speaks; empty for other files."""
    try:
        with soundfile.SoundFile(path) as file:
            comment = str(file.comment)
    except (OSError, soundfile.SoundFileError):
        return ""
    return comment.removeprefix(_SIGNATURE) if comment.startswith(_SIGNATURE) else ""
