"""What the tests of the doctor share: inputs, and reading its findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from backend.config import Settings
from backend.doctor.findings import CheckInputs, Finding, Status


def inputs_for(**sections: Mapping[str, object]) -> CheckInputs:
    """Inputs with these settings, by section."""
    return CheckInputs(Settings.model_validate(sections))


def by_name(findings: Iterable[Finding]) -> dict[str, Finding]:
    """The findings, the last of each name. Asserts that whatever is not ok says what mends it."""
    found = {}
    for finding in findings:
        assert finding.status is Status.OK or finding.remedy or finding.command, finding
        found[finding.name] = finding
    return found
