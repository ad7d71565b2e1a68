"""The report: as text of 80 columns, with colours on a terminal, or as JSON."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text

from backend.doctor.findings import Finding, Status
from backend.doctor.next_steps import steps_to_chatterbox
from backend.doctor.redaction import Redaction

_WIDTH = 80
_STYLES = {
    Status.OK: "green",
    Status.WARNING: "yellow",
    Status.ERROR: "bold red",
    Status.ABSENT: "dim",
}
_STATUS_WIDTH = 2 + max(map(len, Status)) + 2
_MARGIN = " " * _STATUS_WIDTH


@dataclass(slots=True)
class Section:
    """The findings of one check."""

    title: str
    findings: Sequence[Finding]


@dataclass(slots=True)
class Report:
    """Sections in order."""

    redaction: Redaction
    sections: list[Section] = field(default_factory=list)

    @property
    def can_serve(self) -> bool:
        """Whether the server can run as the settings ask."""
        return not self.find(Status.ERROR)

    def find(self, status: Status) -> list[tuple[str, Finding]]:
        """The findings of this status, with the titles of their sections."""
        return [
            (section.title, finding)
            for section in self.sections
            for finding in section.findings
            if finding.status is status
        ]

    def to_json(self) -> str:
        """The whole report."""
        findings = [
            {"section": section.title, **finding.to_json()}
            for section in self.sections
            for finding in section.findings
        ]
        data = {"can_serve": self.can_serve, "findings": findings}
        return json.dumps(self.redaction.hide_all(data), indent=2, default=str)


class ReportPrinter:
    """Prints sections as they come, to stdout."""

    def __init__(self, redaction: Redaction, console: Console) -> None:
        self._redaction = redaction
        self._console = console

    def print_section(self, section: Section) -> None:
        """Print the section's title and its lines."""
        self._print(Text(f"\n{section.title}", style="bold"))
        for finding in section.findings:
            self._print_finding(finding)

    def print_verdict(self, report: Report) -> None:
        """Print what the findings come to, and what to do first."""
        errors, warnings = report.find(Status.ERROR), report.find(Status.WARNING)
        count = f"{len(warnings)} warning{'s' * (len(warnings) != 1)}"
        self._print(Text("\nWhat to do", style="bold"))
        if not errors:
            self._print(Text(f"  The server can run as the settings ask; {count}.", style="green"))
            self._print_steps(report)
            self._print(Text("  $ duplex-tts serve", style="cyan"))
            return
        verdict = f"  The server cannot run as the settings ask: {len(errors)} to mend, {count}."
        self._print(Text(verdict, style="bold red"))
        for number, (title, finding) in enumerate(errors, 1):
            start = f"  {number}. "
            self._print_wrapped(f"{title}, {finding.name}: {finding.text}", start)
            self._print_remedy(finding, " " * len(start))

    def _print_steps(self, report: Report) -> None:
        sections = {section.title: section.findings for section in report.sections}
        if steps := steps_to_chatterbox(sections):
            self._print(Text("  To speak with Chatterbox on the graphics card, first:"))
            for step in steps:
                self._print(Text(f"  $ {self._redaction.hide(step)}", style="cyan"))

    def _print_finding(self, finding: Finding) -> None:
        line = Text(f"  {finding.status:<{_STATUS_WIDTH - 2}}", style=_STYLES[finding.status])
        text = self._redaction.hide(f"{finding.name}: {finding.text}")
        first, *rest = _wrap(text, _WIDTH - _STATUS_WIDTH)
        self._print(line + Text(first, style=""))
        for each in rest:
            self._print(Text(_MARGIN + each))
        if finding.status is not Status.OK:
            self._print_remedy(finding, _MARGIN)

    def _print_remedy(self, finding: Finding, margin: str) -> None:
        if finding.remedy:
            self._print_wrapped(f"-> {finding.remedy}", margin, margin + "   ")
        if finding.command:  # in one line, however long: it is to be copied
            self._print(Text(f"{margin}$ {self._redaction.hide(finding.command)}", style="cyan"))

    def _print_wrapped(self, text: str, first: str, then: str = "") -> None:
        then = then or " " * len(first)
        lines = _wrap(self._redaction.hide(text), _WIDTH - len(then))
        for start, line in zip([first, *[then] * len(lines)], lines, strict=False):
            self._print(Text(start + line))

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True, highlight=False, markup=False)


def _wrap(text: str, width: int) -> list[str]:
    printable = "".join(each if each.isprintable() else " " for each in text)
    lines = textwrap.wrap(printable, width, break_long_words=False, break_on_hyphens=False)
    return lines or [""]
