"""Shared by the end-to-end tests, under pytest and as scripts: speaking, and a table of figures.

Does not import pytest: the scripts run without the test extras.
"""

import argparse
import asyncio
import inspect
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from duplex_tts import Audio, Cancelled, ClientError, Context, Done, Error, Retracted, Session
from duplex_tts.channel.address import websocket_url
from duplex_tts.local_server import local_server

LLM_WORD_S = 0.05  # 20 words a second, about 30 tokens a second


class SkipCheck(Exception):
    """The check needs a package that is not installed; only scripts may skip."""


@dataclass
class FigureTable:
    """The measured figures, for the table at the end."""

    rows: list[tuple[str, str, str]] = field(default_factory=list)

    def add_row(self, name: str, figure: str, bound: str = "") -> None:
        """Add a figure and its bound."""
        self.rows.append((name, figure, bound))

    def table(self, title: str) -> Table:
        """The figures as a table for the terminal."""
        table = Table("measured", "figure", "bound", title=title, title_justify="left", box=None)
        for row in self.rows:
            table.add_row(*row)
        return table


@dataclass
class ReceivedSpeech:
    """One context as the client received it; times by `time.perf_counter`."""

    audio: list[Audio] = field(default_factory=list)
    arrivals_s: list[float] = field(default_factory=list)
    errors: list[Error] = field(default_factory=list)
    retracted: list[Retracted] = field(default_factory=list)
    first_push_s: float = 0.0
    last_push_s: float = 0.0
    end: Done | Cancelled | None = None

    @property
    def data(self) -> bytes:
        """The encoded audio."""
        return b"".join(event.data for event in self.audio)

    @property
    def pcm(self) -> NDArray[np.float32]:
        """The samples, if the format is `pcm_s16le`."""
        return np.frombuffer(self.data, "<i2").astype(np.float32) / np.float32(32768)

    @property
    def duration_s(self) -> float:
        """Seconds of audio."""
        return sum(event.duration_ms for event in self.audio) / 1000

    @property
    def characters(self) -> int:
        """How many characters of the text were spoken."""
        return self.audio[-1].text[1] if self.audio else 0

    @property
    def first_sound_s(self) -> float:
        """When the first message with audio arrived."""
        arrivals = zip(self.audio, self.arrivals_s, strict=True)
        return next(arrival_s for event, arrival_s in arrivals if event.data)

    @property
    def ttfa_s(self) -> float:
        """From the first text sent to the first audio received."""
        return self.first_sound_s - self.first_push_s


async def receive_speech(context: Context, speech: ReceivedSpeech) -> ReceivedSpeech:
    """Collect the context's events until its end."""
    async for event in context:
        if isinstance(event, Audio):
            speech.audio.append(event)
            speech.arrivals_s.append(time.perf_counter())
        elif isinstance(event, Retracted):
            speech.retracted.append(event)
        elif isinstance(event, Error):
            speech.errors.append(event)
        elif isinstance(event, Done | Cancelled):
            speech.end = event
    return speech


async def write_text(
    context: Context, chunks: Sequence[str], period_s: float, speech: ReceivedSpeech
) -> None:
    """Push one chunk each `period_s` seconds, then end."""
    speech.first_push_s = time.perf_counter()
    for number, chunk in enumerate(chunks):
        await asyncio.sleep(speech.first_push_s + number * period_s - time.perf_counter())
        await context.push(chunk)
        speech.last_push_s = time.perf_counter()
    await context.end()


async def speak_text(
    context: Context, chunks: Sequence[str], period_s: float = 0.0
) -> ReceivedSpeech:
    """Write the text and receive its events at the same time."""
    speech = ReceivedSpeech()
    await asyncio.gather(
        write_text(context, chunks, period_s, speech), receive_speech(context, speech)
    )
    return speech


def split_words(text: str) -> list[str]:
    """Split into words with their trailing space, as LLM tokens."""
    parts = text.split(" ")
    return [part + " " for part in parts[:-1]] + parts[-1:]


def assert_accounted(speech: ReceivedSpeech, length: int) -> None:
    """Assert that every character is spoken once, times have no gaps, words are in order, and the
    sums are those of `done`.
    """
    assert not speech.errors, speech.errors
    at, at_ms, word_at, word_at_ms = 0, 0.0, 0, 0.0
    for event in speech.audio:
        assert event.text[0] == at, (event, at)
        assert abs(event.start_ms - at_ms) < 1, (event, at_ms)
        at, at_ms = event.text[1], event.start_ms + event.duration_ms
        for word in event.words:
            assert word_at <= word.start < word.end <= length, (word, word_at)
            assert word_at_ms <= word.start_ms + 1, (word, word_at_ms)
            assert word.start_ms <= word.end_ms, word
            word_at, word_at_ms = word.end, word.start_ms
    assert at == length, (at, length)
    assert isinstance(speech.end, Done)
    assert (speech.end.characters, speech.end.chunks) == (length, len(speech.audio))
    assert abs(speech.end.audio_ms - at_ms) < 1, (speech.end, at_ms)


# --- as a script ----------------------------------------------------------------------------------

Check = Callable[[str, FigureTable], Coroutine[Any, Any, None]]


def run_as_script(title: str, checks: Sequence[Check]) -> None:
    """Run the checks against `--url` or a new server; print the table; exit 0 or 1."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--url", help="the server to test; default: start one")
    url = parser.parse_args().url
    console, figures = Console(), FigureTable()
    try:
        with nullcontext(websocket_url(url)) if url else local_server() as address:
            asyncio.run(_check_connection(address))
            outcomes = _run_checks(checks, address, figures, console)
    except (ClientError, ValueError) as error:
        sys.exit(str(error))
    console.print()
    console.print(figures.table(title))
    console.print("\n" + ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items()))
    sys.exit(1 if outcomes["FAILED"] else 0)


async def _check_connection(url: str) -> None:
    async with Session.connect(url):
        pass


def _run_checks(
    checks: Sequence[Check], url: str, figures: FigureTable, console: Console
) -> Counter[str]:
    outcomes: Counter[str] = Counter()
    for check in checks:
        outcome, colour, reason = "passed", "green", ""
        try:
            asyncio.run(check(url, figures))
        except SkipCheck as skipped:
            outcome, colour, reason = "skipped", "yellow", f": {skipped}"
        except Exception:  # noqa: BLE001 - reported as a failed check
            outcome, colour, reason = "FAILED", "red", f"\n{traceback.format_exc(limit=-2)}"
        name = check.__name__.removeprefix("test_").replace("_", " ")
        console.print(f"[{colour}]{outcome:8}[/] {name}{escape(reason)}", soft_wrap=True)
        outcomes[outcome] += 1
    return outcomes


def find_checks(module_globals: dict[str, Any]) -> list[Check]:
    """The test functions in a module's globals, in order."""
    return [
        value
        for name, value in module_globals.items()
        if name.startswith("test_") and inspect.iscoroutinefunction(value)
    ]
