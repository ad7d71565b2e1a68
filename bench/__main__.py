"""`python -m bench`: measure the server against its goals, on the machine at hand."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CalledProcessError
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench.chatterbox import run as chatterbox_run
from bench.client import barge_in, batch_kills, disconnects, gaps, session_reuse
from bench.harness import plots
from bench.harness.corpus import DEFAULT_TEXTS, BenchText, load_corpus
from bench.harness.engine_baseline import load_model
from bench.harness.machine import busy_share, commit, file_name, machine_name, versions
from bench.harness.recording_client import ServerError
from bench.harness.report import Figure, Report, Result, markdown, table, write_json
from bench.harness.setup import FULL, QUICK, Effort, Setup
from bench.server import accounting, cancel, clause_peer, latency, quality, rates, streams, typing
from duplex_tts import ClientError
from duplex_tts.local_server import ServerFailed, local_server

RESULTS = Path(__file__).parent / "results"

Measure = Callable[[Setup], Coroutine[Any, Any, Result]]
ROWS: dict[str, tuple[str, Measure]] = {
    "latency": ("time to first sound", latency.measure),
    "peer": ("against a clause-splitting peer", clause_peer.measure),
    "quality": ("streamed against whole text", quality.measure),
    "typing": ("typed by hand", typing.measure),
    "rates": ("one listener, 10 to 30 tokens/s", rates.measure),
    "streams": ("real-time streams", streams.measure),
    "cancel": ("cancelling", cancel.measure),
    "accounting": ("random dialogues", accounting.measure),
}
CLIENT_ROWS: dict[str, tuple[str, Measure]] = {
    "reuse": ("a session that stays open", session_reuse.measure),
    "gaps": ("gaps at 15 tokens/s", gaps.measure),
    "disconnects": ("disconnects", disconnects.measure),
    "barge-in": ("barge-in", barge_in.measure),
    "batch": ("batch killed at random", batch_kills.measure),
}

ALONE = "Leave the machine alone meanwhile: everything here is about time."
BUSY = 0.25  # of the cores, by others, before the run

console = Console()
app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(epilog=ALONE)
def bench(  # noqa: PLR0913 - a parameter is an option
    client: Annotated[
        bool, typer.Option("--client", help="Measure the client library instead of the server.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="A small run of about three minutes; noisy figures.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROW",
            help=f"Only this row, repeatable: {', '.join(ROWS)}; "
            f"with --client: {', '.join(CLIENT_ROWS)}.",
        ),
    ] = None,
    texts: Annotated[
        Path, typer.Option(help="JSON lines of `id`, `kind`, `text`.", dir_okay=False, exists=True)
    ] = DEFAULT_TEXTS,
    out: Annotated[Path, typer.Option(help="Where JSON, table and plots go.")] = RESULTS,
    machine: Annotated[
        str, typer.Option(help="The machine's name in the results.", show_default="its processor")
    ] = "",
    engine: Annotated[
        str,
        typer.Option(
            help=f"Measure this engine by itself: {', '.join(chatterbox_run.ENGINES)}.",
            show_default="the server with the embedded voice",
        ),
    ] = "",
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="With --engine: without any download.")
    ] = False,
    device: Annotated[str, typer.Option(help="With --engine: auto, cpu, cuda, cuda:1.")] = "auto",
) -> None:
    """Measure Duplex TTS against its goals on this machine: latency, quality, streams, cancelling.

    Starts a server of its own, measures every row in one run (about twenty minutes), prints goals
    beside figures, and writes JSON, a table and three plots.

    With `--client`, what the library `duplex_tts` makes of that server: the handshakes that an open
    session saves, gaps that are heard, samples lost when the line breaks, silence after a barge-in,
    and files of a batch that is killed again and again (about ten minutes, too).
    """
    if engine:
        _measure_engine(engine, device, out, random_weights=random_weights)
        return
    rows = CLIENT_ROWS if client else ROWS
    unknown = set(only or ()) - set(rows)
    if unknown:
        raise typer.BadParameter(f"no row {unknown.pop()!r}; rows: {', '.join(rows)}")
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
        results = _measure({row: rows[row] for row in only or rows}, corpus, effort)
    except ServerFailed as error:
        console.print(str(error), style="red")
        raise typer.Exit(1) from error
    stem = file_name(name) + ("-client" if client else "") + ("-quick" if quick else "")
    _publish(Report(name, taken, results), out, stem)


def _measure(
    rows: dict[str, tuple[str, Measure]], corpus: list[BenchText], effort: Effort
) -> dict[str, Result]:
    results: dict[str, Result] = {}
    with local_server("--log-level", "warning") as url, _progress() as follow:
        model = load_model()
        for row, (label, measure) in rows.items():
            setup = Setup(url, model, corpus, effort, seed=1, progress=follow(label))
            try:
                results[row] = asyncio.run(measure(setup))
            except* (ServerError, ClientError, CalledProcessError) as errors:
                results[row] = _failed(label, errors)
            setup.progress(1.0)
    return results


def _measure_engine(engine: str, device: str, out: Path, *, random_weights: bool) -> None:
    if engine not in chatterbox_run.ENGINES:
        known = ", ".join(chatterbox_run.ENGINES)
        raise typer.BadParameter(f"no engine {engine!r}; engines: {known}")
    try:
        name, engine_bench = chatterbox_run.prepare(engine, device, random_weights=random_weights)
    except chatterbox_run.NotHere as error:
        console.print(str(error), style="red")
        raise typer.Exit(1) from error
    taken: dict[str, Any] = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "engine": engine,
        "random_weights": random_weights,
        "cores_busy_before": busy_share(),
    }
    with _progress() as follow:
        results = {row: run(follow(label)) for row, (label, run) in engine_bench.rows().items()}
    report, stem = Report(name, taken, results), f"{file_name(name)}-{engine}"
    _publish(report, out, stem)


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
    if "typing" in measured:
        plots.typed(report, out / f"{stem}-typing.png")
        written.append(f"{stem}-typing.png")
    if {"tokens", "live"} <= measured:
        chatterbox_run.plot(report, out / f"{stem}.png")
        written.append(f"{stem}.png")
    console.print(f"written to {out}: {', '.join(written)}", soft_wrap=True)


def main(arguments: Sequence[str]) -> None:
    """Command line: what `duplex-tts bench` becomes."""
    app(list(arguments), prog_name="duplex-tts bench")


if __name__ == "__main__":
    app(prog_name="python -m bench")
