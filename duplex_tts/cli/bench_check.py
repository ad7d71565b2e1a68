"""Checks what `duplex-tts bench` needs: a clone, and the packages of the extra `bench`."""

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
    if not ((root / "pyproject.toml").is_file() and (root / "bench" / "__main__.py").is_file()):
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
