"""`duplex-tts say`: options, progress, summary."""

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
from duplex_tts.cli.say_job import Report, SayJob, say_aloud, say_into
from duplex_tts.cli.shared_options import (
    AUTO,
    DeviceName,
    Key,
    Language,
    Seed,
    Speed,
    Url,
    Voice,
    Volume,
    answering,
    device_named,
    server_at_hand,
    stderr,
)
from duplex_tts.cli.text_files import Source, TextFailed, source_at, source_in, source_of
from duplex_tts.errors import NothingToSpeak
from duplex_tts.events import Word
from duplex_tts.playback.file_target import STDOUT, FileTarget
from duplex_tts.sinks import FILE_FORMATS, file_format
from duplex_tts.wording import counted

STDIN = 0
REFRESHES_PER_S = 10
_KEPT_WORDS = 100  # more than fit into a line
_SETTLED_S = 2.0  # before that, how long the rest takes is a guess


def say(  # noqa: PLR0913 - a parameter is an option
    text: Annotated[
        list[str] | None, typer.Argument(help="What to say; from standard input when left out.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("-f", "--file", help="Say what a text file holds; - is standard input."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help=f"Write a file (.{' .'.join(FILE_FORMATS)}) instead of playing; - is standard "
            "output.",
        ),
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option("--format", help="The file's format, where its name does not say."),
    ] = None,
    voice: Voice = None,
    speed: Speed = None,
    seed: Seed = None,
    language: Language = None,
    volume: Volume = None,
    device: DeviceName = AUTO,
    url: Url = None,
    key: Key = None,
) -> None:
    """Speak text: play it, or write it to a file with `-o`.

    ```
    duplex-tts say "Hello there"
    duplex-tts say "Hello there" -o hello.wav
    duplex-tts say -f book.txt
    some-llm | duplex-tts say
    some-llm | duplex-tts say -o out.flac
    some-llm | duplex-tts say -o - --format opus | ssh phone ffplay -
    ```

    Standard input is spoken as it arrives, before its sentence or line is finished. Ctrl-C stops; a
    new file then holds what was said so far, one that was there before is left alone.
    """
    parameters = Parameters(voice=voice, speed=speed, seed=seed, language=language, volume=volume)
    report = Report()
    with answering() as interruption:
        player = device_named(device)
        if output:
            file_format(output, format_)
            FileTarget(output).check()
        typing = not text and not file and os.isatty(STDIN)
        if typing:
            stderr.print(
                "[dim]Type, and hear each line. Ctrl-D ends. (`duplex-tts type` is better.)[/]"
            )
        source = _source(text, file)
        if source.empty:
            raise NothingToSpeak
        progress = Progress(report, source.length)
        replaced = output is not None and os.path.isfile(output)
        try:
            with server_at_hand(url) as address, progress.shown(not typing):
                errand = SayJob(address, key, source.text, parameters, progress.word)
                if output:
                    interruption.run(say_into(errand, output, format_, report))
                else:
                    interruption.run(say_aloud(errand, player, report))
        finally:
            stopped = interruption.number is not None
            if line := summary(report, output, stopped=stopped, part=progress.percent):
                stderr.print(line, soft_wrap=True)
            if replaced and not report.complete:
                stderr.print(f"{output} is as it was before", soft_wrap=True, markup=False)


def _source(text: list[str] | None, file: Path | None) -> Source:
    """Of what is asked for. Raises `typer.BadParameter`."""
    if text and file:
        raise typer.BadParameter("say a text or a file, not both", param_hint="--file")
    if text:
        return source_of(os.fsencode(" ".join(text)).decode(errors="replace"))
    if file is None or file == STDOUT:
        return source_in(STDIN)
    try:
        return source_at(file)
    except TextFailed as error:
        raise typer.BadParameter(str(error), param_hint="--file") from error


class Progress:
    """The line that is shown on a terminal while it speaks: the last words, as they are heard, and
    how much is left of a text whose `length` is known.
    """

    def __init__(
        self,
        report: Report,
        length: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._report = report
        self._length = length
        self._clock = clock
        self._words: list[str] = []
        self._began: tuple[float, int] | None = None  # when, and where in the text
        self._reached = 0

    def shown(self, wanted: bool) -> AbstractContextManager[object]:
        """Show it during the block, if that is `wanted` and stderr is a terminal."""
        if not (wanted and stderr.is_terminal):
            return nullcontext()
        return Live(self, console=stderr, transient=True, refresh_per_second=REFRESHES_PER_S)

    def word(self, word: Word, text: str) -> None:
        """It is heard now."""
        self._began = self._began or (self._clock(), word.start)
        self._reached = word.end
        self._words = [*self._words[-_KEPT_WORDS:], text]

    @property
    def percent(self) -> int | None:
        """How much of the text was heard; None where its length is not known."""
        return self._reached * 100 // self._length if self._length else None

    @property
    def left_s(self) -> float | None:
        """How long the rest will take, as far as can be known."""
        if not self._length or self._began is None:
            return None
        began_s, began_at = self._began
        elapsed_s, done = self._clock() - began_s, self._reached - began_at
        if elapsed_s < _SETTLED_S or done <= 0:
            return None
        return elapsed_s * (self._length - self._reached) / done

    def _part(self) -> str:
        if self.percent is None:
            return ""
        left_s = self.left_s
        return f"{self.percent} % · " + (f"{_duration(left_s)} left · " if left_s else "")

    def __rich__(self) -> Text:
        utterance, player = self._report.utterance, self._report.player
        if utterance is None or utterance.ttfa_ms is None:
            return Text("…", style="dim")
        figures = f"first sound after {utterance.ttfa_ms:.0f} ms · "
        if player is not None:
            figures += f"{player.buffered_ms / 1000:.1f} s buffered · "
        else:
            figures += f"{utterance.audio_ms / 1000:.1f} s of speech · "
        figures += self._part()
        room = max(0, stderr.width - len(figures) - 2)
        heard = Text(" ".join(self._words))
        over = heard.cell_len - room
        if over > 0:
            heard = Text("…") + heard[over + 1 :]
        return Text(figures, style="dim") + heard


def _duration(seconds: float) -> str:
    """`0:07`, `12:34`, `1:02:03`."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"


def summary(
    report: Report, output: Path | None, *, stopped: bool = False, part: int | None = None
) -> str:
    """One line on what was heard; empty when nothing was, unless it was `stopped`.

    `part`: how much of the text that was, in percent, where that is known.
    """
    utterance = report.utterance
    parts = ["stopped"] if stopped else []
    if utterance is None or utterance.ttfa_ms is None:
        return " · ".join([*parts, "nothing was heard"]) if stopped else ""
    parts.append(f"first sound after {utterance.ttfa_ms:.0f} ms")
    what = "of speech" if report.complete or output else "heard"
    parts.append(f"{report.heard_ms / 1000:.2f} s {what}")
    parts.append(counted(report.words, "word"))
    if part is not None and not report.complete:
        parts.append(f"{part} % of the text")
    if output:
        parts.append("standard output" if output == STDOUT else str(output))
    elif report.player:
        account = report.player.account
        times = {0: "never ran dry", 1: "ran dry once"}
        dry = times.get(account.underruns, f"ran dry {account.underruns}x")
        parts.append(f"{dry} ({account.underrun_s:.2f} s)" if account.underruns else dry)
    return " · ".join(parts)
