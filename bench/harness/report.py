"""The benchmark's report: figures beside their goals, as a table and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value and its goal, NaN for none.

    `at_most`: the goal is an upper bound; otherwise a lower one. `note`: sample size and context.
    """

    name: str
    value: float
    goal: float
    at_most: bool
    unit: str = ""
    note: str = ""

    @property
    def met(self) -> bool:
        """Whether the value meets the goal; NaN never does."""
        return bool(self.value <= self.goal if self.at_most else self.value >= self.goal)

    @property
    def has_verdict(self) -> bool:
        """Whether to show met or missed: not for a value measured without a goal."""
        return math.isnan(self.value) or not math.isnan(self.goal)

    @property
    def value_text(self) -> str:
        """The value with its unit."""
        if math.isnan(self.value):
            return "failed"
        digits = ",.0f" if abs(self.value) >= 999.5 else ".3g"
        return f"{self.value:{digits}}{self.unit}"

    @property
    def goal_text(self) -> str:
        """The goal with its sign and unit; empty without a goal."""
        if math.isnan(self.goal):
            return ""
        return f"{'≤' if self.at_most else '≥'} {self.goal:g}{self.unit}"


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one row. `details`: JSON-serialisable."""

    figures: Sequence[Figure]
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BenchReport:
    """One run: the machine, its circumstances, and each row's result by name."""

    machine: str
    run_info: dict[str, Any]
    results: dict[str, Result]

    @property
    def figures(self) -> list[Figure]:
        """All figures in the order of the rows."""
        return [figure for result in self.results.values() for figure in result.figures]


def create_table(report: BenchReport) -> Table:
    """Create a terminal table of figures beside goals; missed goals are marked."""
    shown = Table(title=f"Duplex TTS on {report.machine}", title_justify="left")
    for column in ("", "measured", "goal", "", "note"):
        right = column in ("measured", "goal")
        shown.add_column(column, justify="right" if right else "left", no_wrap=right)
    for figure in report.figures:
        verdict = "[green]met[/green]" if figure.met else "[bold red]MISSED[/bold red]"
        verdict = verdict if figure.has_verdict else ""
        shown.add_row(figure.name, figure.value_text, figure.goal_text, verdict, figure.note)
    return shown


def to_markdown(report: BenchReport) -> str:
    """The same table as Markdown."""
    run_info = [f"{name.replace('_', ' ')}: {value}" for name, value in report.run_info.items()]
    shown = [text for text in run_info if "versions" not in text]
    lines = [f"{report.machine}; {', '.join(shown)}", ""]
    lines += ["| | measured | goal | | note |", "|---|---|---|---|---|"]
    for figure in report.figures:
        verdict = ("met" if figure.met else "**missed**") if figure.has_verdict else ""
        cells = (figure.name, figure.value_text, figure.goal_text, verdict, figure.note)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def write_json(report: BenchReport, path: Path) -> None:
    """Write the report with all details as JSON."""
    figures = [_to_json(figure) for figure in report.figures]
    details = {name: result.details for name, result in report.results.items()}
    content = {"machine": report.machine, **report.run_info, "figures": figures, "details": details}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _to_json(figure: Figure) -> dict[str, Any]:
    """The figure's fields; NaN, which JSON lacks, becomes None."""
    fields = {**asdict(figure), "met": figure.met}
    missing = {name: None for name in ("value", "goal") if math.isnan(fields[name])}
    return fields | missing
