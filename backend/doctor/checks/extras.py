"""Optional packages, and what they are for."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from backend.doctor.findings import CheckInputs, Finding, Status, is_installed


def run(inputs: CheckInputs) -> Iterator[Finding]:
    """The extras of the package, and parts that make the server faster."""
    from duplex_tts.cli.bench_check import bench_problem

    pip = f"{sys.executable} -m pip install"
    if is_installed("huggingface_hub"):
        yield Finding("download", Status.OK, "`duplex-tts download` has its package")
    else:
        text = "`duplex-tts download` needs huggingface_hub"
        command = f'{pip} "huggingface_hub>=1.33.0"'
        yield Finding("download", Status.ABSENT, text, command=command)
    problem = bench_problem()
    if problem is None:
        yield Finding("bench", Status.OK, "`duplex-tts bench` has its packages")
    else:
        text, _, remedy = problem.partition("; ")
        yield Finding("bench", Status.ABSENT, text, remedy)
    missing = [name for name in ("uvloop", "httptools") if not is_installed(name)]
    if missing and sys.platform != "win32":
        text = f"{', '.join(missing)} missing: the server answers more slowly"
        yield Finding("speed", Status.WARNING, text, command=f"{pip} {' '.join(missing)}")
