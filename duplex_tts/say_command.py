"""`duplex-tts say`: options, progress, summary."""

from __future__ import annotations

import asyncio
import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live
from rich.text import Text

from duplex_tts.context import Parameters
from duplex_tts.events import Word
from duplex_tts.say import Errand, Report, arriving, given, say_aloud, say_into
from duplex_tts.sinks import FILE_FORMATS, STDOUT, file_format
from duplex_tts.terminal import (
    AUTO,
    DeviceName,
    Key,
    Language,
    Seed,
    Speed,
    Url,
    Voice,
    answering,
    device_named,
    server_at_hand,
    stderr,
)

STDIN = 0
REFRESHES_PER_S = 10
_KEPT_WORDS = 100  # more than fit into a line


def say(  # noqa: PLR0913 - a parameter is an option
    text: Annotated[
        list[str] | None, typer.Argument(help="What to say; from standard input when left out.")
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
    device: DeviceName = AUTO,
    url: Url = None,
    key: Key = None,
) -> None:
    """Speak text: play it, or write it to a file with `-o`.

    ```
    duplex-tts say "Hello there"
    duplex-tts say "Hello there" -o hello.wav
    some-llm | duplex-tts say
    some-llm | duplex-tts say -o out.flac
    some-llm | duplex-tts say -o - --format opus | ssh phone ffplay -
    ```

    Standard input is spoken as it arrives, before its sentence or line is finished. Ctrl-C stops;
    a file then holds what was said so far.
    """
    typing = not text and os.isatty(STDIN)
    if typing:
        stderr.print(
            "[dim]Type, and hear each line. Ctrl-D ends. (`duplex-tts type` is better.)[/]"
        )
    parameters = Parameters(voice=voice, speed=speed, seed=seed, language=language)
    report = Report()
    progress = Progress(report)
    with answering():
        player = device_named(device)
        if output:
            file_format(output, format_)
        try:
            with server_at_hand(url) as address, progress.shown(not typing):
                words = given(" ".join(text)) if text else arriving(STDIN)
                errand = Errand(address, key, words, parameters, progress.word)
                if output:
                    asyncio.run(say_into(errand, output, format_, report))
                else:
                    asyncio.run(say_aloud(errand, player, report))
        finally:
            if line := summary(report, output):
                stderr.print(line, soft_wrap=True)


class Progress:
    """The line that is shown on a terminal while it speaks: the last words, as they are heard."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._words: list[str] = []

    def shown(self, wanted: bool) -> AbstractContextManager[object]:
        """Show it during the block, if that is `wanted` and stderr is a terminal."""
        if not (wanted and stderr.is_terminal):
            return nullcontext()
        return Live(self, console=stderr, transient=True, refresh_per_second=REFRESHES_PER_S)

    def word(self, _word: Word, text: str) -> None:
        """It is heard now."""
        self._words = [*self._words[-_KEPT_WORDS:], text]

    def __rich__(self) -> Text:
        utterance, player = self._report.utterance, self._report.player
        if utterance is None or utterance.ttfa_ms is None:
            return Text("…", style="dim")
        figures = f"first sound after {utterance.ttfa_ms:.0f} ms · "
        if player is not None:
            figures += f"{player.buffered_ms / 1000:.1f} s buffered · "
        else:
            figures += f"{utterance.audio_ms / 1000:.1f} s of speech · "
        room = max(0, stderr.width - len(figures) - 2)
        heard = Text(" ".join(self._words))
        over = heard.cell_len - room
        if over > 0:
            heard = Text("…") + heard[over + 1 :]
        return Text(figures, style="dim") + heard


def summary(report: Report, output: Path | None) -> str:
    """One line on what was heard; empty when nothing was."""
    utterance = report.utterance
    if utterance is None or utterance.ttfa_ms is None:
        return ""
    parts = [
        f"first sound after {utterance.ttfa_ms:.0f} ms",
        f"{utterance.audio_ms / 1000:.2f} s of speech",
        f"{len(utterance.words)} words",
    ]
    if output:
        parts.append("standard output" if output == STDOUT else str(output))
    elif report.player:
        account = report.player.account
        times = {0: "never ran dry", 1: "ran dry once"}
        dry = times.get(account.underruns, f"ran dry {account.underruns}x")
        parts.append(f"{dry} ({account.underrun_s:.2f} s)" if account.underruns else dry)
    return " · ".join(parts)
