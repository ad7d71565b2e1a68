"""The progress of a book: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn

from duplex_tts.cli.shared_options import stderr
from duplex_tts.wording import format_duration

LINE_EVERY_S = 30.0
_SETTLED = 0.01  # of the work, before the remaining time can be estimated


class BookProgress:
    """How much of the work is done, in words, or in seconds of speech (`unit`)."""

    def __init__(
        self, total: float, done: float, unit: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._total = total
        self._before = self._done = done
        self._unit = unit
        self._clock = clock
        self._start_s = clock()

    def update(self, done: float) -> None:
        """Set what is done, of the total."""
        self._done = min(done, self._total)

    @property
    def total(self) -> float:
        """All there is to do."""
        return self._total

    @property
    def left_s(self) -> float | None:
        """Estimated remaining seconds; None as long as they are unknown."""
        done = self._done - self._before
        if done <= 0 or done < _SETTLED * (self._total - self._before):
            return None
        return (self._clock() - self._start_s) * (self._total - self._done) / done

    def __str__(self) -> str:
        done, left = self._done, self._total - self._done
        text = f"{done:,.0f} {self._unit} done, {left:,.0f} left"
        return text if self.left_s is None else f"{text} · {format_duration(self.left_s)} to go"


@contextmanager
def show_progress(progress: BookProgress) -> Iterator[Callable[[float], None]]:
    """Show it during the block; yields the function that updates it with what is done."""
    columns = (BarColumn(), TextColumn("{task.fields[text]}"))
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        task = bar.add_task("", total=progress.total, text=str(progress))
        printed_s = time.monotonic()

        def update(done: float) -> None:
            nonlocal printed_s
            progress.update(done)
            bar.update(task, completed=done, text=str(progress))
            if not stderr.is_terminal and time.monotonic() - printed_s >= LINE_EVERY_S:
                printed_s = time.monotonic()
                stderr.print(str(progress), soft_wrap=True, markup=False)

        yield update
