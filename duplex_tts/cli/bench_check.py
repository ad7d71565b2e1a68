"""Checks what `duplex-tts bench` (a clone, and its extra) and `plan` (a clone) need."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

_PACKAGE, _EXTRA = "duplex-tts", "bench"
_ROOT = Path(__file__).resolve().parents[2]


def bench_problem(root: Path = _ROOT) -> str | None:
    """Return why the benchmark cannot run, with the remedy; None if it can.

    `root`: the folder of the packages.
    """
    if not _is_clone(root):
        return (
            "the benchmark is not part of the installed package; "
            "clone the repository and run there: make bench"
        )
    if missing := [name for name in _extra_packages() if not _is_installed(name)]:
        return (
            f"the benchmark needs {', '.join(missing)}; in {root} run: "
            f"pip install -e '.[{_EXTRA}]' (make bench does this, too)"
        )
    return None


def plan_problem(root: Path = _ROOT) -> str | None:
    """Return why `duplex-tts plan` cannot run, with the remedy; None if it can."""
    if _is_clone(root):
        return None
    return (
        "the simulator and its measurements are not part of the installed package; clone the "
        "repository and run there: make install, then .venv/bin/duplex-tts plan"
    )


def _is_clone(root: Path) -> bool:
    return (root / "pyproject.toml").is_file() and (root / "bench" / "__main__.py").is_file()


def _extra_packages() -> list[str]:
    """The names of the extra's packages, from the installed metadata."""
    try:
        requirements = metadata.requires(_PACKAGE) or []
    except metadata.PackageNotFoundError:  # run without an installation
        return []
    pattern = re.compile(rf"""([\w.-]+).*;.*extra == ["']{_EXTRA}["']""")
    return [match[1] for line in requirements if (match := pattern.match(line))]


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
