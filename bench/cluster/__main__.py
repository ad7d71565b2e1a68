"""`python -m bench.cluster`: two replicas behind one address, against one server."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.console import Console

from backend.cores import core_count
from backend.doctor.machine import busy_share, machine_name
from bench.cluster import first_sound, spread, streams
from bench.harness.report import BenchReport, Result, create_table
from duplex_tts.local_server import local_server


def main(
    rounds: Annotated[int, typer.Option(min=1, help="First sounds at each server.")] = 100,
    first: Annotated[int, typer.Option(min=1, help="Streams to begin with.")] = 40,
    steps: Annotated[int, typer.Option(min=1, help="Numbers of streams, each 10 % more.")] = 4,
    seconds: Annotated[float, typer.Option(min=1, help="How long each number listens.")] = 20.0,
) -> None:
    """Measure what replicas cost. Do not use the machine during the run."""
    load = busy_share()
    cores = str(core_count())
    quiet = ("--log-level", "warning")
    with (
        local_server(*quiet, "--set", f"engine.threads={cores}") as single,
        local_server(*quiet, "--replicas", "2") as cluster,
    ):
        urls = {"single": single, "cluster": cluster}
        figures = [
            *asyncio.run(first_sound.measure(urls, rounds)),
            *asyncio.run(spread.measure(cluster)),
            *asyncio.run(streams.measure(urls, first, steps, seconds)),
        ]
    report = BenchReport(machine_name(), {"cores_busy_before": load}, {"cluster": Result(figures)})
    console = Console()
    console.print(create_table(report))
    console.print(f"{machine_name()}; load per core before: {load}")


if __name__ == "__main__":
    typer.run(main)
