"""What `duplex-tts bench` needs beyond the package: a checkout, and the packages of an extra."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

_PACKAGE, _EXTRA = "duplex-tts", "bench"
_ROOT = Path(__file__).resolve().parents[2]


def why_no_bench(root: Path = _ROOT) -> str | None:
    """Why the benchmark cannot run here, with the remedy; None when it can.

    `root`: what holds our packages.
    """
    if not ((root / "pyproject.toml").is_file() and (root / "bench" / "__main__.py").is_file()):
        return (
            "the benchmark is not part of the installed package; "
            "clone the repository, and there run: make bench"
        )
    if missing := [name for name in _extra() if not _installed(name)]:
        return (
            f"the benchmark needs {', '.join(missing)}; in {root} run: "
            f"pip install -e '.[{_EXTRA}]' (make bench does it, too)"
        )
    return None


def _extra() -> list[str]:
    """The names of the extra's packages, as our own metadata list them."""
    try:
        needed = metadata.requires(_PACKAGE) or []
    except metadata.PackageNotFoundError:  # run from the files, without an installation
        return []
    marked = re.compile(rf"""([\w.-]+).*;.*extra == ["']{_EXTRA}["']""")
    return [found[1] for each in needed if (found := marked.match(each))]


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
