"""The `say` command: its options, progress line and summary."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live
from rich.text import Text

from duplex_tts.channel.context import Parameters
from duplex_tts.cli.say_job import SayJob, SayReport, say_aloud, say_to_file
from duplex_tts.cli.shared_options import (
    AUTO,
    DeviceName,
    Key,
    Language,
    Seed,
    Speed,
    Ssml,
    Url,
    Voice,
    Volume,
    device_from_name,
    ensure_server,
    reporting_errors,
    stderr,
)
from duplex_tts.cli.subtitle_options import find_subtitle_paths
from duplex_tts.cli.text_files import (
    TextFailed,
    TextSource,
    source_from_descriptor,
    source_from_path,
    source_from_text,
)
from duplex_tts.errors import NothingToSpeak
from duplex_tts.events import Word
from duplex_tts.playback.file_target import STDOUT, FileTarget
from duplex_tts.sinks import FILE_FORMATS, file_format
from duplex_tts.subtitles import SubtitleFiles
from duplex_tts.wording import count_noun, format_duration

STDIN = 0
REFRESHES_PER_S = 10
_KEPT_WORDS = 100  # more than fit on a line
_SETTLED_S = 2.0  # before that the remaining time cannot be estimated


def say(  # noqa: PLR0913 - a parameter is an option
    text: Annotated[
        list[str] | None, typer.Argument(help="The text to speak; default: standard input.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("-f", "--file", help="Speak a text file; - for standard input."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help=f"Write a file (.{' .'.join(FILE_FORMATS)}) instead of playing; - for standard "
            "output.",
        ),
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option("--format", help="Format of the file; default: by its suffix."),
    ] = None,
    subtitles: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FORMATS",
            help="Also write subtitles or word times beside the file: srt, vtt, json, several with "
            "commas; or the name of such a file.",
        ),
    ] = None,
    voice: Voice = None,
    speed: Speed = None,
    seed: Seed = None,
    language: Language = None,
    volume: Volume = None,
    ssml: Ssml = False,
    device: DeviceName = AUTO,
    url: Url = None,
    key: Key = None,
) -> None:
    """Speak a text: play it, or write it to a file with `-o`.

    ```
    duplex-tts say "Hello there"
    duplex-tts say "Hello there" -o hello.wav
    duplex-tts say "Hello there" -o hello.wav --subtitles srt,json
    duplex-tts say -f book.txt
    some-llm | duplex-tts say
    some-llm | duplex-tts say -o out.flac
    some-llm | duplex-tts say -o - --format opus | ssh phone ffplay -
    duplex-tts say --ssml 'Wait. <break time="2s"/> Now.'
    ```

    Standard input is spoken as it arrives, even in the middle of a sentence. Ctrl-C stops: a new
    file keeps the speech so far, an existing file stays unchanged.
    """
    parameters = Parameters(voice=voice, speed=speed, seed=seed, language=language, volume=volume)
    if ssml:
        parameters["ssml"] = True
    report = SayReport()
    with reporting_errors() as interruption:
        player_device = device_from_name(device)
        if output:
            file_format(output, format_)
            FileTarget(output).check_writable()
        subtitle_paths = find_subtitle_paths(subtitles or [], output)
        SubtitleFiles(subtitle_paths).check_writable()
        typing = not text and not file and os.isatty(STDIN)
        if typing:
            stderr.print(
                "[dim]Type, and hear each line. Ctrl-D ends. (`duplex-tts type` is better.)[/]"
            )
        source = _open_source(text, file)
        if source.empty:
            raise NothingToSpeak
        progress = SayProgress(report, source.length)
        existed = output is not None and os.path.isfile(output)
        try:
            with ensure_server(url) as address, progress.live_display(not typing):
                job = SayJob(
                    address, key, source.text, parameters, progress.add_word, subtitle_paths
                )
                if output:
                    interruption.run_coroutine(say_to_file(job, output, format_, report))
                else:
                    interruption.run_coroutine(say_aloud(job, player_device, report))
        finally:
            stopped = interruption.signal_number is not None
            if line := summary_line(report, output, stopped=stopped, percent=progress.percent):
                stderr.print(line, soft_wrap=True)
            if existed and not report.complete:
                stderr.print(f"{output} is unchanged", soft_wrap=True, markup=False)


def _open_source(text: list[str] | None, file: Path | None) -> TextSource:
    """Open the text of the arguments. Raises `typer.BadParameter`."""
    if text and file:
        raise typer.BadParameter("give a text or a file, not both", param_hint="--file")
    if text:
        return source_from_text(os.fsencode(" ".join(text)).decode(errors="replace"))
    if file is None or file == STDOUT:
        return source_from_descriptor(STDIN)
    try:
        return source_from_path(file)
    except TextFailed as error:
        raise typer.BadParameter(str(error), param_hint="--file") from error


class SayProgress:
    """The progress line on a terminal: the last words heard and, if the `length` of the text is
    known, how much is left.
    """

    def __init__(
        self,
        report: SayReport,
        length: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._report = report
        self._length = length
        self._clock = clock
        self._words: list[str] = []
        self._start: tuple[float, int] | None = None  # time and offset of the first word
        self._heard_to = 0

    def live_display(self, wanted: bool) -> AbstractContextManager[object]:
        """Show the line during the block, if `wanted` and stderr is a terminal."""
        if not (wanted and stderr.is_terminal):
            return nullcontext()
        return Live(self, console=stderr, transient=True, refresh_per_second=REFRESHES_PER_S)

    def add_word(self, word: Word, text: str) -> None:
        """Add a word that is heard now."""
        self._start = self._start or (self._clock(), word.start)
        self._heard_to = word.end
        self._words = [*self._words[-_KEPT_WORDS:], text]

    @property
    def percent(self) -> int | None:
        """Percentage of the text heard; None if its length is unknown."""
        return self._heard_to * 100 // self._length if self._length else None

    @property
    def left_s(self) -> float | None:
        """Estimated remaining time; None if unknown."""
        if not self._length or self._start is None:
            return None
        start_s, start_offset = self._start
        elapsed_s, done = self._clock() - start_s, self._heard_to - start_offset
        if elapsed_s < _SETTLED_S or done <= 0:
            return None
        return elapsed_s * (self._length - self._heard_to) / done

    def _percent_text(self) -> str:
        if self.percent is None:
            return ""
        left_s = self.left_s
        return f"{self.percent} % · " + (f"{format_duration(left_s)} left · " if left_s else "")

    def __rich__(self) -> Text:
        utterance, player = self._report.utterance, self._report.player
        if utterance is None or utterance.ttfa_ms is None:
            return Text("…", style="dim")
        figures = f"first sound after {utterance.ttfa_ms:.0f} ms · "
        if player is not None:
            figures += f"{player.buffered_ms / 1000:.1f} s buffered · "
        else:
            figures += f"{utterance.audio_ms / 1000:.1f} s of speech · "
        figures += self._percent_text()
        width = max(0, stderr.width - len(figures) - 2)
        heard = Text(" ".join(self._words))
        excess = heard.cell_len - width
        if excess > 0:
            heard = Text("…") + heard[excess + 1 :]
        return Text(figures, style="dim") + heard


def summary_line(
    report: SayReport, output: Path | None, *, stopped: bool = False, percent: int | None = None
) -> str:
    """Summarize what was heard; empty if nothing was, unless it was `stopped`.

    `percent`: of the text heard, if known.
    """
    utterance = report.utterance
    parts = ["stopped"] if stopped else []
    if utterance is None or utterance.ttfa_ms is None:
        return " · ".join([*parts, "nothing was heard"]) if stopped else ""
    parts.append(f"first sound after {utterance.ttfa_ms:.0f} ms")
    what = "of speech" if report.complete or output else "heard"
    parts.append(f"{report.heard_ms / 1000:.2f} s {what}")
    parts.append(count_noun(report.words, "word"))
    if percent is not None and not report.complete:
        parts.append(f"{percent} % of the text")
    if output:
        parts.append("standard output" if output == STDOUT else str(output))
    elif report.player:
        stats = report.player.account
        gaps = count_noun(stats.underruns, "gap") if stats.underruns else "no gaps"
        parts.append(f"{gaps} ({stats.underrun_s:.2f} s)" if stats.underruns else gaps)
    return " · ".join(parts)
