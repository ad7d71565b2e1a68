"""What the benchmark found: figures beside their goals, as a table and as JSON."""

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
    """One measured number and its goal: a bound that it must not pass.

    `at_most`: the goal is an upper bound; otherwise a lower one. `note`: how sure, and of what.
    """

    name: str
    value: float
    goal: float
    at_most: bool
    unit: str = ""
    note: str = ""

    @property
    def met(self) -> bool:
        """Whether the value keeps to the goal; a value that is no number never does."""
        return bool(self.value <= self.goal if self.at_most else self.value >= self.goal)

    @property
    def judged(self) -> bool:
        """Whether there is a verdict: not on what was measured without a goal to hold to it."""
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
        """The goal with its sign and unit; empty when there was nothing to hold to it."""
        if math.isnan(self.goal):
            return ""
        return f"{'≤' if self.at_most else '≥'} {self.goal:g}{self.unit}"


@dataclass(frozen=True, slots=True)
class Result:
    """What one row of the benchmark found. `details`: whatever JSON can hold."""

    figures: Sequence[Figure]
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """One run: where, with what, and each row's result by its name."""

    machine: str
    taken: dict[str, Any]
    results: dict[str, Result]

    @property
    def figures(self) -> list[Figure]:
        """All figures, in the order of the rows."""
        return [figure for result in self.results.values() for figure in result.figures]


def table(report: Report) -> Table:
    """Figures beside goals for a terminal; a missed goal says so."""
    shown = Table(title=f"Duplex TTS on {report.machine}", title_justify="left")
    for column in ("", "measured", "goal", "", "note"):
        right = column in ("measured", "goal")
        shown.add_column(column, justify="right" if right else "left", no_wrap=right)
    for figure in report.figures:
        verdict = "[green]met[/green]" if figure.met else "[bold red]MISSED[/bold red]"
        verdict = verdict if figure.judged else ""
        shown.add_row(figure.name, figure.value_text, figure.goal_text, verdict, figure.note)
    return shown


def markdown(report: Report) -> str:
    """The same table for a document."""
    taken = [f"{name.replace('_', ' ')}: {value}" for name, value in report.taken.items()]
    about = [text for text in taken if "versions" not in text]
    lines = [f"{report.machine}; {', '.join(about)}", ""]
    lines += ["| | measured | goal | | note |", "|---|---|---|---|---|"]
    for figure in report.figures:
        verdict = ("met" if figure.met else "**missed**") if figure.judged else ""
        cells = (figure.name, figure.value_text, figure.goal_text, verdict, figure.note)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def write_json(report: Report, path: Path) -> None:
    """Write everything, details included, as JSON."""
    figures = [_plain(figure) for figure in report.figures]
    details = {name: result.details for name, result in report.results.items()}
    content = {"machine": report.machine, **report.taken, "figures": figures, "details": details}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _plain(figure: Figure) -> dict[str, Any]:
    """JSON knows no NaN."""
    fields = {**asdict(figure), "met": figure.met}
    missing = {name: None for name in ("value", "goal") if math.isnan(fields[name])}
    return fields | missing
