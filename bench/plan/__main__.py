"""`duplex-tts plan`: how many replicas, what they cost, and when the first listener is refused."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Annotated

import structlog
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench.plan.calibration import PlanError, calibrate, find_newest, find_result
from bench.plan.planning import Demand, Plan, make_plan
from bench.plan.report import create_comparison_table, create_plan_table, to_json
from bench.plan.validation import compare
from bench.plan.workload import Workload
from bench.simulation.routing import BEST_RULE, create_rules

_ARRIVALS = (
    "Without --within listeners stay: when an answer has been heard, the next one begins after a "
    "pause. With it they come as a crowd, for one answer each."
)
_EXAMPLES = (
    """
Examples:

```
duplex-tts plan --listeners 500
duplex-tts plan --listeners 5000 --speaking 0.3      # voice agents: 30 % of a call is their turn
duplex-tts plan --listeners 300 --within 3           # all of them within three seconds
duplex-tts plan --per-second 20                      # an answer of 15 s each
duplex-tts plan --writers 200                        # people who write by hand
duplex-tts plan --listeners 200 --on h100            # cards instead of CPU cores
duplex-tts plan --check                              # how far off the simulation is
duplex-tts plan --listeners 500 --json | jq .replicas.with_spare
```

"""
    + _ARRIVALS
)

console = Console(stderr=True)
app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(epilog=_EXAMPLES)
def plan(  # noqa: PLR0913 - a parameter is an option
    listeners: Annotated[
        int | None, typer.Option(min=1, max=10_000_000, help="Sessions at a time.")
    ] = None,
    writers: Annotated[
        int | None,
        typer.Option(
            min=1, max=10_000_000, help="People at a time who write by hand and are heard."
        ),
    ] = None,
    per_second: Annotated[
        float | None,
        typer.Option(
            min=0.01, max=1e6, help="Answers that begin each second, instead of a number."
        ),
    ] = None,
    within: Annotated[
        float, typer.Option(min=0, max=600, help="All come within so many seconds: a crowd.")
    ] = 0.0,
    speaking: Annotated[
        float, typer.Option(min=0.05, max=1, help="Share of the time in which a session hears.")
    ] = 1.0,
    first_sound: Annotated[
        float, typer.Option(min=0.01, max=60, help="Goal: first sound, p95, in seconds.")
    ] = 1.0,
    on: Annotated[
        str,
        typer.Option(
            metavar="RESULT",
            help="What a replica runs on: a file of `duplex-tts bench`, or part of the name of one "
            "in bench/results, such as h100.",
            show_default="the newest of a CPU",
        ),
    ] = "",
    rule: Annotated[
        str, typer.Option(help=f"How sessions find a replica: {', '.join(create_rules())}.")
    ] = BEST_RULE,
    seed: Annotated[int, typer.Option(help="Another crowd of the same kind.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Compare the simulation with what was measured.")
    ] = False,
) -> None:
    """Plan a cluster: how many replicas a number of listeners needs, how much memory, and at which
    load the first is refused.

    Simulates the server's own pacer, scheduler and admission in virtual time, on machines whose
    renders take measured times. Takes up to a minute; nothing is started.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        if rule not in create_rules():
            raise PlanError(f"unknown rule {rule!r}; choose from: {', '.join(create_rules())}")
        demand = None
        if not check:
            workload = _create_workload((listeners, writers, per_second), within, speaking)
            demand = Demand(workload, first_sound, rule, seed)
        result = find_result(on) if on else find_newest()
        with _progress() as report:
            report("the measured machine", 0.0)
            calibration = calibrate(result)
            report("the measured machine", 1.0)
            made = make_plan(calibration, demand, report) if demand else None
            compared = [] if made else compare(calibration)
    except PlanError as error:
        print(f"duplex-tts plan: {error}", file=sys.stderr)
        raise typer.Exit(1) from error
    if made is None:
        Console().print(create_comparison_table(calibration, compared))
    else:
        _print_plan(made, as_json=as_json)


def _create_workload(
    counts: tuple[int | None, int | None, float | None], within_s: float, speaking: float
) -> Workload:
    """The sessions of one of listeners, writers, answers a second. Raises `PlanError`."""
    listeners, writers, per_s = counts
    if sum(each is not None for each in counts) != 1:
        raise PlanError(
            "give one of --listeners, --writers and --per-second, such as --listeners 500"
        )
    if per_s is not None:
        if within_s:
            raise PlanError("--per-second is a steady rate: leave out --within")
        one = Workload(1, 0.0, speaking=speaking)
        return Workload(max(1, round(per_s * one.cycle_s)), 0.0, speaking=speaking)
    if writers is not None and speaking != 1.0:
        raise PlanError("--speaking is for --listeners: writers are heard as fast as they write")
    return Workload(listeners or writers or 1, within_s, 1, speaking, written=writers is not None)


def _print_plan(made: Plan, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(to_json(made), indent=1))
    else:
        Console().print(create_plan_table(made))


@contextmanager
def _progress() -> Iterator[Callable[[str, float], None]]:
    """Yields a function that shows a step and how far it is."""
    columns = (TextColumn("{task.description:32}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars, _exiting_at_signals(bars):
        tasks: dict[str, object] = {}

        def report(label: str, share: float) -> None:
            if label not in tasks or share == 0.0:
                tasks[label] = bars.add_task(label, total=1.0)
            bars.update(tasks[label], completed=share)  # type: ignore[arg-type]

        yield report


@contextmanager
def _exiting_at_signals(bars: Progress) -> Iterator[None]:
    """A signal ends the process at once: a simulation leaves nothing to clean up, and thousands of
    interrupted listeners would each report it.
    """

    def exit_process(number: int, _: FrameType | None) -> None:
        bars.stop()  # shows the cursor again
        os._exit(128 + number)

    before = {each: signal.signal(each, exit_process) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(arguments: Sequence[str]) -> None:
    """Run the command line; called by `duplex-tts plan`."""
    app(list(arguments), prog_name="duplex-tts plan")


if __name__ == "__main__":
    app(prog_name="python -m bench.plan")
