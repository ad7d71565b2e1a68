"""`python -m bench`: measure the server against its goals, on the machine at hand."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench import accounting, cancel, latency, peer, plots, quality, streams
from bench.client import ServerError
from bench.corpus import DEFAULT_TEXTS, BenchText, load_corpus
from bench.engine import load_model
from bench.machine import busy_share, commit, file_name, machine_name, versions
from bench.report import Figure, Report, Result, markdown, table, write_json
from bench.setup import FULL, QUICK, Effort, Setup
from duplex_tts import ClientError
from duplex_tts.local_server import ServerFailed, local_server

RESULTS = Path(__file__).parent / "results"

Measure = Callable[[Setup], Coroutine[Any, Any, Result]]
ROWS: dict[str, tuple[str, Measure]] = {
    "latency": ("time to first audio", latency.measure),
    "peer": ("against a clause-splitting peer", peer.measure),
    "quality": ("streamed against whole text", quality.measure),
    "streams": ("real-time streams", streams.measure),
    "cancel": ("cancelling", cancel.measure),
    "accounting": ("random dialogues", accounting.measure),
}

ALONE = "Leave the machine alone meanwhile: everything here is about time."
BUSY = 0.25  # of the cores, by others, before the run

console = Console()
app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(epilog=ALONE)
def bench(
    quick: Annotated[
        bool, typer.Option("--quick", help="A small run of under two minutes; noisy figures.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="ROW", help=f"Only this row, repeatable: {', '.join(ROWS)}."),
    ] = None,
    texts: Annotated[
        Path, typer.Option(help="JSON lines of `id`, `kind`, `text`.", dir_okay=False, exists=True)
    ] = DEFAULT_TEXTS,
    out: Annotated[Path, typer.Option(help="Where JSON, table and plots go.")] = RESULTS,
    machine: Annotated[
        str, typer.Option(help="The machine's name in the results.", show_default="its processor")
    ] = "",
) -> None:
    """Measure Duplex TTS against its goals on this machine: latency, quality, streams, cancelling.

    Starts a server of its own, measures every row in one run (about ten minutes), prints goals
    beside figures, and writes JSON, a table and two plots.
    """
    unknown = set(only or ()) - set(ROWS)
    if unknown:
        raise typer.BadParameter(f"no row {unknown.pop()!r}; rows: {', '.join(ROWS)}")
    effort, name = (QUICK if quick else FULL), machine or machine_name()
    corpus = load_corpus(texts, effort.texts)
    taken: dict[str, Any] = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "quick": quick,
        "cores_busy_before": busy_share(),
        "texts": len(corpus),
        "versions": versions(),
    }
    if taken["cores_busy_before"] > BUSY:
        console.print(f"[yellow]The machine is busy ({taken['cores_busy_before']:.0%}).[/] {ALONE}")
    try:
        results = _measure(only or list(ROWS), corpus, effort)
    except ServerFailed as error:
        console.print(str(error), style="red")
        raise typer.Exit(1) from error
    _publish(Report(name, taken, results), out, file_name(name) + ("-quick" if quick else ""))


def _measure(rows: list[str], corpus: list[BenchText], effort: Effort) -> dict[str, Result]:
    results: dict[str, Result] = {}
    with local_server("--log-level", "warning") as url, _progress() as follow:
        model = load_model()
        for row in rows:
            label, measure = ROWS[row]
            setup = Setup(url, model, corpus, effort, seed=1, progress=follow(label))
            try:
                results[row] = asyncio.run(measure(setup))
            except* (ServerError, ClientError) as errors:
                results[row] = _failed(label, errors)
            setup.progress(1.0)
    return results


def _failed(label: str, errors: BaseExceptionGroup[Exception]) -> Result:
    """A row that could not be measured is a missed goal, not the end of the run."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return Result([Figure(label, math.nan, math.nan, at_most=True, note=str(error))])


@contextmanager
def _progress() -> Iterator[Callable[[str], Callable[[float], None]]]:
    """A bar per row; yields a function that opens one and returns how to move it."""
    columns = (TextColumn("{task.description:32}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:

        def follow(label: str) -> Callable[[float], None]:
            bar = bars.add_task(label, total=1.0)
            return lambda done: bars.update(bar, completed=done)

        yield follow


def _publish(report: Report, out: Path, stem: str) -> None:
    console.print(table(report))
    out.mkdir(parents=True, exist_ok=True)
    write_json(report, out / f"{stem}.json")
    (out / f"{stem}.md").write_text(markdown(report), encoding="utf-8")
    written = [f"{stem}.json", f"{stem}.md"]
    measured = {row for row, result in report.results.items() if result.details}
    if measured & {"latency", "peer"}:
        plots.first_audio(report, out / f"{stem}-ttfa.png")
        written.append(f"{stem}-ttfa.png")
    if "quality" in measured:
        plots.quality(report, out / f"{stem}-quality.png")
        written.append(f"{stem}-quality.png")
    console.print(f"written to {out}: {', '.join(written)}", soft_wrap=True)


if __name__ == "__main__":
    app(prog_name="python -m bench")
