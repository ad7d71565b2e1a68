"""The process of one check: reads the check and its inputs from stdin, writes its findings to
stdout, a line of JSON each, as they come.

Nothing that a check imports can end or hang the doctor itself.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator
from typing import TextIO

from backend.doctor.findings import CheckInputs, Finding


def main() -> None:
    """Run the check; an error of it ends the process with its last line on stderr."""
    report = _take_stdout()
    task = json.load(sys.stdin)
    for finding in _run(task["module"], CheckInputs.from_json(task["inputs"])):
        print(json.dumps(finding.to_json()), file=report, flush=True)


def _take_stdout() -> TextIO:
    """The report's stream; whatever else the process prints goes to stderr from now on."""
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return report


def _run(module: str, inputs: CheckInputs) -> Iterator[Finding]:
    check = importlib.import_module(f"backend.doctor.checks.{module}")
    yield from check.run(inputs)


if __name__ == "__main__":
    main()
