"""`python -m bench`: measure the server against its goals on this machine."""

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

from backend.doctor.machine import busy_share, git_commit, machine_name
from bench.chatterbox import run as chatterbox_run
from bench.client import barge_in, batch_kills, disconnects, gaps, session_reuse
from bench.harness import plots
from bench.harness.corpus import DEFAULT_TEXTS, BenchText, load_corpus
from bench.harness.engine_baseline import load_model
from bench.harness.machine import package_versions, to_file_name
from bench.harness.recording_client import ServerError
from bench.harness.report import BenchReport, Figure, Result, create_table, to_markdown, write_json
from bench.harness.setup import FULL, QUICK, Effort, Setup
from bench.server import (
    accounting,
    cancel,
    clause_peer,
    crowds,
    latency,
    quality,
    rates,
    streams,
    typing,
)
from bench.speechd import latency as speechd_latency
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
    "crowds": ("listeners that arrive together", crowds.measure),
    "cancel": ("cancel", cancel.measure),
    "speechd": ("screen readers", speechd_latency.measure),
    "accounting": ("random dialogues", accounting.measure),
}
CLIENT_ROWS: dict[str, tuple[str, Measure]] = {
    "reuse": ("session reuse", session_reuse.measure),
    "gaps": ("gaps at 15 tokens/s", gaps.measure),
    "disconnects": ("disconnects", disconnects.measure),
    "barge-in": ("barge-in", barge_in.measure),
    "batch": ("batch killed repeatedly", batch_kills.measure),
}

ALONE = "Do not use the machine during the run: all figures depend on timing."
BUSY_SHARE = 0.25  # of the cores before the run: warn above this

console = Console()
app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(epilog=ALONE)
def bench(  # noqa: PLR0913 - a parameter is an option
    client: Annotated[
        bool, typer.Option("--client", help="Measure the client library instead of the server.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="A short run of about three minutes; noisy figures.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROW",
            help=f"Measure only this row (repeatable): {', '.join(ROWS)}; "
            f"with --client: {', '.join(CLIENT_ROWS)}.",
        ),
    ] = None,
    texts: Annotated[
        Path,
        typer.Option(help="JSON lines with `id`, `kind`, `text`.", dir_okay=False, exists=True),
    ] = DEFAULT_TEXTS,
    out: Annotated[Path, typer.Option(help="Folder for JSON, table and plots.")] = RESULTS,
    machine: Annotated[
        str, typer.Option(help="The machine's name in the results.", show_default="the processor")
    ] = "",
    engine: Annotated[
        str,
        typer.Option(
            help=f"Measure this engine without a server: {', '.join(chatterbox_run.ENGINES)}.",
            show_default="the server with the embedded voice",
        ),
    ] = "",
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="With --engine: needs no download.")
    ] = False,
    device: Annotated[str, typer.Option(help="With --engine: auto, cpu, cuda, cuda:1.")] = "auto",
) -> None:
    """Measure Duplex TTS against its goals on this machine: latency, quality, streams, cancelling.

    Starts its own server, measures every row in one run (about twenty minutes), prints figures
    beside goals, and writes JSON, a table and three plots.

    With `--client` it measures the library `duplex_tts`: handshakes saved by an open session,
    audible gaps, samples lost in disconnects, silence after a barge-in, and the files of a batch
    that is killed repeatedly (about ten minutes).
    """
    if engine:
        _measure_engine(engine, device, out, random_weights=random_weights)
        return
    rows = CLIENT_ROWS if client else ROWS
    unknown = set(only or ()) - set(rows)
    if unknown:
        raise typer.BadParameter(f"unknown row {unknown.pop()!r}; choose from: {', '.join(rows)}")
    effort, name = (QUICK if quick else FULL), machine or machine_name()
    corpus = load_corpus(texts, effort.texts)
    run_info: dict[str, Any] = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": git_commit(),
        "quick": quick,
        "cores_busy_before": busy_share(),
        "texts": len(corpus),
        "versions": package_versions(),
    }
    if run_info["cores_busy_before"] > BUSY_SHARE:
        console.print(
            f"[yellow]The machine is busy ({run_info['cores_busy_before']:.0%}).[/] {ALONE}"
        )
    try:
        results = _run_rows({row: rows[row] for row in only or rows}, corpus, effort)
    except ServerFailed as error:
        console.print(str(error), style="red")
        raise typer.Exit(1) from error
    stem = to_file_name(name) + ("-client" if client else "") + ("-quick" if quick else "")
    _write_report(BenchReport(name, run_info, results), out, stem)


def _run_rows(
    rows: dict[str, tuple[str, Measure]], corpus: list[BenchText], effort: Effort
) -> dict[str, Result]:
    results: dict[str, Result] = {}
    with local_server("--log-level", "warning") as url, _progress_bars() as follow:
        model = load_model()
        for row, (label, measure) in rows.items():
            setup = Setup(url, model, corpus, effort, seed=1, progress=follow(label))
            try:
                results[row] = asyncio.run(measure(setup))
            except* (ServerError, ClientError, CalledProcessError) as errors:
                results[row] = _failed_result(label, errors)
            setup.progress(1.0)
    return results


def _measure_engine(engine: str, device: str, out: Path, *, random_weights: bool) -> None:
    if engine not in chatterbox_run.ENGINES:
        known = ", ".join(chatterbox_run.ENGINES)
        raise typer.BadParameter(f"unknown engine {engine!r}; choose from: {known}")
    try:
        name, engine_bench = chatterbox_run.prepare(engine, device, random_weights=random_weights)
    except chatterbox_run.MissingPrerequisite as error:
        console.print(str(error), style="red")
        raise typer.Exit(1) from error
    run_info: dict[str, Any] = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": git_commit(),
        "engine": engine,
        "random_weights": random_weights,
        "cores_busy_before": busy_share(),
    }
    with _progress_bars() as follow:
        results = {row: run(follow(label)) for row, (label, run) in engine_bench.rows().items()}
    report, stem = BenchReport(name, run_info, results), f"{to_file_name(name)}-{engine}"
    _write_report(report, out, stem)


def _failed_result(label: str, errors: BaseExceptionGroup[Exception]) -> Result:
    """The result of a row that could not be measured: a missed goal; the run continues."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return Result([Figure(label, math.nan, math.nan, at_most=True, note=str(error))])


@contextmanager
def _progress_bars() -> Iterator[Callable[[str], Callable[[float], None]]]:
    """Yields a function that adds a progress bar and returns the bar's update function."""
    columns = (TextColumn("{task.description:32}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:

        def follow(label: str) -> Callable[[float], None]:
            bar = bars.add_task(label, total=1.0)
            return lambda done: bars.update(bar, completed=done)

        yield follow


def _write_report(report: BenchReport, out: Path, stem: str) -> None:
    console.print(create_table(report))
    out.mkdir(parents=True, exist_ok=True)
    write_json(report, out / f"{stem}.json")
    (out / f"{stem}.md").write_text(to_markdown(report), encoding="utf-8")
    written = [f"{stem}.json", f"{stem}.md"]
    measured = {row for row, result in report.results.items() if result.details}
    if measured & {"latency", "peer"}:
        plots.plot_first_audio(report, out / f"{stem}-ttfa.png")
        written.append(f"{stem}-ttfa.png")
    if "quality" in measured:
        plots.plot_quality(report, out / f"{stem}-quality.png")
        written.append(f"{stem}-quality.png")
    if "typing" in measured:
        plots.plot_typing(report, out / f"{stem}-typing.png")
        written.append(f"{stem}-typing.png")
    if {"tokens", "live"} <= measured:
        chatterbox_run.plot_results(report, out / f"{stem}.png")
        written.append(f"{stem}.png")
    console.print(f"Written to {out}: {', '.join(written)}", soft_wrap=True)


def main(arguments: Sequence[str]) -> None:
    """Run the command line; called by `duplex-tts bench`."""
    app(list(arguments), prog_name="duplex-tts bench")


if __name__ == "__main__":
    app(prog_name="python -m bench")
